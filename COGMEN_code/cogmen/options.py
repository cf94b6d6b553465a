"""The options of `train.py`. No library is loaded here, so that `--help` and a wrong flag are answered at once."""

from dataclasses import dataclass
from pathlib import Path

from cogmen.network.graph import RELATIONS
from cogmen.recipes import ABLATIONS, MAX_LAYERS, MAX_SIZE, MAX_TURNS, RECIPES, default_help
from erc.corpus.corpora import TASKS
from erc.options import option
from erc.tracking import check_comet_options

MODALITY_SETS = ("a", "t", "v", "at", "av", "tv", "atv")
OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")
SCHEDULERS = ("cosine", "expLR", "reduceLR")
_MOST = {"seqcontext_nlayer": MAX_LAYERS, "hidden_size": MAX_SIZE, "gnn_nheads": MAX_SIZE}
_MOST |= {"wp": MAX_TURNS, "wf": MAX_TURNS}


def _by_recipe(name, text, **settings):
    return option(None, default_help(text, name), **settings)


@dataclass
class TrainOptions:
    """The options of `train.py`. Defaults are the published ones; `cogmen.recipes` has those that a recipe decides."""

    preprocessed_feature: Path = option(
        "data/KEMDy19/new_2019cogmen_format_speaker_only_feat_preprocessed.pkl", "what preprocess.py wrote"
    )
    dataset: str | None = option(None, "corpus, where the file does not say (then KEMDy19)", name=True)
    emotion: str | None = option(None, "what to learn of a corpus whose labels are numbers (mosei)", choices=TASKS)
    modalities: str = option("at", "audio, text, visual features to use", choices=MODALITY_SETS)
    recipe: str = option("published", "the paper's network and training, or ours", choices=tuple(RECIPES))
    tag: str = option("tmp", "name of the run; part of the checkpoint's file name", name=True)
    out_dir: Path = option("models_zoo", "the checkpoint goes to OUT_DIR/model_checkpoints")
    from_begin: bool = option(False, "start with fresh weights; without it, training continues from --model_ckpt")
    model_ckpt: Path | None = option(None, "checkpoint whose weights training continues from")
    epochs: int | None = _by_recipe("epochs", "passes over the training dialogues")
    batch_size: int | None = _by_recipe("batch_size", "dialogues in a batch")
    optimizer: str | None = _by_recipe("optimizer", "optimizer", choices=OPTIMIZERS)
    scheduler: str | None = _by_recipe("scheduler", "learning-rate schedule", choices=SCHEDULERS)
    learning_rate: float | None = _by_recipe("learning_rate", "learning rate")
    weight_decay: float | None = _by_recipe("weight_decay", "weight decay")
    max_grad_value: float = option(-1.0, "clip each gradient to this absolute value; -1: do not clip")
    class_weight: bool = option(False, "weigh each emotion's loss by total / count in the training labels")
    soft_labels: bool = option(False, "train on the shares of the raters' votes; dev and test keep the labels")
    valence_arousal: bool = option(False, "learn the raters' valence and arousal, too; reports their CCC")
    drop_rate: float | None = _by_recipe("drop_rate", "dropout in the context's layers and in the classifier")
    wp: int | None = _by_recipe("wp", "past turns that a turn sees in the graph, or by the near heads; -1: all")
    wf: int | None = _by_recipe("wf", "future turns that it sees there; -1: all")
    relations: str | None = option(
        None,
        "what an edge of the graph tells: which speakers, whether it is the same one, or neither, only which turn is "
        "first (default: speakers, same_other if there are more than two)",
        choices=RELATIONS,
    )
    online: bool = option(
        False, "a network that sees the past only, for app/predict.py --watch: causal context, --wf 0"
    )
    ablate: str | None = option(
        None,
        "leave a part out, to see what it is worth (improved: no_mask, not no_graph)",
        choices=sorted({name for parts in ABLATIONS.values() for name in parts}),
    )
    rnn: str = option("transformer", "network of the context", choices=("transformer", "lstm", "gru"))
    seqcontext_nlayer: int | None = _by_recipe("seqcontext_nlayer", "layers of the context")
    hidden_size: int | None = _by_recipe(
        "hidden_size", "width of the context transformer's output and of the graph's layers; of the improved network"
    )
    gnn_nheads: int = option(1, "heads of the graph transformer")
    concat_gin_gout: bool = option(False, "the classifier sees the graph's input beside its output")
    use_highway: bool = option(False, "a highway layer before the classifier")
    log_in_comet: bool = option(False, "log to Comet; without a key into an archive in OUT_DIR/comet")
    comet_api_key: str | None = option(None, "Comet's key (default: the environment's COMET_API_KEY)", secret=True)
    comet_workspace: str | None = option(None, "Comet's workspace (default: the account's own)")
    tuning: bool = option(False, "search options, as tune.py does; those given here stay fixed; needs --from_begin")
    options: Path | None = option(
        None, "JSON file of options, such as a search's best_options.json", defaults_file=True
    )
    seed: int = option(24, "seed of weights, dropout and the order of the dialogues")
    device: str = option("auto", "auto, cpu, cuda or cuda:N")
    tf32: bool = option(False, "on a GPU: matrix products in TF32, faster and with a 10-bit mantissa")
    compile: bool = option(
        False, "torch.compile the network: fewer, larger operations after a minute of compiling (rounds otherwise)"
    )
    resume: bool = option(False, "go on where an interrupted run of the same name stopped")
    save_every: float = option(60.0, "seconds between the saves of a running training's state, for --resume")

    def __post_init__(self):
        recipe = RECIPES[self.recipe]
        for name, value in self.ablated.items():
            if (found := getattr(self, name, None)) not in (None, value):
                raise ValueError(f"--{name} {found}: --ablate {self.ablate} makes it {value}; leave one of them out")
        if self.online and self.wf is None and "wf" not in self.ablated:
            self.wf = 0
        for name, value in recipe.defaults.items():
            if getattr(self, name) is None:
                setattr(self, name, value)
        for name in recipe.unused:
            if getattr(self, name) != TrainOptions.__dataclass_fields__[name].default:
                raise ValueError(f"--{name}: --recipe {self.recipe} has none; leave it out")
        for name in ("epochs", "batch_size", "seqcontext_nlayer", "hidden_size", "gnn_nheads"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} {getattr(self, name)}: expected at least 1")
        for name, most in _MOST.items():
            if getattr(self, name) > most:
                raise ValueError(f"--{name} {getattr(self, name)}: expected at most {most}")
        if self.hidden_size % recipe.heads:
            raise ValueError(f"--hidden_size {self.hidden_size}: expected a multiple of {recipe.heads}, the heads")
        if not 0 <= self.seed < 1 << 32:
            raise ValueError(f"--seed {self.seed}: expected 0 to {(1 << 32) - 1}")
        if self.max_grad_value <= 0 and self.max_grad_value != -1:
            raise ValueError(f"--max_grad_value {self.max_grad_value:g}: expected more than 0, or -1: do not clip")
        self._ablate()
        for name in ("wp", "wf"):
            if getattr(self, name) < -1:
                raise ValueError(f"--{name} {getattr(self, name)}: expected a number of turns, or -1 for all")
        if self.online and self.wf:
            asked = f"--ablate {self.ablate}" if "wf" in self.ablated else f"--wf {self.wf}"
            raise ValueError(f"{asked}: --online sees no future turns; leave it out")
        if not 0 <= self.drop_rate < 1:
            raise ValueError(f"--drop_rate {self.drop_rate}: expected 0 <= rate < 1")
        if self.learning_rate <= 0 or self.weight_decay < 0:
            raise ValueError("--learning_rate must be above 0 and --weight_decay not below 0")
        check_comet_options(self, searching=self.tuning)
        if self.tuning and self.model_ckpt:
            raise ValueError("--tuning: every trial starts with fresh weights; give --from_begin, not --model_ckpt")
        if self.tuning and self.resume:
            raise ValueError("--resume: a search goes on by the same command without it; leave it out")
        if self.from_begin == (self.model_ckpt is not None):
            raise ValueError(
                "give either --from_begin (fresh weights) or --model_ckpt FILE (continue from its weights)"
            )

    @property
    def ablated(self):
        """What `--ablate` changes: the values of options, and of fields of the network's architecture."""
        return ABLATIONS[self.recipe].get(self.ablate, {})

    def _ablate(self):
        if self.ablate and self.ablate not in ABLATIONS[self.recipe]:
            raise ValueError(f"--ablate {self.ablate}: --recipe {self.recipe} has {', '.join(ABLATIONS[self.recipe])}")
        if self.ablate and self.tuning:
            raise ValueError("--ablate: --tuning searches whole networks; give one of them")
        if self.ablate == "no_context" and self.rnn != "transformer":
            raise ValueError(
                f"--ablate no_context: needs --rnn transformer, a {self.rnn} has no path around its layers"
            )
        for name, value in self.ablated.items():
            if name in TrainOptions.__dataclass_fields__:
                setattr(self, name, value)
