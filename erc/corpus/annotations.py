"""The annotation tables: one row per utterance, as `preprocess.py` writes them and every later stage reads them."""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from erc.corpus.corpora import KEMDY19
from erc.corpus.transcripts import read_text
from erc.files import table_text
from erc.options import UserError

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


def annotation_text(rows):
    """The text of a table. `rows`: dicts by column name, in the order of the file."""
    return table_text(COLUMNS, ([row[name] for name in COLUMNS] for row in rows))


def read_annotations(path, corpus=KEMDY19):
    """The utterances of an annotation table, sorted by segment id, so that the order of its rows never matters.

    Returns:
        list[Utterance]
    Raises:
        UserError: names the file and the row of the first thing that is wrong.
    """
    path = Path(path)
    (header, *rows), _ = read_csv(path)
    for name in _NEEDED:
        if header.cells.count(name) != 1:
            problem = "two columns" if name in header.cells else "no column"
            raise UserError(f"{path}: {problem} {name}; found {', '.join(header.cells)}")
    columns = {name: header.cells.index(name) for name in _NEEDED}
    first_row = {}
    utterances = []
    for row in rows:
        where, cells = f"{path}, row {row.number}", row.fitted(len(header.cells))
        if len(cells) != len(header.cells):
            raise UserError(f"{where}: {len(cells)} cells, expected {len(header.cells)} as in row 1")
        utterance = make_utterance({name: cells[k] for name, k in columns.items()}, where, corpus)
        if utterance.segment_id in first_row:
            earlier = first_row[utterance.segment_id]
            raise UserError(f"{where}: {utterance.segment_id} is already in row {earlier}; expected it once")
        first_row[utterance.segment_id] = row.number
        utterances.append(utterance)
    if not utterances:
        raise UserError(f"{path}: no utterances, only a header")
    return sorted(utterances, key=lambda utterance: utterance.segment_id)


def sessions_of(utterances):
    return sorted({utterance.session for utterance in utterances})


class CsvRow(NamedTuple):
    """A row of a CSV file: its `number`, as a spreadsheet counts, and its `cells` without white space around them."""

    number: int
    cells: list

    def fitted(self, width):
        """`width` cells: missing ones at the end are empty, empty ones beyond are dropped. Longer only if there is
        text beyond."""
        beyond = self.cells if any(self.cells[width:]) else self.cells[:width]
        return beyond + [""] * (width - len(self.cells))


def read_csv(path, advice="MIRAI/preprocess.py makes the annotation tables"):
    """The rows of a CSV file that hold any text. Lines may end as on any system, and inside of quotes.

    Args:
        advice: what to do if there is no such file, for the message.
    Returns:
        (list[CsvRow], str): the rows, at least one; the encoding, as `decode` gives it.
    Raises:
        UserError: the file is missing, empty or no CSV file.
    """
    text, encoding = read_text(path, "a CSV file", advice)
    try:
        table = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise UserError(f"{path}: not a CSV file: {error}") from None
    rows = [CsvRow(number, [cell.strip() for cell in cells]) for number, cells in enumerate(table, start=1)]
    rows = [row for row in rows if any(row.cells)]
    if not rows:
        raise UserError(f"{path}: empty")
    return rows, encoding


def seconds(text):
    """A time cell as a number of seconds; None if it is not a finite number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def make_utterance(cells, where, corpus=KEMDY19):
    """The `Utterance` of a row.

    Args:
        cells: {column: text}.
        where: the file and the row, for messages.
    Raises:
        UserError: a cell is wrong.
    """
    try:
        segment = corpus.parse_segment_id(cells["segment_id"])
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    if cells["emotion"] not in corpus.emotions:
        expected = ", ".join(corpus.emotions)
        raise UserError(f"{where} ({cells['segment_id']}): emotion {cells['emotion']!r}; expected one of {expected}")
    times = {name: seconds(cells[name]) for name in ("wav_start", "wav_end")}
    for name, value in times.items():
        if value is None:
            raise UserError(f"{where} ({cells['segment_id']}): {name} is {cells[name]!r}, expected seconds")
    if not 0 <= times["wav_start"] <= times["wav_end"]:
        found = f"from {cells['wav_start']} to {cells['wav_end']} s, expected 0 <= wav_start <= wav_end"
        raise UserError(f"{where} ({cells['segment_id']}): {found}")
    return Utterance(
        segment_id=cells["segment_id"],
        emotion=cells["emotion"],
        label=corpus.label(cells["emotion"]),
        session=segment.session,
        dialogue=segment.dialogue,
        speaker=segment.speaker,
        **times,
    )
