"""Where the numbers of a training go while it runs: TensorBoard's event files, and Comet with `--log_in_comet`.

Comet gets what is logged here and nothing else: no code, no output, no host names. With a key it is sent to comet.com;
without one, or without a network, it becomes an archive in OUT_DIR/comet/ for `comet upload`. comet_ml is imported only
then. Trouble with Comet is noted once and never ends a training.
"""

import contextlib
import itertools
import logging
import os
from pathlib import Path

from erc.options import printable, to_dict

PROJECT = "korean-merc"
KEY_VARIABLE = "COMET_API_KEY"
# What Comet would log by itself.
_AUTOMATIC = ("log_code", "log_graph", "parse_args", "log_git_metadata", "log_git_patch", "log_env_details")
_AUTOMATIC += ("auto_output_logging", "auto_param_logging", "auto_metric_logging", "auto_log_co2")


def check_comet_options(options, searching=False):
    """Refuse Comet's options where nothing uses them; a search needs no more than the key.

    Raises:
        ValueError: names the flag.
    """
    logged = options.log_in_comet or (searching and options.comet_api_key)
    for name in ("comet_api_key", "comet_workspace"):
        if getattr(options, name) and not logged:
            raise ValueError(f"--{name}: needs --log_in_comet")


def comet_key(options):
    """The key that `--comet_api_key` or the environment gives, or None."""
    return options.comet_api_key or os.environ.get(KEY_VARIABLE) or None


class Tracker:
    """The records of one training run; a context manager, so that they are complete whatever ends the run.

    Args:
        options: `cogmen.training.TrainOptions`.
        name: of the run; its event files go to OUT_DIR/tensorboard/NAME/version_N.
    """

    def __init__(self, options, name):
        self._records = [TensorBoard(options.out_dir / "tensorboard" / name)]
        if options.log_in_comet:
            self._records.append(Comet(options, name))

    def epoch(self, row):
        """Record a row of the training's history: `epoch` and its scores."""
        for record in self._records:
            record.epoch(row)

    def result(self, split, result, emotions):
        """Record the scores, as `erc.corpus.metrics.scores` returns them, of the finished network on a split."""
        for record in self._records:
            record.result(split, result, emotions)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for record in self._records:
            record.close()


class _Record:
    """The numbers of a training, by epoch and split."""

    _last = 0  # epoch

    def epoch(self, row):
        """Record the scores of an epoch: a dict with `epoch`."""
        self._last = row["epoch"]
        self._add({name: value for name, value in row.items() if name != "epoch"})

    def result(self, split, result, emotions):
        """Record the scores of a split."""
        self._add({f"{split}_{name}": result[name] for name in ("accuracy", "weighted_f1", "macro_f1", "uar")})


class TensorBoard(_Record):
    """Event files in a `version_N` of their own; made with the first number, so that a run that fails leaves none."""

    def __init__(self, folder):
        self._folder, self._writer = folder, None

    def close(self):
        if self._writer:
            self._writer.close()

    def _add(self, scalars):
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # nearly a second, which --help need not wait for

            self._writer = SummaryWriter(_new_version(self._folder))
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, self._last)
        self._writer.flush()


class Comet(_Record):
    """One experiment of comet.com, or its offline archive.

    Args:
        options: have `log_in_comet`, `comet_api_key`, `comet_workspace`, `out_dir`; all but the key are logged.
        name: of the experiment.
        experiment: log into this one, of Comet's Optimizer, instead of a new one.
    """

    def __init__(self, options, name, experiment=None):
        self._folder, self._experiment = Path(options.out_dir) / "comet", experiment
        with self._trouble():
            import comet_ml

            logging.getLogger("comet_ml").setLevel(logging.ERROR)
            self._experiment = experiment or self._start(comet_ml, options, name)
            if self._experiment.url:
                print(f"Comet: {self._experiment.url}")
        self._log("log_parameters", to_dict(options))

    def result(self, split, result, emotions):
        """Record the scores and the confusion matrix of a split."""
        super().result(split, result, emotions)
        if isinstance(result["confusion"], dict):  # one for each emotion, where a turn may have several
            return
        self._log(
            "log_confusion_matrix",
            matrix=result["confusion"],
            labels=list(emotions),
            title=f"{split}: row label, column prediction",
            file_name=f"confusion-matrix-{split}.json",
        )

    def close(self):
        experiment = self._experiment
        self._log("end")
        if self._experiment is not None:
            archive = self._folder / f"{experiment.get_key()}.zip"
            if archive.exists():
                print(f"Comet: wrote {archive}; with an account, `comet upload {archive}` sends it")
        self._experiment = None

    def _start(self, comet_ml, options, name):
        automatic = dict.fromkeys(_AUTOMATIC, False)
        config = {"name": name, "offline_directory": str(self._folder), "display_summary_level": 0, **automatic}
        for key in dict.fromkeys((comet_key(options), None)):
            experiment = comet_ml.start(
                api_key=key,
                workspace=options.comet_workspace,
                project_name=PROJECT,
                mode="create",
                online=key is not None,
                experiment_config=comet_ml.ExperimentConfig(**config),
            )
            if key is None or experiment.alive:
                return experiment
            print("note: Comet cannot be reached, or refuses the key; an offline archive is written instead")

    def _add(self, scores):
        self._log("log_metrics", scores, epoch=self._last, step=self._last)

    def _log(self, method, *values, **more):
        if self._experiment is not None:
            with self._trouble():
                getattr(self._experiment, method)(*values, **more)

    @contextlib.contextmanager
    def _trouble(self):
        """Nothing that goes wrong with Comet is worth a training."""
        try:
            yield
        except Exception as error:  # a library that talks to a server raises nearly anything
            self._experiment = None
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            print(f"note: Comet: {printable(reason)}; nothing more is logged there, the training goes on")


def _new_version(folder):
    """A new folder `version_N`, with the first number that is free."""
    for number in itertools.count():
        with contextlib.suppress(FileExistsError):
            (folder / f"version_{number}").mkdir(parents=True)
            return folder / f"version_{number}"
