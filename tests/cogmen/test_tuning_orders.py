"""Worker in every order: several processes, played by threads of which one at a time goes on to its next call of the
storage, drawn by a seed; and any of them may be killed at any call."""

import random
import threading
from collections import Counter
from types import SimpleNamespace

import optuna
import pytest
from optuna.trial import TrialState

from cogmen.tuning import study as module
from cogmen.tuning.study import ENDED, GIVEN_BACK, MAX_RETRIES, Worker

WORKERS, PLACES, KILLS = 6, 8, 5
MOST_CALLS = 20_000  # of all workers together, a hundred times what they need


class Killed(BaseException):
    """Ends a thread as SIGKILL ends a process."""


class Machine:
    """Workers that share a study; `run` ends when all have, as killed or as done."""

    def __init__(self, seed):
        self.random, self.kills, self.calls, self.clock = random.Random(seed), KILLS, 0, 0
        self.alive, self.next, self.change, self.error = set(range(WORKERS)), None, threading.Condition(), None
        self.study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=seed))

    def is_claimed(self, name):
        return int(name) in self.alive

    def monotonic(self):
        self.clock += 1
        return self.clock

    def step(self, me):
        """Wait until it is this worker's turn."""
        with self.change:
            self.next = None
            self.change.notify_all()
            assert self.change.wait_for(lambda: self.next == me or self.calls > MOST_CALLS, timeout=60)
            self.calls += 1
        if self.calls > MOST_CALLS:
            raise Killed
        if self.kills and len(self.alive) > 1 and self.random.random() < 0.08:
            self.kills -= 1
            raise Killed

    def storage(self, me):
        """The study, whose every call is a step of this worker."""

        def stepwise(name):
            def call(*arguments, **options):
                self.step(me)
                return getattr(self.study, name)(*arguments, **options)

            return call

        return SimpleNamespace(**{name: stepwise(name) for name in ("ask", "tell", "enqueue_trial", "get_trials")})

    def work(self, me):
        try:
            self.step(me)
            worker = Worker(self.storage(me), me, stale_minutes=4)
            while not worker.finished(PLACES):
                worker.recover()
                if trial := worker.take(PLACES):
                    trial.suggest_float("x", 0, 1)
                    self.step(me)
                    self.step(me)
                    self.study.tell(trial, 0.5, skip_if_finished=True)
        except Killed:
            pass
        except Exception as error:
            self.error = error
        with self.change:
            self.alive.remove(me)
            self.next = None
            self.change.notify_all()

    def run(self):
        threads = [threading.Thread(target=self.work, args=(me,), daemon=True) for me in sorted(self.alive)]
        for thread in threads:
            thread.start()
        with self.change:
            while self.change.wait_for(lambda: self.next is None, timeout=60) and self.alive:
                self.next = self.random.choice(sorted(self.alive))
                self.change.notify_all()
        for thread in threads:
            thread.join(timeout=60)


@pytest.fixture(autouse=True)
def quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    yield
    optuna.logging.set_verbosity(before)


@pytest.mark.parametrize("seed", range(60))
def test_no_order_of_workers_loses_or_doubles_a_trial(seed, monkeypatch):
    machine = Machine(seed)
    monkeypatch.setattr(module, "is_claimed", machine.is_claimed)
    monkeypatch.setattr(module, "time", machine)
    machine.run()
    assert machine.error is None and machine.calls <= MOST_CALLS
    trials = machine.study.get_trials(deepcopy=False)
    ended = [trial.params["x"] for trial in trials if trial.state in ENDED]
    assert len(ended) == len(set(ended)) == PLACES
    failed = Counter(
        trial.system_attrs.get("fixed_params", trial.params).get("x")
        for trial in trials
        if trial.state == TrialState.FAIL and trial.user_attrs.get("reason") != GIVEN_BACK
    )
    lost = [x for x, times in failed.items() if x is not None and x not in ended and times <= MAX_RETRIES]
    assert not lost
