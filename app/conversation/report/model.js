// The conversation and its corrections. A turn here is made of parts: {turn, from, to}, a turn of DATA and the share of
// it (0 to 1) that is meant. Joining puts parts together, splitting divides one.
const DATA = JSON.parse(document.getElementById("data").textContent);
const SOUNDS = JSON.parse(document.getElementById("sounds").textContent);
const KEPT = `emotions in a conversation, ${DATA.id}`;

const state = { turns: original(), past: [], stored: true };

function original() {
  return DATA.turns.map((turn, k) => ({
    parts: [{ turn: k, from: 0, to: 1 }],
    start: turn.start, end: turn.end, speaker: turn.speaker, text: turn.text, emotion: turn.emotion, checked: false,
  }));
}

function copy(turns) {
  return JSON.parse(JSON.stringify(turns));
}

function isWhole(turn) {
  return turn.parts.length === 1 && turn.parts[0].from === 0 && turn.parts[0].to === 1;
}

function isCorrected(turn) {
  const first = DATA.turns[turn.parts[0].turn];
  return !isWhole(turn) || ["speaker", "text", "emotion"].some((name) => turn[name] !== first[name]);
}

// The model's probabilities for a turn: of joined parts, the mean weighted by their lengths.
function probabilities(turn) {
  const weights = turn.parts.map((part) => part.to - part.from);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return DATA.emotions.map((_, e) =>
    turn.parts.reduce((sum, part, k) => sum + weights[k] * DATA.turns[part.turn].probabilities[e], 0) / total);
}

function isUnsure(turn) { // what a person has decided is not
  if (turn.checked || turn.emotion !== DATA.turns[turn.parts[0].turn].emotion) return false;
  return Math.max(...probabilities(turn)) < (DATA.unsure_below ?? 0);
}

function speakers() {
  return [...new Set([...DATA.speakers, ...state.turns.map((turn) => turn.speaker)])];
}

// Changes the turns by `edit`, keeps what was before for `undo`, and stores the result.
function change(edit) {
  state.past.push(copy(state.turns));
  if (state.past.length > 200) state.past.shift();
  edit(state.turns);
  store();
}

function undo() {
  if (!state.past.length) return false;
  state.turns = state.past.pop();
  store();
  return true;
}

function nextOfSpeaker(k) {
  for (let n = k + 1; n < state.turns.length; n++) if (state.turns[n].speaker === state.turns[k].speaker) return n;
  return -1;
}

function join(turns, k, n) {
  const [one, other] = [turns[k], turns[n]];
  const longer = lengthOf(other) > lengthOf(one) ? other : one;
  turns[k] = {
    parts: [...one.parts, ...other.parts],
    start: one.start, end: one.end === null ? null : Math.max(one.end, other.end),
    speaker: one.speaker, text: [one.text, other.text].filter(Boolean).join(" "), emotion: longer.emotion, checked: false,
  };
  const [a, b] = turns[k].parts.slice(-2);
  if (a.turn === b.turn && a.to === b.from) turns[k].parts.splice(-2, 2, { turn: a.turn, from: a.from, to: b.to });
  turns.splice(n, 1);
}

// `share` (0 to 1): where in the turn's sound the second half begins; `place`: where in its text.
function split(turns, k, place, share) {
  const turn = turns[k];
  const total = turn.parts.reduce((sum, part) => sum + part.to - part.from, 0);
  let left = share * total;
  const halves = [[], []];
  for (const part of turn.parts) {
    const length = part.to - part.from;
    const cut = part.from + Math.min(Math.max(left, 0), length);
    if (cut > part.from) halves[0].push({ ...part, to: cut });
    if (cut < part.to) halves[1].push({ ...part, from: cut });
    left -= length;
  }
  if (!halves[0].length || !halves[1].length) return false;
  const middle = turn.start === null ? null : Math.round(1000 * (turn.start + share * (turn.end - turn.start))) / 1000;
  const texts = [turn.text.slice(0, place).trim(), turn.text.slice(place).trim()];
  turns.splice(k, 1,
    { ...turn, parts: halves[0], end: middle, text: texts[0], checked: false },
    { ...turn, parts: halves[1], start: middle, text: texts[1], checked: false });
  return true;
}

function lengthOf(turn) {
  return turn.start === null ? turn.text.length : turn.end - turn.start;
}

// Everything that was corrected is kept in the browser's own storage, by the conversation's id.
function store() {
  try {
    if (state.turns.some((turn) => isCorrected(turn) || turn.checked)) {
      localStorage.setItem(KEPT, JSON.stringify(state.turns));
    } else {
      localStorage.removeItem(KEPT);
    }
  } catch {
    state.stored = false;
  }
}

function restore() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT));
    if (kept?.length && kept.every((turn) => turn.parts?.every((part) => DATA.turns[part.turn]))) state.turns = kept;
  } catch {
    state.stored = false;
  }
}
