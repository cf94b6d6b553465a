"""Checkpoints of the graph network: a dict of plain values and tensors, read without running anything in it."""

import dataclasses
from dataclasses import dataclass

from cogmen.model import CGNN, Architecture
from cogmen.options import UserError
from cogmen.safe_files import read_torch, write_torch

FORMAT = "cogmen-cgnn"
VERSION = 1


@dataclass
class Checkpoint:
    """A trained graph network and what it was trained on.

    Attributes:
        network: the `CGNN`, on the CPU, in evaluation mode.
        dataset, modalities, emotions: the corpus's name, the modalities in use (`at`), the emotion names.
        feature_sizes: by modality, the size of its features.
        windows: `{"wp", "wf"}`, past and future turns that a turn sees.
        options: every option of the training run.
        epoch, dev_weighted_f1: the epoch kept and its score on the dev dialogues.
    """

    network: CGNN
    dataset: str
    modalities: str
    emotions: list
    feature_sizes: dict
    windows: dict
    options: dict
    epoch: int
    dev_weighted_f1: float


def save_checkpoint(path, checkpoint, half=False):
    """Write a checkpoint; `half` stores its weights as 16-bit floats."""
    state = checkpoint.network.state_dict()
    if half:
        state = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    content = {
        "format": FORMAT,
        "version": VERSION,
        "architecture": dataclasses.asdict(checkpoint.network.architecture),
        "state_dict": {name: value.cpu() for name, value in state.items()},
        **{
            field.name: getattr(checkpoint, field.name)
            for field in dataclasses.fields(Checkpoint)
            if field.name != "network"
        },
    }
    write_torch(path, content)


def load_checkpoint(path):
    """Read a checkpoint of this project's `train.py`.

    Raises:
        UserError: the file is missing, damaged, holds more than plain values, or is something else.
    """
    content = read_torch(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path}: not a checkpoint of COGMEN_code/train.py")
    if content.get("version") != VERSION:
        raise UserError(f"{path}: checkpoint version {content.get('version')!r}, this code reads {VERSION}")
    try:
        network = CGNN(Architecture(**content["architecture"]))
        state = {name: v.float() if v.is_floating_point() else v for name, v in content["state_dict"].items()}
        network.load_state_dict(state)
        kept = {f.name: content[f.name] for f in dataclasses.fields(Checkpoint) if f.name != "network"}
    except (KeyError, TypeError, RuntimeError, AttributeError) as error:
        raise UserError(f"{path}: the checkpoint's parts do not fit together: {error}") from None
    return Checkpoint(network=network.eval(), **kept)


def check_fits(path, checkpoint, dataset, modalities, feature_sizes):
    """Refuse a checkpoint that was trained for something else.

    Raises:
        UserError: names the flag, what it asks for and what the checkpoint holds.
    """
    wanted = {"--dataset": dataset, "--modalities": modalities, "feature sizes": feature_sizes}
    found = {
        "--dataset": checkpoint.dataset,
        "--modalities": checkpoint.modalities,
        "feature sizes": checkpoint.feature_sizes,
    }
    for name, value in wanted.items():
        if found[name] != value:
            raise UserError(f"{path}: trained with {name} {found[name]}, here {name} {value}")
