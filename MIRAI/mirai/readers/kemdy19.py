"""KEMDy19's annotation files: annotation/Session01_F_res.csv, Session01_M_res.csv, ..., each with both speakers' turns.

Columns go by position, since their names differ between releases; the first 13 are used. Times stay the text that the
corpus holds. What is left out, and what is an error:

    left out   a row without a label, without times in seconds (0 <= start <= end), or that repeats a segment id of its
               file (the first such row is used)
    an error   a session's file that is missing, or is no CSV file with the expected header rows; a malformed segment
               id, one of another session, an unknown emotion; a row with a cell too many or too few

A row may end early or have empty cells beyond the header's: trailing cells that are not there are empty ones.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from erc.corpus.annotations import COLUMNS, CsvRow, read_csv, seconds
from erc.corpus.corpora import KEMDY19, SegmentId
from erc.options import UserError
from mirai.readers.findings import shown

_USED = 13  # columns
_KEMDY19_COLUMNS = 43
# Row 1 names the columns of the signals and of the segment id, row 2 those of the label.
_TOP = {1: "Wav", 9: "Segment ID", 10: "Total Evaluation"}
_BELOW = {10: "Emotion", 11: "Valence", 12: "Arousal"}
_FILE = re.compile(r"Session([0-9]{2})_([FM])_res\.csv")


@dataclass(frozen=True)
class Row:
    """A row of an annotation file: the cells of the output table, and whose file it stands in."""

    segment_id: str
    cells: dict
    subject: str  # F or M: the actor whose bio-signals and label the file holds
    segment: SegmentId

    @property
    def is_tie(self):
        return ";" in self.cells["emotion"]

    @property
    def seconds(self):
        return float(self.cells["wav_end"]) - float(self.cells["wav_start"])


def read_rows(root, findings, corpus=KEMDY19):
    """The rows of all annotation files: by session, its F file before its M file, in the order of the file.

    Returns:
        (int, list[Row]): how many rows the files hold, and those that can be used; `findings` has the others.
    Raises:
        UserError: the directory is another one.
    """
    total, rows = 0, []
    files = _annotation_files(Path(root), findings)
    for path, session, subject in tqdm(files, desc="reading annotations", unit="file", disable=None):
        first_row = {}
        lines, width = _data_rows(path, findings)
        total += len(lines)
        for line in lines:
            row = _row(line, width, path.name, subject, session, findings, corpus)
            if row is None:
                continue
            earlier = first_row.setdefault(row.segment_id, line.number)
            if earlier == line.number:
                rows.append(row)
            else:
                place = f"{path.name}, row {line.number} ({row.segment_id}), is in row {earlier}"
                findings.left_out["segment id that is in the file already"].append(place)
    return total, rows


def _annotation_files(root, findings):
    folder = root / "annotation"
    if not folder.is_dir():
        found = ", ".join(sorted(path.name for path in root.iterdir())[:8]) if root.is_dir() else "no such directory"
        expected = "expected KEMDy19's directory, with annotation/Session01_F_res.csv ... and wav/Session01/ in it"
        raise UserError(f"--root_path {root}: {expected}; found {found or 'nothing'}")
    files = {}
    for path in sorted(folder.iterdir()):
        match = _FILE.fullmatch(path.name)
        if match:
            files[int(match[1]), match[2]] = path
        else:
            findings.notes["file in annotation/ that is not read, for its name"].append(path.name)
    if not files:
        raise UserError(f"{folder}: no annotation file named like Session01_F_res.csv")
    if not (root / "wav").is_dir():
        raise UserError(f"--root_path {root}: has annotation/ but no wav/ with the speech and the transcripts")
    sessions = {session for session, _ in files}
    for session in sorted(sessions):
        for subject in "FM":
            if (session, subject) not in files:
                reason = "annotation file that is missing, though the session's other one is there"
                findings.errors[reason].append(f"Session{session:02d}_{subject}_res.csv")
    for session in range(1, max(sessions)):
        if session not in sessions:
            findings.notes["session without annotation files"].append(str(session))
    return [(path, session, subject) for (session, subject), path in sorted(files.items())]


def _data_rows(path, findings):
    """The rows below the two header rows, and how many columns these have; no rows if the file cannot be used."""
    if not path.is_file():
        findings.errors["not a file"].append(str(path))
        return [], 0
    try:
        table, encoding = read_csv(path)
    except (UserError, OSError) as error:
        findings.errors["annotation file that cannot be read"].append(str(error))
        return [], 0
    if encoding != "utf-8":
        findings.notes["annotation file that is not plain UTF-8"].append(f"{path.name}: {encoding}")
    header, is_good = [*table[:2], CsvRow(2, [])][:2], True
    for (number, cells), names in zip(header, (_TOP, _BELOW), strict=True):
        for column, name in names.items():
            found = cells[column] if column < len(cells) else ""
            if found.casefold() != name.casefold():
                reason = f"column {column + 1} is not {name!r}, as it has to be"
                findings.errors[reason].append(f"{path.name}, row {number}: {shown(found)}")
                is_good = False
    width = max(len(row.cells) for row in header)
    if is_good and width != _KEMDY19_COLUMNS:
        reason = f"annotation file without KEMDy19's {_KEMDY19_COLUMNS} columns; the first {_USED} are used"
        findings.notes[reason].append(f"{path.name}: {width}")
    return table[2:] if is_good else [], width


def _row(line, width, file, subject, session, findings, corpus):
    """A `Row`, or None for one that cannot be used (noted in `findings`)."""
    cells, place = line.fitted(width), f"{file}, row {line.number}"
    try:
        segment = corpus.parse_segment_id(cells[9])
    except UserError:
        reason = "malformed segment id, expected one like Sess19_impro02_M014"
        findings.errors[reason].append(f"{place}: {shown(cells[9])}")
        return None
    place = f"{place} ({cells[9]})"
    if segment.session != session:
        findings.errors["segment id of another session than its file"].append(place)
        return None
    if len(line.cells) != width:
        # A cell too many or too few among the used ones moves text to where a number or nothing has to be.
        if len(cells) > width or any(cell and seconds(cell) is None for cell in cells[11:_USED]):
            findings.errors["a cell too many or too few"].append(place)
            return None
        reason = "row with other than its file's number of cells; missing trailing ones are read as empty"
        findings.notes[reason].append(place)
    names = [name.strip() for name in cells[10].split(";")]
    for wrong, right in corpus.label_aliases.items():
        if wrong in names:
            findings.notes[f"label {wrong!r}, read as {right!r}"].append(place)
        names = [right if name == wrong else name for name in names]
    if names == [""]:
        findings.left_out["no label"].append(place)
        return None
    for name in names:
        if name not in corpus.emotions:
            reason = f"unknown emotion, expected one of {', '.join(corpus.emotions)}"
            findings.errors[reason].append(f"{place}: {shown(name)}")
            return None
    start, end = seconds(cells[1]), seconds(cells[2])
    if start is None or end is None or not 0 <= start <= end:
        reason = "wav start and end are not seconds with 0 <= start <= end"
        findings.left_out[reason].append(f"{place}: {shown(cells[1])}, {shown(cells[2])}")
        return None
    values = [cells[9], ";".join(names), *cells[11:_USED], *cells[1:9], "True"]
    return Row(cells[9], dict(zip(COLUMNS, values, strict=True)), subject, segment)
