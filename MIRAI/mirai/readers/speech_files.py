"""Speech and transcripts of a raw corpus: which are usable, and writing them and the tables.

In ETRI's corpora a wav file has its transcript beside it, as .txt. An utterance is left out if either is missing or the
speech is empty, damaged or cut short. A transcript that no rule decodes is an error (see erc.corpus.transcripts).
"""

import contextlib
import filecmp
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

from tqdm import tqdm

from erc.corpus.annotations import CORPUS_FILE, annotation_text, read_csv, table_corpus
from erc.corpus.ratings import ratings_path, ratings_text
from erc.corpus.transcripts import clean, decode
from erc.files import atomic_writer, check_room, claim
from erc.options import UserError
from mirai.readers.findings import Cut
from mirai.readers.recordings import speech_of
from mirai.speech import RECEPTIVE_FIELD, SAMPLE_RATE, is_plain, probe, write_speech

_STAGE = ".preprocess."
_MANIFEST_TABLE = re.compile(r"annotation(_fold[0-9]+)?\.csv")


def usable_files(speech, findings, encoding="utf-8"):
    """Those of `speech` ({segment id: wav file}) that are whole and have a transcript; `findings` has the others.

    Args:
        encoding: that of the corpus's transcripts; another one is noted.
    """
    files = tqdm(speech.items(), desc="checking files", unit="utterance", disable=None)
    return {name: wav for name, wav in files if _is_usable(name, wav, findings, encoding)}


def check_output(save_path, tables, source):
    """Refuse, before any work, a place where the tables and txt_wav/ could not be written.

    Args:
        tables: their file names.
        source: the folder of the corpus's files, or the manifest, of which nothing may be replaced.
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
    if source.is_file() and source.resolve().parent == save_path.resolve() and source.name.startswith("annotation"):
        raise UserError(f"--save_path {save_path}: a table might replace {source}; rename that, or give another folder")
    if folder.resolve().is_relative_to(source.resolve()):
        raise UserError(f"--save_path {save_path}: {folder} lies in the corpus, whose files it would replace")


def write_outputs(save_path, corpus, *, copy):
    """Write the tables of a `RawCorpus`, what they are of and its ratings, and put its speech and transcripts into the
    flat folder txt_wav/: files are linked or copied, what is no file of the corpus is made.

    New files are made beside the old ones first; only when all are there, they take their places, the tables last. So
    a failure changes nothing. In the end, what an earlier run left and this one does not write is removed: links of
    other utterances, speech of what is text alone now, tables of other folds.

    Raises:
        UserError: something stands in the way, the disk is full, or another run writes there; the tables of another
            corpus are there.
    """
    folder, tables = save_path / "txt_wav", [path for path in save_path.glob("annotation*.csv") if path.is_file()]
    if tables and (there := _corpus_name(tables[0], corpus)) != corpus.corpus.name:
        raise UserError(f"--save_path {save_path}: has the tables of the corpus {there}; give another folder")
    files = {f"{name}.wav": source for name, source in corpus.speech.items()}
    files |= {f"{name}.txt": source for name, source in corpus.transcripts.items()}
    for name, source in files.items():
        if (folder / name).is_dir():
            raise UserError(f"{folder / name}: is a directory, expected a {name[-3:]} file or nothing; remove it")
        path = source.path if isinstance(source, Cut) else source
        if isinstance(path, Path) and path.parent == folder.resolve():
            raise UserError(f"--save_path {save_path}: the corpus's own {path} lies there and would be replaced")
    with claim(folder, folder=True):
        changed = {name: source for name, source in files.items() if not _is_there(source, folder / name, copy)}
        check_room(folder, sum(_size(source, copy) for source in changed.values()))
        earlier = _placed(tables)
        stale = [path for path in tables if (save_path / CORPUS_FILE).exists() and _MANIFEST_TABLE.fullmatch(path.name)]
        try:
            folder.mkdir(exist_ok=True)
            _replace(save_path, changed, corpus, copy)
        except OSError as error:
            place = f" ({error.filename})" if error.filename else ""
            message = f"--save_path {save_path}: {error.strerror}{place}; what was there before is unchanged"
            raise UserError(message) from None
        for name in earlier - files.keys():
            if (folder / name).is_symlink():
                (folder / name).unlink()
        for name in corpus.transcripts.keys() - corpus.speech.keys():
            (folder / f"{name}.wav").unlink(missing_ok=True)
        for path in stale:
            if path.name not in corpus.tables:
                path.unlink()
        for table in corpus.tables.keys() - corpus.ratings.keys():
            ratings_path(save_path / table).unlink(missing_ok=True)


def _corpus_name(table, corpus):
    """Which corpus a table is of; that of this run where a damaged file says so."""
    try:
        return table_corpus(table).name
    except UserError:
        return corpus.corpus.name


def _is_usable(name, wav, findings, usual):
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
    return _is_decodable(name, txt, findings, usual)


def _is_decodable(name, txt, findings, usual):
    try:
        text, encoding = decode(txt.read_bytes(), txt, usual)
    except UserError as error:
        findings.errors["transcript that cannot be decoded"].append(str(error))
        return False
    except OSError as error:
        findings.errors["file that cannot be opened"].append(f"{txt}: {error.strerror}")
        return False
    for reason, is_so in (
        ("transcript in cp949", encoding == "cp949" != usual),
        ("transcript in UTF-16", encoding == "utf-16"),
        ("transcript that begins with a byte order mark", encoding in ("utf-8-sig", "utf-16")),
        ("transcript of several lines; they are joined", len(text.strip().splitlines()) > 1),
        ("transcript that is empty", not text.strip()),
        ("transcript that is empty once cleaned", text.strip() and not clean(text)),
    ):
        if is_so:
            findings.notes[reason].append(name)
    return True


def _placed(tables):
    """The names in txt_wav/ of the utterances of some tables."""
    names = set()
    for path in tables:
        with contextlib.suppress(UserError, ValueError):
            (header, *rows), _ = read_csv(path)
            column = header.cells.index("segment_id")
            ids = [row.cells[column] for row in rows if column < len(row.cells)]
            names.update(f"{name}.{kind}" for name in ids for kind in ("wav", "txt") if Path(name).name == name)
    return names


def _replace(save_path, changed, corpus, copy):
    """Put files ({name in txt_wav/: where it comes from}), the tables and what belongs to them in their places."""
    folder = save_path / "txt_wav"
    for left_over in folder.glob(f"{_STAGE}*"):  # of a run that was killed
        shutil.rmtree(left_over)
    texts = {save_path / CORPUS_FILE: json.dumps(corpus.corpus.to_data(), indent=1, ensure_ascii=False) + "\n"}
    for table, ratings in corpus.ratings.items():
        texts[ratings_path(save_path / table)] = ratings_text(corpus.corpus, ratings)
    texts |= {save_path / table: annotation_text(rows) for table, rows in corpus.tables.items()}
    stage = Path(tempfile.mkdtemp(dir=folder, prefix=_STAGE))
    try:
        description = "copying files" if copy else "linking files"
        for name, source in tqdm(changed.items(), desc=description, unit="file", disable=None):
            _make(source, stage / name, copy)
        with contextlib.ExitStack() as stack:
            for path, text in texts.items():
                file = stack.enter_context(atomic_writer(path))
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            for name in changed:  # from here on only renames, which need no space
                is_same = not (stage / name).is_symlink() and _is_copied(stage / name, folder / name)
                if not is_same:  # speech made again keeps its time, by which its embeddings are known
                    os.replace(stage / name, folder / name)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _make(source, place, copy):
    """A file of txt_wav/ from a path, a `Cut` or a text."""
    if isinstance(source, Cut):
        write_speech(place, speech_of(source))
    elif isinstance(source, str):
        with atomic_writer(place) as file:
            file.write(source.encode())
    elif copy:
        with source.open("rb") as content, atomic_writer(place) as file:
            shutil.copyfileobj(content, file)
    else:
        place.symlink_to(source)


def _size(source, copy):
    """Bytes that a file of txt_wav/ takes, at least."""
    if isinstance(source, Cut):
        return 0 if source.end is None else int(2 * SAMPLE_RATE * (source.end - source.start))
    if isinstance(source, str):
        return len(source)
    return source.stat().st_size if copy else 0


def _is_there(source, place, copy):
    """Whether a file of txt_wav/ is what would be made. Whether a `Cut` is, shows only once it is made."""
    if isinstance(source, Path):
        return _is_copied(source, place) if copy else place.is_symlink() and place.readlink() == source
    is_plain_text = isinstance(source, str) and place.is_file() and not place.is_symlink()
    return is_plain_text and place.read_bytes() == source.encode()


def _is_copied(source, place):
    return place.is_file() and not place.is_symlink() and filecmp.cmp(source, place, shallow=False)
