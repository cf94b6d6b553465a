// The list of turns: what each is, why, and its corrections.
let current = 0; // the turn that keys speak of
let filter = "all";
const open = new Set(), editing = new Set(); // turns, by identity, whose details or corrections are shown

function shown(turn) {
  if (filter === "all") return true;
  if (filter === "unsure") return isUnsure(turn);
  if (filter === "corrected") return isCorrected(turn);
  if (filter === "unchecked") return !turn.checked;
  return turn.emotion === filter.slice(2);
}

function showTurns() {
  const list = document.getElementById("turns");
  const all = speakers();
  const items = state.turns.map((turn, k) => (shown(turn) ? turnItem(turn, k, all) : null)).filter(Boolean);
  list.replaceChildren(...items);
  document.getElementById("empty").hidden = items.length > 0;
}

function turnItem(turn, k, all) {
  const unsure = isUnsure(turn), first = DATA.turns[turn.parts[0].turn], p = probabilities(turn);
  const time = turn.start === null ? "" : `${clock(turn.start)}–${clock(turn.end)}`;
  const corrected = isCorrected(turn), own = all.indexOf(turn.speaker) % 6;
  const likely = p[DATA.emotions.indexOf(turn.emotion)];
  return h("li", {
    class: `turn s${own}${corrected ? " corrected" : ""}${turn.checked ? " checked" : ""}`, "data-turn": k, tabindex: k === current ? 0 : -1,
    "aria-label": words().turnName(k + 1, turn.speaker, time, emotionName(turn.emotion)),
    "aria-current": k === current ? "true" : null, onfocus: (event) => event.target.dataset.turn && select(k, false),
  },
  h("div", { class: "line" },
    h("button", { type: "button", class: "play", "data-f": "play", disabled: !hasSound(turn), title: hasSound(turn) ? null : words().noSound,
      onclick: () => { select(k, false); toggle(k); } }),
    h("div", { class: "meta" }, h("span", { class: "who" }, turn.speaker), time ? h("span", { class: "time" }, time) : null),
    h("p", { class: turn.text ? "said" : "said none" }, turn.text || words().noText),
    h("div", { class: "verdict" }, badge(turn.emotion, unsure),
      h("span", { class: "likely" }, corrected && turn.emotion !== first.emotion ? "✎" : percent(likely))),
    h("button", { type: "button", class: "edit", "data-f": "edit", "aria-expanded": String(editing.has(turn)),
      onclick: () => flip(editing, turn, k) }, editing.has(turn) ? words().done : words().edit)),
  h("div", { class: "below" },
    h("button", { type: "button", class: "why", "data-f": "why", "aria-expanded": String(open.has(turn)), onclick: () => flip(open, turn, k) },
      h("span", { class: "arrow", "aria-hidden": "true" }), h("span", {}, sentence(turn, first) || words().details)),
    first.speaker_source === "guessed" && turn.speaker === first.speaker ? h("span", { class: "heard" }, words().guessed) : null,
    first.text_source === "recognised" && turn.text === first.text ?
      h("span", { class: "heard" }, words().recognised(percent(first.text_confidence))) : null,
    unsure ? h("span", { class: "doubt" }, words().unsureLong(Math.round(100 * DATA.unsure_below))) : null),
  open.has(turn) ? details(turn, first, p) : null,
  editing.has(turn) ? editor(turn, k) : null);
}

function sentence(turn, first) {
  const reasons = Object.entries(isWhole(turn) ? first.reasons : {});
  if (!reasons.length || turn.emotion !== first.emotion) return "";
  const [name, loss] = reasons.reduce((best, one) => (one[1] > best[1] ? one : best));
  return loss < 0.05 ? words().restsNone : words().rests(words()[name], Math.round(100 * loss));
}

function details(turn, first, p) {
  const order = DATA.emotions.map((emotion, e) => [emotion, p[e]]).sort((one, other) => other[1] - one[1]);
  const reasons = isWhole(turn) ? Object.entries(first.reasons) : [];
  return h("div", { class: "details" },
    h("div", {}, h("h3", {}, words().probabilities), h("table", { class: "bars" }, h("tbody", {}, order.map(([emotion, q]) =>
      h("tr", {}, h("th", { scope: "row" }, badge(emotion)), h("td", {}, meter(q, look(emotion))), h("td", { class: "n" }, percent(q))))))),
    reasons.length ? h("div", {}, h("h3", {}, words().reasons), h("p", { class: "help" }, words().reasonHelp),
      h("table", { class: "bars" }, h("tbody", {}, reasons.map(([name, loss]) =>
        h("tr", {}, h("th", { scope: "row" }, words()[name]), h("td", {}, meter(Math.max(loss, 0), "loss")),
          h("td", { class: "n" }, words().points(Math.round(100 * loss)))))))) : null,
    h("p", { class: "help" }, [
      isWhole(turn) ? "" : words().changed,
      turn.emotion !== first.emotion ? words().modelSaid(emotionName(first.emotion)) : "",
      first.given_emotion ? words().wasGiven(emotionName(first.given_emotion)) : "",
    ].filter(Boolean).join(" ")));
}

function meter(share, kind) {
  return h("div", { class: "meter" }, h("span", { class: `fill ${kind}`, style: { width: `${100 * Math.min(share, 1)}%` } }));
}

function editor(turn, k) {
  const others = nextOfSpeaker(k);
  const text = h("textarea", { rows: 2, "data-f": "text", value: turn.text, "aria-label": words().text, dir: "auto",
    onchange: (event) => setText(k, event.target.value.replace(/\s+/g, " ").trim()) });
  const choose = (name, values, onchange) => h("select", { "data-f": name, onchange },
    values.map(([value, label]) => h("option", { value, selected: value === turn[name] }, label)));
  return h("div", { class: "editor" },
    h("label", {}, h("span", {}, words().label), choose("emotion", DATA.emotions.map((one) => [one, emotionName(one)]),
      (event) => set(k, { emotion: event.target.value, checked: true }))),
    h("label", {}, h("span", {}, words().speaker), choose("speaker", [...speakers().map((one) => [one, one]), ["", words().newSpeaker]],
      (event) => {
        const name = event.target.value || (window.prompt(words().askSpeaker) || "").trim().slice(0, 60);
        set(k, name ? { speaker: name } : {});
      })),
    h("label", { class: "check" }, h("input", { type: "checkbox", "data-f": "checked", checked: turn.checked,
      onchange: (event) => set(k, { checked: event.target.checked }) }), h("span", {}, words().checked)),
    h("label", { class: "text" }, h("span", {}, words().text), text),
    h("div", { class: "actions" },
      h("button", { type: "button", "data-f": "split", title: words().splitHelp, onclick: () => splitHere(k, text) }, words().split),
      h("button", { type: "button", "data-f": "merge", disabled: others < 0, onclick: () => joinNext(k, others) }, words().merge),
      isWhole(turn) && isCorrected(turn) ? h("button", { type: "button", class: "plain", "data-f": "restore",
        onclick: () => set(k, original()[turn.parts[0].turn]) }, words().restore) : null,
      h("p", { class: "help" }, words().splitHelp)));
}

function set(k, values) {
  const turn = state.turns[k];
  if (Object.entries(values).every(([name, value]) => JSON.stringify(turn[name]) === JSON.stringify(value))) return refresh(k);
  change((turns) => Object.assign(turns[k], values));
  refresh(k);
}

// Nothing that can be clicked is made anew: it is a click elsewhere that ends the writing, and it must reach its target.
function setText(k, text) {
  if (state.turns[k].text === text) return;
  change((turns) => { turns[k].text = text; });
  const item = document.querySelector(`[data-turn="${k}"]`), said = item.querySelector(".said");
  said.textContent = text || words().noText;
  said.classList.toggle("none", !text);
  item.classList.toggle("corrected", isCorrected(state.turns[k]));
  document.querySelector('[data-filter="corrected"] .number').textContent = state.turns.filter(isCorrected).length;
  document.getElementById("undo").disabled = false;
}

function joinNext(k, n) {
  stop();
  const wasEdited = editing.has(state.turns[k]);
  change((turns) => join(turns, k, n));
  if (wasEdited) editing.add(state.turns[k]);
  refresh(k);
}

// At the text's cursor; in the sound where it was paused inside of the turn, else where the text says.
function splitHere(k, area) {
  const turn = state.turns[k], place = area.selectionStart || 0;
  const paused = player.turn === k && !player.on && heard() > 0.02 && heard() < 0.98 ? heard() : null;
  const share = paused ?? (turn.text.length ? shareAt(turn, place) : 0.5);
  const divide = (turns) => split(turns, k, place || Math.round(share * turn.text.length), share);
  if (share <= 0.01 || share >= 0.99 || !divide(copy(state.turns))) return say(words().splitHelp);
  stop();
  change(divide);
  editing.add(state.turns[k]);
  refresh(k);
}

function flip(set_, turn, k) {
  if (!set_.delete(turn)) set_.add(turn);
  refresh(k);
}
