"use strict";
// The microphone: each hold of a speaker's button is one turn. The turns become one stereo WAV, a speaker on each channel,
// and a manifest that says when each is.
const RATE = 16000; // Hz, as the models hear
const SHORTEST = 0.2; // seconds of a hold; a shorter one was a slip
const PAUSE = 0.5; // seconds between turns, at most

const microphone = { context: null, rate: 0, takes: [], current: null };

// Asks for the microphone. Throws what the browser says if there is none.
async function turnOn() {
  if (!navigator.mediaDevices?.getUserMedia) throw new Error(word("notHere"));
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: false } });
  const context = new AudioContext();
  await context.audioWorklet.addModule("/recorder.js");
  const source = context.createMediaStreamSource(stream);
  const node = new AudioWorkletNode(context, "recorder", { numberOfInputs: 1, numberOfOutputs: 1 });
  node.port.onmessage = (message) => microphone.current?.pieces.push(message.data);
  source.connect(node);
  node.connect(context.destination); // of silence: without a listener, browsers do not run it
  microphone.context = context;
  microphone.rate = context.sampleRate;
}

function startTake(speaker) {
  if (microphone.current) return;
  microphone.context?.resume();
  microphone.current = { speaker, pieces: [], text: "", from: performance.now() };
}

// Ends the hold; returns whether it was long enough to be a turn.
function endTake() {
  const take = microphone.current;
  microphone.current = null;
  if (!take) return false;
  take.to = performance.now();
  take.seconds = take.pieces.reduce((sum, piece) => sum + piece.length, 0) / microphone.rate;
  if (take.seconds < SHORTEST) return false;
  microphone.takes.push(take);
  return true;
}

// The samples of some takes, each on its speaker's channel, at RATE: an AudioBuffer; `takes` get `start` and `end`.
async function together(takes, channels = 2) {
  let clock = 0;
  takes.forEach((take, k) => {
    if (k) clock += Math.min(Math.max((take.from - takes[k - 1].to) / 1000, 0), PAUSE);
    take.start = clock;
    take.end = clock += take.seconds;
  });
  const offline = new OfflineAudioContext(channels, Math.ceil(clock * RATE), RATE);
  const buffer = offline.createBuffer(channels, Math.ceil(clock * microphone.rate) + 1, microphone.rate);
  for (const take of takes) {
    let place = Math.round(take.start * microphone.rate);
    for (const piece of take.pieces) {
      buffer.copyToChannel(piece, channels === 1 ? 0 : take.speaker, place);
      place += piece.length;
    }
  }
  const source = offline.createBufferSource(); // which changes the rate as it plays
  source.buffer = buffer;
  source.connect(offline.destination);
  source.start();
  return offline.startRendering();
}

// A 16-bit PCM WAV file of an AudioBuffer.
function asWav(buffer) {
  const channels = buffer.numberOfChannels, bytes = buffer.length * channels * 2;
  const view = new DataView(new ArrayBuffer(44 + bytes));
  const put = (place, text) => [...text].forEach((letter, k) => view.setUint8(place + k, letter.charCodeAt(0)));
  put(0, "RIFF");
  view.setUint32(4, 36 + bytes, true);
  put(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, channels, true);
  view.setUint32(24, buffer.sampleRate, true);
  view.setUint32(28, buffer.sampleRate * channels * 2, true);
  view.setUint16(32, channels * 2, true);
  view.setUint16(34, 16, true);
  put(36, "data");
  view.setUint32(40, bytes, true);
  const sounds = Array.from({ length: channels }, (_, k) => buffer.getChannelData(k));
  let place = 44;
  for (let k = 0; k < buffer.length; k++) {
    for (const sound of sounds) {
      view.setInt16(place, Math.round(Math.min(Math.max(sound[k], -1), 1) * 32767), true);
      place += 2;
    }
  }
  return new Blob([view.buffer], { type: "audio/wav" });
}

// A manifest of the takes, as `app/predict.py --turns` reads it.
function asManifest(takes, names) {
  const cell = (text) => `"${String(text).replace(/^([=+\-@])/, "'$1").replaceAll('"', '""')}"`;
  const rows = takes.map((take) => ["recording.wav", "recording", names[take.speaker], take.start.toFixed(3), take.end.toFixed(3), take.text.replace(/\s+/g, " ").trim()]);
  return ["file_name,dialogue,speaker,start,end,text", ...rows.map((row) => row.map(cell).join(","))].join("\n") + "\n";
}
