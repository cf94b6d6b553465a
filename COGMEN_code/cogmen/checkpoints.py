"""Checkpoints of the graph network: a dict of plain values and tensors, read without running anything in it."""

import dataclasses
from dataclasses import dataclass, fields

from cogmen.network.model import CGNN, Architecture
from erc.corpus.corpora import CORPORA, MODALITIES
from erc.files import write_torch
from erc.options import UserError
from erc.untrusted import check_weights, read_torch, shown

FORMAT = "cogmen-cgnn"
VERSION = 1

_RNNS = ("transformer", "lstm", "gru")
_MAX_LAYERS = 100
_MAX_SIZE = 1 << 20


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
        **{field.name: getattr(checkpoint, field.name) for field in fields(Checkpoint) if field.name != "network"},
    }
    write_torch(path, content)


def load_checkpoint(path):
    """Read a checkpoint of this project's `train.py`. Memory is taken only once all of its parts fit together.

    Raises:
        UserError: the file is missing, damaged, holds more than plain values, or is something else; or names the part
            that does not fit.
    """
    content = read_torch(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path}: not a checkpoint of COGMEN_code/train.py")
    version = content.get("version")
    if type(version) is not int or version != VERSION:
        newer = type(version) is int and version > VERSION
        what = "update this program" if newer else "convert it with the program that wrote it"
        raise UserError(f"{path}: of checkpoint version {shown(version)}, this program reads {VERSION}; {what}")
    kept = {field.name: _part(path, content, field.name) for field in fields(Checkpoint) if field.name != "network"}
    architecture = _architecture(path, _part(path, content, "architecture"))
    _check_kept(path, kept, architecture)
    weights = _part(path, content, "state_dict")
    if not isinstance(weights, dict):
        raise UserError(f"{path}: its state_dict is {shown(weights)}, expected weights by name")
    check_weights(path, weights, lambda: CGNN(architecture))
    network = CGNN(architecture)
    network.load_state_dict(weights)  # 16-bit floats become 32-bit ones
    return Checkpoint(network=network.eval(), **kept)


def _part(path, content, name):
    if name not in content:
        raise UserError(f"{path}: damaged: it has no {name}")
    return content[name]


def _architecture(path, values):
    """An `Architecture` whose numbers are of a size that a network can have."""
    known = {field.name: field for field in fields(Architecture)}
    if not isinstance(values, dict) or values.keys() != known.keys():
        found = ", ".join(map(str, values)) if isinstance(values, dict) else shown(values)
        raise UserError(f"{path}: its architecture has {found[:200]}; expected {', '.join(known)}")
    for name, value in values.items():
        if name == "drop_rate":
            fits, expected = type(value) in (int, float) and 0 <= value < 1, "0 <= rate < 1"
        elif name == "rnn":
            fits, expected = value in _RNNS, " or ".join(_RNNS)
        elif known[name].type is bool:
            fits, expected = type(value) is bool, "True or False"
        else:
            limit = _MAX_LAYERS if name == "seqcontext_nlayer" else _MAX_SIZE
            fits, expected = type(value) is int and 0 < value <= limit, f"1 to {limit}"
        if not fits:
            raise UserError(f"{path}: its architecture has {name} {shown(value)}, expected {expected}")
    return Architecture(**values)


def _check_kept(path, kept, architecture):
    """What is stored beside the network describes it."""
    corpus = CORPORA.get(kept["dataset"]) if isinstance(kept["dataset"], str) else None
    if corpus is None:
        raise UserError(f"{path}: its dataset is {shown(kept['dataset'])}, expected one of {', '.join(CORPORA)}")
    sizes, windows = kept["feature_sizes"], kept["windows"]
    modalities = "".join(m for m in MODALITIES if m in sizes) if isinstance(sizes, dict) else ""
    if (
        not modalities
        or len(modalities) != len(sizes)
        or not all(type(size) is int and size > 0 for size in sizes.values())
    ):
        raise UserError(f"{path}: its feature sizes are {shown(sizes)}, expected a size for each modality")
    for name, found, expected in (
        ("modalities", kept["modalities"], modalities),
        ("emotions", kept["emotions"], list(corpus.emotions)),
        ("number of emotions", architecture.num_emotions, len(corpus.emotions)),
        ("number of speakers", architecture.num_speakers, len(corpus.speakers) or architecture.num_speakers),
        ("feature size", architecture.feature_size, sum(sizes.values())),
    ):
        if type(found) is not type(expected) or found != expected:
            raise UserError(f"{path}: damaged: its {name} is {shown(found)}, its other parts say {shown(expected)}")
    if (
        not isinstance(windows, dict)
        or windows.keys() != {"wp", "wf"}
        or not all(type(turns) is int and turns >= -1 for turns in windows.values())
    ):
        raise UserError(f"{path}: its windows are {shown(windows)}, expected wp and wf, each of -1 or more turns")
    for name, kinds in (("options", dict), ("epoch", int | None), ("dev_weighted_f1", float | None)):
        if not isinstance(kept[name], kinds):
            raise UserError(f"{path}: damaged: its {name} is {shown(kept[name])}")


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
