"""Transcripts: decoding them by one stated rule and cleaning them for the text encoder.

Decoding: UTF-8 (with or without byte order mark), else UTF-16 with a byte order mark, else cp949; anything else, and
text with NUL characters (UTF-16 without that mark, or a damaged file), is an error. A file may have any number of
lines, none included; they are joined with a space.
"""

import codecs
import re
import unicodedata
from pathlib import Path

from erc.options import UserError

# `b/ o/ n/ ...`: breath, noise, laughter and the like. A single Latin letter, so that `km/h` stays.
_MARKER = re.compile(r"(?<![A-Za-z])[A-Za-z]/")
_NOT_KOREAN = re.compile("[^가-힣]*[\x80-\u07ff][^가-힣]*")  # letters of two bytes in UTF-8, and no Hangul
_PARENTHESES = str.maketrans({"(": None, ")": None, "+": " "})


def decode(data, name, usual="utf-8"):
    """The text in some bytes and the encoding that they turned out to have.

    Args:
        data: the bytes of the file `name`.
        usual: `cp949` where that is the corpus's encoding. Some Korean words in cp949 are UTF-8, too, but of letters
            such as Greek ones; these are then read as cp949.
    Returns:
        (str, str): the text, without byte order mark; `utf-8`, `utf-8-sig`, `utf-16` or `cp949`.
    Raises:
        UserError: no rule decodes them, or there are NUL characters in the text.
    """
    encodings = ["utf-8-sig" if data.startswith(codecs.BOM_UTF8) else "utf-8"]
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings.append("utf-16")
    if usual == "cp949" and _NOT_KOREAN.fullmatch(data.decode("utf-8", "ignore")):
        encodings.insert(0, "cp949")
    for encoding in [*encodings, "cp949"]:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            raise UserError(f"{name}: holds NUL characters: damaged, or UTF-16 without a byte order mark; write UTF-8")
        return text, encoding
    raise UserError(f"{name}: neither UTF-8, UTF-16 with a byte order mark, nor cp949 text")


def read_text(path, expected, advice):
    """The text in a file and its encoding, as `decode` gives them.

    Args:
        expected, advice: what the file should be, and what to do if it is not there; for messages.
    Raises:
        UserError: there is no such file, it is no plain file, or no rule decodes it.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file; {advice}")
    if not path.is_file():  # reading from a pipe might never end
        raise UserError(f"{path}: is {'a directory' if path.is_dir() else 'no plain file'}, expected {expected}")
    return decode(path.read_bytes(), path)


def read_transcript(path):
    """The transcript in a file, its lines joined, not cleaned."""
    text, _ = read_text(path, "a transcript", "MIRAI/preprocess.py puts the transcripts there")
    return " ".join(text.split())


def clean(text):
    """A transcript as the text encoder gets it: composed (NFC), without markers such as `b/` and parentheses, `+` a
    space."""
    text = unicodedata.normalize("NFC", text)
    return " ".join(_MARKER.sub("", text).translate(_PARENTHESES).split())


def read_sentences(utterances, folder):
    """The cleaned transcripts of some utterances, in their order."""
    return [clean(read_transcript(Path(folder) / f"{utterance.segment_id}.txt")) for utterance in utterances]
