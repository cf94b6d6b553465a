"""Lightning's callbacks: checkpoints written whole or not at all, a line for every epoch, a stop after a signal."""

import os
import signal
import threading

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from erc.files import write_torch
from mirai.checkpoint import read_checkpoint

BEST, LAST = "best.ckpt", "last.ckpt"


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that are written beside their place and renamed: whatever happens, one whole file is there."""

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        write_torch(path, checkpoint)

    def load_checkpoint(self, path, map_location=None, weights_only=None):
        content = read_checkpoint(path)
        folder = os.path.realpath(os.path.dirname(path))
        for state in content.get("callbacks", {}).values():
            if isinstance(state, dict) and "dirpath" in state:  # a ModelCheckpoint's
                _move(state, folder)
        return content


def _move(state, folder):
    """Let a ModelCheckpoint's state name the files that are in `folder` now. With other paths it would forget the best
    epoch of a run that was moved, and would remove whatever file a checkpoint from elsewhere names as its best."""

    def here(path):
        name = os.path.basename(path)
        return os.path.join(folder, name) if name in (BEST, LAST) else ""

    state["dirpath"] = folder
    for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
        state[name] = here(state.get(name, ""))
    state["best_k_models"] = {here(path): score for path, score in state.get("best_k_models", {}).items() if here(path)}


class EpochScores(pl.Callback):
    """A printed line for every epoch, and its scores to `comet`, if that is set.

    Attributes:
        history: a dict for each epoch, those before an interruption among them.
    """

    comet = None

    def __init__(self):
        self.history = []

    def state_dict(self):
        return {"history": self.history}

    def load_state_dict(self, state):
        self.history = list(state["history"])

    def on_train_epoch_end(self, trainer, module):
        value = {name: float(value) for name, value in trainer.callback_metrics.items()}
        module.print(
            f"epoch {trainer.current_epoch:>3}: train_loss {value['train_loss']:.4f}, "
            f"val_loss {value['val_loss']:.4f}, val weighted F1 {100 * value['val_weighted_f1']:.2f}, "
            f"val macro F1 {100 * value['val_macro_f1']:.2f}"
        )
        names = ("train_loss", "val_loss", "val_weighted_f1", "val_macro_f1")
        self.history.append({"epoch": trainer.current_epoch, **{name: value[name] for name in names}})
        if self.comet:
            self.comet.epoch({"epoch": trainer.current_epoch, **value})


class Stopped(Exception):
    """The training was ended between two steps by a signal, whose name is the message."""


class StopOnSignal(pl.Callback):
    """Ends the training after the batch that is being computed, once a `StopRequest` is set: in all processes at once,
    whichever of them got the signal, so that none waits for another."""

    def __init__(self, request):
        self.request = request

    def on_train_start(self, trainer, module):
        # Lightning has set a handler of its own for SIGTERM, which communicates with the other processes while they
        # may be exchanging gradients, and can wait for ever. That of SIGINT is still the request's.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))

    def on_train_epoch_start(self, trainer, module):
        self._stop_if_asked(trainer)

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self._stop_if_asked(trainer)

    def on_validation_batch_end(self, trainer, *_):
        if trainer.world_size == 1:  # several processes may have different numbers of these batches
            self._stop_if_asked(trainer)

    def _stop_if_asked(self, trainer):
        number = getattr(signal, self.request.signal) if self.request else 0
        if trainer.world_size > 1:
            number = torch.tensor(number, device=trainer.strategy.root_device)
            number = int(trainer.strategy.reduce(number, reduce_op="max"))
        if number:
            raise Stopped(signal.Signals(number).name)


def ignore_signals(_):
    """Make a process that reads ahead ignore SIGINT and SIGTERM, which the whole group gets, until the step is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
