"""Training and scoring of the dialogues' networks: one visible loop; what it keeps is the recipe's to say."""

import contextlib
import copy
import math
import random
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from cogmen import feelings
from cogmen.network.batching import DialogueSet
from cogmen.recipes import RECIPES
from cogmen.resume import Progress, StateKeeper, average_into
from cogmen.soft_labels import soft_loss, targets_of
from erc.corpus.corpora import UNLABELLED
from erc.corpus.feelings import WEIGHT, squared_error
from erc.corpus.metrics import scores
from erc.options import UserError
from erc.runtime import check_compiler, stop_signals

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


class Diverged(UserError):
    """The training loss, or an output of the network, is not finite."""


def seed_everything(seed):
    """Seed the random numbers of Python, numpy and PyTorch."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (libraries below draw from it)
    torch.manual_seed(seed)


def class_weights(dialogues, num_emotions, targets=None):
    """(emotions,) total / count of each emotion among the dialogues' labels; 0 for one that does not occur.

    Args:
        targets: soft ones, a list of (L, emotions), whose shares are counted instead.
    Raises:
        UserError: a turn may have several emotions.
    """
    if dialogues[0].labels.ndim > 1:
        raise UserError("--class_weight: weighs the one emotion of a turn, here a turn may have several; leave it out")
    labels = torch.from_numpy(np.concatenate([dialogue.labels for dialogue in dialogues]))
    counts = torch.bincount(labels[labels != UNLABELLED], minlength=num_emotions)
    if targets is not None:
        counts = torch.from_numpy(np.concatenate(targets)).sum(dim=0)
    return torch.where(counts > 0, counts.sum() / counts, 0.0)


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
        done = max(0.0, (step - warm_up) / max(1, steps - warm_up))  # never above 1: there are no further steps
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
    weight, targets = None, [dialogue.labels != UNLABELLED for dialogue in train_dialogues]
    if options.soft_labels:
        targets = targets_of(train_dialogues, num_emotions, options.preprocessed_feature)
    if options.class_weight:
        soft = targets if options.soft_labels else None
        weight = class_weights(train_dialogues, num_emotions, soft).to(device)
        dev_labels = np.unique(np.concatenate([dialogue.labels for dialogue in dev_dialogues]))
        if weight.any() and not weight[dev_labels[dev_labels != UNLABELLED]].any():
            raise UserError("--class_weight: no emotion of the dev turns occurs in training; give --class_weight False")
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
    keeper = StateKeeper(state_path, options, (network, kept, optimizer, scheduler, progress), train_set, dev_set)
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
            if not math.isfinite(train_loss) or not math.isfinite(dev_loss) or outputs.isnan().any():
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
