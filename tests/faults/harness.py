"""Work that is killed at any moment."""

import os
import random

from tests.children import run_child

NIGHTLY = os.environ.get("FAULTS") == "nightly"
SEED = int(os.environ.get("FAULTS_SEED", "0"))


def kills(few, many):
    """How many kills a test does: in the normal suite, in the nightly mode."""
    return many if NIGHTLY else few


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
