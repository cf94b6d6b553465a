"""One writer for each output: a run claims what it will write before it works for it."""

import contextlib
import errno
import fcntl
import os
import shutil
from pathlib import Path

from cogmen.locks import WITHOUT_LOCKS
from cogmen.options import UserError

LEAST = 1_000_000  # bytes: room that every run needs


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
