"""Training the extractor with Lightning: `fit`, and what is checked before and told after."""

import contextlib
import dataclasses
import logging
import math
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

from erc.corpus.annotations import read_annotations
from erc.corpus.corpora import KEMDY19
from erc.corpus.splits import clip, split
from erc.files import claim
from erc.options import UserError
from erc.runtime import check_compiler, find_device, stop_signals
from mirai.checkpoint import read_checkpoint
from mirai.dataset import UtteranceDataset
from mirai.network.extractor import Extractor, describe, fusion_of
from mirai.training.callbacks import BEST, LAST, AtomicCheckpoints, CometRecord, EpochLines, StopOnSignal, Stopped
from mirai.training.module import Data, ExtractorTraining

GRADIENT_CLIP = 2.0  # norm
BYTES_PER_WEIGHT = 4 * 7  # best.ckpt; last.ckpt with AdamW's two moments; and the next last.ckpt before it is renamed
# Options that a resumed run may change: they change no result, or, those of the last line, only their product does.
_FREE = {"max_epochs", "device", "strategy", "num_workers", "gradient_checkpointing", "resume", "overwrite"}
_FREE |= {"log_in_comet", "comet_workspace"}
_STEP = ("batch_size", "accumulate_grad", "devices", "num_nodes")


def fit(options):
    """Train an extractor as `TrainingOptions` or `FusionTrainingOptions` say; print what was used and what came of it.

    Raises:
        UserError: something is missing, or the experiment is there already.
    """
    folder = options.out_dir / "checkpoint" / options.exp_name
    resumed = _find_checkpoint(folder, options)
    device = find_device(options.device)
    parts = split(read_annotations(options.csv_path), options.test_1920, options.test_sessions, options.dev_sessions)
    train, dev = _clip(parts, options.clip_length)
    _check_shares(train, dev, options)

    quieten()
    pl.seed_everything(options.seed, verbose=False)
    description = describe(options.using_model, options.text_encoder, options.audio_encoder, options.fusion)
    extractor = Extractor.from_pretrained(description, options.text_encoder, options.audio_encoder)
    extractor.prepare(options)
    settings = extractor.dataset_settings()
    train, dev = (UtteranceDataset(part, options.txt_wav, **settings) for part in (train, dev))
    module = ExtractorTraining(extractor, options, [utterance.segment_id for utterance in train.utterances])
    if resumed:
        _check_same(resumed, module.kept, options)
    count = sum(weights.numel() for weights in module.parameters())
    _say(f"{extractor.variant}: {count:,} weights, on {device}" + (f", resumed from {resumed}" if resumed else ""))
    with _claim(folder, BYTES_PER_WEIGHT * count), stop_signals() as request:
        if options.overwrite and rank_zero_only.rank == 0:
            for name in (BEST, LAST):
                (folder / name).unlink(missing_ok=True)
        trainer = _trainer(options, device, folder, request)
        with _faults(options, trainer):
            trainer.fit(module, Data(train, dev, options), ckpt_path=resumed, weights_only=True)
    _report(folder / BEST, options)


def _claim(folder, needs):
    """The first process holds the folder for all."""
    return claim(folder, needs, folder=True) if rank_zero_only.rank == 0 else contextlib.nullcontext()


@contextlib.contextmanager
def _faults(options, trainer):
    """Training ends, whatever ends it, in an error that says what to do, and in no process left waiting."""
    try:
        yield
    except Stopped as signal_name:
        if trainer.global_rank:
            raise SystemExit(1) from None  # the first process tells
        last = options.out_dir / "checkpoint" / options.exp_name / LAST
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


def _find_checkpoint(folder, options):
    """The checkpoint to go on from, or None; checkpoints that are there are never overwritten unasked."""
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


def _check_same(path, kept, options):
    """Going on with other options would silently mix two experiments."""
    before = read_checkpoint(path)["hyper_parameters"]
    if fusion_of(before["description"]) != fusion_of(kept["description"]):
        raise UserError(f"--resume: {path} was begun with the other of MIRAI/trainer_hf.py and trainer_hf_MMER.py")
    # An option that is newer than the checkpoint was at its default.
    defaults = {field.name: field.default for field in dataclasses.fields(options)}
    old, new = {**defaults, **before["options"]}, kept["options"]
    differing = [
        f"--{name} {new[name]} (it was {old.get(name)})"
        for name in new
        if name not in _FREE and name not in _STEP and old.get(name) != new[name]
    ]
    if math.prod(old[name] or 1 for name in _STEP) != math.prod(new[name] or 1 for name in _STEP):
        shown = (" ".join(f"--{name} {values[name]}" for name in _STEP) for values in (new, old))
        differing.append("{} (it was {}: another number of utterances in an optimizer step)".format(*shown))
    if differing:
        raise UserError(f"--resume: the run was begun with other options: {', '.join(differing)}")
    if before["trained_on"] != kept["trained_on"]:
        raise UserError("--resume: the table's training utterances are not those that the run was begun with")


def _clip(parts, seconds):
    """The training and validation utterances of at most `seconds`; prints the sizes and the emotions."""
    (train, longer), (dev, longer_dev) = clip(parts.train, seconds), clip(parts.dev, seconds)
    if not train or not dev:
        raise UserError(
            f"--clip_length {seconds:g}: leaves {len(train)} utterances to train on, {len(dev)} to validate"
        )
    _say(f"{len(train)} utterances train, {len(dev)} validate, {len(parts.test)} are held out")
    if longer or longer_dev:
        _say(f"left out, longer than {seconds:g} s: {longer} of training, {longer_dev} of validation")
    counts = Counter(utterance.emotion for utterance in train)
    _say("to train on: " + ", ".join(f"{emotion} {counts[emotion]}" for emotion in KEMDY19.emotions))
    return train, dev


def _check_shares(train, dev, options):
    """Every process has utterances to train on and to validate, and a batch takes the longest of them."""
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


def _trainer(options, device, folder, request):
    logs = options.out_dir / "tensorboard"
    csv_logger = CSVLogger(logs, name=options.exp_name)
    best = ModelCheckpoint(
        folder, "best", monitor="val_loss", save_weights_only=True, enable_version_counter=False
    )  # the next keeps all that a resumed run needs, this one too
    last = ModelCheckpoint(folder, "last", enable_version_counter=False)
    plugins = [AtomicCheckpoints()]
    if SLURMEnvironment.detect() and not TorchElasticEnvironment.detect():
        # Lightning would start the job again by itself when its time is up, without --resume.
        plugins.append(SLURMEnvironment(auto_requeue=False))
    return pl.Trainer(
        **trainer_settings(options, device),
        logger=[csv_logger, TensorBoardLogger(logs, name=options.exp_name, version=csv_logger.version)],
        log_every_n_steps=1,
        callbacks=[
            *(best, last, EpochLines(), StopOnSignal(request)),
            TQDMProgressBar(refresh_rate=10 if sys.stdout.isatty() else 0),
            *([CometRecord(options)] if options.log_in_comet else []),
        ],
        plugins=plugins,
        default_root_dir=folder,
    )


def trainer_settings(options, device):
    """What decides how fast a `pl.Trainer` trains and what it learns."""
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


def _report(best, options):
    result = read_checkpoint(best)["hyper_parameters"]["validation"]
    _say(
        f"best epoch {result['epoch']}: val_loss {result['val_loss']:.4f}, "
        f"val weighted F1 {100 * result['val_weighted_f1']:.2f}"
    )
    _say(f"checkpoint: {best}")
    sessions = f" --test_sessions {' '.join(map(str, options.test_sessions))}" if options.test_1920 else ""
    command = f"python MIRAI/inference.py --ckpt_path {best} --test_1920={options.test_1920}{sessions}"
    _say(f"next: {command} --csv_path {options.csv_path}")


@rank_zero_only
def _say(text):
    print(text, flush=True)


def quieten():
    """Lightning's advice and transformers' tables of missing weights (the pooler's may be) say nothing new here."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*exists and is not empty.*")
    warnings.filterwarnings("ignore", ".*is deprecated.*", module="pytorch_lightning")
