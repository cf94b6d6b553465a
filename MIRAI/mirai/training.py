"""Training the extractor with Lightning: one module, its data, checkpoints written in one step, and `fit`."""

import logging
import sys
import warnings
from collections import Counter

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch.nn.functional import cosine_embedding_loss, cross_entropy, one_hot
from torch.utils.data import DataLoader

from cogmen.corpora import KEMDY19
from cogmen.devices import find_device
from cogmen.metrics import scores
from cogmen.options import UserError
from cogmen.safe_files import read_torch, write_torch
from mirai.annotations import read_annotations
from mirai.dataset import EpochSampler, UtteranceDataset
from mirai.extractor import FORMAT, VERSION, Extractor, describe, fusion_of
from mirai.splits import clip, split
from mirai.tracking import CometRecord

GRADIENT_CLIP = 2.0  # norm
POOLED_STEPS = 8  # optimizer steps whose utterances are sorted by length together
BEST, LAST = "best.ckpt", "last.ckpt"
# Options that a resumed run may change.
_FREE = {"max_epochs", "device", "devices", "num_workers", "resume", "overwrite", "log_in_comet", "comet_workspace"}


def cosine_and_cross_entropy(logits, labels):
    """0.1 x cross-entropy + mean of 1 - cos(logits, one-hot label); logits (B, C), labels (B,)."""
    wanted = one_hot(labels, logits.shape[1]).to(logits.dtype)
    same = torch.ones_like(labels)
    return 0.1 * cross_entropy(logits, labels) + cosine_embedding_loss(logits, wanted, same)


_LOSSES = {"ce": cross_entropy, "cs_and_ce": cosine_and_cross_entropy}


class ExtractorTraining(pl.LightningModule):
    """An `Extractor` in training.

    Args:
        extractor: the network.
        options: `TrainingOptions` or `FusionTrainingOptions`.
        trained_on: the segment ids of the training set, kept so that they are never scored as held out.
    """

    def __init__(self, extractor, options, trained_on):
        super().__init__()
        self.extractor = extractor
        self.options = options
        self.loss = _LOSSES[options.loss]
        self.kept = {
            "format": FORMAT,
            "version": VERSION,
            "options": options.stored(),
            "description": extractor.description,
            "trained_on": list(trained_on),
        }

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.options.lr)

    def on_train_epoch_start(self):
        # From the epoch alone, so that a resumed run draws what it would have drawn.
        seed = self.options.seed + 1_000 * self.current_epoch + 1_000_003 * self.global_rank
        pl.seed_everything(seed, verbose=False)

    def training_step(self, batch, _):
        loss = self.loss(self.extractor(batch), batch.labels)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch), sync_dist=True)
        return loss

    def on_validation_epoch_start(self):
        classes = len(KEMDY19.emotions)
        self.confusion = torch.zeros(classes, classes, device=self.device)

    def validation_step(self, batch, _):
        logits = self.extractor(batch)
        loss = self.loss(logits, batch.labels)
        self.log("val_loss", loss, on_epoch=True, prog_bar=True, batch_size=len(batch), sync_dist=True)
        ones = torch.ones(len(batch), device=self.device)
        self.confusion.index_put_((batch.labels, logits.argmax(1)), ones, accumulate=True)

    def on_validation_epoch_end(self):
        confusion = self.trainer.strategy.reduce(self.confusion, reduce_op="sum").long().cpu().numpy()
        labels, predictions = (np.repeat(place.ravel(), confusion.ravel()) for place in np.indices(confusion.shape))
        result = scores(labels, predictions, KEMDY19.emotions)
        for name in ("weighted_f1", "macro_f1", "accuracy"):
            self.log(f"val_{name}", result[name], prog_bar=name == "weighted_f1", sync_dist=True)

    def on_save_checkpoint(self, checkpoint):
        metrics = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        checkpoint["hyper_parameters"] = {**self.kept, "validation": {"epoch": self.current_epoch, **metrics}}


class Data(pl.LightningDataModule):
    """The loaders of the training and validation utterances; each process takes its share."""

    def __init__(self, train, dev, options):
        super().__init__()
        self.train, self.dev, self.options = train, dev, options

    def train_dataloader(self):
        options = self.options
        pool = options.batch_size * options.accumulate_grad * POOLED_STEPS
        trainer = self.trainer
        sampler = EpochSampler(
            self.train.lengths, options.batch_size, pool, options.seed, trainer.global_rank, trainer.world_size
        )
        return self._loader(self.train, sampler)

    def val_dataloader(self):
        order = np.argsort(self.dev.lengths, kind="stable")[self.trainer.global_rank :: self.trainer.world_size]
        return self._loader(self.dev, order.tolist())

    def _loader(self, dataset, order):
        return DataLoader(
            dataset,
            batch_size=self.options.batch_size,
            sampler=order,
            collate_fn=dataset.collate,
            num_workers=self.options.num_workers,
            persistent_workers=self.options.num_workers > 0,
            pin_memory=self.trainer.strategy.root_device.type == "cuda",
            generator=torch.Generator(),
        )


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that are written beside their place and renamed: whatever happens, one whole file is there."""

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        write_torch(path, checkpoint)


class EpochLines(pl.Callback):
    """A line for every epoch."""

    def on_train_epoch_end(self, trainer, module):
        value = {name: float(value) for name, value in trainer.callback_metrics.items()}
        module.print(
            f"epoch {trainer.current_epoch:>3}: train_loss {value['train_loss']:.4f}, "
            f"val_loss {value['val_loss']:.4f}, val weighted F1 {100 * value['val_weighted_f1']:.2f}, "
            f"val macro F1 {100 * value['val_macro_f1']:.2f}"
        )


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

    _quieten()
    pl.seed_everything(options.seed, verbose=False)
    description = describe(options.using_model, options.text_encoder, options.audio_encoder, options.fusion)
    extractor = Extractor.from_pretrained(description, options.text_encoder, options.audio_encoder)
    settings = extractor.dataset_settings()
    train, dev = (UtteranceDataset(part, options.txt_wav, **settings, cache=options.cache) for part in (train, dev))
    module = ExtractorTraining(extractor, options, [utterance.segment_id for utterance in train.utterances])
    if resumed:
        _check_same(resumed, module.kept)
    folder.mkdir(parents=True, exist_ok=True)
    if options.overwrite:
        for name in (BEST, LAST):
            (folder / name).unlink(missing_ok=True)
    count = sum(weights.numel() for weights in module.parameters())
    _say(f"{extractor.variant}: {count:,} weights, on {device}" + (f", resumed from {resumed}" if resumed else ""))
    trainer = _trainer(options, device, folder)
    try:
        trainer.fit(module, Data(train, dev, options), ckpt_path=resumed, weights_only=True)
    except SIGTERMException:  # on its own it would end the process with exit code 0, as if all were done
        raise UserError(f"--exp_name {options.exp_name}: stopped by SIGTERM; --resume goes on from {LAST}") from None
    _report(folder / BEST, options)


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


def _check_same(path, kept):
    """Going on with other options would silently mix two experiments."""
    before = read_torch(path)["hyper_parameters"]
    if fusion_of(before["description"]) != fusion_of(kept["description"]):
        raise UserError(f"--resume: {path} was begun with the other of MIRAI/trainer_hf.py and trainer_hf_MMER.py")
    differing = [
        f"--{name} {value} (it was {before['options'].get(name)})"
        for name, value in kept["options"].items()
        if name not in _FREE and before["options"].get(name) != value
    ]
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


def _trainer(options, device, folder):
    gpu = device.type == "cuda"
    chosen = [device.index] if device.index is not None else options.devices
    logs = options.out_dir / "tensorboard"
    csv_logger = CSVLogger(logs, name=options.exp_name)
    best = ModelCheckpoint(
        folder, "best", monitor="val_loss", save_weights_only=True, enable_version_counter=False
    )  # the next keeps all that a resumed run needs, this one too
    last = ModelCheckpoint(folder, "last", enable_version_counter=False)
    return pl.Trainer(
        accelerator="gpu" if gpu else "cpu",
        devices=chosen,
        # Layers that are dropped, masks that are not drawn: some weights may have no gradient in a step.
        strategy="ddp_find_unused_parameters_true" if options.devices > 1 else "auto",
        precision=("bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed") if gpu else "32-true",
        max_epochs=options.max_epochs,
        accumulate_grad_batches=options.accumulate_grad,
        gradient_clip_val=GRADIENT_CLIP,
        logger=[csv_logger, TensorBoardLogger(logs, name=options.exp_name, version=csv_logger.version)],
        log_every_n_steps=1,
        callbacks=[
            *(best, last, EpochLines(), TQDMProgressBar(refresh_rate=10 if sys.stdout.isatty() else 0)),
            *([CometRecord(options)] if options.log_in_comet else []),
        ],
        plugins=[AtomicCheckpoints()],
        use_distributed_sampler=False,  # ours takes the share of a process itself
        num_sanity_val_steps=0,
        enable_model_summary=False,
    )


def _report(best, options):
    result = read_torch(best)["hyper_parameters"]["validation"]
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


def _quieten():
    """Lightning's advice and transformers' tables of missing weights (the pooler's may be) say nothing new here."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*exists and is not empty.*")
    warnings.filterwarnings("ignore", ".*is deprecated.*", module="pytorch_lightning")
