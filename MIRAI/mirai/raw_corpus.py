"""KEMDy19's raw directory: reading its annotation files, choosing the rows of the two tables, placing its files.

    annotation/Session01_F_res.csv, Session01_M_res.csv, ...   each lists the utterances of both speakers
    wav/Session01/Sess01_script01/Sess01_script01_F001.wav     and .txt beside it

Columns go by position, since their names differ between releases. Times stay the text that the corpus holds.
"""

import re
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from cogmen.corpora import KEMDY19, SegmentId
from cogmen.options import UserError
from cogmen.safe_files import atomic_writer
from mirai.annotations import COLUMNS, read_csv, seconds
from mirai.audio import probe
from mirai.transcripts import clean, decode

CLIP_LENGTH = 25.0  # seconds
_KEMDY19_COLUMNS = 43
_KEMDY19_SIZED = 15_000  # rows; the sample corpus has fewer
# Row 1 names the columns of the signals and of the segment id, row 2 those of the label.
_TOP = {1: "wav", 9: "segment id", 10: "total evaluation"}
_BELOW = {10: "emotion", 11: "valence", 12: "arousal"}
_MISSPELT = {"disqust": "disgust"}
_PLACED = re.compile(r"Sess\d{2}_[A-Za-z]+\d{2}_[FM]\d{3}\.(wav|txt)")
_FILE = re.compile(r"Session(\d{2})_([FM])_res\.csv")


@dataclass
class Findings:
    """What was counted and what was left out while a corpus was read.

    Attributes:
        counts: what was read by another than the usual rule, by a sentence that says so.
        left_out: for every row or utterance that is not used, where it is and why.
        warnings: other things that the user should know.
    """

    counts: Counter = field(default_factory=Counter)
    left_out: list = field(default_factory=list)
    warnings: list = field(default_factory=list)


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
    def is_short(self):
        return float(self.cells["wav_end"]) - float(self.cells["wav_start"]) <= CLIP_LENGTH


def read_rows(root, findings, corpus=KEMDY19):
    """The rows of all annotation files: by session, its F file before its M file, in the order of the file.

    Returns:
        (int, list[Row]): how many rows the files hold, and those that can be used.
    Raises:
        UserError: the directory is another one, a session's file is missing, or a cell makes no sense.
    """
    files = _annotation_files(Path(root), findings)
    total, rows = 0, []
    for path, session, subject in files:
        table = read_csv(path)
        _check_header(path, table, findings)
        seen = {}
        total += len(table) - 2
        for number, cells in enumerate(table[2:], start=3):
            row = _row(cells, f"{path.name}, row {number}", subject, session, findings, corpus)
            if row is None:
                continue
            if row.segment_id in seen:
                text = f"{path.name}, row {number} ({row.segment_id}): already in row {seen[row.segment_id]}"
                findings.left_out.append(text)
                continue
            seen[row.segment_id] = number
            rows.append(row)
    return total, rows


def choose(total, rows, usable):
    """The two tables and the funnel that leads to them.

    Args:
        total: rows of all files.
        rows: those that could be read.
        usable: function from segment ids to the set of those whose wav and txt can be used.
    Returns:
        (list[Row], list[Row], list): `annotation.csv` (of the rows without a tie, the first of each segment id),
        `annotation_speaker_only.csv` (those where the speaker is the file's subject), and the funnel as
        (step, rows, rows of KEMDy19 as published).
    """
    untied = [row for row in rows if not row.is_tie]
    first = {}
    for row in untied:
        first.setdefault(row.segment_id, row)
    present = usable(first)
    every = [row for row in first.values() if row.segment_id in present]
    own = [row for row in untied if row.segment.speaker == row.subject and row.segment_id in present]
    short = f"  of these at most {CLIP_LENGTH:g} s"
    funnel = [  # (step, rows, rows of KEMDy19 as published)
        ("all rows", total, 20_566),
        *([("with a readable row", len(rows), None)] if len(rows) < total else []),
        ("without ties", len(untied), 19_268),
        ("first row kept per segment id", len(first), 10_245),
        ("with both wav and txt -> annotation.csv", len(every), 10_238),
        (short, sum(row.is_short for row in every), 10_135),
        ("speaker only -> annotation_speaker_only.csv", len(own), 9_627),
        (short, sum(row.is_short for row in own), 9_529),
    ]
    return _sorted(every), _sorted(own), funnel


def show_funnel(funnel):
    """The funnel as aligned lines, beside the published counts if the corpus is as large as KEMDy19."""
    with_published = funnel[0][1] >= _KEMDY19_SIZED
    lines = [f"{'step':<46}{'rows':>8}{'published':>12}" if with_published else f"{'step':<46}{'rows':>8}"]
    for step, count, published in funnel:
        line = f"{step:<46}{count:>8,}"
        lines.append(f"{line}{published:>12,}" if with_published and published else line)
    return "\n".join(lines)


def usable_files(root, rows, findings):
    """The segment ids, among those of `rows`, whose wav is whole and whose txt is there; others are noted.

    Raises:
        UserError: a transcript cannot be decoded.
    """
    present = set()
    for row in tqdm(rows, desc="checking files", unit="utterance", disable=None):
        wav = source(root, row.segment, row.segment_id, "wav")
        txt = source(root, row.segment, row.segment_id, "txt")
        try:
            header = probe(wav)
        except UserError as error:
            findings.left_out.append(f"{row.segment_id}: {error}")
            continue
        if not txt.is_file():
            findings.left_out.append(f"{row.segment_id}: {txt}: no such file")
            continue
        present.add(row.segment_id)
        findings.counts["wav files are not 16 kHz mono 16-bit; they are converted when read"] += not header.is_plain
        _count_transcript(txt, findings)
    return present


def source(root, segment, segment_id, kind):
    """Where the corpus keeps an utterance's `wav` or `txt`."""
    return Path(root) / "wav" / f"Session{segment.session:02d}" / segment.dialogue / f"{segment_id}.{kind}"


def place_files(root, rows, folder, *, copy):
    """Link or copy the wav and txt of `rows` into the flat `folder`; links of other utterances are removed."""
    root, folder = Path(root).resolve(), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = set()
    for row in tqdm(rows, desc="copying files" if copy else "linking files", unit="utterance", disable=None):
        for kind in ("wav", "txt"):
            place = folder / f"{row.segment_id}.{kind}"
            (_copy if copy else _link)(source(root, row.segment, row.segment_id, kind), place)
            wanted.add(place.name)
    for place in folder.iterdir():
        if place.is_symlink() and place.name not in wanted and _PLACED.fullmatch(place.name):
            place.unlink()


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
    if not files:
        raise UserError(f"{folder}: no annotation file named like Session01_F_res.csv")
    if not (root / "wav").is_dir():
        raise UserError(f"--root_path {root}: has annotation/ but no wav/ with the speech and the transcripts")
    sessions = {session for session, _ in files}
    for session in sorted(sessions):
        for subject in "FM":
            if (session, subject) not in files:
                missing = f"Session{session:02d}_{subject}_res.csv"
                raise UserError(f"{folder}: {missing} is missing, though the session's other file is there")
    gaps = [session for session in range(1, max(sessions)) if session not in sessions]
    if gaps:
        findings.warnings.append(f"{folder} has no files of session {', '.join(map(str, gaps))}")
    return [(path, session, subject) for (session, subject), path in sorted(files.items())]


def _check_header(path, table, findings):
    for number, names in ((1, _TOP), (2, _BELOW)):
        cells = table[number - 1] if len(table) >= number else []
        for column, name in names.items():
            found = cells[column].strip() if column < len(cells) else "nothing"
            if found.lower() != name:
                raise UserError(f"{path}, row {number}: column {column + 1} is {found!r}, expected {name.title()!r}")
    if len(table[0]) != _KEMDY19_COLUMNS:
        text = f"{path.name}: {len(table[0])} columns, KEMDy19 has {_KEMDY19_COLUMNS}; only the first 13 are used"
        findings.warnings.append(text)


def _row(cells, where, subject, session, findings, corpus):
    """A `Row`, or None for one without a label or without times (noted in `findings`)."""
    cells = [cell.strip() for cell in cells]
    try:
        segment = SegmentId.parse(cells[9])
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    if segment.session != session:
        raise UserError(f"{where}: {cells[9]} is of session {segment.session}, the file of session {session}")
    where = f"{where} ({cells[9]})"
    names = [name.strip() for name in cells[10].split(";")]
    for wrong, right in _MISSPELT.items():
        findings.counts[f"labels {wrong!r} are read as {right!r}"] += wrong in names
        names = [right if name == wrong else name for name in names]
    if names == [""]:
        findings.left_out.append(f"{where}: no label")
        return None
    for name in names:
        if name not in corpus.emotions:
            raise UserError(f"{where}: emotion {name!r}; expected one of {', '.join(corpus.emotions)}")
    for column, name in ((1, "wav start"), (2, "wav end")):
        if seconds(cells[column]) is None:
            findings.left_out.append(f"{where}: {name} is {cells[column]!r}, expected seconds")
            return None
    values = [cells[9], ";".join(names), *cells[11:13], *cells[1:9], "True"]
    return Row(cells[9], dict(zip(COLUMNS, values, strict=True)), subject, segment)


def _sorted(rows):
    def key(row):
        return row.segment.session, row.segment.dialogue, float(row.cells["wav_start"]), row.segment_id

    return sorted(rows, key=key)


def _count_transcript(path, findings):
    data = path.read_bytes()
    text, encoding = decode(data, path)
    counts = findings.counts
    counts["transcripts are cp949"] += encoding == "cp949"
    counts["transcripts are UTF-16"] += encoding == "utf-16"
    counts["transcripts begin with a byte order mark"] += encoding in ("utf-8-sig", "utf-16")
    counts["transcripts have several lines; they are joined"] += len(text.strip().splitlines()) > 1
    counts["transcripts are empty"] += not text.strip()
    counts["transcripts are empty once cleaned (these among them)"] += not clean(text)


def _link(target, place):
    if place.is_symlink() and place.readlink() == target:
        return
    temporary = place.with_name(f".{place.name}.part")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(place)


def _copy(target, place):
    if place.is_file() and not place.is_symlink() and place.read_bytes() == target.read_bytes():
        return
    with target.open("rb") as sound, atomic_writer(place) as file:
        shutil.copyfileobj(sound, file)
