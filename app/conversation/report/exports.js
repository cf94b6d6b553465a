// The corrected conversation as files. `labelled(turn)`: the emotion that is written, perhaps none.
const EXPORTS = {
  manifest: { ending: "csv", type: "text/csv", make: manifest },
  textgrid: { ending: "TextGrid", type: "text/plain", make: textGrid },
  elan: { ending: "eaf", type: "application/xml", make: elan },
  json: { ending: "json", type: "application/json", make: json },
};

// A cell that a spreadsheet would take for a formula begins with an apostrophe.
function cell(value) {
  let text = value === null || value === undefined ? "" : String(value);
  if (/^[=+\-@\t\r]/.test(text) && !/^[+-]?(\d+\.?\d*|\.\d+)$/.test(text)) text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// Whether a turn is a piece of one sound file, as every row of a manifest is. Where each turn has a file of its own and
// times that are not the file's, only a whole turn is: its file, without times.
function isPiece(turn) {
  const [first, ...others] = turn.parts.map((part) => DATA.turns[part.turn]);
  return (DATA.file_times || isWhole(turn)) &&
    others.every((other) => other.file_name === first.file_name && other.channel === first.channel);
}

function manifest(turns, labelled) {
  const channels = DATA.turns.some((turn) => turn.channel);
  const columns = ["file_name", "dialogue", "speaker", "start", "end", "text", "emotion", ...(channels ? ["channel"] : [])];
  const rows = turns.map((turn) => {
    const first = DATA.turns[turn.parts[0].turn];
    const values = { ...turn, file_name: first.file_name, dialogue: DATA.dialogue, emotion: labelled(turn), channel: first.channel,
      ...(DATA.file_times ? {} : { start: "", end: "" }) };
    return columns.map((name) => cell(values[name])).join(",");
  });
  return [columns.join(","), ...rows].join("\n") + "\n";
}

// {tier: [{start, end, text}]}: each speaker's words, and below them the emotions.
function tiers(turns, labelled) {
  const found = {};
  for (const speaker of [...new Set(turns.map((turn) => turn.speaker))]) {
    const own = turns.filter((turn) => turn.speaker === speaker);
    found[speaker] = own.map((turn) => ({ start: turn.start, end: turn.end, text: turn.text }));
    found[`${speaker} emotion`] = own.map((turn) => ({ start: turn.start, end: turn.end, text: labelled(turn) }));
  }
  return found;
}

function textGrid(turns, labelled) {
  const quoted = (text) => `"${text.replaceAll('"', '""').replace(/\s+/g, " ")}"`;
  const last = Math.max(...turns.map((turn) => turn.end));
  const found = Object.entries(tiers(turns, labelled));
  const lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", `xmax = ${last}`,
    "tiers? <exists>", `size = ${found.length}`, "item []:"];
  found.forEach(([name, own], n) => {
    const intervals = [];
    let now = 0;
    for (const one of own) {
      const start = Math.max(one.start, now); // a tier has no overlaps
      if (start > now) intervals.push({ start: now, end: start, text: "" });
      if (one.end > start) intervals.push({ ...one, start });
      now = Math.max(now, one.end);
    }
    if (now < last) intervals.push({ start: now, end: last, text: "" });
    lines.push(`    item [${n + 1}]:`, '        class = "IntervalTier"', `        name = ${quoted(name)}`,
      "        xmin = 0", `        xmax = ${last}`, `        intervals: size = ${intervals.length}`);
    intervals.forEach((one, k) => lines.push(`        intervals [${k + 1}]:`, `            xmin = ${one.start}`,
      `            xmax = ${one.end}`, `            text = ${quoted(one.text)}`));
  });
  return lines.join("\n") + "\n";
}

function elan(turns, labelled) {
  const escaped = (text) => String(text).replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, "")
    .replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
  const slots = [], written = [];
  let annotations = 0;
  for (const [name, own] of Object.entries(tiers(turns, labelled))) {
    written.push(`    <TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="${escaped(name)}">`);
    for (const one of own) {
      const ids = [one.start, one.end].map((time) => {
        slots.push(`        <TIME_SLOT TIME_SLOT_ID="ts${slots.length + 1}" TIME_VALUE="${Math.round(1000 * time)}"/>`);
        return `ts${slots.length}`;
      });
      annotations += 1;
      written.push("        <ANNOTATION>", `            <ALIGNABLE_ANNOTATION ANNOTATION_ID="a${annotations}" ` +
        `TIME_SLOT_REF1="${ids[0]}" TIME_SLOT_REF2="${ids[1]}">`,
      `                <ANNOTATION_VALUE>${escaped(one.text)}</ANNOTATION_VALUE>`,
      "            </ALIGNABLE_ANNOTATION>", "        </ANNOTATION>");
    }
    written.push("    </TIER>");
  }
  return ['<?xml version="1.0" encoding="UTF-8"?>', `<ANNOTATION_DOCUMENT AUTHOR="" DATE="${new Date().toISOString()}" ` +
    'FORMAT="3.0" VERSION="3.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" ' +
    'xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">', '    <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>', "    <TIME_ORDER>", ...slots,
  "    </TIME_ORDER>", ...written,
  '    <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>',
  "</ANNOTATION_DOCUMENT>", ""].join("\n");
}

function json(turns, labelled) {
  const rest = Object.fromEntries(Object.entries(DATA).filter(([name]) => name !== "id"));
  return JSON.stringify({
    ...rest,
    speakers: [...new Set(turns.map((turn) => turn.speaker))],
    turns: turns.map((turn) => ({
      ...DATA.turns[turn.parts[0].turn], start: turn.start, end: turn.end, speaker: turn.speaker, text: turn.text,
      emotion: labelled(turn), probabilities: probabilities(turn), unsure: isUnsure(turn),
      corrected: isCorrected(turn), checked: turn.checked, parts: turn.parts,
      ...(isWhole(turn) ? {} : { segment_id: "", reasons: {} }),
    })),
  }, null, 1) + "\n";
}

// Hands a file to the browser, which saves it; returns its name.
function download(kind, onlyChecked) {
  const { ending, type, make } = EXPORTS[kind];
  const labelled = (turn) => (onlyChecked && !turn.checked ? "" : turn.emotion);
  const name = `${DATA.dialogue.replace(/[^\p{L}\p{N}_.-]+/gu, "_") || "conversation"}.${ending}`;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([make(state.turns, labelled)], { type: `${type};charset=utf-8` }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  return name;
}
