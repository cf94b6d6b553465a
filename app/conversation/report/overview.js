// How the page shows an emotion, the shares of emotions of each speaker, and the timeline.

const words = () => WORDS[language];

function emotionName(emotion) {
  const names = DATA.emotion_names[language] || DATA.emotion_names.en || DATA.emotions;
  return names[DATA.emotions.indexOf(emotion)] || emotion;
}

// The beginnings of the names that tell them apart: N, A, H, Su, Sa, ...
function letters(emotion) {
  const name = emotionName(emotion), others = DATA.emotions.filter((one) => one !== emotion).map(emotionName);
  let length = 1;
  while (length < name.length && others.some((one) => one.toLowerCase().startsWith(name.slice(0, length).toLowerCase()))) length++;
  const short = name.slice(0, length);
  return short.charAt(0).toUpperCase() + short.slice(1);
}

// Colour and pattern: those of a known name, else the next that is free.
const KNOWN = ["neutral", "angry", "happy", "surprise", "sad", "fear", "disgust", "excited", "frustrated"];
const ALIASES = { anger: "angry", joy: "happy", happiness: "happy", sadness: "sad", surprised: "surprise", fearful: "fear" };
const LOOKS = (() => {
  const taken = {}, free = [...KNOWN.keys(), 9, 10, 11];
  for (const emotion of DATA.emotions) {
    const place = KNOWN.indexOf(ALIASES[emotion.toLowerCase()] || emotion.toLowerCase());
    if (free.includes(place)) taken[emotion] = free.splice(free.indexOf(place), 1)[0];
  }
  for (const emotion of DATA.emotions) taken[emotion] ??= free.length ? free.shift() : 11;
  return taken;
})();

function look(emotion) {
  return `e${LOOKS[emotion] ?? 11}`;
}

function clock(seconds) {
  const whole = Math.floor(seconds), hours = Math.floor(whole / 3600);
  const rest = `${Math.floor((whole % 3600) / 60)}:${String(whole % 60).padStart(2, "0")}`;
  return hours ? `${hours}:${rest.padStart(5, "0")}` : rest;
}

const percent = (p) => `${Math.round(100 * p)}%`;

function badge(emotion, unsure = false) {
  return h("span", { class: `badge${unsure ? " unsure" : ""}` },
    h("span", { class: `swatch ${look(emotion)}`, "aria-hidden": "true" }, h("b", {}, letters(emotion))),
    emotionName(emotion), unsure ? h("i", { "aria-hidden": "true" }, "?") : null);
}

function count(turns) {
  return DATA.emotions.map((emotion) => [emotion, turns.filter((turn) => turn.emotion === emotion).length])
    .filter(([, number]) => number).sort((one, other) => other[1] - one[1]);
}

function showShares() {
  const rows = speakers().filter((speaker) => state.turns.some((turn) => turn.speaker === speaker)).map((speaker) => {
    const own = state.turns.filter((turn) => turn.speaker === speaker);
    const found = count(own);
    const label = found.map(([emotion, number]) => `${emotionName(emotion)} ${number}`).join(", ");
    return h("div", { class: "share" }, h("span", { class: "who" }, speaker),
      h("div", { class: "stack", role: "img", "aria-label": `${words().shareOf(speaker)}: ${label}` },
        found.map(([emotion, number]) => h("span", { class: `cell ${look(emotion)}`, style: { "flex-grow": number },
          title: `${emotionName(emotion)} ${number}` }, h("b", {}, number / own.length > 0.06 ? `${letters(emotion)} ${number}` : "")))),
      h("span", { class: "number" }, String(own.length)));
  });
  document.getElementById("shares").replaceChildren(...rows);
  document.getElementById("legend").replaceChildren(...count(state.turns).map(([emotion, number]) =>
    h("li", {}, badge(emotion), h("span", { class: "number" }, String(number)))));
}

const SCALE = 12; // pixels of a second, at least

function showTimeline() {
  const place = document.getElementById("timeline"), before = place.firstChild?.scrollLeft;
  if (state.turns.some((turn) => turn.start === null)) return place.replaceChildren();
  const first = Math.min(0, ...state.turns.map((turn) => turn.start)), last = Math.max(...state.turns.map((turn) => turn.end));
  const length = Math.max(last - first, 0.001), at = (time) => `${(100 * (time - first)) / length}%`;
  const step = [1, 2, 5, 10, 30, 60, 300].find((one) => one * SCALE > 56) || 600;
  const ticks = [];
  for (let time = Math.ceil(first / step) * step; time < last; time += step) {
    ticks.push(h("span", { class: "tick", style: { left: at(time) } }, clock(time)));
  }
  const lanes = speakers().map((speaker) => h("div", { class: "lane", role: "group", "aria-label": speaker },
    h("span", { class: "lane-name" }, speaker),
    state.turns.map((turn, k) => turn.speaker !== speaker ? null : h("button", {
      type: "button", class: `block ${look(turn.emotion)}${isUnsure(turn) ? " unsure" : ""}`, "data-block": k,
      tabindex: k === current ? 0 : -1, title: turn.text || null,
      "aria-label": words().turnName(k + 1, speaker, `${clock(turn.start)}–${clock(turn.end)}`, emotionName(turn.emotion)),
      style: { left: at(turn.start), width: `max(13px, ${(100 * (turn.end - turn.start)) / length}%)` },
      onclick: () => { select(k); toggle(k); }, onkeydown: blockKeys,
    }, h("b", { "aria-hidden": "true" }, letters(turn.emotion))))));
  const strip = h("div", { class: "strip", style: { width: `max(100%, ${Math.round(length * SCALE)}px)` } },
    h("div", { class: "ticks", "aria-hidden": "true" }, ticks), lanes, h("div", { class: "head", id: "playhead", hidden: true }));
  place.replaceChildren(h("div", { class: "scroller", role: "group", "aria-label": words().timeline, tabindex: -1 }, strip));
  if (before) place.firstChild.scrollLeft = before;
  place.dataset.first = first;
  place.dataset.length = length;
}

function blockKeys(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  event.stopPropagation();
  const next = Math.min(Math.max(current + step, 0), state.turns.length - 1);
  select(next, false);
  document.querySelector(`[data-block="${next}"]`)?.focus();
}

function movePlayhead() {
  const line = document.getElementById("playhead"), turn = state.turns[player.turn];
  if (!line) return;
  line.hidden = !(player.on && turn?.parts[player.part]);
  if (line.hidden) return;
  const { first, length } = document.getElementById("timeline").dataset;
  line.style.left = `${(100 * (heardTime() - first)) / length}%`;
}
