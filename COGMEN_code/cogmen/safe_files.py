"""The one place that reads pickles and `torch.save`'s files from elsewhere, and the one place that writes files.

Reading: own interpreters that know plain containers, numbers, text, arrays and tensors by their exact names
(`cogmen.plain_pickles`, `cogmen.inert_checkpoints`), so that nothing runs and a few bytes cannot ask for gigabytes.
Writing: a temporary file in the target's folder, flushed to disk, then renamed over the target.
"""

import contextlib
import json
import os
import pickle
import tempfile
from pathlib import Path

from cogmen.options import UserError
from cogmen.plain_pickles import unpickle
from cogmen.untrusted import Refused

MAX_PICKLE = 4 << 30  # bytes of a file; KEMDy19's features take 60 MB
MAX_JSON = 64 << 20  # bytes


def read_pickle(path):
    """The plain containers, numbers, text and arrays in a pickle, which may come from anyone.

    Raises:
        UserError: the file is missing, damaged, asks for anything else, or for far more memory than it has bytes.
    """
    path = Path(path)
    try:
        with _opened(path, MAX_PICKLE) as (file, size):
            return unpickle(file, size)
    except Refused as error:
        raise UserError(f"{path}: refused: {error}. Expected a pickle of plain data") from error
    except MemoryError:
        raise UserError(f"{path}: refused: it asks for more memory than there is") from None


@contextlib.contextmanager
def _opened(path, limit):
    """(file, its bytes) of a plain file that is not too large."""
    if path.is_dir():
        raise UserError(f"{path}: is a directory, expected a file")
    if not path.is_file():
        raise UserError(f"{path}: {'is not a plain file' if path.exists() else 'no such file'}")
    if (size := path.stat().st_size) > limit:
        raise UserError(f"{path}: refused: it has {size:,} bytes, more than {limit:,}")
    with path.open("rb") as file:
        yield file, size


def read_torch(path):
    """The plain values and tensors (on the CPU) that `torch.save` put into a file, which may come from anyone.

    Raises:
        UserError: the file is missing, damaged, or holds anything else.
    """
    from cogmen.inert_checkpoints import read_plain  # only here: it imports torch

    return read_plain(path)


def read_json(path):
    """The contents of a JSON file.

    Raises:
        UserError: the file is missing, too large, or not JSON.
    """
    path = Path(path)
    try:
        with _opened(path, MAX_JSON) as (file, size):
            return json.loads(file.read(size))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON, or damaged: {' '.join(str(error).split())[:100]}") from None


def write_torch(path, value):
    import torch

    with atomic_writer(path) as file:
        file = _Remembering(file)
        try:
            torch.save(value, file)
        except RuntimeError:
            if file.error:  # torch tells of it by the position that it did not reach
                raise file.error from None
            raise


class _Remembering:
    """A file to write that keeps the system's error."""

    def __init__(self, file):
        self.file, self.error = file, None

    def write(self, content):
        try:
            return self.file.write(content)
        except OSError as error:
            self.error = error
            raise

    def flush(self):
        self.file.flush()


def write_pickle(path, value):
    """Pickle plain data; the same value gives the same bytes. Arrays are not copied, which protocol 4 would do."""
    with atomic_writer(path) as file:
        pickle.dump(value, file, protocol=5)


def write_text(path, text):
    with atomic_writer(path) as file:
        file.write(text.encode())


def write_json(path, value):
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def atomic_writer(path):
    """A binary file to write; on success it takes the place of `path` in one step, on failure nothing changes.

    Raises:
        OSError: the folder is missing or cannot be written to, or the disk is full; it names `path`.
    """
    path = Path(path)
    with errors_name(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
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


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sync_directory(folder):
    """Have the system put the names in a folder on the disk, so that a rename survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
