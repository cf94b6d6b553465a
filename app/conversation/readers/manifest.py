"""The manifest of someone's own corpus, a CSV table: a row for each turn.

Columns: `dialogue`, `speaker` and one of `file_name` (the path of the speech, from the manifest's folder on) and `text`
are needed; `start`, `end` (seconds) cut a long recording, `channel` (1, 2, ...) takes one channel of it; `emotion`,
`split` and `segment_id` may be there. A text that would be a formula has an apostrophe before it, as
`erc.files.write_table` puts it there.
"""

from conversation.turns import Turn
from erc.corpus.annotations import read_csv, seconds
from erc.options import UserError

COLUMNS = ("file_name", "dialogue", "speaker", "start", "end", "text", "emotion", "split", "channel", "segment_id")
_NAMES = ("dialogue", "speaker", "emotion", "segment_id")
_MAX_FAULTS = 20  # that an error shows


def read_manifest(path, dialogue=None):
    """The turns of one dialogue, their `file_name` as it is in the table.

    Args:
        dialogue: which, where there are several.
    Raises:
        UserError: names everything that is wrong, with the row.
    """
    (header, *rows), _ = read_csv(path, "give a manifest, a CSV table")
    columns = header.cells
    if unknown := sorted(set(columns) - set(COLUMNS)):
        raise UserError(f"{path}: unknown columns {', '.join(unknown)}; expected some of {', '.join(COLUMNS)}")
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise UserError(f"{path}: two columns {', '.join(twice)}")
    missing = [name for name in ("dialogue", "speaker") if name not in columns]
    if missing or not {"file_name", "text"} & set(columns):
        missing = missing or ["file_name or text"]
        raise UserError(f"{path}: no column {', '.join(missing)}; found {', '.join(columns)}")
    found, faults = {}, []
    for row in rows:
        cells = dict.fromkeys(COLUMNS, "") | dict(zip(columns, row.fitted(len(columns)), strict=False))
        wrong = _faults(cells)
        faults += [f"row {row.number}: {fault}" for fault in wrong]
        if not wrong:
            found.setdefault(cells["dialogue"], []).append(_turn(cells))
    ids = [turn.segment_id for turns in found.values() for turn in turns if turn.segment_id]
    faults += [f"segment id {name} is there twice" for name in sorted({name for name in ids if ids.count(name) > 1})]
    if faults:
        more = f"\n  ... and {len(faults) - _MAX_FAULTS} more" if len(faults) > _MAX_FAULTS else ""
        raise UserError(f"{path}: {len(faults)} problems:\n  " + "\n  ".join(faults[:_MAX_FAULTS]) + more)
    return _choose(path, found, dialogue)


def _choose(path, found, dialogue):
    names = ", ".join(list(found)[:10]) + (", ..." if len(found) > 10 else "")
    if dialogue is None and len(found) > 1:
        raise UserError(f"{path}: has {len(found)} dialogues ({names}); say which: --dialogue NAME")
    if dialogue is not None and dialogue not in found:
        raise UserError(f"--dialogue {dialogue}: not in {path}, which has {names}")
    return next(iter(found.values())) if dialogue is None and found else found.get(dialogue, [])


def _faults(cells):
    """What is wrong with a row."""
    faults = [f"no {name}" for name in ("dialogue", "speaker") if not cells[name]]
    for name in _NAMES:
        if cells[name].startswith(("=", "+", "-", "@")) or any(mark in cells[name] for mark in "/\\\n"):
            faults.append(f"{name} {cells[name]!r}; expected a name without slashes that is no formula")
    if not cells["file_name"] and not cells["text"]:
        faults.append("neither file_name nor text")
    start, end = (seconds(cells[name]) if cells[name] else None for name in ("start", "end"))
    for name, value in (("start", start), ("end", end)):
        if cells[name] and value is None:
            faults.append(f"{name} {cells[name]!r}, expected seconds")
    if bool(cells["start"]) != bool(cells["end"]):
        faults.append("one of start and end; expected both or none")
    elif start is not None and end is not None and not 0 <= start < end:
        faults.append(f"from {start:g} to {end:g} s, expected 0 <= start < end")
    if cells["channel"] and not (cells["channel"].isdecimal() and 0 < int(cells["channel"]) < 100):
        faults.append(f"channel {cells['channel']!r}, expected 1, 2, ...")
    return faults


def _turn(cells):
    start, end = (seconds(cells[name]) if cells[name] else None for name in ("start", "end"))
    text = cells["text"][1:] if cells["text"][:2] in ("'=", "'+", "'-", "'@") else cells["text"]
    return Turn(
        start,
        end,
        cells["speaker"],
        text=text,
        text_source="given" if text else "none",
        segment_id=cells["segment_id"],
        emotion=cells["emotion"],
        dialogue=cells["dialogue"],
        file_name=cells["file_name"],
        channel=int(cells["channel"]) if cells["channel"] else None,
    )
