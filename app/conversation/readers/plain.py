"""A conversation as text alone: lines of `speaker: text`, or a manifest without `file_name`."""

import re

from conversation.readers.manifest import read_manifest
from conversation.turns import Turn, check_turns
from erc.corpus.transcripts import read_text
from erc.options import UserError
from erc.untrusted import plain_file

_MAX_SIZE = 16 << 20  # bytes
COLON = r"[:：](?!(?<=\d[:：])\d)"  # behind a name, not that of a time, such as 10:30
_LINE = re.compile(rf"([^:：]{{1,60}}){COLON}(.*)")


def read_plain(path, dialogue=None):
    """The turns of a text, in its order.

    Raises:
        UserError: it cannot be read, or a line names no speaker.
    """
    plain_file(path, _MAX_SIZE)
    if path.suffix.lower() == ".csv":
        turns = read_manifest(path, dialogue)
        for turn in turns:
            turn.file_name, turn.channel = "", None
        check_turns(turns, path)
        return turns
    if dialogue is not None:
        raise UserError(f"--dialogue {dialogue}: is of a manifest of several; {path} has one, leave it out")
    text, _ = read_text(path, "a text", "give a text of lines `speaker: what they say`")
    turns = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line.strip())
        if not found or not found[1].strip():
            raise UserError(f"{path}, line {number}: {line.strip()[:60]!r}; expected `speaker: what they say`")
        said = found[2].strip()
        turns.append(Turn(None, None, found[1].strip(), said, "given" if said else "none"))
    if not turns:
        raise UserError(f"{path}: no lines in it")
    check_turns(turns, path)
    return turns
