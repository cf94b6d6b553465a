"""Locks that processes wait for or share; `cogmen.claims` refuses a second writer. They end with the process that
holds them, however it ends."""

import contextlib
import errno
import fcntl
from pathlib import Path

WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)  # what a file system that has none says


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
