"""What `--recipe` decides: the defaults of the options that differ, and how a training runs that no option tells."""

from dataclasses import dataclass, field

# The most that a network may have, so that a file which asks for more is refused before memory is taken.
MAX_LAYERS, MAX_SIZE, MAX_TURNS = 100, 1 << 20, (1 << 31) - 1


@dataclass(frozen=True)
class Recipe:
    """A way of training a network.

    Attributes:
        defaults: by option of `train.py`, its value where the user gives none.
        label_smoothing: the share of a target that all emotions have alike.
        average: decay, per step, of the average of the weights that is scored and kept; 0: the weights themselves.
        keep: `best`, the epoch with the best dev weighted F1; or `last`.
        alike: dialogues of like lengths make a batch, so that little of it is padding.
        heads: of attention; the hidden size is a multiple of their number.
        unused: options of the other recipe's network, which this one refuses.
    """

    defaults: dict = field(hash=False)
    label_smoothing: float = 0.0
    average: float = 0.0
    keep: str = "best"
    alike: bool = False
    heads: int = 1
    unused: tuple[str, ...] = ()


RECIPES = {
    "published": Recipe(
        defaults={
            "epochs": 100,
            "batch_size": 64,
            "optimizer": "adam",
            "scheduler": None,
            "learning_rate": 1e-4,
            "weight_decay": 1e-8,
            "drop_rate": 0.5,
            "wp": 5,
            "wf": 5,
            "seqcontext_nlayer": 2,
            "hidden_size": 100,
        },
    ),
    "improved": Recipe(
        defaults={
            "epochs": 30,
            "batch_size": 8,
            "optimizer": "adamw",
            "scheduler": "cosine",
            "learning_rate": 3e-3,
            "weight_decay": 1e-2,
            "drop_rate": 0.4,
            "wp": 3,
            "wf": 3,
            "seqcontext_nlayer": 2,
            "hidden_size": 64,
        },
        label_smoothing=0.1,
        average=0.98,
        keep="last",
        alike=True,
        heads=4,
        unused=("rnn", "gnn_nheads", "concat_gin_gout", "use_highway", "relations", "model_ckpt", "tuning"),
    ),
}

# `--ablate NAME`: the options of `train.py`, or fields of the network's architecture, that it takes a part out by.
_WINDOWS = {
    f"window_{name}": {"wp": turns, "wf": turns} for name, turns in (("0", 0), ("2", 2), ("10", 10), ("all", -1))
}
ABLATIONS = {
    "published": {
        "no_graph": {"graph": False},  # the classifier reads the context
        "no_context": {"seqcontext_nlayer": 0},  # the graph reads each turn's own features
        "no_speaker": {"relations": "time"},
        **_WINDOWS,
    },
    "improved": {
        "no_context": {"seqcontext_nlayer": 0},
        "no_mask": {"heads": "all all all all"},
        "no_speaker": {"heads": "all all near all"},
        **_WINDOWS,
    },
}


def default_help(text, name):
    """An option's help text with the default of each recipe."""
    values = ", ".join(f"{recipe} {one.defaults[name]}" for recipe, one in RECIPES.items())
    return f"{text} (default: {values})"
