"""The annotation tables: one row per utterance, as `preprocess.py` writes them and every later stage reads them."""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

from cogmen.corpora import KEMDY19, SegmentId
from cogmen.options import UserError
from cogmen.safe_files import write_text
from mirai.transcripts import decode

COLUMNS = (
    *("segment_id", "emotion", "valence", "arousal", "wav_start", "wav_end"),
    *("ecg_start", "ecg_end", "eda_start", "eda_end", "temp_start", "temp_end"),
    "path_exist",
)
_NEEDED = ("segment_id", "emotion", "wav_start", "wav_end")


@dataclass(frozen=True)
class Utterance:
    """One row of an annotation table; times in seconds on the clock of its dialogue."""

    segment_id: str
    emotion: str
    label: int
    session: int
    dialogue: str
    speaker: str
    wav_start: float
    wav_end: float

    @property
    def seconds(self):
        return self.wav_end - self.wav_start


def write_annotations(path, rows):
    """Write a table. `rows`: dicts by column name, in the order of the file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_annotations(path, corpus=KEMDY19):
    """The utterances of an annotation table, sorted by segment id, so that the order of its rows never matters.

    Returns:
        list[Utterance]
    Raises:
        UserError: names the file and the row of the first thing that is wrong.
    """
    path = Path(path)
    header, *rows = read_csv(path)
    missing = [name for name in _NEEDED if name not in header]
    if missing:
        raise UserError(f"{path}: no column {', '.join(missing)}; found {', '.join(header)}")
    columns = {name: header.index(name) for name in _NEEDED}
    first_row = {}
    utterances = []
    for number, cells in enumerate(rows, start=2):
        where = f"{path}, row {number}"
        utterance = _utterance({name: cells[k].strip() for name, k in columns.items()}, where, corpus)
        if utterance.segment_id in first_row:
            earlier = first_row[utterance.segment_id]
            raise UserError(f"{where}: {utterance.segment_id} is already in row {earlier}; expected it once")
        first_row[utterance.segment_id] = number
        utterances.append(utterance)
    if not utterances:
        raise UserError(f"{path}: no utterances, only a header")
    return sorted(utterances, key=lambda utterance: utterance.segment_id)


def sessions_of(utterances):
    return sorted({utterance.session for utterance in utterances})


def read_csv(path):
    """The rows of a CSV file, each a list of strings as long as the first; blank lines at the end are dropped."""
    path = Path(path)
    try:
        text, _ = decode(path.read_bytes(), path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; MIRAI/preprocess.py makes the annotation tables") from None
    try:
        rows = list(csv.reader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise UserError(f"{path}: not a CSV file: {error}") from None
    while rows and not any(rows[-1]):
        rows.pop()
    if not rows:
        raise UserError(f"{path}: empty")
    for number, cells in enumerate(rows, start=1):
        if len(cells) != len(rows[0]):
            raise UserError(f"{path}, row {number}: {len(cells)} cells, expected {len(rows[0])} as in row 1")
    return rows


def seconds(text):
    """A time cell as a number of seconds; None if it is not a finite number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _utterance(cells, where, corpus):
    try:
        segment = SegmentId.parse(cells["segment_id"])
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    if cells["emotion"] not in corpus.emotions:
        expected = ", ".join(corpus.emotions)
        raise UserError(f"{where} ({cells['segment_id']}): emotion {cells['emotion']!r}; expected one of {expected}")
    times = {name: seconds(cells[name]) for name in ("wav_start", "wav_end")}
    for name, value in times.items():
        if value is None:
            raise UserError(f"{where} ({cells['segment_id']}): {name} is {cells[name]!r}, expected seconds")
    return Utterance(
        segment_id=cells["segment_id"],
        emotion=cells["emotion"],
        label=corpus.label(cells["emotion"]),
        session=segment.session,
        dialogue=segment.dialogue,
        speaker=segment.speaker,
        **times,
    )
