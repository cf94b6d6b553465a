"""A dialogue of a manifest, whose rows `mirai.readers.manifest_rows` reads and checks."""

from collections import defaultdict

from conversation.turns import Turn
from erc.options import UserError, first_of
from mirai.readers.findings import Findings
from mirai.readers.labels import Labels
from mirai.readers.manifest_rows import read_rows

_MAX_FAULTS = 20  # of which an error shows every one


def read_manifest(path, dialogue=None):
    """The turns of one dialogue, their `file_name` as it is in the table.

    Args:
        dialogue: which, where there are several.
    Raises:
        UserError: names everything that is wrong, with the row.
    """
    findings, found, first, timed = Findings(), {}, {}, defaultdict(dict)
    rows, _, _ = read_rows(path, Labels(path), findings)
    for row in rows:
        if not row.is_wrong and (row.start is None) != (row.end is None):
            findings.errors["one of start and end, expected both or none"].append(row.place)
        elif not row.is_wrong:
            timed[row.dialogue].setdefault(row.start is not None, row.place)
        if row.segment_id and first.setdefault(row.segment_id, row.place) != row.place:
            reason = "segment id that is there already"
            findings.errors[reason].append(f"{row.place}: {row.segment_id}, is in {first[row.segment_id]}")
        found.setdefault(row.dialogue, []).append(_turn(row))
    for places in timed.values():
        if len(places) == 2:
            findings.errors["turn without times in a dialogue whose other turns have them"].append(places[False])
    if count := sum(map(len, findings.errors.values())):
        raise UserError(f"{path}: {findings.report(every_error=count <= _MAX_FAULTS)}")
    return choose(path, found, dialogue)


def choose(path, found, dialogue):
    """The turns of a dialogue, of those by name; None: of the only one.

    Raises:
        UserError: there are several, or not this one.
    """
    names = first_of(found, 10)
    if dialogue is None and len(found) > 1:
        raise UserError(f"{path}: has {len(found)} dialogues ({names}); say which: --dialogue NAME")
    if dialogue is not None and dialogue not in found:
        raise UserError(f"--dialogue {dialogue}: not in {path}, which has {names}")
    return next(iter(found.values())) if dialogue is None and found else found.get(dialogue, [])


def _turn(row):
    return Turn(
        row.start,
        row.end,
        row.speaker,
        text=row.text,
        text_source="given" if row.text else "none",
        segment_id=row.segment_id,
        emotion=row.emotion,
        dialogue=row.dialogue,
        file_name=row.file_name,
        channel=row.channel,
    )
