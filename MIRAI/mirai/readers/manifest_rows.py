"""The rows of a manifest, the table of someone's own conversations: each is checked, and what is wrong is collected.

A manifest is a CSV table with a row for each turn; docs/own_data.md is for those who write one.

    dialogue, speaker      needed, any names
    file_name              the recording, its path from the manifest's folder on
    start, end             seconds: the piece of it that is the turn, and the clock of the dialogue
    channel                1, 2, ...: the one of its channels; without, their mean
    text, emotion          what was said, and its label; a turn without a label is context of the others
    split                  train, dev or test
    segment_id             the turn's name; without, <dialogue>_<number> in time order

A text that would be a formula in a spreadsheet may have an apostrophe before it, which is not part of it. Composed and
decomposed Korean (NFC, NFD) are the same.
"""

import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from erc.corpus.annotations import as_number, plain_cell, read_csv
from erc.corpus.corpora import SPLITS
from erc.untrusted import is_name
from mirai.readers.findings import Cut, shown

COLUMNS = ("file_name", "dialogue", "speaker", "start", "end", "text", "emotion", "split", "channel", "segment_id")
_MAX_ID = 200  # bytes, so that the names of its files are short enough for every file system


@dataclass(frozen=True)
class Turn:
    """A row of the manifest.

    Attributes:
        is_wrong: cells of it make no sense; it is only kept for what its recording may lack beside that.
        place: the file and the row, for messages.
        start, end: seconds, None where the cell is empty.
        file_name, recording: of the speech, as the table has it and as a path; empty and None: no speech.
        source: what txt_wav/ gets as the turn's speech: a path or a `Cut`.
        seconds: of the speech.
    """

    place: str
    dialogue: str
    speaker: str
    text: str
    emotion: str
    split: str
    segment_id: str
    start: float | None
    end: float | None
    channel: int | None
    file_name: str
    recording: Path | None
    source: Path | Cut | None = None
    seconds: float = 0.0
    is_wrong: bool = False


def read_rows(path, labels, findings):
    """Read and check the rows of a manifest.

    Args:
        labels: `mirai.readers.labels.Labels`, which says what emotions there are.
        findings: `Findings`, which gets what is wrong.
    Returns:
        (list of `Turn`, in the order of the rows; its emotions, None if the columns make no sense; how many rows)
    Raises:
        UserError: it is no CSV file.
    """
    (header, *rows), _ = read_csv(path, "give a manifest, a CSV file: docs/own_data.md")
    columns = _columns(header.cells, findings)
    rows = [row._replace(cells=[unicodedata.normalize("NFC", cell) for cell in row.cells]) for row in rows]
    if columns is None:
        return [], None, len(rows)
    turns = [_turn(row, columns, path, labels, findings) for row in rows]
    return turns, _emotions(rows, columns, labels), len(rows)


def _columns(names, findings):
    """The header's cells; None if no row can be read by them."""
    if len(names) == 1 and (marks := [mark for mark in ";\t" if mark in names[0]]):
        findings.errors["columns that are not separated by commas"].append(f"row 1: by {marks[0]!r}")
        return None
    for name in dict.fromkeys(names):
        if name not in COLUMNS:
            findings.errors[f"unknown column, expected some of {', '.join(COLUMNS)}"].append(f"row 1: {shown(name)}")
        elif names.count(name) > 1:
            findings.errors["column that is there twice"].append(f"row 1: {name}")
    missing = [name for name in ("dialogue", "speaker") if name not in names]
    missing += ["file_name or text"] * (not {"file_name", "text"} & set(names))
    for name in missing:
        findings.errors["column that is missing"].append(f"row 1: {name}, found {', '.join(names)}")
    return None if missing else names


def _emotions(rows, columns, labels):
    """All emotions of the manifest, also those of rows that are wrong otherwise."""
    if "emotion" not in columns:
        return set()
    cells = {row.fitted(len(columns))[columns.index("emotion")] for row in rows}
    return {labels.emotion(cell) for cell in cells if cell and not name_fault(cell, is_file=False)} - {None}


def _turn(row, columns, path, labels, findings):
    """The `Turn` of a row; what is wrong with it comes into `findings`."""
    place, cells = f"{path.name}, row {row.number}", row.fitted(len(columns))
    errors = defaultdict(list)
    if len(cells) > len(columns):
        errors["more cells than columns"].append(f"{place}: {len(cells)}")
    cells = dict.fromkeys(COLUMNS, "") | dict(zip(columns, cells, strict=False))
    for name in ("dialogue", "speaker", "emotion", "segment_id"):
        needed = name in ("dialogue", "speaker")
        if (cells[name] or needed) and (fault := name_fault(cells[name], is_file=name in ("dialogue", "segment_id"))):
            errors[f"{name} {fault}"].append(f"{place}: {shown(cells[name])}")
    times = {}
    for name in ("start", "end"):
        times[name] = as_number(cells[name]) if cells[name] else None
        if cells[name] and (times[name] is None or times[name] < 0):
            errors[f"{name} that is no time in seconds, such as 75.2"].append(f"{place}: {shown(cells[name])}")
    if None not in times.values() and times["end"] <= times["start"]:
        errors["end that does not come after its start"].append(f"{place}: {cells['start']} to {cells['end']}")
    channel = cells["channel"]
    if channel and not (channel.isascii() and channel.isdigit() and 0 < int(channel[:4]) < 1000 and cells["file_name"]):
        errors["channel that is no number from 1 on, or has no file_name"].append(f"{place}: {shown(channel)}")
    if cells["split"] and cells["split"] not in SPLITS:
        errors[f"unknown split, expected {', '.join(SPLITS)}"].append(f"{place}: {shown(cells['split'])}")
    emotion = labels.emotion(cells["emotion"]) if cells["emotion"] else ""
    if emotion is None:
        reason = f"unknown emotion, {labels.source.name} has {', '.join(labels.emotions)}"
        errors[reason].append(f"{place}: {shown(cells['emotion'])}")
    if not cells["file_name"] and not cells["text"]:
        errors["neither file_name nor text"].append(place)
    for reason, places in errors.items():
        findings.errors[reason] += places
    names = {name: cells[name] for name in ("dialogue", "speaker", "split", "segment_id", "file_name")}
    return Turn(
        place,
        text=plain_cell(cells["text"]),
        emotion=emotion or "",
        channel=int(channel) if channel and not errors else None,
        recording=_recording(path.resolve().parent, cells["file_name"]) if cells["file_name"] else None,
        is_wrong=bool(errors),
        **times,
        **names,
    )


def _recording(folder, name):
    """The path of a recording, whose name on the disk may be decomposed, as macOS has Korean ones."""
    decomposed = folder / unicodedata.normalize("NFD", name)
    return decomposed if decomposed.exists() and not (folder / name).exists() else folder / name


def name_fault(name, is_file):
    """Why a text cannot name a dialogue, a speaker, ...; None if it can.

    Args:
        is_file: files get the name, too.
    """
    if not is_name(name):
        return "that is no name: text on one line, of at most 200 characters"
    if name.startswith(("=", "+", "-", "@")):
        return "that would be a formula in a spreadsheet, for its first character"
    if is_file and (set(name) & {"/", "\\"} or name.startswith(".")):
        return "with a path separator, or a dot at its beginning; files get this name"
    if is_file and len(name.encode()) > _MAX_ID:
        return f"of more than {_MAX_ID} bytes; files get this name"
    return None
