"""`Conversation` and `Turn`: what is said by whom and when, whatever it was read from."""

import re
from dataclasses import dataclass, field

import numpy as np

from conversation.options import clean_name
from erc.options import UserError
from erc.untrusted import is_name
from mirai.readers.manifest_rows import name_fault
from mirai.speech import SAMPLE_RATE

SHORTEST = 0.02  # seconds of a turn
_NOT_IN_IDS = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class Note:
    """Something that whoever reads the results should know, in both languages of the report."""

    en: str
    ko: str


@dataclass
class Turn:
    """One turn of one speaker.

    Attributes:
        start, end: seconds on the conversation's clock; None: there is no clock, as in text alone.
        speaker_source: `given`, or `guessed` by the sound of the voice.
        text: as the network reads it; empty where there is none.
        text_source: `given`, `recognised` or `none`.
        text_confidence: of recognised text, 0 to 1.
        segment_id: unique in the conversation.
        emotion: the label that came with the turn; empty: none did.
        dialogue: what the file that it was read from calls the conversation, where it does.
        file_name, channel: the sound file that it was cut from, and its channel from 1 on where it has several.
        wave: (samples,) float32 at 16 kHz; None without speech.
    """

    start: float | None
    end: float | None
    speaker: str
    text: str = ""
    text_source: str = "none"
    text_confidence: float | None = None
    speaker_source: str = "given"
    segment_id: str = ""
    emotion: str = ""
    dialogue: str = ""
    file_name: str = ""
    channel: int | None = None
    wave: np.ndarray | None = field(default=None, repr=False)

    @property
    def seconds(self):
        """The duration of its speech; 0 without."""
        return 0.0 if self.wave is None else len(self.wave) / SAMPLE_RATE


@dataclass
class Conversation:
    """Turns in time order.

    Attributes:
        name: names it in tables and files.
        sources: the names of the files it was read from.
        notes: list of `Note`.
        file_times: the turns' times are also those in their sound files; not so where every turn has a file of its own,
            and the times are the conversation's.
    """

    name: str
    sources: list[str]
    turns: list[Turn]
    notes: list[Note] = field(default_factory=list)
    file_times: bool = True

    @property
    def speakers(self):
        """Their names, in the order of their first turns."""
        return list(dict.fromkeys(turn.speaker for turn in self.turns))

    @property
    def has_speech(self):
        return any(turn.wave is not None for turn in self.turns)

    @property
    def has_text(self):
        return any(turn.text for turn in self.turns)

    def sort(self):
        """Put the turns into time order and name those that have no segment id."""
        if all(turn.start is not None for turn in self.turns):
            self.turns.sort(key=lambda turn: (turn.start, turn.end))
        counts, taken = {}, {turn.segment_id for turn in self.turns}
        for turn in self.turns:
            if not turn.segment_id:
                part = _NOT_IN_IDS.sub("_", f"{self.name}_{turn.speaker}")
                while not turn.segment_id or turn.segment_id in taken:
                    counts[part] = counts.get(part, 0) + 1
                    turn.segment_id = f"{part}{counts[part]:03}"
                taken.add(turn.segment_id)


def cut(wave, start, end):
    """The samples from `start` to `end` seconds, without copying them; at least `SHORTEST`: the last, at the end."""
    least = round(SHORTEST * SAMPLE_RATE)
    first = max(0, min(round(start * SAMPLE_RATE), len(wave) - least))
    return wave[first : max(round(end * SAMPLE_RATE), first + least)]


def check_turns(turns, path):
    """Give the speakers' names one spelling; refuse what is no name of a speaker or an emotion, and turns that end
    before they start.

    Raises:
        UserError: names the file and the turn.
    """
    for number, turn in enumerate(turns, start=1):
        turn.speaker = clean_name(turn.speaker)
        if not is_name(turn.speaker):
            raise UserError(f"{path}, turn {number}: speaker {turn.speaker!r:.60}; expected a name")
        where = f"{path}, turn {number} ({turn.speaker})"
        if turn.emotion and (fault := name_fault(turn.emotion, is_file=False)):
            raise UserError(f"{where}: emotion {turn.emotion!r:.60} {fault}")
        if turn.start is None:
            continue
        if turn.start < 0 or turn.end <= turn.start:
            raise UserError(f"{where}: from {turn.start:g} to {turn.end:g} s; expected 0 <= start < end")
