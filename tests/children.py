"""Work and scripts in processes of their own, which begin at once and may be killed.

They are forked by a server that was started for it, has one thread and has imported all that is slow, so that a child
shares no lock with the tests and with no other child. It has not imported Comet and Optuna: a script that needs them
does.
"""

import contextlib
import itertools
import multiprocessing
import os
import resource
import runpy
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import wait

from tqdm import tqdm

from erc.options import REPOSITORY

LIMIT = 200  # seconds after which a child ends in any case
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["tests.faults.test_kills", "mirai.training.fit", "mirai.extraction", "transformers.models.roberta", "pandas"]
    + ["transformers.models.wav2vec2", "sklearn.metrics", "torch_geometric.nn", "pytorch_lightning.loggers"]
    + ["cogmen.run", "tests.fuzz.readers", "matplotlib.figure", "torch.distributed.run"]
)


class Child:
    """A process that does `work()`; it ends with its `with`, and whatever it started.

    Args:
        work: can be pickled: a function of a module, or a `functools.partial` of one. What it raises goes to its
            standard error, like a script's.
        file_size: bytes; no file of the child can grow beyond, as if the disk were full.
    Attributes:
        out, err: its standard output and error, to be read.
    """

    def __init__(self, work, file_size=None):
        pipes = [PROCESSES.Pipe(duplex=False) for _ in range(2)]
        self.process = PROCESSES.Process(
            target=_be_child, args=(work, *(theirs for _, theirs in pipes), file_size), daemon=True
        )
        self.process.start()
        for _, theirs in pipes:
            theirs.close()
        self.out, self.err = (os.fdopen(os.dup(ours.fileno()), encoding="utf-8") for ours, _ in pipes)
        for ours, _ in pipes:
            ours.close()
        assert self.out.readline() == "ready\n", self.err.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.out.close()
        self.err.close()

    @property
    def pid(self):
        return self.process.pid

    def kill(self):
        """End it and what it started, with SIGKILL."""
        with contextlib.suppress(ProcessLookupError):  # all have ended
            os.killpg(self.pid, signal.SIGKILL)
        self.process.join(LIMIT)

    def finish(self):
        """(exit code, output, errors), when it has ended."""
        with ThreadPoolExecutor(1) as reader:  # of both at once, lest the child wait for room in one of them
            err = reader.submit(self.err.read)
            out = self.out.read()
        self.process.join(LIMIT)
        return self.process.exitcode, out, err.result()


def _be_child(work, out, err, file_size):
    signal.alarm(LIMIT)
    os.setsid()  # a process group of its own
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    out.close()
    err.close()
    sys.stdout.reconfigure(line_buffering=True)
    tqdm.set_lock(threading.RLock())  # the usual one is shared by all that is forked: whoever dies in it, keeps it
    if file_size is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    print("ready")
    work()


class Failed(Exception):
    """The work ended in an error by itself."""


def run_child(work, kill_after=None, file_size=None):
    """Do `work()` in a child.

    Args:
        kill_after: seconds after which it is killed with SIGKILL.
        work, file_size: as in `Child`.
    Returns:
        float or None: the seconds that it took, or None if it was killed before its end.
    Raises:
        Failed: it ended with an error, or did not end in `LIMIT` seconds; the message is what it printed of it.
    """
    with Child(work, file_size) as child:
        began = time.perf_counter()
        if kill_after is not None and not wait([child.process.sentinel], kill_after):
            return None
        code, _, error = child.finish()
        if code:
            raise Failed(f"exit code {code}: {error}")
        return time.perf_counter() - began


def script_at(path, *arguments, cwd=None, environment=None, kill_at=None):
    """The work of `python path arguments...` with the repository's script `path`.

    Args:
        environment: variables set besides the tests' own.
        kill_at: (name, count): it kills itself when it calls `os.<name>` for the `count`th time.
    """
    return partial(_script, path, list(map(str, arguments)), cwd, environment or {}, kill_at)


def _script(path, arguments, cwd, environment, kill_at):
    os.environ.update(environment)
    os.chdir(cwd or REPOSITORY)
    sys.argv = [str(REPOSITORY / path), *arguments]
    sys.path.insert(0, os.path.dirname(sys.argv[0]))
    if kill_at:
        _kill_at(*kill_at)
    runpy.run_path(sys.argv[0], run_name="__main__")


def _kill_at(name, count):
    # No folder for temporary files: that may be small, or another file system, from which no file is moved in one step.
    tempfile.tempdir = "none"
    call, calls = getattr(os, name), itertools.count(1)

    def counted(*arguments, **keywords):
        if next(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **keywords)

    setattr(os, name, counted)


def run_together(*works):
    """(exit code, output, errors) of each work; all are done at the same time."""
    with contextlib.ExitStack() as running:
        children = [running.enter_context(Child(work)) for work in works]
        with ThreadPoolExecutor(len(children)) as readers:
            return list(readers.map(Child.finish, children))
