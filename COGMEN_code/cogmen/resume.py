"""Progress of a training of the graph network, and the file from which an interrupted one is resumed.

A resumed run takes the very steps that the interrupted one had left, so on a CPU it ends with the same weights.
"""

import functools
import time
import zlib
from dataclasses import dataclass, field

import torch

from erc.files import write_torch
from erc.options import UserError, to_dict
from erc.untrusted import damaged, read_torch, shown

FORMAT = "cogmen-training-state"
VERSION = 2
_ADDED = {"average": None, "steps_done": 0}  # in version 2; a training of version 1 has no use for them
# Options that a resumed run may change: they do not change its steps.
_FREE = ("epochs", "device", "resume", "save_every", "out_dir", "preprocessed_feature")
_FREE += ("options", "log_in_comet", "comet_workspace")
_PLAIN = ("epoch", "step", "steps_done", "turns", "best_epoch", "best_f1", "best_state", "history")


@dataclass
class Progress:
    """How far a training has come.

    Attributes:
        order: the generator that shuffles the dialogues.
        loss_sum, turns: of the current epoch so far: the sum of the turns' losses, and the number of turns.
        epoch, step: finished epochs; finished batches of the current one.
        steps_done: finished batches of all epochs.
        best_epoch, best_f1, best_state: the finished epoch to keep, its dev weighted F1 and its weights.
        history: a dict per finished epoch.
        epoch_order: the generator's state at the beginning of the current epoch.
    """

    order: torch.Generator
    loss_sum: torch.Tensor
    turns: int = 0
    epoch: int = 0
    step: int = 0
    steps_done: int = 0
    best_epoch: int = 0
    best_f1: float = -1.0
    best_state: dict = None
    history: list = field(default_factory=list)
    epoch_order: torch.Tensor = None

    def rest_of_epoch(self, dialogues, batch_size):
        """The batches that the current epoch has left, as lists of dialogue numbers."""
        self.epoch_order = self.order.get_state()
        return dialogues.order(batch_size, self.order)[self.step :]

    def end_epoch(self, row, network, keep="best"):
        """Record a finished epoch; `row` is its line of the history, `keep` as `cogmen.recipes.Recipe` has it."""
        self.epoch, self.step, self.turns = self.epoch + 1, 0, 0
        self.loss_sum.zero_()
        self.epoch_order = self.order.get_state()
        self.history.append(row)
        if keep == "last" or row["dev_weighted_f1"] > self.best_f1:
            self.best_epoch, self.best_f1 = self.epoch, row["dev_weighted_f1"]
            self.best_state = {name: value.detach().clone() for name, value in network.state_dict().items()}


@torch.no_grad()
def average_into(kept, network, decay, steps):
    """Move a network's average, which `kept` holds, by what its latest step changed.

    The first steps weigh more, (1 + steps) / (10 + steps) at most being kept, so that the beginning is soon forgotten.
    """
    average, latest = list(kept.parameters()), list(network.parameters())
    torch._foreach_lerp_(average, latest, 1 - min(decay, (1 + steps) / (10 + steps)))


class StateKeeper:
    """Saves a training's state now and then, and restores it.

    Args:
        path: the file; None: nothing is saved.
        options: `TrainOptions`.
        trained: (network, its average or itself, optimizer, scheduler or None, `Progress`), whose state is saved.
        dialogues, dev_dialogues: the `DialogueSet` of each; a state is only good for the same ones.
    """

    def __init__(self, path, options, trained, dialogues, dev_dialogues):
        self.path, self.options, self.dialogues, self.dev_dialogues = path, options, dialogues, dev_dialogues
        self.network, self.average, self.optimizer, self.scheduler, self.progress = trained
        self._saved_at = time.monotonic()

    def is_due(self):
        return self.path is not None and time.monotonic() - self._saved_at >= self.options.save_every

    def save(self):
        if self.path is not None:
            write_torch(self.path, self._content())
            self._saved_at = time.monotonic()

    def _content(self):
        progress = self.progress
        return {
            "format": FORMAT,
            "version": VERSION,
            "options": to_dict(self.options),
            **self.identities,
            "network": self.network.state_dict(),
            "average": self.average.state_dict() if self.average is not self.network else None,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler else None,
            "loss_sum": progress.loss_sum,
            "order": progress.epoch_order,
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None,
            **{name: getattr(progress, name) for name in _PLAIN},
        }

    def restore(self):
        """Go back to the saved state.

        Raises:
            UserError: there is none, or it is of another run.
        """
        if not self.path.exists():
            raise UserError(f"--resume: there is no {self.path}: no training of this name was interrupted")
        content = read_torch(self.path)
        version = content.get("version") if isinstance(content, dict) and content.get("format") == FORMAT else None
        if version not in (1, VERSION):
            raise UserError(f"{self.path}: not the state of a training that this version of train.py can go on from")
        content = _ADDED | content if version == 1 else content
        content = {"dev_dialogues": self.identities["dev_dialogues"], **content}  # unknown in earlier states
        with damaged(self.path, "damaged training state"):
            self._check_same(content)
            self._check_form(content)
            self.network.load_state_dict(content["network"])
            if self.average is not self.network:
                self.average.load_state_dict(content["average"])
            self.optimizer.load_state_dict(content["optimizer"])
            if self.scheduler:
                self.scheduler.load_state_dict(content["scheduler"])
            progress = self.progress
            for name in _PLAIN:
                setattr(progress, name, content[name])
            progress.loss_sum.copy_(content["loss_sum"])
            progress.order.set_state(content["order"])
            torch.set_rng_state(content["random"])
            if self._device.type == "cuda" and content["random_cuda"] is not None:
                torch.cuda.set_rng_state(content["random_cuda"], self._device)

    def _check_form(self, content):
        """Check that the state has the names, types and shapes that a training with these options has."""
        for parameter in self.network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        self.optimizer.step()  # gives the optimizer a state; the weights are about to be replaced
        self.optimizer.zero_grad(set_to_none=True)
        epoch, own = content["epoch"], self._content()
        own["order"] = self.progress.order.get_state()
        if epoch:
            row = {"epoch": 1, **dict.fromkeys(("train_loss", "dev_loss", "dev_accuracy", "dev_weighted_f1"), 0.0)}
            own |= {"best_state": own["network"], "history": [row] * len(content["history"])}
        for name in own.keys() - {"options", "random_cuda"}:
            _check_alike(content[name], own[name], name)
        numbers = [content[name] for name in ("epoch", "step", "steps_done", "turns", "best_epoch")]
        if min(numbers) < 0 or (content["step"] > 0) != (content["turns"] > 0) or len(content["history"]) != epoch:
            raise ValueError(f"epoch {epoch}, step {content['step']} and the history do not fit together")

    def how_to_go_on(self, signal):
        """The message for a user who has stopped the training with `signal`."""
        done = f"stopped by {signal} in epoch {self.progress.epoch + 1} of {self.options.epochs}"
        if self.path is None:
            return done
        return f"{done}; the same command with --resume goes on from {self.path}"

    @functools.cached_property
    def identities(self):
        """Checksums of the dialogues."""
        return {"dialogues": _identity(self.dialogues), "dev_dialogues": _identity(self.dev_dialogues)}

    @property
    def _device(self):
        return self.progress.loss_sum.device

    def _check_same(self, content):
        before, now = content["options"], to_dict(self.options)
        # The cosine schedule lays the learning rate of every step out by the number of epochs.
        free = set(_FREE) - ({"epochs"} if self.options.scheduler == "cosine" else set())
        differing = [
            f"--{name} {value} (it was {before[name]})"
            for name, value in now.items()
            if name not in free and before.get(name, value) != value  # one that is new did not exist then
        ]
        if differing:
            raise UserError(f"--resume: {self.path} was begun with other options: {', '.join(differing)}")
        for name, kind in (("dialogues", "training"), ("dev_dialogues", "dev")):
            if content[name] != self.identities[name]:
                raise UserError(f"--resume: {self.path} was begun with other {kind} dialogues than these")


def _identity(dialogues):
    """A checksum of the dialogues' names, labels, what else is learnt of them, speakers and features."""
    check = 0
    for rows in (*(dialogues.targets or ()), *(dialogues.feelings or ())):
        check = zlib.crc32(rows.cpu().numpy(), check)
    for dialogue, speakers in zip(dialogues.dialogues, dialogues.speakers, strict=True):
        check = zlib.crc32(dialogue.id.encode(), check)
        for part in (dialogue.labels, speakers, dialogue.identity(dialogues.modalities)):
            check = zlib.crc32(part, check)
    return check


def _check_alike(found, own, place):
    """Raises: ValueError: `found` differs from `own` in more than its numbers."""
    same = type(found) is type(own) or (isinstance(own, dict) and type(found) is dict)
    if isinstance(own, torch.Tensor):
        same = same and found.shape == own.shape and found.dtype == own.dtype
    elif isinstance(own, dict):
        same = same and found.keys() == own.keys()
    elif isinstance(own, list | tuple):
        same = same and len(found) == len(own)
    if not same:
        raise ValueError(f"{place} is {shown(found)}, expected one like {shown(own)}")
    if isinstance(own, dict | list | tuple):
        for key in own if isinstance(own, dict) else range(len(own)):
            _check_alike(found[key], own[key], f"{place}.{key}")
