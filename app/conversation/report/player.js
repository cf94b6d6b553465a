// The sound of turns: each has a small file of its own, so that it is heard alone and from its very beginning.
const audio = new Audio();
audio.preload = "auto";
const player = { turn: null, part: 0, on: false, through: false, tell: () => {} };

function hasSound(turn) {
  return turn.parts.some((part) => SOUNDS[part.turn]);
}

// Plays the turn with this number; `through`: and all turns after it.
function play(number, through = false) {
  Object.assign(player, { turn: number, part: -1, on: true, through });
  nextPart();
}

function stop() {
  player.on = false;
  audio.pause();
  player.tell();
}

function nextPart() {
  const turn = state.turns[player.turn];
  player.part += 1;
  if (!turn || player.part >= turn.parts.length) return afterTurn();
  const part = turn.parts[player.part];
  if (!SOUNDS[part.turn]) return nextPart();
  audio.src = SOUNDS[part.turn];
  audio.dataset.turn = part.turn;
  audio.play().catch(() => stop());
  player.tell();
}

function afterTurn() {
  if (player.through && player.turn + 1 < state.turns.length) return play(player.turn + 1, true);
  stop();
}

// Where in the current turn the sound is, 0 to 1.
function heard() {
  const turn = state.turns[player.turn];
  if (!turn || player.part < 0 || player.part >= turn.parts.length || !audio.duration) return 0;
  const before = lengthOfAll(turn.parts.slice(0, player.part));
  const now = lengthOf({ ...turn.parts[player.part], to: audio.currentTime / audio.duration });
  return Math.min(Math.max((before + now) / lengthOfAll(turn.parts), 0), 1);
}

// The same on the conversation's clock, in seconds.
function heardTime() {
  const part = state.turns[player.turn].parts[player.part];
  return timeAt(part.turn, audio.duration ? Math.min(audio.currentTime / audio.duration, 1) : part.from);
}

audio.addEventListener("loadedmetadata", () => {
  const part = state.turns[player.turn]?.parts[player.part];
  if (part?.from) audio.currentTime = part.from * audio.duration;
});
audio.addEventListener("timeupdate", () => {
  const part = state.turns[player.turn]?.parts[player.part];
  if (player.on && part && part.to < 1 && audio.currentTime >= part.to * audio.duration) nextPart();
  else player.tell();
});
audio.addEventListener("ended", () => player.on && nextPart());
