"""The speech and the transcripts of KEMDy19's raw directory: which can be used, and putting them into txt_wav/.

An utterance is left out if its wav is missing, empty or shorter than its header says, or if its txt is missing. A
transcript that no rule decodes is an error (see erc.corpus.transcripts).
"""

import contextlib
import filecmp
import os
import re
import shutil
import tempfile
from pathlib import Path

from tqdm import tqdm

from erc.corpus.annotations import annotation_text
from erc.corpus.transcripts import clean, decode
from erc.files import atomic_writer, claim
from erc.options import UserError
from mirai.speech import SAMPLE_RATE, probe

TABLES = ("annotation.csv", "annotation_speaker_only.csv")
_SHORT = 400  # samples at 16 kHz: what an audio encoder needs for one frame
_PLACED = re.compile(r"Sess[0-9]{2}_[A-Za-z]+[0-9]{2}_[FM][0-9]{3}\.(wav|txt)")
_STAGE = ".preprocess."


def usable_files(root, rows, findings):
    """The segment ids, among those of `rows`, whose wav is whole and whose txt is there; `findings` has the others."""
    rows = tqdm(rows, desc="checking files", unit="utterance", disable=None)
    return {row.segment_id for row in rows if _is_usable(root, row, findings)}


def source(root, row, kind):
    """Where the corpus keeps an utterance's `wav` or `txt`."""
    folder = Path(root) / "wav" / f"Session{row.segment.session:02d}" / row.segment.dialogue
    return folder / f"{row.segment_id}.{kind}"


def check_output(save_path, root):
    """Refuse, before any work, a place where the tables and txt_wav/ could not be written.

    Raises:
        UserError: names the flag and the path.
    """
    folder = save_path / "txt_wav"
    for path in (save_path, folder):
        above = path
        while not os.path.lexists(above):
            above = above.parent
        if not above.is_dir():
            raise UserError(f"--save_path {save_path}: {above} is not a directory, so nothing can be written there")
        if not os.access(above, os.W_OK | os.X_OK):
            raise UserError(f"--save_path {save_path}: {above} cannot be written to")
    for name in TABLES:
        if (save_path / name).is_dir():
            raise UserError(f"--save_path {save_path}: {save_path / name} is a directory, expected a table or nothing")
    if folder.resolve().is_relative_to((Path(root) / "wav").resolve()):
        raise UserError(f"--save_path {save_path}: {folder} lies in the corpus, whose files it would replace")


def write_outputs(save_path, root, every, speaker_only, *, copy):
    """Write the two tables, and link or copy the files of `every` into the flat folder txt_wav/.

    New files are made beside the old ones first; only when all are there, they take their places, the tables last. So
    a failure changes nothing. Links of other utterances, left by an earlier run, are removed in the end.

    Raises:
        UserError: something stands in the way, the disk is full, or another run writes there.
    """
    folder = save_path / "txt_wav"
    changed = _changed_files(folder, Path(root).resolve(), every, copy)
    needs = sum(target.stat().st_size for target in changed.values()) if copy else 0
    with claim(folder, needs, folder=True):
        try:
            folder.mkdir(exist_ok=True)
            _replace(save_path, folder, changed, zip(TABLES, (every, speaker_only), strict=True), copy)
        except OSError as error:
            place = f" ({error.filename})" if error.filename else ""
            message = f"--save_path {save_path}: {error.strerror}{place}; what was there before is unchanged"
            raise UserError(message) from None
        wanted = {f"{row.segment_id}.{kind}" for row in every for kind in ("wav", "txt")}
        for place in folder.iterdir():
            if place.is_symlink() and place.name not in wanted and _PLACED.fullmatch(place.name):
                place.unlink()


def _is_usable(root, row, findings):
    wav, txt = source(root, row, "wav"), source(root, row, "txt")
    for path in (wav, txt):
        if not path.is_file():
            reason = "is not a file" if path.exists() else "missing"
            findings.left_out[f"{path.suffix[1:]} {reason}"].append(row.segment_id)
            return False
    try:
        header = probe(wav)
    except UserError as error:
        reason, _, detail = str(error).removeprefix(f"{wav}: ").partition(": ")
        findings.left_out[f"wav: {reason}"].append(f"{row.segment_id}: {detail}" if detail else row.segment_id)
        return False
    except OSError as error:
        findings.errors["file that cannot be opened"].append(f"{wav}: {error.strerror}")
        return False
    if not header.is_plain:
        findings.notes["wav that is not 16 kHz mono 16-bit; converted when it is read"].append(row.segment_id)
    if header.frames * SAMPLE_RATE < _SHORT * header.rate:
        findings.notes[f"wav shorter than {_SHORT} samples; padded when it is read"].append(row.segment_id)
    return _is_decodable(txt, row.segment_id, findings)


def _is_decodable(path, segment_id, findings):
    try:
        text, encoding = decode(path.read_bytes(), path)
    except UserError as error:
        findings.errors["transcript that cannot be decoded"].append(str(error))
        return False
    except OSError as error:
        findings.errors["file that cannot be opened"].append(f"{path}: {error.strerror}")
        return False
    for reason, is_so in (
        ("transcript in cp949", encoding == "cp949"),
        ("transcript in UTF-16", encoding == "utf-16"),
        ("transcript that begins with a byte order mark", encoding in ("utf-8-sig", "utf-16")),
        ("transcript of several lines; they are joined", len(text.strip().splitlines()) > 1),
        ("transcript that is empty", not text.strip()),
        ("transcript that is empty once cleaned", text.strip() and not clean(text)),
    ):
        if is_so:
            findings.notes[reason].append(segment_id)
    return True


def _changed_files(folder, root, rows, copy):
    """What `folder` does not have yet as it should be: `{name: the corpus's file}`."""
    changed = {}
    for row in rows:
        for kind in ("wav", "txt"):
            target, place = source(root, row, kind), folder / f"{row.segment_id}.{kind}"
            if place.is_dir():
                raise UserError(f"{place}: is a directory, expected a {kind} file or nothing; remove it")
            if not (_is_copied if copy else _is_linked)(target, place):
                changed[place.name] = target
    return changed


def _replace(save_path, folder, changed, tables, copy):
    for left_over in folder.glob(f"{_STAGE}*"):  # of a run that was killed
        shutil.rmtree(left_over)
    stage = Path(tempfile.mkdtemp(dir=folder, prefix=_STAGE))
    try:
        description = "copying files" if copy else "linking files"
        for name, target in tqdm(changed.items(), desc=description, unit="file", disable=None):
            if copy:
                with target.open("rb") as sound, atomic_writer(stage / name) as file:
                    shutil.copyfileobj(sound, file)
            else:
                (stage / name).symlink_to(target)
        with contextlib.ExitStack() as stack:
            for name, rows in tables:
                file = stack.enter_context(atomic_writer(save_path / name))
                file.write(annotation_text([row.cells for row in rows]).encode())
                file.flush()
                os.fsync(file.fileno())
            for name in changed:  # from here on only renames, which need no space
                os.replace(stage / name, folder / name)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _is_linked(target, place):
    return place.is_symlink() and place.readlink() == target


def _is_copied(target, place):
    return place.is_file() and not place.is_symlink() and filecmp.cmp(target, place, shallow=False)
