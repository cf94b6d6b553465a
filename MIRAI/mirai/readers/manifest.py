"""One's own corpus: a manifest, a CSV table with a row for each turn. docs/own_data.md is for those who write one.

    dialogue, speaker      needed, any names
    file_name              the recording, its path from the manifest's folder on
    start, end             seconds: the piece of it that is the turn, and the clock of the dialogue
    channel                1, 2, ...: the one of its channels; without, their mean
    text, emotion          what was said, and its label; a turn without a label is context of the others
    split                  train, dev or test
    segment_id             the turn's name; without, <dialogue>_<number> in time order

All that is wrong is collected, each with its row. A turn is left out, and counted, only if it has no recording in a
manifest whose other turns have one.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from erc.corpus.annotations import COLUMNS as TABLE_COLUMNS
from erc.corpus.annotations import read_csv, seconds
from erc.corpus.corpora import SPLITS
from erc.options import UserError
from erc.untrusted import is_name
from mirai.readers.findings import Cut, Findings, RawCorpus, shown
from mirai.readers.labels import Labels
from mirai.readers.sides import on_both_sides, plan_tables
from mirai.readers.sounds import find_sources

TABLES = ("annotation.csv",)  # or, with --folds, annotation_fold1.csv, ...
COLUMNS = ("file_name", "dialogue", "speaker", "start", "end", "text", "emotion", "split", "channel", "segment_id")
_MAX_ID = 200  # bytes, so that the names of its files are short enough for every file system
_LONG = 25  # seconds, as the trainer's default of --clip_length
_FEW = 5  # turns of an emotion: a slip of the pen, or too few to learn it from


@dataclass(frozen=True)
class Turn:
    """A row of the manifest.

    Attributes:
        is_wrong: cells of it make no sense; it is only kept for what its recording may lack beside that.
        place: the file and the row, for messages.
        start, end: seconds, None where the cell is empty.
        recording: path; None: no speech.
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
    recording: Path | None
    source: Path | Cut | None = None
    seconds: float = 0.0
    is_wrong: bool = False


def read_corpus(options):
    """Read the manifest `options.root_path`.

    Raises:
        UserError: it is no CSV file, or the TOML file beside it is wrong.
    """
    path, findings = Path(options.root_path), Findings()
    (header, *rows), _ = read_csv(path, "give a manifest, a CSV file: docs/own_data.md")
    labels = Labels(path)
    columns = _columns(header.cells, findings)
    turns = [_turn(row, columns, path, labels, findings) for row in rows] if columns else []
    funnel = [("rows of the manifest", len(rows), None)]
    turns = [turn for turn in find_sources(turns, findings) if not turn.is_wrong]
    turns = _named(_in_time(turns, findings), findings)
    funnel.append(("turns", len(turns), None))
    funnel.append(("  with a label", sum(bool(turn.emotion) for turn in turns), None))
    corpus, tables = None, {}
    try:
        corpus = labels.corpus(_emotions(rows, columns or [], labels)) if columns else None
    except UserError as error:
        findings.errors["name of the corpus, or emotions"].append(str(error))
    if not findings.errors:
        tables = plan_tables(turns, options, findings)
        funnel += [(text, count, None) for text, count in on_both_sides(turns, tables)]
        _note(turns, corpus, findings)
    return RawCorpus(
        corpus,
        {name: [_row(turn, sides[turn.dialogue]) for turn in turns] for name, sides in tables.items()},
        {turn.segment_id: turn.source for turn in turns if turn.source},
        {turn.segment_id: turn.text for turn in turns},
        funnel,
        findings,
    )


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
        findings.errors["column that is missing"].append(f"row 1: {name}")
    return None if missing else names


def _emotions(rows, columns, labels):
    """All emotions of the manifest, also those of rows that are wrong otherwise."""
    if "emotion" not in columns:
        return set()
    cells = {row.fitted(len(columns))[columns.index("emotion")] for row in rows}
    return {labels.emotion(cell) for cell in cells if cell and not _fault(cell, is_file=False)} - {None}


def _turn(row, columns, path, labels, findings):
    """The `Turn` of a row; what is wrong with it comes into `findings`."""
    place, cells = f"{path.name}, row {row.number}", row.fitted(len(columns))
    errors = defaultdict(list)
    if len(cells) > len(columns):
        errors["more cells than columns"].append(f"{place}: {len(cells)}")
    cells = dict.fromkeys(COLUMNS, "") | dict(zip(columns, cells, strict=False))
    for name in ("dialogue", "speaker", "emotion", "segment_id"):
        needed = name in ("dialogue", "speaker")
        if (cells[name] or needed) and (fault := _fault(cells[name], is_file=name in ("dialogue", "segment_id"))):
            errors[f"{name} {fault}"].append(f"{place}: {shown(cells[name])}")
    times = {}
    for name in ("start", "end"):
        times[name] = seconds(cells[name]) if cells[name] else None
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
    names = {name: cells[name] for name in ("dialogue", "speaker", "text", "split", "segment_id")}
    return Turn(
        place,
        emotion=emotion or "",
        channel=int(channel) if channel and not errors else None,
        recording=path.resolve().parent / cells["file_name"] if cells["file_name"] else None,
        is_wrong=bool(errors),
        **times,
        **names,
    )


def _fault(name, is_file):
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


def _in_time(turns, findings):
    """The turns by dialogue, in time order, with a start and an end each. Where a dialogue's turns have no times, their
    rows are in time order, one turn after the other."""
    dialogues = defaultdict(list)
    for turn in turns:
        dialogues[turn.dialogue].append(turn)
    ordered = []
    for name in sorted(dialogues):
        own = dialogues[name]
        timed = [turn for turn in own if turn.start is not None or turn.end is not None]
        if timed and len(timed) < len(own):
            without = next(turn for turn in own if turn not in timed)
            findings.errors["turn without times in a dialogue whose other turns have them"].append(without.place)
        clock, placed = 0.0, []
        for turn in own:
            start = (turn.start or 0.0) if timed else clock
            placed.append(replace(turn, start=start, end=start + turn.seconds if turn.end is None else turn.end))
            clock += turn.seconds
        placed.sort(key=lambda turn: (turn.start, turn.end))
        _check_overlaps(placed, findings)
        ordered += placed
    return ordered


def _check_overlaps(turns, findings):
    last = {}
    for turn in turns:
        before = last.get(turn.speaker)
        if before and turn.end > turn.start and turn.start < before.end:
            place = f"{turn.place}: {turn.start:g} to {turn.end:g}, and {before.place}"
            if (turn.start, turn.end) == (before.start, before.end):
                findings.errors["turn that is there twice: the same dialogue, speaker and times"].append(place)
            else:
                findings.notes["two turns of one speaker at once; both have the sound they share"].append(place)
        if before is None or turn.end > before.end:
            last[turn.speaker] = turn


def _named(turns, findings):
    """The turns with a segment id each."""
    counts, first, named = Counter(), {}, []
    for turn in turns:
        counts[turn.dialogue] += 1
        name = turn.segment_id or f"{turn.dialogue}_{counts[turn.dialogue]:03}"
        if name in first:
            findings.errors["segment id that is there already"].append(f"{turn.place}: {name}, is in {first[name]}")
        first.setdefault(name, turn.place)
        named.append(replace(turn, segment_id=name))
    return named


def _row(turn, split):
    """The turn's cells in an annotation table."""
    cells = {"segment_id": turn.segment_id, "emotion": turn.emotion, "path_exist": str(turn.source is not None)}
    times = {"wav_start": repr(round(turn.start, 4)), "wav_end": repr(round(turn.end, 4))}
    names = {"dialogue": turn.dialogue, "speaker": turn.speaker, "split": split}
    return dict.fromkeys(TABLE_COLUMNS, "") | cells | times | names


def _note(turns, corpus, findings):
    """What may be meant, but had better be known."""
    counts = Counter(turn.emotion for turn in turns if turn.emotion)
    for emotion in corpus.emotions:
        if counts[emotion] < _FEW:
            findings.notes[f"emotion of fewer than {_FEW} turns"].append(f"{emotion}, {counts[emotion]}")
    has_text = any(turn.text for turn in turns)
    for turn in turns:
        if has_text and not turn.text:
            findings.notes["turn without text"].append(turn.place)
        if turn.seconds > _LONG:
            findings.notes[f"turn longer than {_LONG} s; stage 1 does not train on it (--clip_length)"].append(
                turn.place
            )
