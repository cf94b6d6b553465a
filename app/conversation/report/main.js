// Puts the page together: words, keys, and what is shown again after a change.
const word = (name) => words()[name];

function say(text) {
  $("status").textContent = "";
  requestAnimationFrame(() => { $("status").textContent = text; });
}

// Shows everything again and gives the focus back to where it was in the turn `k`.
function refresh(k = current) {
  const focused = document.activeElement?.dataset?.f, inside = document.activeElement?.closest?.("[data-turn]");
  const caret = document.activeElement?.selectionStart;
  current = Math.min(Math.max(k, 0), state.turns.length - 1);
  showTurns();
  showShares();
  showTimeline();
  showFilters();
  $("undo").disabled = !state.past.length;
  const pieces = state.turns.every(isPiece);
  document.querySelector('[data-export="manifest"]').disabled = !pieces;
  $("no-manifest").hidden = pieces;
  player.tell();
  if (!inside) return;
  const item = document.querySelector(`[data-turn="${current}"]`);
  const next = (focused && item?.querySelector(`[data-f="${focused}"]`)) || item;
  next?.focus({ preventScroll: true });
  if (caret !== undefined && next?.setSelectionRange && next.tagName === "TEXTAREA") next.setSelectionRange(caret, caret);
}

function showFilters() {
  const kinds = [["all", words().all, state.turns.length],
    ["unsure", words().unsure, state.turns.filter(isUnsure).length],
    ["corrected", words().corrected, state.turns.filter(isCorrected).length],
    ["unchecked", words().unchecked, state.turns.filter((turn) => !turn.checked).length],
    ...count(state.turns).map(([emotion, number]) => [`e ${emotion}`, emotionName(emotion), number])];
  $("filters").setAttribute("aria-label", words().filters);
  $("filters").replaceChildren(...kinds.map(([kind, label, number]) => h("button", {
    type: "button", class: "chip", "aria-pressed": String(filter === kind), "data-filter": kind,
    onclick: () => { filter = kind; showTurns(); showFilters(); player.tell(); },
  }, label, h("span", { class: "number" }, String(number)))));
}

// Makes a turn the current one; `into`: and brings it into view.
function select(k, into = true) {
  current = k;
  for (const item of document.querySelectorAll("[data-turn], [data-block]")) {
    const own = Number(item.dataset.turn ?? item.dataset.block) === k;
    item.tabIndex = own ? 0 : -1;
    if (item.dataset.turn) own ? item.setAttribute("aria-current", "true") : item.removeAttribute("aria-current");
  }
  if (into) document.querySelector(`[data-turn="${k}"]`)?.scrollIntoView({ block: "nearest", behavior: "auto" });
}

function toggle(k) {
  if (player.on && player.turn === k) return stop();
  if (hasSound(state.turns[k])) play(k);
}

player.tell = () => {
  for (const item of document.querySelectorAll("[data-turn]")) {
    const k = Number(item.dataset.turn), plays = player.on && player.turn === k;
    item.classList.toggle("playing", plays);
    const button = item.querySelector(".play");
    button.setAttribute("aria-label", plays ? words().stopTurn(k + 1) : words().play(k + 1));
    button.setAttribute("aria-pressed", String(plays));
    item.style.setProperty("--heard", plays ? `${100 * heard()}%` : "0%");
  }
  for (const block of document.querySelectorAll("[data-block]")) block.classList.toggle("playing", player.on && Number(block.dataset.block) === player.turn);
  $("play-all").textContent = player.on ? words().stop : words().playAll;
  movePlayhead();
};

function showWords() {
  showFixedWords(word);
  const last = Math.max(...DATA.turns.map((turn) => turn.end ?? 0));
  $("facts").textContent = [words().facts(DATA.turns.length, DATA.speakers.join(", "), last ? clock(last) : ""), words().from(DATA.sources.slice(0, 3).join(", ") + (DATA.sources.length > 3 ? ", …" : ""))].join(" · ");
  $("models").textContent =
    `${words().models(Object.values(DATA.models).join(", "), DATA.unsure_below)} ${words().calibrated(DATA.temperature !== 1)}`;
  $("notes").replaceChildren(...DATA.notes.map((note) => h("p", { class: "notice", role: "note" }, note[language] || note.en)));
  if (!state.stored) $("notes").append(h("p", { class: "notice", role: "note" }, words().notSaved));
  refresh();
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
  const onButton = event.target.tagName === "BUTTON" || event.target.tagName === "SUMMARY";
  const visible = [...document.querySelectorAll("[data-turn]")].map((item) => Number(item.dataset.turn));
  const place = visible.indexOf(current);
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const turn = state.turns[current], number = Number(event.key);
  if (step && visible.length) {
    const next = visible[place < 0 ? 0 : Math.min(Math.max(place + step, 0), visible.length - 1)];
    select(next);
    document.querySelector(`[data-turn="${next}"]`).focus();
  } else if (event.key === " " && !onButton) toggle(current);
  else if (event.key.toLowerCase() === "e") flip(editing, turn, current);
  else if (event.key.toLowerCase() === "z") takeBack();
  else if (number >= 1 && number <= DATA.emotions.length) set(current, { emotion: DATA.emotions[number - 1], checked: true });
  else return;
  event.preventDefault();
}

function takeBack() {
  if (!undo()) return;
  stop();
  say(words().undone);
  refresh();
}

restore();
listenToSwitches(word, showWords);
$("play-all").hidden = !SOUNDS.some(Boolean);
$("turns").classList.toggle("silent", !SOUNDS.some(Boolean));
$("play-all").addEventListener("click", () => (player.on ? stop() : play(current, true)));
$("undo").addEventListener("click", takeBack);
$("discard").addEventListener("click", () => {
  if (!window.confirm(words().discardAsk)) return;
  change((turns) => turns.splice(0, turns.length, ...original()));
  refresh();
});
for (const button of document.querySelectorAll("[data-export]")) {
  button.disabled = ["textgrid", "elan"].includes(button.dataset.export) && DATA.turns.some((turn) => turn.start === null);
  button.addEventListener("click", () => {
    say(words().exported(download(button.dataset.export, $("only-checked").checked)));
    $("export").open = false;
  });
}
document.addEventListener("click", (event) => { if (!$("export").contains(event.target)) $("export").open = false; });
document.addEventListener("keydown", (event) => { if (event.key === "Escape") $("export").open = false; else keys(event); });
showWords();
