"""WebVTT and SRT: a cue is a turn. Its speaker is the voice of the cue (`<v Anna>`), or a name before a colon."""

import html
import io
import re

from conversation.extras import needs
from conversation.readers.plain import COLON
from conversation.turns import Turn
from erc.corpus.transcripts import read_text
from erc.options import UserError

_NAMED = re.compile(rf"\s*(?:\[([^\]\n]{{1,60}})\]|([^:：\n]{{1,60}}){COLON})\s*(.*)", re.DOTALL)
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]+)>")
_DASHED = re.compile(rf"^\s*[-–—]\s*[^:：\n]{{1,60}}{COLON}", re.MULTILINE)  # how two who speak in one cue are written


def read_vtt(path):
    with needs("webvtt-py"):
        import webvtt
    text, _ = read_text(path, "a WebVTT file", "give the file of subtitles")
    turns = []
    for number, cue in enumerate(webvtt.from_buffer(io.StringIO(text), "vtt"), start=1):
        start, end = _seconds(cue.start_in_seconds, cue.start), _seconds(cue.end_in_seconds, cue.end)
        voices = list(dict.fromkeys(html.unescape(name).strip() for name in _VOICE.findall(cue.raw_text)))
        if len(voices) > 1:
            raise UserError(f"{path}, cue {number}: has the voices {', '.join(voices)}; expected a cue for each")
        turns.append(_turn(path, number, start, end, voices[0] if voices else None, html.unescape(cue.text)))
    return turns


def read_srt(path):
    with needs("pysubs2"):
        import pysubs2
    text, _ = read_text(path, "an SRT file", "give the file of subtitles")
    cues = [cue for cue in pysubs2.SSAFile.from_string(text, "srt") if not cue.is_comment]
    return [
        _turn(path, number, cue.start / 1000, cue.end / 1000, None, cue.plaintext)
        for number, cue in enumerate(cues, start=1)
    ]


def _seconds(whole, time):
    """Whole seconds, all that the library gives as a number, and the thousandths of `00:01:02.345`."""
    return whole + int(time.rpartition(".")[2]) / 1000


def _turn(path, number, start, end, voice, text):
    speaker = voice
    if not voice and _DASHED.search(text):
        raise UserError(
            f"{path}, cue {number}: {text[:60]!r} is what several say, or one behind a dash; expected a cue "
            "for each, `NAME: text`"
        )
    if not speaker and (found := _NAMED.fullmatch(text)):
        speaker, text = found[1] or found[2], found[3]
    if not speaker or not speaker.strip():
        raise UserError(
            f"{path}, cue {number}: says no speaker: {text[:60]!r}; expected <v NAME> (WebVTT) or `NAME: text`"
        )
    return Turn(start, end, speaker.strip(), " ".join(text.split()), "given" if text.strip() else "none")
