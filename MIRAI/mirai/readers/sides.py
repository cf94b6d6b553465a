"""Which dialogues of one's own corpus train, choose the best epoch (dev) and are held out (test); and what is on both
sides all the same.

The manifest's column `split` says so, or `--test_dialogues`, or `--folds`, of which each holds out its share; else a
fifth of the dialogues is drawn. Dev dialogues that nothing names are a tenth of the others. A dialogue is whole on one
side: its turns are each other's context.
"""

import random
from collections import defaultdict

from erc.corpus.transcripts import clean

TEST_SHARE, DEV_SHARE = 0.2, 0.1  # of the dialogues
SEED = 1004


def plan_tables(turns, options, findings):
    """The tables to write, each with the side of every dialogue.

    Args:
        turns: list of `mirai.readers.manifest_rows.Turn`.
        options: `test_dialogues`, `folds`, `fold_by` and `seed` of preprocess.py.
    Returns:
        {table: {dialogue: split}}; empty if there is an error, which `findings` then has.
    """
    labelled = sorted({turn.dialogue for turn in turns if turn.emotion})
    rest = sorted({turn.dialogue for turn in turns} - set(labelled))  # nothing is learnt from them or scored on them
    by_speaker = options.folds and options.fold_by == "speaker"
    groups = _linked(turns, labelled) if by_speaker else [[name] for name in labelled]
    generator = random.Random(SEED if options.seed is None else options.seed)
    if any(turn.split for turn in turns):
        sides = _column(turns, options, findings)
        held_out = [{name for name, side in sides.items() if side == "test"}]
        dev = {name for name, side in sides.items() if side == "dev"}
    elif options.test_dialogues:
        held_out, dev = [set(options.test_dialogues)], set()
        for name in sorted(held_out[0] - set(labelled)):
            findings.errors["dialogue of --test_dialogues that has no labelled turn, or is not there"].append(
                repr(name)
            )
    elif options.folds:
        held_out, dev = _folds(groups, turns, options, generator, findings), set()
    else:
        held_out, dev = [set(_draw(groups, TEST_SHARE, generator))], set()
    tables = {}
    for number, test in enumerate(held_out, start=1):
        own = dev or set(_draw([group for group in groups if not test & set(group)], DEV_SHARE, generator))
        sides = {name: "test" if name in test else "dev" if name in own else "train" for name in [*labelled, *rest]}
        tables[f"annotation_fold{number}.csv" if options.folds else "annotation.csv"] = sides
        for split in ("train", "dev", "test"):
            if not findings.errors and not any(sides[name] == split for name in labelled):
                reason = (
                    "no dialogue with a label is left to train on, for dev, or to hold out; expected at least three"
                )
                findings.errors[reason].append(f"{len(labelled)} with labels, none for {split}")
    return {} if findings.errors else tables


def on_both_sides(turns, tables):
    """What held-out turns share with those to train on (dev among them), over all tables.

    Returns:
        list of (text, number of turns)
    """
    counts = dict.fromkeys(("to train on", "dev", "held out"), 0)
    shared = dict.fromkeys(("speaker", "recording", "text"), 0)
    for sides in tables.values():
        seen = defaultdict(set)
        for turn in turns:
            counts[{"train": "to train on", "dev": "dev", "test": "held out"}[sides[turn.dialogue]]] += 1
            if sides[turn.dialogue] != "test":
                for kind, value in _traits(turn):
                    seen[kind].add(value)
        for turn in turns:
            if sides[turn.dialogue] == "test":
                for kind, value in _traits(turn):
                    shared[kind] += value in seen[kind]
    of = f" in {len(tables)} folds" if len(tables) > 1 else ""
    lines = [(f"turns {name}{of}", count) for name, count in counts.items()]
    return lines + [(f"  held out, the {kind} trains too", count) for kind, count in shared.items()]


def _traits(turn):
    yield "speaker", turn.speaker
    if turn.recording:
        yield "recording", turn.recording
    if text := clean(turn.text).casefold():
        yield "text", text


def _column(turns, options, findings):
    """The sides that the column `split` names."""
    for flag in ("test_dialogues", "folds"):
        if getattr(options, flag):
            findings.errors[f"--{flag}, though the manifest has a column split"].append("leave one of them out")
    sides = {}
    for turn in turns:
        if not turn.split:
            findings.errors["turn without a split, which others have"].append(turn.place)
        elif sides.setdefault(turn.dialogue, turn.split) != turn.split:
            reason = "dialogue on both sides: a turn of another split than the dialogue's first"
            findings.errors[reason].append(f"{turn.place}: {turn.dialogue} is in {sides[turn.dialogue]}")
    return sides


def _folds(groups, turns, options, generator, findings):
    """The dialogues that each fold holds out: whole groups, the largest first to the smallest fold."""
    needed = max(options.folds, 4 if options.folds == 2 else 3)  # one to train on and one of dev beside the held out
    if len(groups) < needed:
        what = "groups of dialogues that share no speaker" if options.fold_by == "speaker" else "dialogues with labels"
        findings.errors[f"too few {what} for --folds {options.folds}"].append(f"{len(groups)}, expected {needed}")
        return []
    sizes = defaultdict(int)
    for turn in turns:
        sizes[turn.dialogue] += 1
    generator.shuffle(groups)
    groups.sort(key=lambda group: -sum(sizes[name] for name in group))
    folds = [[] for _ in range(options.folds)]
    for group in groups:
        min(folds, key=lambda fold: sum(sizes[name] for name in fold)).extend(group)
    return [set(fold) for fold in folds]


def _draw(groups, share, generator):
    """Dialogues of whole groups drawn until they are a share of all, one group at least; one is left."""
    wanted = share * sum(map(len, groups))
    drawn = []
    for group in generator.sample(groups, max(len(groups) - 1, 0)):
        if drawn and len(drawn) + len(group) / 2 > wanted:
            break
        drawn += group
    return drawn


def _linked(turns, dialogues):
    """The dialogues in groups, no two of which have a speaker in common."""
    group = {name: {name} for name in dialogues}
    first = {}
    for turn in turns:
        if turn.dialogue in group:
            one, other = group[turn.dialogue], group[first.setdefault(turn.speaker, turn.dialogue)]
            if one is not other:
                one |= other
                for name in other:
                    group[name] = one
    return [sorted(members) for members in {min(members): members for members in group.values()}.values()]
