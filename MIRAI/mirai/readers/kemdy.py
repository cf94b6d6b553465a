"""KEMDy19's and KEMDy20's raw directories, which differ by their `Layout`: annotation files by session, the speech, and
the funnel to the annotation tables.

    left out   a row without a label (unless turns without a label are kept), without times in seconds (0 <= start <=
               end), or that repeats a segment id of its file (the first such row is used)
    an error   a session's file that is missing, or is no CSV file with the expected header rows; a malformed segment
               id, one of another session, an unknown emotion; a row with a cell too many or too few

A turn without a label is one of a row that nobody rated, or of raters who tie, which is written `angry;disgust`.
"""

from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from erc.corpus.annotations import Utterance, make_utterance
from erc.corpus.corpora import UNLABELLED
from erc.corpus.transcripts import decode
from erc.options import UserError
from mirai.options import CLIP_LENGTH
from mirai.readers.findings import Findings, RawCorpus
from mirai.readers.kemdy_rows import checked_cells, data_rows, votes
from mirai.readers.speech_files import usable_files

EVERY, SPEAKER_ONLY = "annotation.csv", "annotation_speaker_only.csv"


@dataclass(frozen=True)
class RatedTurn:
    """A row of an annotation file, with one emotion or, where such turns are kept, none."""

    utterance: Utterance
    cells: dict  # {column of the annotation table: text}
    subject: str | None  # of the row's file, where each speaker has one
    votes: list  # how many raters named each emotion


def read_directory(layout, root, keep_unlabelled):
    """Read a corpus's directory `root`.

    Args:
        keep_unlabelled: ties and rows that nobody rated are turns without a label.
    Returns:
        RawCorpus: `annotation.csv` has, of each segment id, the first row with one label; of one that has none, the
        first row, if it is kept. `annotation_speaker_only.csv`, of a corpus with a file for each speaker, has the
        rows whose speaker is the file's subject.
    Raises:
        UserError: `root` is another directory.
    """
    findings, root = Findings(), Path(root)
    total, readable, turns = 0, 0, []
    files = _annotation_files(layout, root, findings)
    for path, session, subject in tqdm(files, desc="reading annotations", unit="file", disable=None):
        lines, width = data_rows(path, layout, findings)
        total += len(lines)
        first_row = {}
        for line in lines:
            cells = checked_cells(line, width, path.name, session, first_row, layout, findings, keep_unlabelled)
            if cells is None:
                continue
            readable += 1
            if ";" in cells["emotion"]:
                if not keep_unlabelled:
                    continue
                cells["emotion"] = ""
            utterance = make_utterance(cells, path.name, layout.corpus)
            turns.append(RatedTurn(utterance, cells, subject, votes(line, width, path.name, layout, findings)))
    first = _first_rows(turns)
    wavs = {turn.utterance.segment_id: _wav(layout, root.resolve(), turn.utterance) for turn in first}
    speech = usable_files(wavs, findings, layout.encoding)
    kept = {EVERY: first}
    if layout.subjects:
        kept[SPEAKER_ONLY] = _first_rows(turn for turn in turns if turn.utterance.speaker == turn.subject)
    kept = {name: _in_order(t for t in own if t.utterance.segment_id in speech) for name, own in kept.items()}
    is_rated = any(any(turn.votes) for turn in turns)
    return RawCorpus(
        corpus=layout.corpus,
        tables={name: [turn.cells for turn in own] for name, own in kept.items()},
        speech=speech,
        transcripts={name: _transcript(layout, wav.with_suffix(".txt")) for name, wav in speech.items()},
        ratings={name: {t.utterance.segment_id: t.votes for t in own} for name, own in kept.items() if is_rated},
        funnel=_funnel(layout, keep_unlabelled, total, readable, turns, first, kept),
        findings=findings,
    )


def _first_rows(turns):
    """Of each segment id, the first turn with a label; of one that has none, the first."""
    first = {}
    for turn in sorted(turns, key=_is_unlabelled):
        first.setdefault(turn.utterance.segment_id, turn)
    return list(first.values())


def _is_unlabelled(turn):
    return turn.utterance.label == UNLABELLED


def _in_order(turns):
    """Turns in session, dialogue and time order."""

    def key(turn):
        utterance = turn.utterance
        return utterance.session, utterance.dialogue, utterance.wav_start, utterance.segment_id

    return sorted(turns, key=key)


def _wav(layout, root, utterance):
    folder = root / "wav" / f"Session{utterance.session:02d}"
    return (folder / utterance.dialogue if layout.by_dialogue else folder) / f"{utterance.segment_id}.wav"


def _transcript(layout, path):
    """The path of a transcript; or the text, where later stages, which do not know the corpus's encoding, would read
    another one."""
    if layout.encoding == "utf-8":
        return path
    (text, _), (later, _) = decode(data := path.read_bytes(), path, layout.encoding), decode(data, path)
    return path if text == later else text


def _funnel(layout, keep_unlabelled, total, readable, turns, first, kept):
    published, names = layout.published, ("with both wav and txt", "speaker only")
    steps = [("all rows", total, published[0])]
    if readable < total:
        steps.append(("with a readable row", readable, None))
    one_label = len(turns) - sum(map(_is_unlabelled, turns))
    steps.append(("  of these with one label" if keep_unlabelled else "without ties", one_label, published[1]))
    if keep_unlabelled:  # the published sets have no such turns
        published = (None,) * len(published)
    if layout.subjects or len(first) < len(turns):
        steps.append(("first row kept per segment id", len(first), published[2]))
    for step, (table, own), (count, short) in zip(names, kept.items(), (published[3:5], published[5:]), strict=False):
        steps.append((f"{step} -> {table}", len(own), count))
        if keep_unlabelled:
            steps.append(("  of these without a label", sum(map(_is_unlabelled, own)), None))
        of_clip = sum(turn.utterance.seconds <= CLIP_LENGTH for turn in own)
        steps.append((f"  of these at most {CLIP_LENGTH:g} s", of_clip, short))
    return steps


def _annotation_files(layout, root, findings):
    """list of (path, session, subject): by session, its F file before its M file."""
    folder, name = root / "annotation", layout.corpus.name
    if not folder.is_dir():
        found = ", ".join(sorted(path.name for path in root.iterdir())[:8]) if root.is_dir() else "no such directory"
        expected = f"expected {name}'s directory, with annotation/{layout.example} ... and wav/Session01/ in it"
        raise UserError(f"--root_path {root}: {expected}; found {found or 'nothing'}")
    files = {}
    for path in sorted(folder.iterdir()):
        if found := layout.session_and_subject(path.name):
            files[found] = path
        else:
            findings.notes["file in annotation/ that is not read, for its name"].append(path.name)
    if not files:
        raise UserError(f"{folder}: no annotation file named like {layout.example}")
    if not (root / "wav").is_dir():
        raise UserError(f"--root_path {root}: has annotation/ but no wav/ with the speech and the transcripts")
    sessions = {session for session, _ in files}
    for session, subject in sorted((session, subject) for session in sessions for subject in layout.subjects):
        if (session, subject) not in files:
            reason = "annotation file that is missing, though the session's other one is there"
            findings.errors[reason].append(layout.file.format(session=session, subject=subject))
    for session in range(1, max(sessions)):
        if session not in sessions:
            findings.notes["session without annotation files"].append(str(session))
    return [(path, session, subject) for (session, subject), path in sorted(files.items())]
