"""The annotation tables: one row per utterance, as `preprocess.py` writes them and every later stage reads them.

`corpus.json` beside them says which corpus they are of; without it they are KEMDy19's, in the published form. The
tables of a corpus whose segment ids tell no dialogue and speaker have columns for these, and every table may have a
column `split`. A row with an empty emotion is a turn without a label.
"""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from erc.corpus.corpora import KEMDY19, SPLITS, SegmentId, corpus_from
from erc.corpus.transcripts import read_text
from erc.files import table_text
from erc.options import UserError, errors_in
from erc.untrusted import is_name, read_json, shown

COLUMNS = (
    *("segment_id", "emotion", "valence", "arousal", "wav_start", "wav_end"),
    *("ecg_start", "ecg_end", "eda_start", "eda_end", "temp_start", "temp_end"),
    "path_exist",
)
CORPUS_FILE = "corpus.json"  # beside the tables
_NEEDED = ("segment_id", "emotion", "wav_start", "wav_end")
_NAMES = ("dialogue", "speaker")
_FURTHER = (*_NAMES, "split")
_OPTIONAL = ("split", "valence", "arousal")


@dataclass(frozen=True)
class Utterance:
    """One row of an annotation table; times in seconds on the clock of its dialogue.

    Attributes:
        emotion, label: empty and `UNLABELLED` where the turn has none.
        session: its number, where the corpus has sessions.
        split: `train`, `dev` or `test`, where the table says so.
        valence, arousal: the raters' means, of 1 to 5, where there are any.
    """

    segment_id: str
    emotion: str
    label: int
    session: int | None
    dialogue: str
    speaker: str
    wav_start: float
    wav_end: float
    split: str | None = None
    valence: float | None = None
    arousal: float | None = None

    @property
    def seconds(self):
        return round(self.wav_end - self.wav_start, 6)  # 22.914 - 2.914 would be more than 20


def annotation_text(rows):
    """The text of a table. `rows`: dicts by column name, in the order of the file, all of the same columns: `COLUMNS`,
    and what the corpus needs beside them."""
    columns = [*COLUMNS, *(name for name in _FURTHER if name in rows[0])] if rows else COLUMNS
    return table_text(columns, ([row[name] for name in columns] for row in rows))


def table_corpus(path):
    """The `Corpus` of an annotation table: what `corpus.json` beside it says, or KEMDy19."""
    beside = Path(path).parent / CORPUS_FILE
    return corpus_from(read_json(beside), beside) if beside.exists() else KEMDY19


def read_annotations(path, corpus=None):
    """The utterances of an annotation table, sorted by segment id, so that the order of its rows never matters.

    Args:
        corpus: `Corpus`, if not the one that `table_corpus` finds.
    Returns:
        list[Utterance]
    Raises:
        UserError: names the file and the row of the first thing that is wrong.
    """
    path, corpus = Path(path), corpus or table_corpus(path)
    (header, *rows), _ = read_csv(path)
    needed = _NEEDED if corpus.segment_id else (*_NEEDED, *_NAMES)
    for name in (*needed, *(name for name in _FURTHER if name in header.cells)):
        if header.cells.count(name) != 1:
            problem = "two columns" if name in header.cells else "no column"
            raise UserError(f"{path}: {problem} {name}; found {', '.join(header.cells)}")
    columns = {name: header.cells.index(name) for name in (*needed, *_OPTIONAL) if name in header.cells}
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
    splits = {}
    for utterance in utterances:
        if (first := splits.setdefault(utterance.dialogue, utterance.split)) != utterance.split:
            raise UserError(f"{path}: dialogue {utterance.dialogue} has turns in {first} and in {utterance.split}")
    return sorted(utterances, key=lambda utterance: utterance.segment_id)


def sessions_of(utterances):
    return sorted({utterance.session for utterance in utterances} - {None})


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


def plain_cell(cell):
    """A cell without the apostrophe that keeps a spreadsheet from taking it for a formula (`erc.files.table_text`)."""
    return cell[1:] if cell[:2] in ("'=", "'+", "'-", "'@") else cell


def as_number(text):
    """A cell as a float; None if it is not a finite number."""
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
    if corpus.segment_id:
        with errors_in(where):
            segment = corpus.parse_segment_id(cells["segment_id"])
    else:
        for name in ("segment_id", *_NAMES):
            if not is_name(cells[name]):
                raise UserError(f"{where}: {name} {shown(cells[name])}, expected a name: text on one line")
        segment = SegmentId(corpus.session_of(cells["dialogue"]), cells["dialogue"], cells["speaker"])
    if cells["emotion"] and cells["emotion"] not in corpus.emotions:
        expected = ", ".join(corpus.emotions)
        raise UserError(f"{where} ({cells['segment_id']}): emotion {cells['emotion']!r}; expected one of {expected}")
    times = {name: as_number(cells[name]) for name in ("wav_start", "wav_end")}
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
        split=_split(cells, where),
        valence=as_number(cells.get("valence", "")),
        arousal=as_number(cells.get("arousal", "")),
        **times,
    )


def _split(cells, where):
    if "split" not in cells:
        return None
    if cells["split"] not in SPLITS:
        found = f"split {cells['split']!r}; expected one of {', '.join(SPLITS)}"
        raise UserError(f"{where} ({cells['segment_id']}): {found}")
    return cells["split"]
