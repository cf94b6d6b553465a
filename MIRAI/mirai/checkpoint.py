"""Checkpoints of the extractor: Lightning's, with plain values as hyper-parameters; nothing in them is run."""

from erc.corpus.corpora import own_corpus
from erc.files import write_torch
from erc.options import UserError
from erc.untrusted import check_weights, damaged, read_torch, shown
from mirai.network.extractor import Extractor
from mirai.options import FUSIONS
from mirai.recipes import RECIPES

FORMAT = "mirai-extractor"
VERSION = 1
_MAX_SIZE, _MAX_COUNT = 1 << 22, 500  # of an encoder: any number, and that of layers, heads, labels
# All that a checkpoint may hold: Lightning's parts (MixedPrecision: the scale of 16-bit gradients), and its
# hyper-parameters. Lightning itself would import and call what some other keys name, such as `_instantiator`.
_PARTS = {
    *("epoch", "global_step", "pytorch-lightning_version", "state_dict", "loops", "callbacks", "optimizer_states"),
    *("lr_schedulers", "MixedPrecision", "hyper_parameters"),
}
# Of checkpoints that do not say it.
_FIRST = {"fusion": "concat", "recipe": "published", "valence_arousal": False}
_HYPER_PARAMETERS = {"format", "version", "options", "description", "trained_on", "validation"}


def hyper_parameters(extractor, options, trained_on):
    """The hyper-parameters of a training's checkpoints: all that is needed to build the extractor again, to score it on
    what was held out, and to go on with the training. `validation`, the scores of the epoch, joins them when saved.

    Args:
        trained_on: segment ids of the training set.
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        "options": options.stored(),
        "description": extractor.description,
        "trained_on": list(trained_on),
    }


def read_checkpoint(path):
    """The content of a checkpoint of `trainer_hf.py` or `trainer_hf_MMER.py`, its keys checked against the lists of
    those that may be there. Nothing in it is run.

    Raises:
        UserError: the file is missing, damaged, holds more than plain values and known keys, or is something else.
    """
    content = read_torch(path)
    hyper_parameters = content.get("hyper_parameters") if isinstance(content, dict) else None
    if not isinstance(hyper_parameters, dict) or hyper_parameters.get("format") != FORMAT:
        raise UserError(f"{path}: not a checkpoint of MIRAI/trainer_hf.py or MIRAI/trainer_hf_MMER.py")
    if hyper_parameters.get("version") != VERSION:
        found = hyper_parameters.get("version")
        raise UserError(
            f"{path}: of version {found}, this program reads version {VERSION}; use the program that wrote it"
        )
    missing = [name for name in ("options", "description", "trained_on") if name not in hyper_parameters]
    if missing:
        raise UserError(f"{path}: damaged, its hyper-parameters lack {', '.join(missing)}")
    if "state_dict" not in content:
        raise UserError(f"{path}: damaged, it holds no weights")
    foreign = [str(name) for name in [*(content.keys() - _PARTS), *(hyper_parameters.keys() - _HYPER_PARAMETERS)]]
    if foreign:
        raise UserError(
            f"{path}: refused: it holds {', '.join(sorted(foreign))}, which no checkpoint of this program does; take "
            "one that MIRAI/trainer_hf.py or MIRAI/trainer_hf_MMER.py wrote"
        )
    with damaged(path):
        hyper_parameters["description"] = {**_FIRST, **hyper_parameters["description"]}
    return content


def load_extractor(path):
    """Read a checkpoint of `trainer_hf.py` or `trainer_hf_MMER.py`. Nothing in it is run, and neither hub nor encoder
    directory is needed.

    Returns:
        (Extractor, dict): the network on the CPU, as float32, in evaluation mode; and the checkpoint's
        hyper-parameters: `options`, `description`, `trained_on` (segment ids).
    Raises:
        UserError: as `read_checkpoint`, or its parts do not fit together.
    """
    content = read_checkpoint(path)
    hyper_parameters = content["hyper_parameters"]
    return make_extractor(path, hyper_parameters["description"], lambda: content["state_dict"]), hyper_parameters


def make_extractor(path, description, read_weights):
    """The `Extractor` of a description and of its weights, both read from `path`.

    Raises:
        UserError: its parts do not fit together.
    """
    with damaged(path, "damaged, or not ours: its description makes no network"):
        own_corpus(path, "its corpus", description["emotions"])  # checks them
        if description["fusion"] not in FUSIONS:
            raise UserError(f"{path}: of fusion {shown(description['fusion'])}, expected {' or '.join(FUSIONS)}")
        recipes = list(RECIPES)[: 1 if description["fusion"] == "mmer" else None]
        if description["recipe"] not in recipes:
            raise UserError(f"{path}: of recipe {shown(description['recipe'])}, expected {' or '.join(recipes)}")
        if not isinstance(description["valence_arousal"], bool):
            raise UserError(f"{path}: damaged: its valence_arousal is {shown(description['valence_arousal'])}")
        _check_sizes(description)
        weights = {str(name).removeprefix("extractor."): value for name, value in read_weights().items()}
        check_weights(path, weights, lambda: Extractor(description))
        extractor = Extractor(description)
        extractor.load_state_dict(weights)  # 16-bit floats become 32-bit ones
        extractor.dataset_settings()  # its tokenizer is one
        return extractor.eval()


def check_emotions(path, extractor, corpus):
    """Refuse an extractor that was trained on another corpus's emotions."""
    if tuple(extractor.description["emotions"]) != corpus.emotions:
        raise UserError(
            f"{path}: its emotions are {shown(extractor.description['emotions'])}; {corpus.name} has others"
        )


def _check_sizes(part):
    """Check, before a network is made, even one without memory, that no number is larger than an encoder's."""
    for name, value in part.items() if isinstance(part, dict) else enumerate(part):
        if isinstance(value, dict | list | tuple):
            _check_sizes(value)
        elif isinstance(value, int) and value > (_MAX_COUNT if "num_" in str(name) else _MAX_SIZE):
            raise ValueError(f"{name} {value} is larger than that of any encoder")


def slim_checkpoint(source, target, half):
    """Copy a checkpoint without what only a resumed training needs; `half`: as 16-bit floats, which are read as 32."""
    content = read_torch(source)
    kept = {name: content[name] for name in ("hyper_parameters", "pytorch-lightning_version")}
    state = content["state_dict"]
    if half:
        state = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    write_torch(target, {**kept, "state_dict": state})
