// The conversation and its corrections. A turn here is made of parts: {turn, from, to}, a turn of DATA and the share of
// it (0 to 1) that is meant. Joining puts parts together, splitting divides one; a joined turn's parts also know how
// many `letters` of its text are theirs.
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

// How long a part is, in seconds; in letters where there are no times.
function lengthOf({ turn, from, to }) {
  const { start, end, text } = DATA.turns[turn];
  return (to - from) * (start === null ? Math.max(text.length, 1) : end - start);
}

function lengthOfAll(parts) {
  return parts.reduce((sum, part) => sum + lengthOf(part), 0);
}

// When a share (0 to 1) of a turn of DATA is over, in seconds; null where there are no times.
function timeAt(turn, share) {
  const { start, end } = DATA.turns[turn];
  return start === null ? null : Math.round(1000 * (start + share * (end - start))) / 1000;
}

// From the first sound of some parts to the last.
function span(parts) {
  const starts = parts.map((part) => timeAt(part.turn, part.from)), ends = parts.map((part) => timeAt(part.turn, part.to));
  return starts.includes(null) ? { start: null, end: null } : { start: Math.min(...starts), end: Math.max(...ends) };
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
  const total = lengthOfAll(turn.parts);
  return DATA.emotions.map((_, e) =>
    turn.parts.reduce((sum, part) => sum + lengthOf(part) * DATA.turns[part.turn].probabilities[e], 0) / total);
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
  const longer = lengthOfAll(other.parts) > lengthOfAll(one.parts) ? other : one;
  const parts = [...withLetters(one), ...withLetters(other)], place = one.parts.length;
  const [a, b] = parts.slice(place - 1, place + 1);
  if (a.turn === b.turn && a.to === b.from) parts.splice(place - 1, 2, { ...a, to: b.to, letters: a.letters + 1 + b.letters });
  turns[k] = {
    parts, ...span(parts),
    speaker: one.speaker, text: [one.text, other.text].filter(Boolean).join(" "), emotion: longer.emotion, checked: false,
  };
  turns.splice(n, 1);
}

function withLetters(turn) {
  return turn.parts.length > 1 ? turn.parts : [{ ...turn.parts[0], letters: turn.text.length }];
}

// The share of a turn's sound that is over at a place in its text: in proportion within a part, and where one part's
// text ends and the next one's begins, where its sound does.
function shareAt(turn, place) {
  const parts = withLetters(turn), total = lengthOfAll(parts);
  let left = place * (parts.reduce((sum, part) => sum + part.letters + 1, -1) / turn.text.length || 0), before = 0;
  for (const part of parts) {
    if (left <= part.letters + 1) {
      const isJoint = left > 0 && left >= part.letters - 1 && part !== parts.at(-1); // corrections may move it by a letter
      return (before + (isJoint ? 1 : Math.min(left / part.letters || 0, 1)) * lengthOf(part)) / total;
    }
    left -= part.letters + 1;
    before += lengthOf(part);
  }
  return 1;
}

// Less than this is no half of a turn: seconds, or letters.
const SHORTEST = 0.02;

// `share` (0 to 1): where in the turn's sound the second half begins; `place`: where in its text.
function split(turns, k, place, share) {
  const turn = turns[k];
  let left = share * lengthOfAll(turn.parts);
  const halves = [[], []];
  for (const part of withLetters(turn)) {
    const length = lengthOf(part);
    if (left > length - SHORTEST) halves[0].push(part);
    else if (left < SHORTEST) halves[1].push(part);
    else {
      const over = left / length, cut = part.from + over * (part.to - part.from), letters = Math.round(over * part.letters);
      halves[0].push({ ...part, to: cut, letters });
      halves[1].push({ ...part, from: cut, letters: part.letters - letters });
    }
    left -= length;
  }
  if (!halves[0].length || !halves[1].length) return false;
  const texts = [turn.text.slice(0, place).trim(), turn.text.slice(place).trim()];
  const [one, other] = halves.map((parts, half) => ({ ...turn, parts, ...span(parts), text: texts[half], checked: false }));
  turns[k] = one;
  let next = k + 1; // what others say between two parts stays between them
  while (next < turns.length && isBefore(turns[next].parts[0], other.parts[0])) next++;
  turns.splice(next, 0, other);
  return true;
}

function isBefore(part, other) {
  return part.turn < other.turn || (part.turn === other.turn && part.from < other.from);
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
