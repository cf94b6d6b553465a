"""Writing files: whole or not at all, by one writer at a time.

A file is written beside its target, flushed to disk, then renamed over it. `claim` refuses a second writer of an
output; its lock ends with the process that holds it, however that ends.
"""

import contextlib
import csv
import errno
import fcntl
import hashlib
import io
import json
import os
import pickle
import shutil
import tempfile
import uuid
from pathlib import Path

from filelock import FileLock, Timeout

from erc.options import UserError, printable

LEAST = 1_000_000  # bytes: room that every run needs
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOTSUP)  # the errors of a file system that has none


def write_torch(path, value):
    import torch

    with atomic_writer(path) as file:
        try:
            torch.save(value, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # torch's own names only the position that it did not reach
                raise error.__context__ from None
            raise


def write_pickle(path, value, *more):
    """Pickle plain data; the same value gives the same bytes. Arrays are not copied, which protocol 4 would do.

    Args:
        more: further values, each a pickle of its own behind the first, which alone `pickle.load` reads.
    """
    with atomic_writer(path) as file:
        for one in (value, *more):
            pickle.dump(one, file, protocol=5)


def write_text(path, text):
    with atomic_writer(path) as file:
        file.write(text.encode())


def show_text(text, out):
    """Print a text and, if `out` names a file, write it there too."""
    print(text)
    if out:
        write_text(out, text + "\n")


def write_json(path, value):
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_table(path, header, rows):
    write_text(path, table_text(header, rows))


def table_text(header, rows):
    """A CSV table whose cells are harmless in a spreadsheet: one that would be taken for a formula begins with an
    apostrophe, and control characters are escaped.

    Args:
        rows: sequences as long as `header`, of text, numbers and None.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_cell(value) for value in row] for row in [header, *rows])
    return text.getvalue()


def _cell(value):
    text = "" if value is None else printable(str(value))
    if text.startswith(("=", "+", "-", "@")) and not _is_number(text):
        return f"'{text}"
    return text


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


@contextlib.contextmanager
def atomic_writer(path):
    """A binary file to write; on success it takes the place of `path` in one step, on failure nothing changes.

    Raises:
        OSError: the folder is missing or cannot be written to, or the disk is full; it names `path`.
    """
    path = Path(path)
    with errors_name(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


@contextlib.contextmanager
def errors_name(path):
    """Makes the system's errors of writing name `path`: that of a full disk names no file, others a temporary one."""
    path = Path(path)
    temporary = str(path.with_name(f".{path.name}."))
    try:
        yield
    except OSError as error:
        if error.errno is not None and (error.filename is None or str(error.filename).startswith(temporary)):
            error.filename, error.filename2 = str(path), None
        raise


def sync_directory(folder):
    """Have the system put the names in a folder on the disk, so that a rename survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path):
    """The SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def claim(path, needs=0, folder=False):
    """Hold an output, a file or a folder, for as long as the block runs; a second run that wants it is refused.

    Found here, before the work: a folder around it that is missing (it is made), cannot be written to or is a file; a
    file in a folder's place or the other way round; and a disk without room. The claim is a lock on the hidden file
    `.<name>.lock` beside the output, which the system frees however the process ends. A file system without locks
    gives none: there, nobody is refused, and of two writers the last one's whole file stays.

    Args:
        path: None: nothing is claimed.
        needs: bytes that will be written, at least.
        folder: the output is a folder; it is not made.
    Raises:
        UserError: another run holds it, or it cannot be written.
    """
    if path is None:
        yield
        return
    path = Path(os.path.abspath(path))
    lock = FileLock(lock_file(path), timeout=0.2)  # it may be held for a moment by one who only looks: `is_claimed`
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UserError(f"{path}: another run is writing it; wait for that one, or give another output") from None
    except (NotADirectoryError, FileExistsError) as error:
        raise UserError(f"{error.filename}: is a file; the output {path} needs a folder there") from None
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise UserError(f"{path}: cannot be written: {error.strerror}") from None
    try:
        _check_kind(path, folder)
        check_room(path, needs)
        yield
    finally:
        lock_file(path).unlink(missing_ok=True)
        lock.release()


def check_room(path, needs):
    """Check that the disk of an output has room for these many bytes, and for the least that a run needs.

    Raises:
        UserError: it has not.
    """
    free, needs = shutil.disk_usage(path.parent).free, max(needs, LEAST)
    if free < needs:
        text = f"{needs / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free on the disk"
        raise UserError(f"{path}: {text}; make room, or give another output")


def lock_file(path):
    """The hidden file whose lock is held for the output `path`."""
    return path.with_name(f".{path.name}.lock")


def is_claimed(path):
    """Does a run on this machine hold `path`? False: its holder was killed; None: nobody has, or it cannot be known."""
    try:
        with lock_file(Path(os.path.abspath(path))).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: others may look at the same time
            return False
    except BlockingIOError:
        return True
    except OSError:
        return None


def _check_kind(path, folder):
    if not folder and path.is_dir():
        raise UserError(f"{path}: is a directory, expected a file or nothing; give another output")
    if folder and os.path.lexists(path):
        if not path.is_dir():
            raise UserError(f"{path}: is a file, expected a directory or nothing; give another output")
        if not os.access(path, os.W_OK | os.X_OK):
            raise UserError(f"{path}: cannot be written: {os.strerror(errno.EACCES)}")


@contextlib.contextmanager
def new_folder(out, overwrite, is_ours, kind):
    """A temporary folder beside `out` that takes its place in the end; on failure nothing is left of it.

    Args:
        overwrite: replace what `is_ours(out)` says is of this `kind`, such as "a sample corpus".
    Raises:
        UserError: `out` holds something, with `overwrite` something of another kind. Or it cannot be written, or
            another run makes it.
    """
    out = Path(os.path.abspath(out))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not overwrite:
            raise UserError(f"--out {out}: exists and is not empty; choose another directory or add --overwrite")
        if not is_ours(out):
            raise UserError(f"--out {out}: is not {kind}, so --overwrite does not replace it; choose another")
    with replaced_folder(out) as new:
        yield new


@contextlib.contextmanager
def replaced_folder(out):
    """A temporary folder beside `out` that takes its place in the end, whatever was there; on failure nothing is left
    of it.

    Raises:
        UserError: `out` cannot be written, or another run makes it.
    """
    out = Path(os.path.abspath(out))
    with claim(out, folder=True):
        temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".part"))
        try:
            (temporary / "new").mkdir()
            yield temporary / "new"
            try:
                if out.exists():
                    os.rename(out, temporary / "old")
                os.rename(temporary / "new", out)
            except BaseException:  # Ctrl-C between the two: what was there comes back
                if (temporary / "old").exists() and not os.path.lexists(out):
                    os.rename(temporary / "old", out)
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
