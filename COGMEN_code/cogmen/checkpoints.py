"""Checkpoints of the dialogues' networks: a dict of plain values and tensors, read without running anything in it."""

import dataclasses
from dataclasses import MISSING, dataclass, fields

from cogmen.network.batching import DialogueSet
from cogmen.network.graph import RELATIONS
from cogmen.network.improved import ImprovedArchitecture, MaskedAttentionNetwork
from cogmen.network.model import CGNN, Architecture
from cogmen.recipes import MAX_LAYERS, MAX_SIZE, MAX_TURNS, RECIPES
from erc.corpus.corpora import CORPORA, MODALITIES, own_corpus
from erc.files import write_torch
from erc.options import UserError
from erc.scoring.calibration import at_temperature
from erc.untrusted import check_weights, damaged, read_torch, shown

FORMAT = "cogmen-cgnn"
VERSION = 1

_HOTTEST = 1000
_FORMER = {"modality_drop"}  # what older files say of the architecture: it was for their training alone
_NETWORKS = {Architecture: CGNN, ImprovedArchitecture: MaskedAttentionNetwork}


@dataclass
class Checkpoint:
    """A trained network and what it was trained on.

    Attributes:
        network: the `CGNN` or `MaskedAttentionNetwork`, on the CPU, in evaluation mode.
        dataset, modalities, emotions: the corpus's name, the modalities in use (`at`), the emotion names.
        feature_sizes: by modality, the size of its features.
        windows: `{"wp", "wf"}`, past and future turns that a turn sees.
        options: every option of the training run.
        epoch, dev_weighted_f1: the epoch kept and its score on the dev dialogues.
        temperature: divides the log-probabilities, so that they mean what they say; fitted on the dev dialogues.
        unsure: a turn whose largest probability is below is marked; of the others 90% are right on the dev dialogues.
            None: there is no such.
    """

    network: CGNN | MaskedAttentionNetwork
    dataset: str
    modalities: str
    emotions: list
    feature_sizes: dict
    windows: dict
    options: dict
    epoch: int
    dev_weighted_f1: float
    temperature: float = 1.0  # of files without one
    unsure: float | None = None

    def dialogue_set(self, dialogues, corpus, device):
        """The `DialogueSet` of some dialogues for its network."""
        a = self.network.architecture
        return DialogueSet(
            *(dialogues, self.modalities, corpus, self.windows["wp"], self.windows["wf"]),
            *(a.num_speakers, device, a.relations),
        )

    def probabilities(self, outputs):
        """(N, emotions) array of the network's outputs for N turns."""
        if self.network.architecture.multilabel:
            return outputs.double().sigmoid().numpy()
        return at_temperature(outputs, self.temperature)

    @property
    def emotion(self):
        """The task of the corpus that the network has learnt; None where the corpus has no choice."""
        return CORPORA[self.dataset].task_of(self.emotions) if self.dataset in CORPORA else None

    def record(self):
        """How the weights were chosen, and when the test dialogues were scored: part of `metrics.json`."""
        selected_on, scored = "unknown", "unknown"
        if self.epoch is not None:  # else another program trained it
            best = RECIPES[self.options.get("recipe", "published")].keep == "best"
            selected_on = "dev weighted F1" if best else "nothing: the last epoch"
            scored = "once by train.py, with the chosen weights; by eval.py, which chooses nothing"
        return {
            "selected_on": selected_on,
            "epoch": self.epoch,
            "dev_weighted_f1": self.dev_weighted_f1,
            "test_scored": scored,
        }


def save_checkpoint(path, checkpoint, half=False):
    """Write a checkpoint; `half` stores its weights as 16-bit floats."""
    state = checkpoint.network.state_dict()
    if half:
        state = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    state = {name: value.cpu() for name, value in state.items()}
    write_torch(path, {"format": FORMAT, "version": VERSION, "state_dict": state, **described(checkpoint)})


def described(checkpoint):
    """All of a checkpoint but its weights, as plain values."""
    kept = {field.name: getattr(checkpoint, field.name) for field in fields(Checkpoint) if field.name != "network"}
    return {"architecture": dataclasses.asdict(checkpoint.network.architecture), **kept}


def load_checkpoint(path):
    """Read a checkpoint of this project's `train.py`. Memory is taken only once all of its parts fit together.

    Raises:
        UserError: the file is missing, damaged, holds more than plain values, or is something else; or names the part
            that does not fit.
    """
    content = _read(path)
    return make_checkpoint(path, content, lambda: content["state_dict"])


def make_checkpoint(path, content, read_weights):
    """The `Checkpoint` of what `described` gives and of its weights, both read from `path`.

    Raises:
        UserError: names the part that does not fit.
    """
    with damaged(path):
        kept = {
            field.name: content[field.name] if field.default is MISSING else content.get(field.name, field.default)
            for field in fields(Checkpoint)
            if field.name != "network"
        }
        sizes = {name: value for name, value in content["architecture"].items() if name not in _FORMER}
        for name, value in sizes.items():  # before layer after layer is made
            limit = MAX_LAYERS if name in ("seqcontext_nlayer", "members") else MAX_SIZE
            least = 0 if name == "seqcontext_nlayer" else 1  # --ablate no_context has no layer
            if type(value) is int and not least <= value <= limit:
                raise UserError(f"{path}: its architecture has {name} {shown(value)}, expected {least} to {limit}")
        # Files that name no recipe hold the published network.
        architecture = (ImprovedArchitecture if sizes.get("recipe") == "improved" else Architecture)(**sizes)
        for name in sizes.keys() & {"drop_rate", "input_drop"}:
            if not 0 <= sizes[name] < 1:
                raise UserError(f"{path}: its architecture has {name} {shown(sizes[name])}, expected 0 <= rate < 1")
        if architecture.relations not in (*RELATIONS, None):
            expected = f"expected one of {', '.join(RELATIONS)}"
            raise UserError(f"{path}: its architecture has relations {shown(architecture.relations)}, {expected}")
        _check_kept(path, kept, architecture)
        weights = read_weights()
        check_weights(path, weights, lambda: _NETWORKS[type(architecture)](architecture))
        network = _NETWORKS[type(architecture)](architecture)
        network.load_state_dict(weights)  # 16-bit floats become 32-bit ones
        return Checkpoint(network=network.eval(), **kept)


def _read(path):
    """The content of a file of our format and version."""
    try:
        content = read_torch(path)
    except UserError as error:
        if "argparse.Namespace" not in str(error):
            raise
        raise UserError(
            f"{path}: a checkpoint as COGMEN or the KEMDy19 pipeline publish them; make it one of ours first: "
            f"python COGMEN_code/convert_checkpoint.py {path} NEW.pt"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path}: not a checkpoint of COGMEN_code/train.py")
    if (version := content.get("version")) != VERSION:
        raise UserError(
            f"{path}: of checkpoint version {shown(version)}, this program reads {VERSION}; update this program"
        )
    return content


def _check_kept(path, kept, architecture):
    """What is stored beside the network describes it."""
    corpus = CORPORA.get(kept["dataset"]) or own_corpus(path, kept["dataset"], kept["emotions"])
    if corpus.tasks and (task := corpus.task_of(kept["emotions"])):  # without one, its emotions do not fit
        corpus = corpus.of_task(task)
    sizes, windows = kept["feature_sizes"], kept["windows"]
    modalities = "".join(modality for modality in MODALITIES if modality in sizes)
    if len(modalities) != len(sizes) or not all(type(size) is int and size > 0 for size in sizes.values()):
        raise UserError(f"{path}: its feature sizes are {shown(sizes)}, expected a size for each modality")
    speakers = len(corpus.speakers) or architecture.num_speakers
    if isinstance(architecture, ImprovedArchitecture):
        speakers = None  # any number
    by_modality = list(getattr(architecture, "feature_sizes", sizes).items())  # the order that splits a turn's features
    for name, found, expected in (
        ("modalities", kept["modalities"], modalities),
        ("emotions", kept["emotions"], list(corpus.emotions)),
        ("number of emotions", architecture.num_emotions, len(corpus.emotions)),
        ("multilabel", architecture.multilabel, corpus.multilabel),
        ("valence_arousal", architecture.valence_arousal, bool(architecture.valence_arousal)),
        ("number of speakers", architecture.num_speakers, speakers),
        ("feature size", architecture.feature_size, sum(sizes.values())),
        ("features by modality", by_modality, [(modality, sizes[modality]) for modality in modalities]),
    ):
        if type(found) is not type(expected) or found != expected:
            raise UserError(f"{path}: damaged: its {name} is {shown(found)}, its other parts say {shown(expected)}")
    if windows.keys() != {"wp", "wf"} or not all(type(n) is int and -1 <= n <= MAX_TURNS for n in windows.values()):
        raise UserError(f"{path}: its windows are {shown(windows)}, expected wp and wf, each of -1 or more turns")
    for name, kinds in (("options", dict), ("epoch", int | None), ("dev_weighted_f1", float | None)):
        if not isinstance(kept[name], kinds):
            raise UserError(f"{path}: damaged: its {name} is {shown(kept[name])}")
    if type(architecture.online) is not bool or (architecture.online and windows["wf"] != 0):
        raise UserError(
            f"{path}: damaged: its online is {shown(architecture.online)}, its window wf {shown(windows['wf'])}"
        )
    for name, most in (("temperature", _HOTTEST), ("unsure", 1)):
        value = kept[name]
        if not ((type(value) is float and 0 < value <= most) or (name, value) == ("unsure", None)):
            raise UserError(f"{path}: damaged: its {name} is {shown(value)}, expected more than 0, at most {most}")


def check_fits(path, checkpoint, corpus, modalities, feature_sizes):
    """Refuse a checkpoint that was trained for something else. The improved network can do without some modalities.

    Raises:
        UserError: names the flag, what it asks for and what the checkpoint holds.
    """
    trained, sizes = checkpoint.modalities, checkpoint.feature_sizes
    if isinstance(checkpoint.network, MaskedAttentionNetwork) and set(modalities) <= set(trained):
        trained, sizes = modalities, {modality: sizes[modality] for modality in modalities}
    for name, found, wanted in (
        ("--dataset", checkpoint.dataset, corpus.name),
        ("emotions", ", ".join(checkpoint.emotions), ", ".join(corpus.emotions)),
        ("--modalities", trained, modalities),
        ("feature sizes", sizes, feature_sizes),
    ):
        if found != wanted:
            raise UserError(f"{path}: trained with {name} {found}, here {name} {wanted}")
