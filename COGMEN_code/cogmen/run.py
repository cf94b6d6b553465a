"""One training run as `TrainOptions` ask for it: its data, its network, the checkpoint it leaves."""

from dataclasses import dataclass, fields

import torch

from cogmen.checkpoints import Checkpoint, check_fits, load_checkpoint, save_checkpoint
from cogmen.network.improved import ImprovedArchitecture, MaskedAttentionNetwork
from cogmen.network.model import CGNN, Architecture
from cogmen.training import dialogue_set, predict, seed_everything
from erc.corpus.corpora import UNLABELLED, Corpus, asked_corpus
from erc.corpus.dialogues import SPLITS, read_preprocessed, use_modalities
from erc.corpus.metrics import check_labelled
from erc.corpus.targets import take_task
from erc.files import write_table
from erc.options import UserError, to_dict
from erc.runtime import find_device
from erc.scoring.calibration import at_temperature, fit_temperature, sure_from
from erc.scoring.pictures import draw_learning_curves

# Fields of an `Architecture` that come from the data, or from --ablate; and the dropout, which may change.
_NO_FLAGS = {"feature_size", "num_emotions", "num_speakers", "multilabel", "graph", "drop_rate"}


@dataclass
class RunData:
    """What a training run reads.

    Attributes:
        corpus, device: what `--dataset`, `--emotion` and `--device` name.
        feature_sizes: by modality, the size of its features.
        num_speakers: how many speakers the network has to tell apart.
        dialogues: by split, its list of `erc.corpus.dialogues.Dialogue`.
    """

    corpus: Corpus
    device: torch.device
    feature_sizes: dict
    num_speakers: int
    dialogues: dict


def prepare(options, splits=SPLITS):
    """Read the dialogues of `splits`; the others are left out of the result.

    Raises:
        UserError: the file or the device is not there, the file is not what `preprocess.py` writes, or none of the
            turns of dev or test has a label.
    """
    device = find_device(options.device)
    dialogues, corpus = read_preprocessed(options.preprocessed_feature, asked_corpus(options.dataset), lazy=True)
    options.dataset = corpus.name  # part of the names of what the run writes
    corpus = take_task(options.preprocessed_feature, dialogues, corpus, options.emotion)
    sizes = use_modalities(options.preprocessed_feature, dialogues, options.modalities)
    for name in [name for name in splits if name != "train"]:
        check_labelled(options.preprocessed_feature, name, dialogues[name])
    num_speakers = corpus.count_speakers([dialogue for name in SPLITS for dialogue in dialogues[name]])
    return RunData(corpus, device, sizes, num_speakers, {name: dialogues[name] for name in splits})


def build_network(options, data):
    """The network to train: fresh weights from `--seed` (which it sets for all that follows), or --model_ckpt's.

    Raises:
        UserError: the checkpoint was trained for something else.
    """
    seed_everything(options.seed)
    size = sum(data.feature_sizes.values())
    corpus = data.corpus
    if options.recipe == "improved":
        if corpus.multilabel:
            raise UserError("--recipe improved: tells one emotion of each turn, --emotion multilabel asks for several")
        return MaskedAttentionNetwork(
            ImprovedArchitecture.from_options(options, data.feature_sizes, len(corpus.emotions))
        )
    network = CGNN(Architecture.from_options(options, size, len(corpus.emotions), data.num_speakers, corpus.multilabel))
    if options.model_ckpt:
        start = load_checkpoint(options.model_ckpt)
        if not isinstance(start.network, CGNN):
            raise UserError(f"{options.model_ckpt}: trained with --recipe improved, expected --recipe published")
        check_fits(options.model_ckpt, start, data.corpus, options.modalities, data.feature_sizes)
        asked = _asked_by(network.architecture)
        for name, found in _asked_by(start.network.architecture).items():
            if found != asked.get(name, found):
                raise UserError(f"{options.model_ckpt}: trained with {name} {found}, here {name} {asked[name]}")
        network.load_state_dict(start.network.state_dict())
    return network


def _asked_by(architecture):
    """The flags of `train.py` that decide a network's tensors or what they mean, with their values."""
    ablate = "no_context" if not architecture.seqcontext_nlayer else None if architecture.graph else "no_graph"
    names = [field.name for field in fields(Architecture) if field.name not in _NO_FLAGS]
    flags = {f"--{name}": getattr(architecture, name) for name in names}
    speakers = {"speakers": architecture.num_speakers} if architecture.relations == "speakers" else {}
    return {"--ablate": ablate, **flags, **speakers}


def run_name(options):
    """The name of a run in TensorBoard and Comet."""
    return f"{_data_name(options)}_{options.modalities}_{options.tag}"


def checkpoint_path(options):
    """Where the run's checkpoint goes."""
    name = f"{_data_name(options)}_best_dev_f1_model_{options.modalities}_{options.tag}"
    return options.out_dir / "model_checkpoints" / f"{name}.pt"


def _data_name(options):
    return f"{options.dataset}_{options.emotion}" if options.emotion else options.dataset


def state_path(options):
    """Where the state of the running training is kept, for --resume."""
    return checkpoint_path(options).with_suffix(".resume")


def fit_confidence(network, data, options):
    """(temperature, unsure) of a `Checkpoint`, by the dev dialogues; (1, None) where a turn has several emotions."""
    if data.corpus.multilabel:
        return 1.0, None
    dev = dialogue_set(data.dialogues["dev"], network, data.corpus, options, data.device)
    log_probs, labels = (values.numpy() for values in predict(network, dev, options.batch_size))
    log_probs, labels = log_probs[labels != UNLABELLED], labels[labels != UNLABELLED]
    temperature = fit_temperature(log_probs, labels)
    return temperature, sure_from(labels, log_probs.argmax(axis=1), at_temperature(log_probs, temperature))


def save_best(network, data, options, epoch, dev_weighted_f1, history):
    """Write the checkpoint and, beside it, the history of the training; removes its state.

    Returns:
        Path: of the checkpoint.
    """
    path = checkpoint_path(options)
    temperature, unsure = fit_confidence(network, data, options)
    checkpoint = Checkpoint(
        network=network,
        dataset=data.corpus.name,
        modalities=options.modalities,
        emotions=list(data.corpus.emotions),
        feature_sizes=data.feature_sizes,
        windows={"wp": options.wp, "wf": options.wf},
        options=to_dict(options),
        epoch=epoch,
        dev_weighted_f1=dev_weighted_f1,
        temperature=temperature,
        unsure=unsure,
    )
    save_checkpoint(path, checkpoint)
    write_table(path.with_suffix(".csv"), list(history[0]), [list(row.values()) for row in history])
    draw_learning_curves(path.with_suffix(""), history, epoch)
    state_path(options).unlink(missing_ok=True)
    return path
