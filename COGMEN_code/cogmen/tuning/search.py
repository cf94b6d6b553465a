"""The search for better training options: trials on the dev dialogues, shared by any number of processes.

`search` is what both `tune.py` and `train.py --tuning` do. The test dialogues never reach it.
"""

import dataclasses
import hashlib
import time
import warnings
from dataclasses import dataclass

import torch

from cogmen.run import build_network, prepare, run_name
from cogmen.training import TrainOptions, train
from cogmen.tuning.space import METRIC, SPACE, comet_config
from erc.files import write_json
from erc.options import UserError, option, to_dict
from erc.tracking import Comet, comet_key

# Options of a place, a name or a record: they change no score, so best_options.json leaves them to whoever uses it.
_NOT_KEPT = {"preprocessed_feature", "tag", "out_dir", "device", "tuning", "options", "resume", "save_every", "compile"}
_NOT_KEPT |= {"log_in_comet", "comet_workspace"}


def _no_option(default):
    return dataclasses.field(default=default, init=False)


@dataclass
class TuneOptions(TrainOptions):
    """Those of `train.py` without what a search decides itself, and the search's own."""

    trials: int = option(50, "trials of the study, those of all its processes and of earlier runs together")
    study: str | None = option(None, "name of the study (default: DATASET_MODALITIES_TAG)")
    storage: str | None = option(
        None, "journal file, or postgresql+psycopg://USER@HOST/DATABASE (default: OUT_DIR/tuning/STUDY/journal.log)"
    )
    pruner: str = option("median", "which unpromising trials end early", choices=("median", "hyperband", "none"))
    stale_minutes: float = option(
        10.0, "a trial on another machine that has ended no epoch for so long is given to someone else"
    )
    from_begin: bool = _no_option(True)
    model_ckpt: None = _no_option(None)
    tuning: bool = _no_option(True)
    resume: bool = _no_option(False)
    save_every: float = _no_option(60.0)
    compile: bool = _no_option(False)  # each trial would, anew

    def __post_init__(self):
        super().__post_init__()
        self.study = self.study or run_name(self)
        if "/" in self.study or self.study in (".", ".."):
            raise ValueError(f"--study {self.study}: expected a name without slashes")
        if self.trials < 1:
            raise ValueError(f"--trials {self.trials}: expected at least 1")
        if not self.stale_minutes > 0:
            raise ValueError(f"--stale_minutes {self.stale_minutes:g}: expected more than 0")
        self.log_in_comet = self.log_in_comet or self.comet_api_key is not None  # its Optimizer works through its log
        scheme, remote, _ = (self.storage or "").partition("://")
        if remote and scheme != "postgresql+psycopg":
            raise ValueError(f"--storage: expected a journal file or postgresql+psycopg://..., found {scheme}://")

    @classmethod
    def of(cls, options):
        """The search that `train.py --tuning` makes: its options, and the defaults of the rest."""
        names = [field.name for field in dataclasses.fields(cls) if field.init and hasattr(options, field.name)]
        return cls(**{name: getattr(options, name) for name in names})

    @property
    def folder(self):
        return self.out_dir / "tuning" / self.study


def search(options, given):
    """Work on the study until it has its trials, show the best ones and write the best one's options.

    Args:
        options: `TuneOptions`.
        given: names of the options that the user gave; they stay as they are, the rest of `SPACE` is searched.
    Raises:
        UserError: nothing is left to search, the storage cannot be opened, the study was begun with other options.
    """
    names = [name for name in SPACE if name not in given]
    if not names:
        raise UserError(f"every option that a search varies is given: leave out one of {', '.join(SPACE)}")
    experiment = prepare(options, splits=("train", "dev"))

    import optuna

    from cogmen.tuning.report import show
    from cogmen.tuning.study import Workers, open_study

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = options.storage or options.folder / "journal.log"
    study = open_study(storage, options.study, _settings(options, names, experiment), _pruner(options))
    suggestions = _CometSuggestions(options, study, names) if options.log_in_comet and comet_key(options) else None
    fixed = ", ".join(sorted(set(SPACE) - set(names))) or "none of them"
    print(f"study {options.study}: searching {', '.join(names)}; fixed: {fixed}")
    waiting = False
    with Workers(study, options.folder / "workers", options.stale_minutes) as workers:
        while not workers.finished(options.trials):
            for number in workers.recover():
                print(f"trial {number}: its process was killed; its options are tried again")
            trial = workers.take(options.trials)
            if trial is None:  # the last ones are running in other processes, one of which may be killed
                if not waiting:
                    print("waiting for trials that run in other processes")
                waiting = True
                time.sleep(1)
                continue
            try:
                _run(trial, study, options, names, experiment, suggestions)
            except BaseException as error:
                workers.give_up(trial, f"{type(error).__name__}: {error}")
                if not isinstance(error, UserError):
                    raise
                raise UserError(f"trial {trial.number}: {error}; the same command goes on with the study") from error
            _write(options, study, names)
    _write(options, study, names)
    show(options, study, names)


def _run(trial, study, options, names, experiment, suggestions):
    """Train with the trial's options and tell the study what came of it."""
    import optuna

    from cogmen.tuning.report import in_words, outcome

    experiment_of_comet = _choose_sampler(trial, study, options, names, suggestions)
    values = {name: SPACE[name].suggest(trial, name) for name in names}
    chosen = TrainOptions(**{**_shared(options), **values})
    record = None
    if options.log_in_comet or experiment_of_comet:
        record = Comet(chosen, f"{options.study}_{trial.number}", experiment_of_comet)

    def on_epoch(row):
        if record:
            record.epoch(row)
        trial.report(row[METRIC], row["epoch"])
        if row["epoch"] < chosen.epochs and trial.should_prune():
            raise optuna.TrialPruned

    result, state = None, optuna.trial.TrialState.PRUNED
    try:
        network = build_network(chosen, experiment)
        dialogues = experiment.dialogues
        _, result, _ = train(network, dialogues["train"], dialogues["dev"], chosen, experiment.device, on_epoch)
        state = optuna.trial.TrialState.COMPLETE
    except optuna.TrialPruned:
        pass
    except optuna.exceptions.UpdateFinishedTrialError:
        pass  # silent for so long that another process has the trial now
    except Exception as error:
        if not any(isinstance(one, torch.OutOfMemoryError) for one in (error, error.__context__)):
            raise
        trial.set_user_attr("reason", "out of GPU memory")  # for these options; others may fit
    finally:
        if record:
            record.close()
    study.tell(trial, result, state, skip_if_finished=True)
    print(f"trial {trial.number}: {outcome(study.get_trials(deepcopy=False)[trial.number])}; {in_words(values)}")


def _choose_sampler(trial, study, options, names, suggestions):
    """Who draws the trial's options; returns Comet's experiment if it is Comet's Optimizer."""
    import optuna
    from optuna.samplers import PartialFixedSampler, TPESampler

    # A seed of each trial's own: processes with the same one would draw the same options.
    sampler = TPESampler(seed=(options.seed * 1_000_003 + trial.number) % 2**32, multivariate=False)
    experiment, fixed = None, {}
    if trial.number == 0:
        fixed = {name: getattr(options, name) for name in names}  # the published ones, for comparison
    elif suggestions and not trial.user_attrs.get("retries"):
        experiment, fixed = suggestions.next()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # there since Optuna 2.4
        study.sampler = PartialFixedSampler(fixed, sampler) if fixed else sampler
    return experiment


class _CometSuggestions:
    """Comet's Optimizer, one for all processes of the study: its id is kept there."""

    def __init__(self, options, study, names):
        import comet_ml

        self._options, self._names = options, names
        config = study.user_attrs.get("comet_optimizer") or comet_config(names)
        try:
            self._optimizer = comet_ml.Optimizer(config, api_key=comet_key(options), verbose=0)
        except Exception as error:  # a library that talks to a server raises nearly anything
            raise UserError(
                f"--comet_api_key: Comet's Optimizer cannot be used ({error}); without a key, Optuna does the search"
            ) from None
        study.set_user_attr("comet_optimizer", self._optimizer.id)

    def next(self):
        """(Comet's experiment, options that it suggests); (None, {}) when Comet has no more."""
        experiment = self._optimizer.next(workspace=self._options.comet_workspace)
        if experiment is None:
            return None, {}
        return experiment, {name: SPACE[name].from_comet(experiment.get_parameter(name)) for name in self._names}


def _pruner(options):
    import optuna

    if options.pruner == "none":
        return optuna.pruners.NopPruner()
    if options.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(max_resource=options.epochs)
    return optuna.pruners.MedianPruner(n_warmup_steps=options.epochs // 10)


def _shared(options):
    """What every trial of the search has in common, as `TrainOptions` take it."""
    fields = [field.name for field in dataclasses.fields(TrainOptions)]
    return {**{name: getattr(options, name) for name in fields}, "tuning": False, "options": None}


def _kept(chosen):
    return {name: value for name, value in to_dict(chosen).items() if name not in _NOT_KEPT and value is not None}


def _settings(options, names, experiment):
    """What all processes of a study must agree on."""
    fixed = {f"--{name}": v for name, v in _kept(TrainOptions(**_shared(options))).items() if name not in names}
    data = hashlib.sha256()
    for dialogue in [*experiment.dialogues["train"], *experiment.dialogues["dev"]]:
        data.update(dialogue.joined(options.modalities).tobytes() + dialogue.labels.tobytes())
    searched = {name: repr(SPACE[name]) for name in names}
    return {**fixed, "--pruner": options.pruner, "options searched": searched, "dialogues": data.hexdigest()[:16]}


def _write(options, study, names):
    """trials.csv, and best_options.json if a trial was trained to the end."""
    from cogmen.tuning.report import complete, write_trials

    write_trials(options.folder / "trials.csv", study, names)
    if best := complete(study):
        chosen = TrainOptions(**{**_shared(options), **best[0].params})
        write_json(options.folder / "best_options.json", _kept(chosen))
