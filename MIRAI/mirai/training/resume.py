"""Resuming a training: its last checkpoint, and whether its options and data are those of this run."""

import dataclasses
import math

from erc.options import UserError
from erc.untrusted import damaged
from mirai.checkpoint import read_checkpoint
from mirai.options import TrainingOptions
from mirai.training.callbacks import BEST, LAST

# Options that a resumed run may change: they change no result, or, of the second group, only by their product.
_FREE = {"max_epochs", "device", "strategy", "num_workers", "gradient_checkpointing", "resume", "overwrite"}
_FREE |= {"log_in_comet", "comet_workspace"}
_STEP = ("batch_size", "accumulate_grad", "devices", "num_nodes")


def find_checkpoint(folder, options):
    """The checkpoint from which `--resume` goes on, or None.

    Raises:
        UserError: there is none, or the folder has checkpoints and neither `--resume` nor `--overwrite` is given.
    """
    last = folder / LAST
    there = [name for name in (BEST, LAST) if (folder / name).exists()]
    if options.resume and not last.exists():
        raise UserError(f"--resume: there is no {last}")
    if there and not (options.resume or options.overwrite):
        raise UserError(
            f"--exp_name {options.exp_name}: {folder} already holds {' and '.join(there)}; give --resume to go on, "
            "--overwrite to start again, or another name"
        )
    return last if options.resume else None


def check_same(path, kept):
    """Check that a checkpoint is one of the training whose hyper-parameters are `kept`: going on with other options
    would silently mix two experiments.

    Raises:
        UserError: names the options that differ.
    """
    before = read_checkpoint(path)["hyper_parameters"]
    with damaged(path):
        if before["description"]["fusion"] != kept["description"]["fusion"]:
            raise UserError(f"--resume: {path} was begun with the other of MIRAI/trainer_hf.py and trainer_hf_MMER.py")
        differing = _differences(before["options"], kept["options"])
    if differing:
        raise UserError(f"--resume: the run was begun with other options: {', '.join(differing)}")
    if before["trained_on"] != kept["trained_on"]:
        raise UserError("--resume: the table's training utterances are not those that the run was begun with")


def _differences(old, new):
    """What is said of each option that is not as it was. One that is newer than the checkpoint was at its default."""
    # The schedule lays the learning rate of every step out by the number of epochs.
    free = _FREE - ({"max_epochs"} if new.get("recipe", "published") != "published" else set())
    old = {**{field.name: field.default for field in dataclasses.fields(TrainingOptions)}, **old}
    differing = [
        f"--{name} {value} (it was {old.get(name)})"
        for name, value in new.items()
        if name not in free and name not in _STEP and old.get(name) != value
    ]
    if math.prod(old[name] or 1 for name in _STEP) != math.prod(new[name] or 1 for name in _STEP):
        shown = (" ".join(f"--{name} {values[name]}" for name in _STEP) for values in (new, old))
        differing.append("{} (it was {}: another number of utterances in an optimizer step)".format(*shown))
    return differing
