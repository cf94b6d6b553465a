"""Training an extractor with Lightning, from the options to the best checkpoint."""

import contextlib
import logging
import os
import signal
import sys
import warnings
from collections import Counter

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from pytorch_lightning.utilities import rank_zero_only

from erc.corpus.annotations import read_annotations, table_corpus
from erc.corpus.splits import clip, labelled, split, without_label
from erc.files import claim
from erc.options import UserError
from erc.runtime import check_compiler, find_device, stop_signals
from erc.scoring.pictures import draw_learning_curves
from erc.tracking import Comet
from mirai.checkpoint import read_checkpoint
from mirai.dataset import UtteranceDataset
from mirai.network.encoders import describe
from mirai.network.extractor import Extractor
from mirai.training.callbacks import BEST, LAST, AtomicCheckpoints, EpochScores, StopOnSignal, Stopped
from mirai.training.module import Data, ExtractorTraining
from mirai.training.resume import check_same, find_checkpoint
from mirai.training.targets import TrainingDataset, feelings_of, read_votes, targets_of

GRADIENT_CLIP = 2.0  # norm
BYTES_PER_WEIGHT = 4 * 7  # best.ckpt; last.ckpt with AdamW's two moments; and the next last.ckpt before it is renamed


def fit(options):
    """Train an extractor as `TrainingOptions` or `FusionTrainingOptions` say; prints the data used and the best epoch.

    Raises:
        UserError: something is missing, the experiment is there already, or the training cannot go on.
    """
    folder = options.out_dir / "checkpoint" / options.exp_name
    resumed = find_checkpoint(folder, options)
    device = find_device(options.device)
    corpus = table_corpus(options.csv_path)
    votes = read_votes(options.csv_path, corpus) if options.soft_labels else {}
    train, dev = choose_utterances(options, corpus, votes)
    check_batches(train, dev, options)

    quieten()
    pl.seed_everything(options.seed, verbose=False)
    encoders = options.text_encoder, options.audio_encoder
    description = describe(
        options.using_model, *encoders, options.fusion, corpus.emotions, options.recipe, options.valence_arousal
    )
    extractor = Extractor.from_pretrained(description, *encoders)
    module = ExtractorTraining(extractor, options, [utterance.segment_id for utterance in train])
    settings = extractor.dataset_settings()
    targets = targets_of(train, votes, corpus) if options.soft_labels else None
    feelings = feelings_of(train, options.csv_path) if options.valence_arousal else None
    datasets = [
        TrainingDataset(train, options.txt_wav, targets=targets, feelings=feelings, **settings),
        UtteranceDataset(dev, options.txt_wav, **settings),
    ]
    if resumed:
        check_same(resumed, module.kept)
    count = sum(weights.numel() for weights in module.parameters())
    _say(f"{extractor.variant}: {count:,} weights, on {device}" + (f", resumed from {resumed}" if resumed else ""))

    with contextlib.ExitStack() as held:
        stop, scores = StopOnSignal(held.enter_context(stop_signals())), EpochScores()
        trainer = _trainer(options, device, folder, [stop, scores])
        if trainer.is_global_zero:  # for all processes
            held.enter_context(claim(folder, BYTES_PER_WEIGHT * count, folder=True))
            find_checkpoint(folder, options)  # another run may have left one since this one has looked
            if options.overwrite:
                for name in (BEST, LAST):
                    (folder / name).unlink(missing_ok=True)
            if options.log_in_comet:
                scores.comet = held.enter_context(contextlib.closing(Comet(options, options.exp_name)))
        held.enter_context(_faults(options, trainer, folder / LAST))
        trainer.fit(module, Data(*datasets, options), ckpt_path=resumed, weights_only=True)
        if trainer.is_global_zero and scores.history:
            kept = min(scores.history, key=lambda row: row["val_loss"])["epoch"]
            draw_learning_curves(folder / "learning_curves", scores.history, kept)
    _report(folder / BEST, options)


def choose_utterances(options, corpus, votes=()):
    """The training and the validation utterances, of at most `--clip_length`; prints how many, and their emotions.

    Args:
        votes: by segment id; training utterances without a label that have votes are among them.
    """
    utterances, seconds = read_annotations(options.csv_path, corpus), options.clip_length
    splits = split(utterances, options.test_1920, options.test_sessions, options.dev_sessions)
    others = without_label(utterances, options.test_1920, options.test_sessions, options.dev_sessions)
    tied = [utterance for utterance in others if utterance.segment_id in votes]
    (train, longer), (dev, longer_dev) = clip(splits.train + tied, seconds), clip(splits.dev, seconds)
    if not train or not dev:
        raise UserError(
            f"--clip_length {seconds:g}: leaves {len(train)} utterances to train on, {len(dev)} to validate"
        )
    _say(f"{len(train)} utterances train, {len(dev)} validate, {len(splits.test)} are held out")
    if tied:
        _say(f"of these train by the raters' votes alone, without a label: {len(tied)}")
    if unlabelled := len(utterances) - len(labelled(utterances)) - len(tied):
        _say(f"left out, without a label: {unlabelled}")
    if longer or longer_dev:
        _say(f"left out, longer than {seconds:g} s: {longer} of training, {longer_dev} of validation")
    counts = Counter(utterance.emotion for utterance in train)
    _say("to train on: " + ", ".join(f"{emotion} {counts[emotion]}" for emotion in corpus.emotions))
    return train, dev


def check_batches(train, dev, options):
    """Check that every process gets utterances to train on and to validate, and that a batch takes the longest.

    Raises:
        UserError: names the flags.
    """
    if min(len(train), len(dev)) < options.processes:
        raise UserError(
            f"--devices {options.devices} --num_nodes {options.num_nodes}: {options.processes} processes, but "
            f"{len(train)} utterances to train on and {len(dev)} to validate; expected at least one of each for each"
        )
    longest = max(train + dev, key=lambda utterance: utterance.seconds)
    if options.max_batch_seconds is not None and longest.seconds > options.max_batch_seconds:
        raise UserError(
            f"--max_batch_seconds {options.max_batch_seconds:g}: {longest.segment_id} lasts {longest.seconds:g} s; "
            "give at least that, or a shorter --clip_length"
        )
    if torch.distributed.is_torchelastic_launched() and int(os.environ["WORLD_SIZE"]) != options.processes:
        raise UserError(
            f"--devices {options.devices} --num_nodes {options.num_nodes}: torchrun started "
            f"{os.environ['WORLD_SIZE']} processes; give its --nproc_per_node and --nnodes here too"
        )


def _trainer(options, device, folder, callbacks):
    """The `pl.Trainer`, with its logs and checkpoints."""
    logs = options.out_dir / "tensorboard"
    csv_logger = CSVLogger(logs, name=options.exp_name)
    checkpoints = [
        ModelCheckpoint(folder, "best", monitor="val_loss", save_weights_only=True, enable_version_counter=False),
        ModelCheckpoint(folder, "last", enable_version_counter=False),
    ]
    plugins = [AtomicCheckpoints()]
    if SLURMEnvironment.detect() and not TorchElasticEnvironment.detect():
        # Lightning would start the job again by itself when its time is up, without --resume.
        plugins.append(SLURMEnvironment(auto_requeue=False))
    return pl.Trainer(
        **trainer_settings(options, device),
        logger=[csv_logger, TensorBoardLogger(logs, name=options.exp_name, version=csv_logger.version)],
        log_every_n_steps=1,
        callbacks=[*checkpoints, *callbacks, TQDMProgressBar(refresh_rate=10 if sys.stdout.isatty() else 0)],
        plugins=plugins,
        default_root_dir=folder,
    )


def trainer_settings(options, device):
    """The arguments of a `pl.Trainer` that decide what it learns and how fast."""
    gpu = device.type == "cuda"
    strategy = options.strategy
    if strategy == "auto" and options.processes > 1:
        # Layers that are dropped, masks that are not drawn: some weights may have no gradient in a step.
        strategy = "ddp_find_unused_parameters_true"
    return {
        "accelerator": "gpu" if gpu else "cpu",
        "devices": [device.index] if device.index is not None else options.devices,
        "num_nodes": options.num_nodes,
        "strategy": strategy,
        "precision": find_precision(options.precision, gpu),
        "max_epochs": options.max_epochs,
        "accumulate_grad_batches": options.accumulate_grad,
        "gradient_clip_val": GRADIENT_CLIP,
        "use_distributed_sampler": False,  # ours takes the share of a process itself
        "reload_dataloaders_every_n_epochs": 0 if options.max_batch_seconds is None else 1,
        "num_sanity_val_steps": 0,
        "enable_model_summary": False,
    }


def find_precision(name, gpu):
    """Lightning's name for `--precision`; auto is mixed on a GPU, in bfloat16 where it has that.

    Raises:
        UserError: 16-mixed on a CPU.
    """
    if name == "16-mixed" and not gpu:
        raise UserError("--precision 16-mixed: needs a GPU; a CPU takes 32-true, or bf16-mixed where it is fast")
    if name != "auto":
        return name
    if not gpu:
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"


@contextlib.contextmanager
def _faults(options, trainer, last):
    """Turns what ends a training into an error that says what to do, and leaves no process waiting."""
    try:
        yield
    except Stopped as signal_name:
        if trainer.global_rank:
            raise SystemExit(1) from None  # the first process says so
        what = f"--resume goes on from {last.name}" if last.exists() else "in its first epoch: start it again"
        raise UserError(f"--exp_name {options.exp_name}: stopped by {signal_name}; {what}") from None
    except BaseException as error:
        launcher = trainer.strategy.launcher
        if hasattr(launcher, "kill"):
            launcher.kill(signal.SIGKILL)  # the processes that it started may wait for this one for ever
        if isinstance(error, torch.OutOfMemoryError):
            raise UserError(
                f"out of GPU memory ({str(error).splitlines()[0]}). Take a smaller --batch_size, or a smaller "
                "--max_batch_seconds, with a larger --accumulate_grad; or --gradient_checkpointing, which computes "
                "layers twice instead of keeping them; or a shorter --clip_length"
            ) from error
        check_compiler(error, "the encoders")
        if isinstance(error.__context__, KeyboardInterrupt):  # Lightning made an exit without a word of it
            raise KeyboardInterrupt from None
        raise


def _report(best, options):
    """Print the best epoch, where its checkpoint is, and the command that scores it."""
    result = read_checkpoint(best)["hyper_parameters"]["validation"]
    _say(
        f"best epoch {result['epoch']}: val_loss {result['val_loss']:.4f}, "
        f"val weighted F1 {100 * result['val_weighted_f1']:.2f}"
    )
    _say(f"checkpoint: {best}")
    chosen = options.test_1920 and options.test_sessions  # a table of someone's own has none
    sessions = f" --test_sessions {' '.join(map(str, options.test_sessions))}" if chosen else ""
    command = f"python MIRAI/inference.py --ckpt_path {best} --test_1920={options.test_1920}{sessions}"
    _say(f"next: {command} --csv_path {options.csv_path}")


@rank_zero_only
def _say(text):
    print(text, flush=True)


def quieten():
    """Silence Lightning's advice and transformers' tables of missing weights, of which the pooler's may be some."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*exists and is not empty.*")
    warnings.filterwarnings("ignore", ".*is deprecated.*", module="pytorch_lightning")
