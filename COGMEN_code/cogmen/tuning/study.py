"""A study that many processes work on: its storage, who may start a trial, the trials of killed processes.

Optuna keeps the trials, in a journal file or in PostgreSQL. A trial *takes a place* while it waits, runs, or has ended
as complete or pruned; failed ones do not. Places are counted by trial number, and a process that finds its new trial
beyond the last place gives it back, so that the processes together end with exactly the number of trials asked for.

A killed process is known, on the same machine, by the lock of a file that each process claims; elsewhere, by a trial
that reports no epoch for some minutes. Its options are queued again and it is marked as failed, in this order: a trial
and its retries have one place together, so that nobody else takes it in between. Optuna's own heartbeat and
`MaxTrialsCallback` promise less: none for a journal file, a trial whose process is killed before its first beat runs
for ever, and processes that stop at N trials together end with more, or leave a retry undone.
"""

import contextlib
import json
import os
import socket
import time
from pathlib import Path

import optuna
import sqlalchemy.exc
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import TrialState

from erc.files import is_claimed
from erc.options import UserError

MAX_RETRIES = 2  # of a trial whose processes are killed: its options may be what kills them
PLACED = (TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


def open_study(storage, name, settings, pruner):
    """The study of this name in `storage`; made if it is not there.

    Args:
        storage: a journal file's path, or a `postgresql+psycopg://` URL.
        settings: by option, what every trial of the study shares; all processes must agree.
    Raises:
        UserError: the storage cannot be opened, or the study was begun with other settings.
    """
    study = optuna.create_study(
        storage=_open(storage), study_name=name, direction="maximize", pruner=pruner, load_if_exists=True
    )
    if "settings" not in study.user_attrs:
        study.set_user_attr("settings", settings)
    before = study.user_attrs["settings"]
    differing = [
        f"{key} {settings.get(key)} (it was {before.get(key)})"
        for key in sorted(set(before) | set(settings))
        if before.get(key) != settings.get(key)
    ]
    if differing:
        raise UserError(
            f"--study {name}: was begun with other options: {', '.join(differing)}; give the same, or another name"
        )
    return study


def _open(storage):
    if "://" not in str(storage):
        path = Path(storage)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _mend(path)
            return JournalStorage(JournalFileBackend(str(path)))
        except (ValueError, KeyError):
            raise UserError(
                f"--storage {path}: not a journal file of Optuna's, or damaged; give another --storage"
            ) from None
    url = sqlalchemy.engine.make_url(storage)
    shown = url.render_as_string(hide_password=True)
    for last in (False, False, True):
        try:
            return RDBStorage(storage, engine_kwargs={"pool_pre_ping": True})
        except sqlalchemy.exc.OperationalError as error:
            reason = str(error.orig).strip().splitlines()[-1]
            raise UserError(f"--storage {shown}: cannot be reached: {reason}") from None
        except sqlalchemy.exc.DBAPIError:
            if last:  # the processes that made the tables at the same moment have had their time
                raise
            time.sleep(0.5)


def _mend(path):
    """Cut off the half-written last line that a power failure leaves: Optuna would stumble over it for ever.

    Raises:
        ValueError: a line is not a journal's.
    """
    if not path.exists():
        return
    lock = JournalFileSymlinkLock(str(path))
    lock.acquire()
    try:
        with path.open("rb+") as file:
            content = file.read()
            whole = content.rfind(b"\n") + 1
            for line in content[:whole].splitlines():
                json.loads(line)
            file.truncate(whole)
    finally:
        lock.release()


class Worker:
    """This process among those that work on a study.

    Args:
        study: of `open_study`.
        claimed: a path that this process has claimed (`erc.files.claim`) for as long as it works.
        stale_minutes: a trial on another machine that has reported nothing for so long is taken for dead.
    """

    def __init__(self, study, claimed, stale_minutes):
        self._study, self._claimed, self._patience = study, str(claimed), 60 * stale_minutes
        self._seen = {}  # by trial number: (epochs reported, when this was first seen)

    def take(self, places):
        """A new trial of the study, or None if the first `places` are taken."""
        placed = self._placed()[:places]
        if len(placed) == places and all(trial.state != TrialState.WAITING for trial in placed):
            return None
        trial = self._study.ask()
        trial.set_user_attr("worker", {"host": socket.gethostname(), "pid": os.getpid(), "claim": self._claimed})
        if trial.number in [taken.number for taken in self._placed()[:places]]:
            return trial
        trial.set_user_attr("reason", "another process took the last place")
        given_back = self._study.get_trials(deepcopy=False)[trial.number]
        self._queue(given_back, given_back.user_attrs.get("retries", 0))
        self._study.tell(trial, state=TrialState.FAIL)
        return None

    def finished(self, places):
        """Whether as many trials have ended as there are places."""
        return len(self._trials(*ENDED)) >= places

    def give_up(self, trial, reason):
        """Mark a trial of this process as failed, and queue its options for whoever comes next."""
        with contextlib.suppress(UpdateFinishedTrialError):
            trial.set_user_attr("reason", reason)
        self._retry(trial.number)

    def recover(self):
        """Mark the trials of killed processes as failed and queue their options again; returns their numbers."""
        dead = [trial.number for trial in self._trials(TrialState.RUNNING) if self._is_dead(trial)]
        return [number for number in dead if self._retry(number)]

    def _trials(self, *states):
        return self._study.get_trials(deepcopy=False, states=states)

    def _placed(self):
        """The trials that take a place, in order; of a trial and its retries the first that is not marked."""
        placed = {}
        for trial in self._trials(*PLACED):
            placed.setdefault(_first(trial), trial)
        return list(placed.values())

    def _is_dead(self, trial):
        worker = trial.user_attrs.get("worker", {})
        held = is_claimed(worker["claim"]) if worker.get("host") == socket.gethostname() else None
        if held is not None:
            return not held
        reported, now = len(trial.intermediate_values), time.monotonic()
        if self._seen.get(trial.number, (None,))[0] != reported:
            self._seen[trial.number] = reported, now
        return now - self._seen[trial.number][1] >= self._patience

    def _retry(self, number):
        """Whether it was this process that marked the trial."""
        trial = self._study.get_trials(deepcopy=False)[number]
        if trial.state.is_finished():
            return False
        self._queue(trial, trial.user_attrs.get("retries", 0) + 1)
        try:
            self._study.tell(number, state=TrialState.FAIL)
        except (UpdateFinishedTrialError, ValueError):  # another process was first
            return False
        return True

    def _queue(self, trial, retries):
        """Queue the options of a trial that is about to be marked, unless they are done or another process has."""
        options = trial.system_attrs.get("fixed_params", trial.params)  # a retry may be killed before it has drawn all
        first = _first(trial)
        others = [t for t in self._trials(*PLACED) if _first(t) == first and t.number != trial.number]
        queued = any(t.state in ENDED or t.user_attrs.get("retries", 0) >= retries for t in others)
        if options and retries <= MAX_RETRIES and not queued:
            self._study.enqueue_trial(options, user_attrs={"retries": retries, "retry_of": first})


def _first(trial):
    """The number of the trial that this one repeats, or its own."""
    return trial.user_attrs.get("retry_of", trial.number)
