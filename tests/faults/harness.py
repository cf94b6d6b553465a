"""Work in processes of their own that are killed at any moment.

The processes are forked by a server that was started for it, has one thread and has imported all that is slow, so that
a child shares no lock with the tests and with no other child.
"""

import multiprocessing
import os
import random
import resource
import signal
import threading
import time
from multiprocessing.connection import wait

from tqdm import tqdm

NIGHTLY = os.environ.get("FAULTS") == "nightly"
SEED = int(os.environ.get("FAULTS_SEED", "0"))
LIMIT = 200  # seconds that a child may take to start, to work, to end
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["tests.faults.test_kills", "mirai.training.fit", "mirai.extraction", "transformers.models.roberta", "pandas"]
    + ["transformers.models.wav2vec2", "sklearn.metrics", "torch_geometric.nn", "pytorch_lightning.loggers"]
)


def kills(few, many):
    """How many kills a test does: in the normal suite, in the nightly mode."""
    return many if NIGHTLY else few


class Failed(Exception):
    """The work ended in an error by itself."""


def run_child(work, kill_after=None, file_size=None):
    """Do `work()` in a child process.

    Args:
        work: can be pickled: a function of a module, or a `functools.partial` of one.
        kill_after: seconds after which it is killed with SIGKILL.
        file_size: bytes; no file of the child can grow beyond, as if the disk were full.
    Returns:
        float or None: the seconds that it took, or None if it was killed before its end.
    Raises:
        Failed: it ended with an error, or did not end in `LIMIT` seconds; the message is the error's.
    """
    ours, theirs = PROCESSES.Pipe()
    child = PROCESSES.Process(target=_be_child, args=(work, theirs, file_size), daemon=True)
    child.start()
    theirs.close()
    try:
        _receive(ours, "start")
        began = time.perf_counter()
        if kill_after is not None and not wait([child.sentinel], kill_after):
            return None
        if not wait([child.sentinel], LIMIT):
            raise Failed(f"did not end in {LIMIT} s")
        seconds = time.perf_counter() - began
        if error := _receive(ours, "end"):
            raise Failed(error)
        return seconds
    finally:
        child.kill()
        child.join(LIMIT)
        ours.close()


def _receive(connection, what):
    if not connection.poll(LIMIT):
        raise Failed(f"did not {what} in {LIMIT} s")
    try:
        return connection.recv()
    except (EOFError, OSError):
        raise Failed(f"was gone before its {what}") from None


def _be_child(work, tell, file_size):
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    tqdm.set_lock(threading.RLock())  # the usual one is shared by all that is forked: whoever dies in it, keeps it
    if file_size is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    tell.send("ready")
    try:
        work()
    except BaseException as error:  # whatever it is, the test hears of it
        tell.send(f"{type(error).__name__}: {error}"[:60_000])
        os._exit(1)
    tell.send(None)
    os._exit(0)


def kill_often(work, number, check, name, reset=lambda: None):
    """Kill `work()` `number` times, at random moments of its course; `check()` after each, and after its end.

    Args:
        name: of the test; with FAULTS_SEED it decides the moments.
        reset: called when the work has come to its end, so that it has something to do again.
    """
    chance = random.Random(f"{name} {SEED}")
    course = run_child(work)
    check()
    reset()
    killed = 0
    for _ in range(20 * number):
        if killed == number:
            break
        seconds = run_child(work, kill_after=chance.uniform(0, course))
        check()
        if seconds is None:
            killed += 1
        else:
            course = min(course, seconds)
            reset()
    assert killed == number, f"{killed} of {number} kills came before the end"
    run_child(work)
    check()
