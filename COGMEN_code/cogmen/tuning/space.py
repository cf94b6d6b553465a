"""What a search varies, one table for Optuna and for Comet's Optimizer, and what it maximises."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Between:
    """A number of `low` to `high`, both included; `log`: drawn evenly on a logarithmic scale."""

    low: int | float
    high: int | float
    log: bool = False

    def suggest(self, trial, name):
        draw = trial.suggest_int if isinstance(self.low, int) else trial.suggest_float
        return draw(name, self.low, self.high, log=self.log)

    def for_comet(self):
        kind = "integer" if isinstance(self.low, int) else "float"
        return {
            "type": kind,
            "scalingType": "loguniform" if self.log else "uniform",
            "min": self.low,
            "max": self.high,
        }

    def from_comet(self, value):
        return min(max(type(self.low)(value), self.low), self.high)


@dataclass(frozen=True)
class OnOff:
    """A flag."""

    def suggest(self, trial, name):
        return trial.suggest_categorical(name, [False, True])

    def for_comet(self):
        return {"type": "categorical", "values": ["False", "True"]}

    def from_comet(self, value):
        return str(value) == "True"


METRIC = "dev_weighted_f1"
SPACE = {
    "seqcontext_nlayer": Between(1, 4),
    "gnn_nheads": Between(1, 7),
    "learning_rate": Between(1e-5, 1e-3, log=True),
    "wp": Between(0, 10),
    "wf": Between(0, 10),
    "use_highway": OnOff(),
    "class_weight": OnOff(),
    "drop_rate": Between(0.1, 0.7),
}


def comet_config(names):
    """Comet's Optimizer for these options: Bayes, the highest value of `METRIC`."""
    return {
        "algorithm": "bayes",
        "parameters": {name: SPACE[name].for_comet() for name in names},
        "spec": {"metric": METRIC, "objective": "maximize"},
    }
