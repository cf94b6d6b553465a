"use strict";
// The page of the demo: three ways to send a conversation, and how far those are that were sent from this tab.
const LIMITS = { ...document.documentElement.dataset };
const POLL = 700; // milliseconds
// Where on its way a conversation is when a stage begins, in percent; the next entry is where it ends.
const WAY = { listening: [5, 30], "writing down": [30, 50], features: [50, 75], "without the voice": [75, 83],
  "without the words": [83, 90], "without the conversation": [90, 96], report: [96, 100] };
let words = null, jobs = kept();

function word(name, values = {}) {
  return (words[language][name] ?? name).replace(/\{(\w+)\}/g, (_, key) => values[key] ?? LIMITS[key] ?? "");
}

function kept() {
  try {
    return JSON.parse(sessionStorage.getItem("conversations") ?? "[]").map((id) => ({ id, status: "queued", sources: [], opened: true }));
  } catch {
    return [];
  }
}

function keep() {
  try {
    sessionStorage.setItem("conversations", JSON.stringify(jobs.filter((job) => job.id).map((job) => job.id)));
  } catch { /* then a reload forgets them */ }
}

// ---- words, theme, the three ways ----

function showWords() {
  document.title = word("title");
  showFixedWords(word);
  $("private").textContent = word("private");
  showChosen();
  showTakes();
  showJobs();
}

function choose(way) {
  for (const tab of document.querySelectorAll("[data-way]")) {
    const own = tab.dataset.way === way;
    tab.setAttribute("aria-selected", String(own));
    tab.tabIndex = own ? 0 : -1;
    $(tab.dataset.way).hidden = !own;
  }
}

function showChosen() {
  const form = $("upload"), chosen = [...form.recording.files], several = chosen.length > 1;
  $("chosen").textContent = chosen.length ? chosen.map((file) => file.name).join(", ") : word("choose");
  $("by-channels").textContent = word(several ? "byFiles" : "byChannels");
  $("first-label").textContent = several ? word("of", { file: chosen[0].name }) : word("first");
  $("second-label").textContent = several ? word("of", { file: chosen[1].name }) : word("second");
  $("names").hidden = form.told.value !== "channels";
  $("times").hidden = form.told.value !== "turns";
}

function complain(form, text) {
  const place = form.querySelector(".wrong");
  place.textContent = text;
  place.hidden = !text;
}

// ---- sending ----

// Sends a form; `sources`: what the list calls it until the server answers.
function send(form, body, sources) {
  complain(form, "");
  const job = { status: "sending", percent: 0, sources };
  const request = new XMLHttpRequest(); // fetch does not tell how much was sent
  const button = form.querySelector("button.strong");
  button.disabled = true;
  jobs.unshift(job);
  const fail = (text) => {
    jobs = jobs.filter((one) => one !== job);
    complain(form, text);
    showJobs();
  };
  request.upload.onprogress = (event) => {
    job.percent = Math.round((100 * event.loaded) / Math.max(event.total, 1));
    showJobs();
  };
  request.onloadend = () => {
    button.disabled = false;
    if (!request.status) return fail(word("noServer"));
    let answer = {};
    try { answer = JSON.parse(request.responseText); } catch { /* the status says it */ }
    if (request.status !== 202) return fail(answer.error || `HTTP ${request.status}`);
    Object.assign(job, answer);
    keep();
    showJobs();
    poll();
  };
  request.open("POST", "/conversations");
  request.send(body);
  showJobs();
}

function sendUpload(event) {
  event.preventDefault();
  const form = $("upload"), chosen = [...form.recording.files];
  if (!chosen.length) return complain(form, word("choosefirst"));
  if (chosen.reduce((sum, file) => sum + file.size, 0) > LIMITS.mb * 1e6) return complain(form, word("tooLarge"));
  const body = new FormData();
  if (form.told.value === "turns") {
    if (form.turns.files[0]) body.append("turns", form.turns.files[0]);
  } else if (form.told.value === "voices") {
    body.append("speakers", "2");
  } else {
    for (const name of [form.first.value, form.second.value]) body.append("channels", name);
  }
  if (form.transcribe?.checked) body.append("transcribe", "true");
  for (const file of chosen) body.append("recording", file);
  send(form, body, chosen.map((file) => file.name));
}

function sendText(event) {
  event.preventDefault();
  const form = $("text"), text = form.text.value.trim();
  if (!text) return complain(form, word("writefirst"));
  const body = new FormData();
  body.append("text", text);
  send(form, body, [text.slice(0, 40)]);
}

async function sendRecord(event) {
  event.preventDefault();
  const form = $("record"), names = [form.first.value.trim() || "M", form.second.value.trim() || "F"];
  const body = new FormData();
  const wav = asWav(await together(microphone.takes));
  body.append("recording", wav, "recording.wav");
  body.append("turns", new Blob([asManifest(microphone.takes, names)], { type: "text/csv" }), "recording.csv");
  for (const name of names) body.append("channels", name);
  send(form, body, ["recording.wav"]);
}

// ---- the microphone ----

function showTakes() {
  const form = $("record"), names = [form.first.value || "M", form.second.value || "F"];
  for (const button of document.querySelectorAll(".hold")) {
    const speaker = Number(button.dataset.speaker), on = microphone.current?.speaker === speaker;
    button.classList.toggle("on", on);
    button.replaceChildren(names[speaker], h("small", {}, word(on ? "holding" : "hold")));
  }
  $("judge-record").disabled = !microphone.takes.length;
  $("takes").replaceChildren(...microphone.takes.map((take, k) => h("li", { class: "take" },
    h("span", { class: "who" }, names[take.speaker]),
    h("button", { type: "button", "aria-label": word("listen", { n: k + 1 }), onclick: () => listen(take) }, `▶ ${word("seconds", { n: take.seconds.toFixed(1) })}`),
    h("input", { value: take.text, placeholder: word("said"), "aria-label": word("said"), maxlength: 500, oninput: (event) => { take.text = event.target.value; } }),
    h("button", { type: "button", class: "plain", "aria-label": word("remove", { n: k + 1 }), onclick: () => { microphone.takes.splice(k, 1); showTakes(); } }, "✕"))));
}

async function listen(take) {
  const audio = new Audio(URL.createObjectURL(asWav(await together([{ ...take }], 1))));
  audio.addEventListener("ended", () => URL.revokeObjectURL(audio.src));
  audio.play();
}

function holdable(button) {
  const start = () => { startTake(Number(button.dataset.speaker)); showTakes(); };
  const end = () => { if (microphone.current?.speaker === Number(button.dataset.speaker)) { endTake(); showTakes(); } };
  button.addEventListener("pointerdown", (event) => { button.setPointerCapture(event.pointerId); start(); });
  for (const name of ["pointerup", "pointercancel", "blur"]) button.addEventListener(name, end);
  button.addEventListener("keydown", (event) => { if ([" ", "Enter"].includes(event.key) && !event.repeat) start(); });
  button.addEventListener("keyup", (event) => { if ([" ", "Enter"].includes(event.key)) end(); });
  button.addEventListener("contextmenu", (event) => event.preventDefault());
}

// ---- how far they are ----

function percent(job) {
  const stage = WAY[job.progress?.stage];
  if (!stage) return 2;
  return stage[0] + ((stage[1] - stage[0]) * job.progress.done) / Math.max(job.progress.total, 1);
}

function state(job) {
  if (job.status === "sending") return word("sending", { n: job.percent });
  if (job.status === "queued") return word("queued", { n: job.position || 1 });
  if (job.status === "failed") return word("failed");
  if (job.status === "done") return `${word("done", { turns: job.result.turns, speakers: job.result.speakers.join(", ") })}. ${word("left", { n: Math.max(1, Math.round(job.seconds_left / 60)) })}`;
  const stage = job.progress?.stage;
  return stage ? word(stage.startsWith("without") ? "stage.without" : `stage.${stage}`) : word("running");
}

function showJobs() {
  $("list-section").hidden = !jobs.length;
  $("list").replaceChildren(...jobs.map((job) => h("li", { class: "item", "data-status": job.status },
    h("span", { class: "name" }, job.sources.join(", ")),
    h("span", { class: "links" },
      job.status === "done" ? h("a", { class: "button strong", href: job.files.report }, word("open")) : null,
      ...(job.status === "done" ? ["turns.csv", "turns.json"].map((name) => h("a", { class: "button", href: job.files[name], download: name }, name)) : []),
      job.id ? h("button", { type: "button", class: "plain", onclick: () => drop(job) }, word(["queued", "running"].includes(job.status) ? "cancel" : "delete")) : null),
    ["sending", "queued", "running"].includes(job.status) ? h("progress", { max: 100, value: job.status === "running" ? percent(job) : 1, "aria-label": state(job) }) : null,
    h("span", { class: "state" }, state(job)),
    job.error ? h("p", { class: "wrong" }, job.error) : null)));
}

async function drop(job) {
  await fetch(`/conversations/${job.id}`, { method: "DELETE" }).catch(() => {});
  jobs = jobs.filter((one) => one !== job);
  keep();
  showJobs();
}

let polling = false;
async function poll() {
  if (polling) return;
  polling = true;
  while (jobs.some((job) => job.id && ["queued", "running"].includes(job.status))) {
    for (const job of jobs.filter((one) => one.id && ["queued", "running"].includes(one.status))) await look(job);
    showJobs();
    const ready = jobs.find((job) => job.status === "done" && !job.opened);
    if (ready && document.visibilityState === "visible") {
      ready.opened = true;
      location.assign(ready.files.report);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL));
  }
  polling = false;
}

async function look(job) {
  try {
    const answer = await fetch(`/conversations/${job.id}`);
    if (answer.status === 404) jobs = jobs.filter((one) => one !== job);
    else if (answer.ok) Object.assign(job, await answer.json());
    keep();
  } catch {
    job.error = word("noServer");
  }
}

async function begin() {
  words = await (await fetch("/words.json")).json();
  listenToSwitches(word, showWords);
  const tabs = [...document.querySelectorAll("[data-way]")];
  tabs.forEach((tab, k) => {
    tab.addEventListener("click", () => choose(tab.dataset.way));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(k + step + tabs.length) % tabs.length];
      choose(next.dataset.way);
      next.focus();
    });
  });
  $("upload").addEventListener("submit", sendUpload);
  $("upload").addEventListener("change", showChosen);
  $("text").addEventListener("submit", sendText);
  $("record").addEventListener("submit", sendRecord);
  for (const name of ["first", "second"]) $("record")[name].addEventListener("input", showTakes);
  $("turn-on").addEventListener("click", async () => {
    try {
      await turnOn();
      $("turn-on").hidden = true;
      $("holds").hidden = false;
      complain($("record"), "");
    } catch (error) {
      complain($("record"), word("noMicrophone", { why: error.message }));
    }
  });
  document.querySelectorAll(".hold").forEach(holdable);
  const drop = $("drop");
  for (const name of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.toggle("over", name === "dragover"); });
  }
  drop.addEventListener("drop", (event) => { $("recording").files = event.dataTransfer.files; showChosen(); });
  choose("upload");
  showWords();
  poll();
}

begin();
