"""Work in real processes that are killed: a forked child, in which all is imported already, does it."""

import os
import random
import resource
import select
import signal
import time

NIGHTLY = os.environ.get("FAULTS") == "nightly"
SEED = int(os.environ.get("FAULTS_SEED", "0"))


def kills(few, many):
    """How many kills a test does: in the normal suite, in the nightly mode."""
    return many if NIGHTLY else few


class Failed(Exception):
    """The work ended in an error by itself."""


def run_child(work, kill_after=None, file_size=None):
    """Do `work()` in a forked child.

    Args:
        kill_after: seconds after which it is killed with SIGKILL.
        file_size: bytes; no file of the child can grow beyond, as if the disk were full.
    Returns:
        float or None: the seconds that it took, or None if it was killed before its end.
    Raises:
        Failed: it ended with an error; the message is what it printed last.
    """
    told, tell = os.pipe()
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        _be_child(work, tell, file_size)
    os.close(tell)
    handle = os.pidfd_open(child)
    try:
        watch = select.poll()
        watch.register(handle, select.POLLIN)
        if not watch.poll(None if kill_after is None else 1000 * kill_after):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        seconds = time.perf_counter() - began
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            return None
        if status:
            raise Failed(os.read(told, 60_000).decode())
        return seconds
    finally:
        os.close(handle)
        os.close(told)


def _be_child(work, tell, file_size):
    code = 1
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        if file_size is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
        work()
        code = 0
    except BaseException as error:  # whatever it is, the parent hears of it
        os.write(tell, f"{type(error).__name__}: {error}".encode()[:60_000])
    finally:
        os._exit(code)


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
