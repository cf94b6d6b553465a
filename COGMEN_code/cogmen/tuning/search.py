"""The search for better training options: trials on the dev dialogues, shared by any number of processes.

`search` is what both `tune.py` and `train.py --tuning` do. The test dialogues never reach it.
"""

import contextlib
import hashlib
import time
import uuid
import warnings

import optuna
import torch
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import PartialFixedSampler, TPESampler
from optuna.trial import TrialState

from cogmen.run import build_network, prepare, run_name
from cogmen.training import Diverged, train
from cogmen.tuning import report
from cogmen.tuning.space import METRIC, SPACE, comet_config
from cogmen.tuning.study import Worker, open_study
from erc.files import claim, write_json
from erc.options import UserError, to_dict
from erc.tracking import Comet, comet_key

# Options of a place, a name or a record: they change no score, so best_options.json leaves them to whoever uses it.
_NOT_KEPT = {"preprocessed_feature", "tag", "out_dir", "device", "tuning", "options", "resume", "save_every", "compile"}
_NOT_KEPT |= {"log_in_comet", "comet_workspace"}


def search(options, given, trainer=train):
    """Work on the study until it has its trials, print the best ones and write the best one's options.

    Args:
        options: `TuneOptions`.
        given: names of the options that the user gave; they stay as they are, the rest of `SPACE` is searched.
        trainer: trains a trial's network, as `cogmen.training.train` does.
    Raises:
        UserError: nothing is left to search, the storage cannot be opened, the study was begun with other options.
    """
    experiment = prepare(options, splits=("train", "dev"))
    settled = {"wf": options.online, "class_weight": experiment.corpus.multilabel}  # by another option, by the corpus
    names = [name for name in SPACE if name not in given and not settled.get(name)]
    if not names:
        raise UserError(f"every option that a search varies is given: leave out one of {', '.join(SPACE)}")
    options.study = options.study or run_name(options)  # which the data's corpus is part of
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = options.storage or options.folder / "journal.log"
    study = open_study(storage, options.study, _settings(options, names, experiment), _pruner(options))
    optimizer = _comet_optimizer(options, study, names) if options.log_in_comet and comet_key(options) else None
    fixed = ", ".join(sorted(set(SPACE) - set(names))) or "none of them"
    print(f"study {options.study}: searching {', '.join(names)}; fixed: {fixed}")
    waiting, name = False, options.folder.resolve() / "workers" / uuid.uuid4().hex
    with claim(name):
        worker = Worker(study, name, options.stale_minutes)
        while not worker.finished(options.trials):
            for number in worker.recover():
                print(f"trial {number}: its process was killed; its options are tried again")
            trial = worker.take(options.trials)
            if trial is None:  # the last ones are running in other processes, one of which may be killed
                if not waiting:
                    print("waiting for trials that run in other processes")
                waiting = True
                time.sleep(1)
                continue
            try:
                _run(trial, study, options, names, experiment, optimizer, trainer)
            except BaseException as error:
                worker.give_up(trial, f"{type(error).__name__}: {error}")
                if not isinstance(error, UserError):
                    raise
                raise UserError(f"trial {trial.number}: {error}; the same command goes on with the study") from error
            _write(options, study, names)
    _write(options, study, names)
    report.show(options, study, names)


def _run(trial, study, options, names, experiment, optimizer, trainer):
    """Train with the trial's options and record in the study how it ended."""
    suggested = _choose_sampler(trial, study, options, names, optimizer)
    values = {name: SPACE[name].suggest(trial, name) for name in names}
    chosen = options.of_trial(values)
    record = Comet(chosen, f"{options.study}_{trial.number}", suggested) if options.log_in_comet else None

    def on_epoch(row):
        if record:
            record.epoch(row)
        trial.report(row[METRIC], row["epoch"])
        if row["epoch"] < chosen.epochs and trial.should_prune():
            raise optuna.TrialPruned

    result, state, reason = None, TrialState.PRUNED, None
    try:
        network, dialogues = build_network(chosen, experiment), experiment.dialogues
        _, result, _ = trainer(
            network, dialogues["train"], dialogues["dev"], experiment.corpus, chosen, experiment.device, on_epoch
        )
        state = TrialState.COMPLETE
    except (optuna.TrialPruned, UpdateFinishedTrialError):
        pass  # the latter: silent for so long that another process has the trial now
    except Diverged as error:
        reason = str(error)  # with these options; others may do
    except Exception as error:
        if not any(isinstance(one, torch.OutOfMemoryError) for one in (error, error.__context__)):
            raise
        reason = "out of GPU memory"  # for these options; others may fit
    finally:
        if record:
            record.close()
    if reason:
        with contextlib.suppress(UpdateFinishedTrialError):  # as above
            trial.set_user_attr("reason", reason)
    study.tell(trial, result, state, skip_if_finished=True)
    outcome = report.outcome(study.get_trials(deepcopy=False)[trial.number])
    print(f"trial {trial.number}: {outcome}; {report.in_words(values)}")


def _choose_sampler(trial, study, options, names, optimizer):
    """Set what draws the trial's options; returns Comet's experiment if Comet's Optimizer suggests them."""
    # A seed of each trial's own: processes with the same one would draw the same options.
    sampler = TPESampler(seed=(options.seed * 1_000_003 + trial.number) % 2**32, multivariate=False)
    suggested, fixed = None, {}
    if trial.number == 0:
        fixed = {name: getattr(options, name) for name in names}  # the published ones, for comparison
    elif optimizer and not trial.user_attrs.get("retries"):
        suggested = optimizer.next(workspace=options.comet_workspace)  # None: Comet has no more
        if suggested:
            fixed = {name: SPACE[name].from_comet(suggested.get_parameter(name)) for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # there since Optuna 2.4
        study.sampler = PartialFixedSampler(fixed, sampler) if fixed else sampler
    return suggested


def _comet_optimizer(options, study, names):
    """Comet's Optimizer, one for all processes of the study: its id is kept there."""
    import comet_ml

    config = study.user_attrs.get("comet_optimizer") or comet_config(names)
    try:
        optimizer = comet_ml.Optimizer(config, api_key=comet_key(options), verbose=0)
    except Exception as error:  # a library that talks to a server raises nearly anything
        raise UserError(
            f"--comet_api_key: Comet's Optimizer cannot be used ({error}); without a key, Optuna does the search"
        ) from None
    study.set_user_attr("comet_optimizer", optimizer.id)
    return optimizer


def _pruner(options):
    return {
        "median": optuna.pruners.MedianPruner(n_warmup_steps=options.epochs // 10),
        "hyperband": optuna.pruners.HyperbandPruner(max_resource=options.epochs),
        "none": optuna.pruners.NopPruner(),
    }[options.pruner]


def _kept(chosen):
    return {name: value for name, value in to_dict(chosen).items() if name not in _NOT_KEPT and value is not None}


def _settings(options, names, experiment):
    """What all processes of a study must agree on."""
    fixed = {f"--{name}": value for name, value in _kept(options.of_trial({})).items() if name not in names}
    data = hashlib.sha256()
    for dialogue in [*experiment.dialogues["train"], *experiment.dialogues["dev"]]:
        data.update(dialogue.identity(options.modalities))
        data.update(dialogue.labels.tobytes())
    searched = {name: repr(SPACE[name]) for name in names}
    return {**fixed, "--pruner": options.pruner, "options searched": searched, "dialogues": data.hexdigest()[:16]}


def _write(options, study, names):
    """trials.csv, and best_options.json if a trial was trained to the end."""
    report.write_trials(options.folder / "trials.csv", study, names)
    if best := report.complete(study):
        write_json(options.folder / "best_options.json", _kept(options.of_trial(best[0].params)))
