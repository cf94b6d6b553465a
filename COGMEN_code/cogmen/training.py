"""Training and scoring of the dialogues' networks: one visible loop; what it keeps is the recipe's to say."""

import contextlib
import copy
import math
import random
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from cogmen import feelings
from cogmen.network.batching import DialogueSet
from cogmen.network.graph import RELATIONS
from cogmen.recipes import ABLATIONS, RECIPES, default_help
from cogmen.resume import Progress, StateKeeper, average_into
from cogmen.soft_labels import soft_loss, targets_of
from erc.corpus.corpora import TASKS, UNLABELLED
from erc.corpus.feelings import WEIGHT, squared_error
from erc.corpus.metrics import scores
from erc.options import UserError, option
from erc.runtime import check_compiler, stop_signals
from erc.tracking import check_comet_options

MODALITY_SETS = ("a", "t", "v", "at", "av", "tv", "atv")
OPTIMIZERS = {  # fused: one pass over all weights, on the GPU one launch; RMSprop has no such form
    "sgd": partial(torch.optim.SGD, fused=True),
    "rmsprop": torch.optim.RMSprop,
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True),
}
WARM_UP = 0.1  # of all steps, in which the learning rate of the cosine schedule rises
SCHEDULERS = {
    "reduceLR": torch.optim.lr_scheduler.ReduceLROnPlateau,
    "expLR": lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9),
    "cosine": torch.optim.lr_scheduler.LambdaLR,  # step by step: up in a tenth of them, then down to 0 in half a wave
}


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
    optimizer: str | None = _by_recipe("optimizer", "optimizer", choices=sorted(OPTIMIZERS))
    scheduler: str | None = _by_recipe("scheduler", "learning-rate schedule", choices=sorted(SCHEDULERS))
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
        if self.online and self.wf is None:
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
        for name in ("wp", "wf"):
            if getattr(self, name) < -1:
                raise ValueError(f"--{name} {getattr(self, name)}: expected a number of turns, or -1 for all")
        if self.online and self.wf:
            raise ValueError(f"--wf {self.wf}: --online sees no future turns; leave it out")
        if not 0 <= self.drop_rate < 1:
            raise ValueError(f"--drop_rate {self.drop_rate}: expected 0 <= rate < 1")
        if self.learning_rate <= 0 or self.weight_decay < 0:
            raise ValueError("--learning_rate must be above 0 and --weight_decay not below 0")
        self._ablate()
        check_comet_options(self, searching=self.tuning)
        if self.tuning and self.model_ckpt:
            raise ValueError("--tuning: every trial starts with fresh weights; give --from_begin, not --model_ckpt")
        if self.from_begin == (self.model_ckpt is not None):
            raise ValueError(
                "give either --from_begin (fresh weights) or --model_ckpt FILE (continue from its weights)"
            )

    @property
    def ablated(self):
        """What `--ablate` changes: the values of options, and of fields of the network's architecture."""
        return ABLATIONS[self.recipe][self.ablate] if self.ablate else {}

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


class Diverged(UserError):
    """The training loss, or an output of the network, is not finite."""


def seed_everything(seed):
    """Seed the random numbers of Python, numpy and PyTorch."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (libraries below draw from it)
    torch.manual_seed(seed)


def class_weights(dialogues, num_emotions):
    """(emotions,) total / count of each emotion among the dialogues' labels; 0 for one that does not occur.

    Raises:
        UserError: a turn may have several emotions.
    """
    if dialogues[0].labels.ndim > 1:
        raise UserError("--class_weight: weighs the one emotion of a turn, here a turn may have several; leave it out")
    labels = torch.from_numpy(np.concatenate([dialogue.labels for dialogue in dialogues]))
    counts = torch.bincount(labels[labels != UNLABELLED], minlength=num_emotions)
    return torch.where(counts > 0, counts.sum() / counts.clamp(min=1), 0.0)


def dialogue_set(dialogues, network, corpus, options, device):
    """The `DialogueSet` for a network that is trained with `TrainOptions`."""
    a = network.architecture
    return DialogueSet(
        dialogues, options.modalities, corpus, options.wp, options.wf, a.num_speakers, device, a.relations
    )


def decide(outputs, corpus):
    """(N,) the most probable emotion of each turn, or (N, emotions) 1 for each whose logit is above 0."""
    return (outputs > 0).long() if corpus.multilabel else outputs.argmax(1)


def cosine(optimizer, steps):
    """The schedule of the learning rate over these many steps."""
    warm_up = max(1, round(WARM_UP * steps))

    def share(step):
        done = min(1.0, max(0.0, (step - warm_up) / max(1, steps - warm_up)))
        return min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * done))

    return SCHEDULERS["cosine"](optimizer, share)


def loss_of(outputs, labels, weight=None, smoothing=0.0):
    """The mean over the turns that have a label, a scalar.

    Args:
        outputs: (N, emotions) of the network; or (K, N, emotions) log-probabilities of its K members, over which the
            mean is taken, too.
        labels: (N,) int64, negative log-likelihood; or (N, emotions) of 0 and 1, binary cross-entropy summed over the
            emotions.
        weight: (emotions,) of the loss of each emotion, or None; for the former only.
        smoothing: the share of a target that all emotions have alike; likewise.
    """
    if labels.ndim == 2:
        return F.binary_cross_entropy_with_logits(outputs, labels.to(outputs.dtype), reduction="sum") / len(labels)
    if outputs.dim() == 3:
        labels, outputs = labels.repeat(len(outputs)), outputs.flatten(0, 1)
    if not smoothing:
        return F.nll_loss(outputs, labels, weight, ignore_index=UNLABELLED)
    return F.cross_entropy(outputs, labels, weight, ignore_index=UNLABELLED, label_smoothing=smoothing)


@contextlib.contextmanager
def _advice(compiled=False):
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"the GPU's memory does not suffice ({str(error).splitlines()[0]}); "
            "a smaller --batch_size needs less, --device cpu none"
        ) from None
    except Exception as error:
        if compiled:
            check_compiler(error, "the network")
        raise


def train(network, train_dialogues, dev_dialogues, corpus, options, device, on_epoch=None, state_path=None):
    """Train a network; it ends with the weights of the epoch that had the best dev weighted F1, or as its recipe says.

    SIGINT and SIGTERM stop the training after the current step.

    Args:
        network: a `CGNN`, or what `options.recipe` trains; moved to `device`.
        train_dialogues, dev_dialogues: lists of `erc.corpus.dialogues.Dialogue`; none trains without any label.
        corpus: `erc.corpus.corpora.Corpus`.
        options: `TrainOptions`.
        on_epoch: called with each epoch's row of the history.
        state_path: where the run's state is kept, for `options.resume`; the file is there until the training is done.
    Returns:
        (int, float, list): the epoch kept (counted from 1), its dev weighted F1, and the history: a dict per epoch.
    Raises:
        UserError: a signal stopped the training, or it cannot be resumed from the state that is there.
        Diverged: the loss of an epoch is not finite.
    """
    torch.backends.cuda.matmul.allow_tf32, recipe = options.tf32, RECIPES[options.recipe]
    network.to(device)
    trained = torch.compile(network, dynamic=True) if options.compile else network  # of the same weights
    optimizer = OPTIMIZERS[options.optimizer](
        network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
    )
    num_emotions = network.architecture.num_emotions
    weight = class_weights(train_dialogues, num_emotions).to(device) if options.class_weight else None
    targets = [dialogue.labels != UNLABELLED for dialogue in train_dialogues]
    if options.soft_labels:
        targets = targets_of(train_dialogues, num_emotions, options.preprocessed_feature)
    counted = [k for k, rows in enumerate(targets) if rows.any()]
    train_dialogues, targets = [train_dialogues[k] for k in counted], [targets[k] for k in counted]
    if not train_dialogues:
        raise UserError("no training dialogue has a label")
    train_set = dialogue_set(train_dialogues, network, corpus, options, device)
    train_set.alike = recipe.alike
    if options.soft_labels:
        train_set.train_on(targets)
    if options.valence_arousal:
        train_set.train_feelings(feelings.targets_of(train_dialogues, options.preprocessed_feature))
    dev_set = dialogue_set(dev_dialogues, network, corpus, options, device)
    if options.scheduler == "cosine":
        scheduler = cosine(optimizer, options.epochs * math.ceil(len(train_set) / options.batch_size))
    else:
        scheduler = SCHEDULERS[options.scheduler](optimizer) if options.scheduler else None
    kept = copy.deepcopy(network) if recipe.average else network  # whose weights are scored and kept
    progress = Progress(order=torch.Generator().manual_seed(options.seed), loss_sum=torch.zeros((), device=device))
    keeper = StateKeeper(state_path, options, (network, kept, optimizer, scheduler, progress), train_set)
    if options.resume:
        keeper.restore()
    bar = tqdm(total=options.epochs, initial=progress.epoch, desc="training", unit="epoch")
    with bar, stop_signals() as stop, _advice(options.compile):
        while progress.epoch < options.epochs:
            for numbers in progress.rest_of_epoch(train_set, options.batch_size):
                batch = train_set.batch(numbers)
                loss = train_step(trained, optimizer, batch, weight, options.max_grad_value, recipe.label_smoothing)
                if options.scheduler == "cosine":
                    scheduler.step()
                if kept is not network:
                    average_into(kept, network, recipe.average, progress.steps_done)
                turns = int(train_set.labelled[numbers].sum())
                progress.loss_sum += loss * turns
                progress.turns += turns
                progress.step += 1
                progress.steps_done += 1
                if stop or keeper.is_due():
                    keeper.save()
                if stop:
                    raise UserError(keeper.how_to_go_on(stop.signal))
            outputs, labels = predict(kept, dev_set, options.batch_size)
            dev_loss = loss_of(outputs, labels, weight.cpu() if weight is not None else None).item()
            dev = scores(labels, decide(outputs, corpus), range(num_emotions))
            if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
                scheduler.step(dev_loss)
            elif scheduler and options.scheduler != "cosine":
                scheduler.step()
            train_loss = progress.loss_sum.item() / progress.turns
            if not math.isfinite(train_loss) or outputs.isnan().any():
                name, loss = ("dev", dev_loss) if math.isfinite(train_loss) else ("training", train_loss)
                raise Diverged(
                    f"the {name} loss is not finite ({loss:g}) in epoch {progress.epoch + 1}: "
                    "take a smaller --learning_rate"
                )
            row = {
                "epoch": progress.epoch + 1,
                "train_loss": train_loss,
                "dev_loss": dev_loss,
                "dev_accuracy": dev["accuracy"],
                "dev_weighted_f1": dev["weighted_f1"],
            }
            progress.end_epoch(row, kept, recipe.keep)
            bar.update()
            bar.set_postfix(loss=f"{train_loss:.3f}", dev_f1=f"{100 * dev['weighted_f1']:.1f}")
            if on_epoch:
                on_epoch(row)
    network.load_state_dict(progress.best_state)
    return progress.best_epoch, progress.best_f1, progress.history


def train_step(network, optimizer, batch, weight, max_grad_value, smoothing=0.0):
    """One step of the optimizer on a batch; nothing in it waits for the device.

    Returns:
        scalar tensor: the batch's loss, detached.
    """
    network.train()
    outputs, felt = (network(batch), None) if batch.feelings is None else network(batch, feelings=True)
    if batch.targets is None:
        loss = loss_of(outputs, batch.labels, weight, smoothing)
    else:
        loss = soft_loss(outputs, batch.targets, weight, smoothing)
    if felt is not None:
        loss = loss + WEIGHT * squared_error(felt, batch.feelings)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if max_grad_value > 0:
        torch.nn.utils.clip_grad_value_(network.parameters(), max_grad_value)
    optimizer.step()
    return loss.detach()


@_advice()
@torch.no_grad()
def predict(network, dialogues, batch_size):
    """(N, emotions) outputs and the labels of all turns of a `DialogueSet`, in its order, on the CPU.

    The network is on the set's device.
    """
    network.eval()
    batches = (dialogues.batch(numbers) for numbers in dialogues.order(batch_size))
    log_probs, labels = zip(*((network(batch), batch.labels) for batch in batches), strict=True)
    return torch.cat(log_probs).cpu(), torch.cat(labels).cpu()
