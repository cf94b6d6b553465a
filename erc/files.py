"""Writing files: whole or not at all, by one writer at a time.

A file is written beside its target, flushed to disk, then renamed over it. `claim` refuses a second writer of an
output; `locked` makes processes wait for each other. Locks end with the process that holds them, however it ends.
"""

import contextlib
import errno
import fcntl
import json
import os
import pickle
import shutil
import tempfile
from pathlib import Path

from erc.options import UserError

LEAST = 1_000_000  # bytes: room that every run needs
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)  # what a file system that has none says


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


@contextlib.contextmanager
def claim(path, needs=0, folder=False):
    """Hold an output, a file or a folder, for as long as the block runs; a second run that wants it is refused.

    Found here, before the work: a folder around it that is missing (it is made), cannot be written to or is a file; a
    file in a folder's place or the other way round; and a disk without room. The claim is a lock on the hidden file
    `.<name>.lock` beside the output, which the system lets go of however the process ends. A file system without locks
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
    lock = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = _lock(lock)
    except BlockingIOError:
        raise UserError(f"{path}: another run is writing it; wait for that one, or give another output") from None
    except (NotADirectoryError, FileExistsError) as error:
        raise UserError(f"{error.filename}: is a file; the output {path} needs a folder there") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None
    try:
        _check_kind(path, folder)
        free, needs = shutil.disk_usage(path.parent).free, max(needs, LEAST)
        if free < needs:
            text = f"{needs / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free on the disk"
            raise UserError(f"{path}: {text}; make room, or give another output")
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            lock.unlink()
        os.close(handle)


def is_claimed(path):
    """Does a run on this machine hold `path`? False: its holder was killed; None: nobody has, or it cannot be told."""
    path = Path(os.path.abspath(path))
    lock = path.with_name(f".{path.name}.lock")
    try:
        with lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
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


def _lock(path):
    """A handle that holds the lock file; the file may be taken away by its last holder while we wait for it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno in WITHOUT_LOCKS:
                return handle
            os.close(handle)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise BlockingIOError from None
            raise
        os.close(handle)


@contextlib.contextmanager
def locked(path, shared=False, wait=True):
    """Hold the lock of a file, which is made if it is not there and stays there.

    A file system without locks gives none: then nothing is kept apart, so use locks to save work or to warn, with
    `atomic_writer` to be safe.

    Args:
        shared: any number of processes may hold it so, unless one holds it alone.
        wait: for the others to let go; else yields False where they do not.
    Yields:
        bool: False if another process holds it, else True.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        mode = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
        try:
            fcntl.flock(file, mode)
        except BlockingIOError:
            yield False
            return
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
        yield True
