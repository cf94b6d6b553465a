"""Speech and transcripts of a raw corpus: which are usable, and putting them into the flat folder txt_wav/.

A wav file has its transcript beside it, as .txt. An utterance is left out if either is missing or the speech is empty,
damaged or cut short. A transcript that no rule decodes is an error (see erc.corpus.transcripts).
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
from mirai.speech import RECEPTIVE_FIELD, SAMPLE_RATE, is_plain, probe

_PLACED = re.compile(r"Sess[0-9]{2}_[A-Za-z]+[0-9]{2}_[FM][0-9]{3}\.(wav|txt)")
_STAGE = ".preprocess."


def usable_files(speech, findings):
    """Those of `speech` ({segment id: wav file}) that are whole and have a transcript; `findings` has the others."""
    files = tqdm(speech.items(), desc="checking files", unit="utterance", disable=None)
    return {name: wav for name, wav in files if _is_usable(name, wav, findings)}


def check_output(save_path, tables, source):
    """Refuse, before any work, a place where the tables and txt_wav/ could not be written.

    Args:
        tables: their file names.
        source: the folder of the corpus's files, of which nothing may be replaced.
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
    for name in tables:
        if (save_path / name).is_dir():
            raise UserError(f"--save_path {save_path}: {save_path / name} is a directory, expected a table or nothing")
    if folder.resolve().is_relative_to(source.resolve()):
        raise UserError(f"--save_path {save_path}: {folder} lies in the corpus, whose files it would replace")


def write_outputs(save_path, corpus, *, copy):
    """Write the tables of a `RawCorpus`, and link or copy its speech and transcripts into the flat folder txt_wav/.

    New files are made beside the old ones first; only when all are there, they take their places, the tables last. So
    a failure changes nothing. Links of other utterances, left by an earlier run, are removed in the end.

    Raises:
        UserError: something stands in the way, the disk is full, or another run writes there.
    """
    folder = save_path / "txt_wav"
    files = {
        f"{name}.{kind}": wav.with_suffix(f".{kind}") for name, wav in corpus.speech.items() for kind in ("wav", "txt")
    }
    is_there = _is_copied if copy else _is_linked
    for name in files:
        if (folder / name).is_dir():
            raise UserError(f"{folder / name}: is a directory, expected a {name[-3:]} file or nothing; remove it")
    changed = {name: source for name, source in files.items() if not is_there(source, folder / name)}
    needs = sum(source.stat().st_size for source in changed.values()) if copy else 0
    with claim(folder, needs, folder=True):
        try:
            folder.mkdir(exist_ok=True)
            _replace(save_path, changed, corpus.tables, copy)
        except OSError as error:
            place = f" ({error.filename})" if error.filename else ""
            message = f"--save_path {save_path}: {error.strerror}{place}; what was there before is unchanged"
            raise UserError(message) from None
        for place in folder.iterdir():
            if place.is_symlink() and place.name not in files and _PLACED.fullmatch(place.name):
                place.unlink()


def _is_usable(name, wav, findings):
    txt = wav.with_suffix(".txt")
    for path in (wav, txt):
        if not path.is_file():
            reason = "is not a file" if path.exists() else "missing"
            findings.left_out[f"{path.suffix[1:]} {reason}"].append(name)
            return False
    try:
        info = probe(wav)
    except UserError as error:
        reason, _, detail = str(error).removeprefix(f"{wav}: ").partition(": ")
        findings.left_out[f"wav: {reason}"].append(f"{name}: {detail}" if detail else name)
        return False
    except OSError as error:
        findings.errors["file that cannot be opened"].append(f"{wav}: {error.strerror}")
        return False
    if not is_plain(info):
        findings.notes["wav that is not 16 kHz mono 16-bit; converted when it is read"].append(name)
    if info.frames * SAMPLE_RATE < RECEPTIVE_FIELD * info.samplerate:
        findings.notes[f"wav shorter than {RECEPTIVE_FIELD} samples; padded when it is read"].append(name)
    return _is_decodable(name, txt, findings)


def _is_decodable(name, txt, findings):
    try:
        text, encoding = decode(txt.read_bytes(), txt)
    except UserError as error:
        findings.errors["transcript that cannot be decoded"].append(str(error))
        return False
    except OSError as error:
        findings.errors["file that cannot be opened"].append(f"{txt}: {error.strerror}")
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
            findings.notes[reason].append(name)
    return True


def _replace(save_path, changed, tables, copy):
    """Put files ({name in txt_wav/: the corpus's file}) and tables in their places."""
    folder = save_path / "txt_wav"
    for left_over in folder.glob(f"{_STAGE}*"):  # of a run that was killed
        shutil.rmtree(left_over)
    stage = Path(tempfile.mkdtemp(dir=folder, prefix=_STAGE))
    try:
        description = "copying files" if copy else "linking files"
        for name, source in tqdm(changed.items(), desc=description, unit="file", disable=None):
            place = stage / name
            if copy:
                with source.open("rb") as content, atomic_writer(place) as file:
                    shutil.copyfileobj(content, file)
            else:
                place.symlink_to(source)
        with contextlib.ExitStack() as stack:
            for name, rows in tables.items():
                file = stack.enter_context(atomic_writer(save_path / name))
                file.write(annotation_text(rows).encode())
                file.flush()
                os.fsync(file.fileno())
            for name in changed:  # from here on only renames, which need no space
                os.replace(stage / name, folder / name)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _is_linked(source, place):
    return place.is_symlink() and place.readlink() == source


def _is_copied(source, place):
    return place.is_file() and not place.is_symlink() and filecmp.cmp(source, place, shallow=False)
