"""RTTM, what speaker diarisation writes: a line for each turn, `SPEAKER <file> <channel> <start> <duration> <NA> <NA>
<speaker> ...`. It has no text. Often one RTTM has the turns of several recordings."""

from conversation.readers.manifest import choose
from conversation.turns import Turn
from erc.corpus.annotations import as_number
from erc.corpus.transcripts import read_text
from erc.options import UserError

_FILE, _START, _DURATION, _SPEAKER = 1, 3, 4, 7  # places in a line


def read_rttm(path, dialogue=None, recording=None):
    """The turns of one of its recordings.

    Args:
        dialogue: which, where there are several.
        recording: which, if it is there and `dialogue` is None.
    Raises:
        UserError: a line is wrong, or there are several recordings, or not this one.
    """
    text, _ = read_text(path, "an RTTM file", "give the file that a speaker diarisation wrote")
    found = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0] != "SPEAKER":
            continue
        times = [as_number(word) for word in words[_START : _DURATION + 1]]
        if len(words) <= _SPEAKER or None in times:
            raise UserError(
                f"{path}, line {number}: expected SPEAKER, file, channel, start, duration, <NA>, <NA>, speaker; "
                f"found {line[:100]!r}"
            )
        start, length = times
        found.setdefault(words[_FILE], []).append(Turn(start, start + length, words[_SPEAKER]))
    return choose(path, found, recording if dialogue is None and recording in found else dialogue)
