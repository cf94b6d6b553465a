"""One's own corpus: a manifest, a CSV table with a row for each turn (`mirai.readers.manifest_rows`).

All that is wrong is collected, each with its row. A turn is left out, and counted, only if it has no recording in a
manifest whose other turns have one.
"""

from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

from erc.corpus.annotations import COLUMNS as TABLE_COLUMNS
from erc.options import UserError
from mirai.options import CLIP_LENGTH
from mirai.readers.findings import Findings, RawCorpus
from mirai.readers.labels import Labels
from mirai.readers.manifest_rows import read_rows
from mirai.readers.sides import on_both_sides, plan_tables
from mirai.readers.sounds import find_sources

TABLES = ("annotation.csv",)  # or, with --folds, annotation_fold1.csv, ...
_LITTLE = 0.001  # seconds
_FEW = 5  # turns of an emotion: a slip of the pen, or too few to learn it from


def read_corpus(options):
    """Read the manifest `options.root_path`.

    Raises:
        UserError: it is no CSV file, or the TOML file beside it is wrong.
    """
    path, findings = Path(options.root_path), Findings()
    labels = Labels(path)
    turns, emotions, count = read_rows(path, labels, findings)
    funnel = [("rows of the manifest", count, None)]
    turns = [turn for turn in find_sources(turns, findings) if not turn.is_wrong]
    _check_ends(turns, findings)
    turns = _named(_in_time(turns, findings), findings)
    funnel.append(("turns", len(turns), None))
    funnel.append(("  with a label", sum(bool(turn.emotion) for turn in turns), None))
    corpus, tables = None, {}
    try:
        corpus = None if emotions is None else labels.corpus(emotions)
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


def _check_ends(turns, findings):
    """A turn without an end goes on to the end of its recording, so no other may begin later in it."""
    last = defaultdict(float)
    for turn in turns:
        last[turn.recording, turn.channel] = max(last[turn.recording, turn.channel], turn.start or 0.0)
    for turn in turns:
        if turn.recording and turn.end is None and (turn.start or 0.0) < last[turn.recording, turn.channel]:
            reason = "turn without an end, in whose recording another begins later"
            findings.errors[reason].append(turn.place)


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
            clock += turn.seconds or 1.0  # text takes no time, and has an order
        placed.sort(key=lambda turn: (turn.start, turn.end))
        _check_overlaps(placed, findings)
        ordered += _apart(placed)
    return ordered


def _apart(turns):
    """Turns at the same times, such as those of a chat, keep the order of their rows: each is a little later."""
    apart = []
    for turn in turns:
        if apart and (turn.start, turn.end) <= (apart[-1].start, apart[-1].end):
            later = apart[-1].start + _LITTLE - turn.start
            turn = replace(turn, start=turn.start + later, end=turn.end + later)
        apart.append(turn)
    return apart


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
        if turn.seconds > CLIP_LENGTH:
            reason = f"turn longer than {CLIP_LENGTH:g} s; stage 1 does not train on it (--clip_length)"
            findings.notes[reason].append(turn.place)
