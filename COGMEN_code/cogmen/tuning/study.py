"""A study that many processes work on: its storage, who may start a trial, the trials of killed processes.

Optuna keeps the trials, in a journal file or in PostgreSQL. A trial *takes a place* while it waits, runs, or has ended
as complete or pruned; failed ones do not. Places are counted by trial number, and a process that finds its new trial
beyond the last place gives it back, so that the processes together end with exactly the number of trials asked for.

A killed process is known, on the same machine, by the lock of a file that each process claims; elsewhere, by a trial
that reports no epoch for some minutes. Such a trial is marked as failed. It and its retries have one place together,
which they keep as long as a retry is due; whoever asks for a trial queues the retries that are due, so nothing is lost
between the mark and the queue. Optuna's own heartbeat and `MaxTrialsCallback` promise less: none for a journal file, a
trial whose process is killed before its first beat runs for ever, and processes that stop at N trials together end with
more, or leave a retry undone.
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
TAKEN = (TrialState.RUNNING, *ENDED)
GIVEN_BACK = "another process took the last place"


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
        groups = self._groups()[:places]
        for trials in groups:
            if _holder(trials) is None:
                options, failed = _due(trials)
                self._study.enqueue_trial(options, user_attrs={"retries": failed, "retry_of": _first(trials[0])})
        if len(groups) == places and all(getattr(_holder(trials), "state", None) in TAKEN for trials in groups):
            return None
        trial = self._study.ask()
        try:
            trial.set_user_attr("worker", {"host": socket.gethostname(), "pid": os.getpid(), "claim": self._claimed})
            if trial.number in [holder.number for trials in self._groups()[:places] if (holder := _holder(trials))]:
                return trial
        except BaseException:  # nobody could know that it is nobody's
            self.give_up(trial, GIVEN_BACK)
            raise
        self.give_up(trial, GIVEN_BACK)
        return None

    def finished(self, places):
        """Whether as many trials have ended as there are places."""
        return len(self._trials(*ENDED)) >= places

    def give_up(self, trial, reason):
        """Mark a trial of this process as failed; its options are tried again, unless it was only given back."""
        with contextlib.suppress(UpdateFinishedTrialError):
            trial.set_user_attr("reason", reason)
        self._mark(trial.number)

    def recover(self):
        """Mark the trials of killed processes, so that their options are tried again; returns the numbers."""
        dead = [trial.number for trial in self._trials(TrialState.RUNNING) if self._is_dead(trial)]
        return [number for number in dead if self._mark(number)]

    def _trials(self, *states):
        return self._study.get_trials(deepcopy=False, states=states or None)

    def _groups(self):
        """The trials by place, in order: a trial with its retries, unless all are marked and no further one is due."""
        groups = {}
        for trial in self._trials():
            groups.setdefault(_first(trial), []).append(trial)
        return [trials for trials in groups.values() if _holder(trials) or _due(trials)]

    def _is_dead(self, trial):
        worker = trial.user_attrs.get("worker", {})
        held = is_claimed(worker["claim"]) if worker.get("host") == socket.gethostname() else None
        if held is not None:
            return not held
        reported, now = len(trial.intermediate_values), time.monotonic()
        if self._seen.get(trial.number, (None,))[0] != reported:
            self._seen[trial.number] = reported, now
        return now - self._seen[trial.number][1] >= self._patience

    def _mark(self, number):
        """Whether it was this process that marked the trial as failed."""
        try:
            self._study.tell(number, state=TrialState.FAIL)
        except (UpdateFinishedTrialError, ValueError):  # another process was first
            return False
        return True


def _first(trial):
    """The number of the trial that this one repeats, or its own."""
    return trial.user_attrs.get("retry_of", trial.number)


def _holder(trials):
    """Of a trial and its retries the first that is not marked as failed, or None."""
    return next((trial for trial in trials if trial.state in PLACED), None)


def _due(trials):
    """(options, how often they failed) of a trial and its retries that all failed, if they are to be tried again; else
    None."""
    failed = [trial for trial in trials if trial.user_attrs.get("reason") != GIVEN_BACK]
    if not 0 < len(failed) <= MAX_RETRIES:
        return None
    # A retry may be killed before it has drawn all.
    options = failed[-1].system_attrs.get("fixed_params", failed[-1].params)
    return (options, len(failed)) if options else None
