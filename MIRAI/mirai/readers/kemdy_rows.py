"""The annotation files of KEMDy19 and KEMDy20: two header rows, then a row for each turn that was rated.

Columns go by position, since their names differ between releases: first a number and the times of the speech and of
other signals, then the segment id, the label (emotion, mean valence, mean arousal) and the same of ten raters. Times
stay the text that the corpus holds. A row may end early or have empty cells beyond the header's.
"""

import re
from dataclasses import dataclass

from erc.corpus.annotations import COLUMNS, CsvRow, as_number, read_csv
from erc.corpus.corpora import Corpus
from erc.options import UserError
from mirai.readers.findings import shown

_RATERS = 10
_TIMES = 8  # columns of the annotation tables, behind arousal


@dataclass(frozen=True)
class Layout:
    """The form of a corpus's raw directory.

    Attributes:
        segment_id: the column of the segment id, from 0, by which all others go.
        file: an annotation file's name, with `{session:02d}` and, where a session has a file for each of its speakers,
            whose label and signals it holds, `{subject}` in it.
        encoding: what its texts are in; others are noted.
        by_dialogue: a session's speech lies in a folder for each dialogue.
        published: counts of the published funnel: all rows, those without ties, the first of each segment id, those
            with files, of these those of at most 25 s; those in their speaker's file, of these at most 25 s.
    """

    corpus: Corpus
    segment_id: int
    file: str
    encoding: str
    by_dialogue: bool = False
    published: tuple = (None,) * 7

    @property
    def used(self):
        """How many columns stand before the raters'."""
        return self.segment_id + 4

    @property
    def columns(self):
        return self.used + 3 * _RATERS

    @property
    def subjects(self):
        """The speakers of whom each session has a file; empty: it has one file."""
        return sorted(self.corpus.speakers) if "{subject}" in self.file else []

    @property
    def example(self):
        return self.file.format(session=1, subject="F")

    def session_and_subject(self, name):
        """What the name of an annotation file tells; None for the name of another file."""
        pattern = re.escape(self.file).replace(r"\{session:02d\}", "(?P<session>[0-9]{2})")
        match = re.fullmatch(pattern.replace(r"\{subject\}", "(?P<subject>[FM])"), name)
        return (int(match["session"]), match.groupdict().get("subject")) if match else None

    def headers(self):
        """What the header rows have to say, {column: name} of each. Row 1 names the columns of the signals and of the
        segment id, row 2 those of the label."""
        label = self.segment_id + 1
        top = {1: "Wav", self.segment_id: "Segment ID", label: "Total Evaluation"}
        return top, {label: "Emotion", label + 1: "Valence", label + 2: "Arousal"}


def data_rows(path, layout, findings):
    """The rows below the two header rows, and how many columns these have; no rows if the file cannot be used."""
    if not path.is_file():
        findings.errors["not a file"].append(str(path))
        return [], 0
    try:
        table, encoding = read_csv(path)
    except (UserError, OSError) as error:
        findings.errors["annotation file that cannot be read"].append(str(error))
        return [], 0
    if encoding not in ("utf-8", layout.encoding):  # plain ASCII reads as UTF-8
        findings.notes["annotation file that is not plain UTF-8"].append(f"{path.name}: {encoding}")
    header, is_good = [*table[:2], CsvRow(2, [])][:2], True
    for (number, cells), names in zip(header, layout.headers(), strict=True):
        for column, name in names.items():
            found = cells[column] if column < len(cells) else ""
            if found.casefold() != name.casefold():
                reason = f"column {column + 1} is not {name!r}, as it has to be"
                findings.errors[reason].append(f"{path.name}, row {number}: {shown(found)}")
                is_good = False
    width = max(len(row.cells) for row in header)
    if is_good and width != layout.columns:
        name = layout.corpus.name
        reason = f"annotation file without {name}'s {layout.columns} columns; the first {layout.used} are used"
        findings.notes[reason].append(f"{path.name}: {width}")
    return table[2:] if is_good else [], width


def checked_cells(line, width, file, session, first_row, layout, findings, keep_unlabelled=False):
    """A row's cells by column of the annotation table, or None for one that cannot be used (noted in `findings`).

    Args:
        width: of the file's header.
        first_row: {segment id: number of the usable row of this file that has it}; gets this row's.
        keep_unlabelled: a row without a label can be used.
    """
    cells, place, label = line.fitted(width), f"{file}, row {line.number}", layout.segment_id + 1
    name = cells[layout.segment_id]
    try:
        segment = layout.corpus.parse_segment_id(name)
    except UserError:
        reason = f"malformed segment id, expected one like {layout.corpus.segment_id_example}"
        findings.errors[reason].append(f"{place}: {shown(name)}")
        return None
    place = f"{place} ({name})"
    if segment.session != session:
        findings.errors["segment id of another session than its file"].append(place)
        return None
    if len(line.cells) != width:
        # A cell too many or too few among the used ones moves text to where a number or nothing has to be.
        if len(cells) > width or any(cell and as_number(cell) is None for cell in cells[label + 1 : layout.used]):
            findings.errors["a cell too many or too few"].append(place)
            return None
        reason = "row with other than its file's number of cells; missing trailing ones are read as empty"
        findings.notes[reason].append(place)
    emotions = _emotions(cells[label], place, layout.corpus, findings, keep_unlabelled)
    if emotions is None:
        return None
    start, end = as_number(cells[1]), as_number(cells[2])
    if start is None or end is None or not 0 <= start <= end:
        reason = "wav start and end are not seconds with 0 <= start <= end"
        findings.left_out[reason].append(f"{place}: {shown(cells[1])}, {shown(cells[2])}")
        return None
    if emotions and ";" not in emotions:  # a row without one label takes no other's place
        earlier = first_row.setdefault(name, line.number)
        if earlier != line.number:
            findings.left_out["segment id that is in the file already"].append(f"{place}, is in row {earlier}")
            return None
    times = [*cells[1 : layout.segment_id], *[""] * _TIMES][:_TIMES]
    return dict(zip(COLUMNS, [name, emotions, *cells[label + 1 : layout.used], *times, "True"], strict=True))


def votes(line, width, file, layout, findings):
    """How many of a usable row's raters named each emotion. A cell that is empty, or no emotion, is not counted."""
    corpus, counts = layout.corpus, [0] * len(layout.corpus.emotions)
    if width != layout.columns:  # whose columns the others are is not known
        return counts
    cells = line.fitted(width)
    for column in range(layout.used, layout.columns, 3):
        name = corpus.label_aliases.get(cells[column], cells[column])
        if name in corpus.emotions:
            counts[corpus.emotions.index(name)] += 1
        elif name:
            place = f"{file}, row {line.number} ({cells[layout.segment_id]}), column {column + 1}"
            findings.notes["rater's emotion that is unknown; not counted"].append(f"{place}: {shown(name)}")
    return counts


def _emotions(cell, place, corpus, findings, keep_unlabelled):
    """The label of a row, raters who tie joined by `;`, empty for one without; None if such a one or an unknown emotion
    cannot be used."""
    names = [name.strip() for name in cell.split(";")]
    for wrong, right in corpus.label_aliases.items():
        if wrong in names:
            findings.notes[f"label {wrong!r}, read as {right!r}"].append(place)
        names = [right if name == wrong else name for name in names]
    if names == [""]:
        if keep_unlabelled:
            return ""
        findings.left_out["no label"].append(place)
        return None
    for name in names:
        if name not in corpus.emotions:
            reason = f"unknown emotion, expected one of {', '.join(corpus.emotions)}"
            findings.errors[reason].append(f"{place}: {shown(name)}")
            return None
    return ";".join(names)
