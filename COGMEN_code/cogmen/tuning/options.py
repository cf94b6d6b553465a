"""The options of a search: those of `train.py` that it does not decide itself, and its own."""

import dataclasses
from dataclasses import dataclass

from cogmen.options import TrainOptions
from erc.options import option


def _no_option(default):
    return dataclasses.field(default=default, init=False)


@dataclass
class TuneOptions(TrainOptions):
    trials: int = option(50, "trials of the study, those of all its processes and of earlier runs together")
    study: str | None = option(None, "name of the study (default: DATASET_MODALITIES_TAG)", name=True)
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

    def of_trial(self, values):
        """The `TrainOptions` of a trial for which `values` were chosen, by option."""
        shared = {field.name: getattr(self, field.name) for field in dataclasses.fields(TrainOptions)}
        return TrainOptions(**{**shared, "tuning": False, "options": None, **values})

    @property
    def folder(self):
        return self.out_dir / "tuning" / self.study
