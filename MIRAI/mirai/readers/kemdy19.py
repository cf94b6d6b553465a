"""KEMDy19's raw directory: its annotation files, its speech, and the funnel to the two annotation tables.

    annotation/Session01_F_res.csv, Session01_M_res.csv, ...   each with both speakers' turns
    wav/Session01/Sess01_script01/Sess01_script01_F001.wav     and its transcript, .txt, beside it

Columns of an annotation file go by position, since their names differ between releases; the first 13 are used. Times
stay the text that the corpus holds. A row may end early or have empty cells beyond the header's.

    left out   a row without a label, without times in seconds (0 <= start <= end), or that repeats a segment id of its
               file (the first such row is used)
    an error   a session's file that is missing, or is no CSV file with the expected header rows; a malformed segment
               id, one of another session, an unknown emotion; a row with a cell too many or too few
"""

import re
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from erc.corpus.annotations import COLUMNS, CsvRow, Utterance, make_utterance, read_csv, seconds
from erc.corpus.corpora import KEMDY19
from erc.options import UserError
from mirai.readers.findings import Findings, RawCorpus, shown
from mirai.readers.speech_files import usable_files

TABLES = ("annotation.csv", "annotation_speaker_only.csv")
CLIP_LENGTH = 25.0  # seconds
_USED = 13  # columns
_ALL_COLUMNS = 43
# Row 1 names the columns of the signals and of the segment id, row 2 those of the label.
_TOP = {1: "Wav", 9: "Segment ID", 10: "Total Evaluation"}
_BELOW = {10: "Emotion", 11: "Valence", 12: "Arousal"}
_FILE = re.compile(r"Session([0-9]{2})_([FM])_res\.csv")


@dataclass(frozen=True)
class RatedTurn:
    """A row of an annotation file, with one emotion."""

    utterance: Utterance
    cells: dict  # {column of the annotation table: text}
    subject: str  # F or M, the actor whose label and signals the file holds


def read_corpus(options):
    """Read KEMDy19's directory, `options.root_path`.

    Returns:
        RawCorpus: `annotation.csv` has the first row without a tie of each segment id,
        `annotation_speaker_only.csv` the rows whose speaker is the file's subject.
    Raises:
        UserError: it is another directory.
    """
    findings, root = Findings(), Path(options.root_path)
    total, readable, rated = 0, 0, []
    files = _annotation_files(root, findings)
    for path, session, subject in tqdm(files, desc="reading annotations", unit="file", disable=None):
        lines, width = _data_rows(path, findings)
        total += len(lines)
        first_row = {}
        for line in lines:
            cells = _checked_cells(line, width, path.name, session, first_row, findings)
            if cells is None:
                continue
            readable += 1
            if ";" not in cells["emotion"]:
                rated.append(RatedTurn(make_utterance(cells, path.name), cells, subject))
    first = {}
    for turn in rated:
        first.setdefault(turn.utterance.segment_id, turn)
    speech = usable_files({name: _wav(root.resolve(), turn.utterance) for name, turn in first.items()}, findings)
    every = [turn for name, turn in first.items() if name in speech]
    own = [turn for turn in rated if turn.utterance.speaker == turn.subject and turn.utterance.segment_id in speech]
    short = f"  of these at most {CLIP_LENGTH:g} s"
    funnel = [
        ("all rows", total, 20_566),
        *([("with a readable row", readable, None)] if readable < total else []),
        ("without ties", len(rated), 19_268),
        ("first row kept per segment id", len(first), 10_245),
        ("with both wav and txt -> annotation.csv", len(every), 10_238),
        (short, sum(turn.utterance.seconds <= CLIP_LENGTH for turn in every), 10_135),
        ("speaker only -> annotation_speaker_only.csv", len(own), 9_627),
        (short, sum(turn.utterance.seconds <= CLIP_LENGTH for turn in own), 9_529),
    ]
    tables = dict(zip(TABLES, (_table(every), _table(own)), strict=True))
    transcripts = {name: wav.with_suffix(".txt") for name, wav in speech.items()}
    return RawCorpus(KEMDY19, tables, speech, transcripts, funnel, findings)


def _wav(root, utterance):
    return root / "wav" / f"Session{utterance.session:02d}" / utterance.dialogue / f"{utterance.segment_id}.wav"


def _table(turns):
    """The cells of some turns, in session, dialogue and time order."""

    def key(turn):
        utterance = turn.utterance
        return utterance.session, utterance.dialogue, utterance.wav_start, utterance.segment_id

    return [turn.cells for turn in sorted(turns, key=key)]


def _annotation_files(root, findings):
    """list of (path, session, subject): by session, its F file before its M file."""
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
    if is_good and width != _ALL_COLUMNS:
        reason = f"annotation file without KEMDy19's {_ALL_COLUMNS} columns; the first {_USED} are used"
        findings.notes[reason].append(f"{path.name}: {width}")
    return table[2:] if is_good else [], width


def _checked_cells(line, width, file, session, first_row, findings):
    """A row's cells by column of the annotation table, or None for one that cannot be used (noted in `findings`).

    Args:
        first_row: {segment id: number of the usable row of this file that has it}; gets this row's.
    """
    cells, place = line.fitted(width), f"{file}, row {line.number}"
    try:
        segment = KEMDY19.parse_segment_id(cells[9])
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
    emotions = _emotions(cells[10], place, findings)
    if emotions is None:
        return None
    start, end = seconds(cells[1]), seconds(cells[2])
    if start is None or end is None or not 0 <= start <= end:
        reason = "wav start and end are not seconds with 0 <= start <= end"
        findings.left_out[reason].append(f"{place}: {shown(cells[1])}, {shown(cells[2])}")
        return None
    earlier = first_row.setdefault(cells[9], line.number)
    if earlier != line.number:
        findings.left_out["segment id that is in the file already"].append(f"{place}, is in row {earlier}")
        return None
    return dict(zip(COLUMNS, [cells[9], emotions, *cells[11:_USED], *cells[1:9], "True"], strict=True))


def _emotions(cell, place, findings):
    """The label of a row, raters who tie joined by `;`; None if it has none, or an unknown one."""
    names = [name.strip() for name in cell.split(";")]
    for wrong, right in KEMDY19.label_aliases.items():
        if wrong in names:
            findings.notes[f"label {wrong!r}, read as {right!r}"].append(place)
        names = [right if name == wrong else name for name in names]
    if names == [""]:
        findings.left_out["no label"].append(place)
        return None
    for name in names:
        if name not in KEMDY19.emotions:
            reason = f"unknown emotion, expected one of {', '.join(KEMDY19.emotions)}"
            findings.errors[reason].append(f"{place}: {shown(name)}")
            return None
    return ";".join(names)
