"""The extractor in training, for Lightning: loss, optimizer, steps and metrics, and the loaders of its batches."""

import math

import numpy as np
import pytorch_lightning as pl
import torch
from torch.nn.functional import cosine_embedding_loss, cross_entropy, one_hot
from torch.utils.data import DataLoader

from erc.corpus.feelings import WEIGHT, squared_error
from erc.corpus.metrics import scores
from erc.options import UserError
from mirai.checkpoint import hyper_parameters
from mirai.training.augmentation import change_speed, draw_speed
from mirai.training.callbacks import ignore_signals
from mirai.training.rates import parameter_groups, warm_up_schedule
from mirai.training.sampling import EpochBatches, batches_in_order


def cosine_and_cross_entropy(logits, labels):
    """0.1 x cross-entropy + mean of 1 - cos(logits, target); logits (B, C), labels (B,) or soft ones (B, C) -> scalar.

    The target is the soft label, or the one-hot label.
    """
    targets = labels if labels.ndim == 2 else one_hot(labels, logits.shape[1]).to(logits.dtype)  # (B, C)
    similar = torch.ones_like(logits[:, 0])  # (B,) what every pair is to be
    return 0.1 * cross_entropy(logits, labels) + cosine_embedding_loss(logits, targets, similar)


LOSSES = {"ce": cross_entropy, "cs_and_ce": cosine_and_cross_entropy}


class ExtractorTraining(pl.LightningModule):
    """An `Extractor` in training, made ready as the options say.

    Args:
        extractor: the network.
        options: `TrainingOptions` or `FusionTrainingOptions`.
        trained_on: the segment ids of the training set, kept so that they are never scored as held out.
    """

    def __init__(self, extractor, options, trained_on):
        super().__init__()
        self.extractor = extractor
        self.options = options
        self.loss = LOSSES[options.loss]
        self.kept = hyper_parameters(extractor, options, trained_on)
        if options.freeze_feature_encoder:
            extractor.audio.feature_extractor.requires_grad_(False)
        if options.gradient_checkpointing:
            checkpoint_gradients(extractor)
        if options.compile:
            compile_layers(extractor)

    def configure_optimizers(self):
        recipe = self.extractor.recipe
        weights = [weights for weights in self.parameters() if weights.requires_grad]
        if recipe.warm_up:
            weights = parameter_groups(self.extractor, self.options.lr, recipe)
        # With 16-mixed the fused one would take the scale off the gradients after they were clipped.
        fused = self.device.type == "cuda" and self.trainer.precision != "16-mixed"
        optimizer = torch.optim.AdamW(weights, lr=self.options.lr, fused=fused or None)
        if not recipe.warm_up:
            return optimizer
        # Lightning's own estimate makes the loaders, which a resumed run may only do once it knows its epoch.
        steps = self.options.max_epochs * self.trainer.datamodule.steps_per_epoch()
        schedule = warm_up_schedule(optimizer, steps, recipe.warm_up)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None):
        # As Lightning's own, which refuses every fused optimizer.
        torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def on_train_epoch_start(self):
        # From the epoch alone, so that a resumed run draws the same numbers.
        seed = self.options.seed + 1_000 * self.current_epoch + 1_000_003 * self.global_rank
        pl.seed_everything(seed, verbose=False)
        self.sums = {}

    def training_step(self, batch, number):
        if len(speeds := self.extractor.recipe.speeds) > 1:
            batch = change_speed(batch, draw_speed(speeds))
        logits, felt = (self.extractor(batch), None) if batch.feelings is None else self.extractor(batch, feelings=True)
        loss = self.loss(logits, batch.labels if batch.targets is None else batch.targets)
        if felt is not None:
            loss = loss + WEIGHT * squared_error(felt, batch.feelings)
        own, total = self.trainer.train_dataloader.batch_sampler.shares[number]
        self._count("train_loss", loss, own)
        # Lightning takes the mean over the batches of a step, DDP over the processes: with this factor the two give
        # the mean over the step's utterances, however unequal its batches are.
        return loss * (own * self.options.batches_per_step / total)

    def on_validation_epoch_start(self):
        classes = len(self.extractor.description["emotions"])
        self.confusion = torch.zeros(classes, classes, device=self.device)  # (label, prediction)

    def validation_step(self, batch, _):
        logits = self.extractor(batch)  # (B, C)
        self._count("val_loss", self.loss(logits, batch.labels), len(batch))
        ones = torch.ones(len(batch), device=self.device)
        self.confusion.index_put_((batch.labels, logits.argmax(1)), ones, accumulate=True)

    def on_validation_epoch_end(self):
        # Not by Lightning's own means, which are rounded where processes have different numbers of utterances.
        for name, value in self.sums.items():
            loss, count = self._over_processes(value).tolist()
            self._check_finite(name, loss / count)
            self.log(name, loss / count, prog_bar=True, sync_dist=True)
        confusion = self._over_processes(self.confusion).long().cpu().numpy()
        labels, predictions = (np.repeat(place.ravel(), confusion.ravel()) for place in np.indices(confusion.shape))
        result = scores(labels, predictions, self.extractor.description["emotions"])
        for name in ("weighted_f1", "macro_f1", "accuracy"):
            self.log(f"val_{name}", result[name], prog_bar=name == "weighted_f1", sync_dist=True)

    def on_save_checkpoint(self, checkpoint):
        metrics = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        checkpoint["hyper_parameters"] = {**self.kept, "validation": {"epoch": self.current_epoch, **metrics}}

    def _count(self, name, loss, utterances):
        """Add a batch's mean loss to an epoch's (sum of losses, number of utterances)."""
        value = torch.stack([loss.detach().double() * utterances, loss.new_tensor(utterances, dtype=torch.float64)])
        self.sums[name] = self.sums.get(name, 0) + value

    def _over_processes(self, value):
        return self.trainer.strategy.reduce(value, reduce_op="sum")

    def _check_finite(self, name, loss):
        """Once an epoch, before its checkpoints: a look at the loss in every step would wait for the GPU."""
        if not math.isfinite(loss):
            if not self.trainer.is_global_zero:
                raise SystemExit(1)  # the first process says why
            kind = {"train_loss": "training", "val_loss": "validation"}[name]
            raise UserError(
                f"the {kind} loss is not finite ({loss}) in epoch {self.current_epoch}: take a smaller --lr"
            )


def checkpoint_gradients(extractor):
    """Keep only the input of each encoder layer for the gradients, and compute the layer again when it is needed.

    Raises:
        UserError: an encoder cannot do so.
    """
    settings = {"use_reentrant": False}  # the other kind and DDP do not mix
    for encoder in (getattr(extractor, modality) for modality in extractor.modalities):
        if not encoder.supports_gradient_checkpointing:
            raise UserError(f"--gradient_checkpointing: {type(encoder).__name__} cannot; leave it out")
        if hasattr(encoder, "activation_checkpointing_enable"):  # its name in newer versions of transformers 5
            encoder.activation_checkpointing_enable(activation_checkpointing_kwargs=settings)
        else:
            encoder.gradient_checkpointing_enable(settings)


def compile_layers(extractor):
    """Compile every layer of the encoders when it is first used, for input of any length."""
    from transformers.modeling_layers import GradientCheckpointingLayer  # the base class of encoder layers

    for module in extractor.modules():
        if isinstance(module, GradientCheckpointingLayer):
            module.compile(dynamic=True)


class Data(pl.LightningDataModule):
    """The loaders of the training and validation utterances; each process takes its share."""

    def __init__(self, train, dev, options):
        super().__init__()
        self.train, self.dev, self.options = train, dev, options

    def train_dataloader(self):
        sampler = self._sampler()
        # A resumed run's; Lightning sets it only after it has asked for the length and begun to read ahead.
        sampler.set_epoch(self.trainer.fit_loop.epoch_progress.current.processed)
        return self._loader(self.train, sampler)

    def steps_per_epoch(self):
        """Steps of the optimizer in an epoch; where batches are of limited duration, in the first one."""
        return math.ceil(len(self._sampler()) / self.options.accumulate_grad)

    def val_dataloader(self):
        options = self.options
        batches = batches_in_order(self.dev.lengths, options.batch_size, options.max_batch_seconds, *self._process())
        return self._loader(self.dev, batches)

    def _sampler(self):
        options = self.options
        return EpochBatches(
            self.train.lengths,
            options.batch_size,
            options.batches_per_step,
            options.seed,
            options.max_batch_seconds,
            *self._process(),
        )

    def _process(self):
        return self.trainer.global_rank, self.trainer.world_size

    def _loader(self, dataset, batches):
        return DataLoader(
            dataset,
            batch_sampler=batches,
            collate_fn=dataset.collate,
            num_workers=self.options.num_workers,
            # Batches of limited duration differ in number from epoch to epoch, which takes a new loader.
            persistent_workers=self.options.num_workers > 0 and self.options.max_batch_seconds is None,
            pin_memory=self.trainer.strategy.root_device.type == "cuda",
            generator=torch.Generator(),
            worker_init_fn=ignore_signals,
        )
