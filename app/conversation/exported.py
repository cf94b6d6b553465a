"""An extractor and a graph network as one folder, without anything of the data they were trained on but its labels.

    config.json                  both descriptions, as plain values
    tokenizer.json               of the text encoder
    extractor.safetensors, graph_network.safetensors
    graph_network.onnx           where it was asked for (`onnx_export`)
    README.md                    the model card

Such a folder may come from anyone: its values are checked as those of a checkpoint, and names in it are no paths.
"""

from pathlib import Path

from cogmen.checkpoints import described, make_checkpoint
from erc.files import write_json, write_text
from erc.options import UserError
from erc.untrusted import damaged, has_format, plain_file, read_json
from mirai.checkpoint import make_extractor

FORMAT, VERSION = "erc-models", 1
_MAX_WEIGHTS = 8 << 30  # bytes of a file
# The options of the training that are written; its other options are paths and settings of the machine it ran on.
_KEPT = (
    "recipe",
    "epochs",
    "batch_size",
    "optimizer",
    "scheduler",
    "learning_rate",
    "weight_decay",
    "class_weight",
    "seed",
)


def write_models(folder, extractor, checkpoint, card):
    """Write both networks and the model card (text) into a folder that is there."""
    network = described(checkpoint)
    network["options"] = {name: value for name, value in network["options"].items() if name in _KEPT}
    description = dict(extractor.description)
    if description["text"]:
        text = description["text"]
        write_text(folder / "tokenizer.json", text["tokenizer"]["json"])
        description["text"] = {**text, "tokenizer": {k: v for k, v in text["tokenizer"].items() if k != "json"}}
    write_json(
        folder / "config.json",
        {"format": FORMAT, "version": VERSION, "extractor": description, "graph_network": network},
    )
    _write_weights(folder / "extractor.safetensors", extractor)
    _write_weights(folder / "graph_network.safetensors", checkpoint.network)
    write_text(folder / "README.md", card)


def read_models(folder):
    """(`Extractor`, `Checkpoint`) of a folder of `write_models`.

    Raises:
        UserError: something is missing, damaged, or does not fit the rest.
    """
    path = Path(folder) / "config.json"
    if not path.parent.is_dir():
        raise UserError(f"{folder}: no such folder; tools/export.py makes one")
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path}: not of a folder that tools/export.py made")
    if content.get("version") != VERSION:
        raise UserError(f"{path}: of another version than this program reads, {VERSION}; update this program")
    with damaged(path):
        description, network = content["extractor"], content["graph_network"]
        if description["text"]:
            place = path.with_name("tokenizer.json")
            plain_file(place, 64 << 20)
            description["text"]["tokenizer"]["json"] = place.read_text(encoding="utf-8")
    extractor = make_extractor(path, description, lambda: _read_weights(path.with_name("extractor.safetensors")))
    weights = path.with_name("graph_network.safetensors")
    return extractor, make_checkpoint(path, network, lambda: _read_weights(weights))


def is_models(folder):
    """Whether an earlier export made a folder."""
    return has_format(folder / "config.json", FORMAT)


def push(folder, repository):
    """Send a folder to the hub, into a repository that is made private where there is none; returns its address."""
    import os

    from huggingface_hub import HfApi

    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on"):
        raise UserError(f"--push {repository}: HF_HUB_OFFLINE is set, so nothing is sent; the folder is {folder}")
    try:
        hub = HfApi()
        hub.create_repo(repository, private=True, exist_ok=True)
        hub.upload_folder(folder_path=folder, repo_id=repository)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"--push {repository}: {reason}; the folder is {folder}. `hf auth login` logs in") from error
    return f"https://huggingface.co/{repository}"


def _write_weights(path, network):
    from safetensors.torch import save_file

    save_file({name: value.cpu().contiguous() for name, value in network.state_dict().items()}, path)


def _read_weights(path):
    from safetensors.torch import load_file

    plain_file(path, _MAX_WEIGHTS)
    with damaged(path):
        return load_file(path)
