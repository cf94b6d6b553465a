"""How fast the extractor trains: on noise of KEMDy19's durations, with encoders of random weights.

    python benchmarks/extractor.py --size tiny

With `--size full` the encoders are as large as XLS-R 300m and KLUE RoBERTa base, which takes a GPU; there, let some
`--num_workers` read ahead. Needs neither data nor network. Prints one table; goals are for the full size on one H200.
The matrix-product rate is measured in the same run (bfloat16 on a GPU, 32 bits on a CPU); of it, the share counts what
the speech and text need, not the padding, and not what --gradient_checkpointing computes again.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytorch_lightning as pl
import torch
from encoders import SIZES, make_extractor
from measuring import durations, hardware, matmul_rate, peak_bytes, show, wait_for
from torch.utils.flop_counter import FlopCounterMode

from erc.files import write_json
from erc.options import option, parse, run, to_dict
from erc.runtime import find_device
from mirai.dataset import UtteranceDataset
from mirai.network.encoders import Normalizer
from mirai.options import TrainingOptions
from mirai.speech import SAMPLE_RATE
from mirai.training.fit import quieten, trainer_settings
from mirai.training.module import Data, ExtractorTraining
from mirai.training.sampling import EpochBatches, padding_share

CORPUS_SECONDS = 15.4 * 3600
LONGEST = 25  # seconds
UTTERANCES = 7700  # KEMDy19's of at most 25 s that are neither held out nor validated on
FLOP_PER_SECOND = 96e9  # of speech, in a training step of the full size; that of others is counted
TOKENS_PER_SECOND = 3
PUBLISHED_BATCH = 2  # utterances, in random order


@dataclass
class Options:
    size: str = option("tiny", "of the encoders", choices=list(SIZES))
    device: str = option("auto", "auto, cpu, cuda or cuda:N")
    steps: int = option(6, "optimizer steps that are timed")
    warmup: int = option(2, "steps before them")
    max_batch_seconds: float | None = option(
        None, "as of MIRAI/trainer_hf.py, and those below; default: 160 for the full size, else 30"
    )
    precision: str = option("auto", "auto, 32-true, 16-mixed or bf16-mixed")
    compile: bool = option(False, "torch.compile of the encoders' layers")
    gradient_checkpointing: bool = option(False, "compute layers twice instead of keeping them")
    freeze_feature_encoder: bool = option(False, "do not train the convolutions")
    num_workers: int = option(0, "processes that read ahead")
    seed: int = option(0, "of durations, noise and weights")
    out: Path | None = option(None, "the figures as JSON")

    def __post_init__(self):
        for name in ("steps", "warmup"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} {getattr(self, name)}: expected at least 1")
        self.max_batch_seconds = self.max_batch_seconds or (160.0 if self.size == "full" else 30.0)
        if self.max_batch_seconds < LONGEST:
            raise ValueError(f"--max_batch_seconds {self.max_batch_seconds:g}: expected at least {LONGEST}")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    result = measure(options, find_device(options.device))
    shown = result["options"]
    print(f"{shown['size']} encoders, {result['precision']}, batches of {shown['max_batch_seconds']:g} s of speech")
    print(f"on {result['device']}\n")
    show(report(result))
    if options.out:
        write_json(options.out, result)


def measure(options, device):
    """The figures of a training with these options: a dict."""
    quieten()
    torch.manual_seed(options.seed)
    extractor = make_extractor(options.size).train()
    lengths = durations(UTTERANCES, options.seed)
    dataset = noise_dataset(lengths, extractor, options.seed)
    result = {"options": to_dict(options), "device": hardware(device), "gpu": device.type == "cuda"}
    big = {"size": 8192, "dtype": torch.bfloat16} if device.type == "cuda" else {"size": 1024}
    result["matmul_flops"] = matmul_rate(device, **big)
    result["flop_per_second"] = FLOP_PER_SECOND if options.size == "full" else count_flop(extractor, dataset)
    result.update(timed_training(extractor, dataset, options, device))
    result.update(padding(lengths, options))
    result["share_of_matmul"] = result["speech_rate"] * result["flop_per_second"] / result["matmul_flops"]
    result["epoch_seconds"] = CORPUS_SECONDS / result["speech_rate"]
    return result


def noise_dataset(lengths, extractor, seed):
    """Utterances whose speech are slices of one piece of 16-bit noise; read and normalised as real ones."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(0, 3000, size=30 * SAMPLE_RATE).astype(np.int16)

    class Noise(UtteranceDataset):
        def __init__(self):
            self.utterances = [SimpleNamespace(label=k % 7, seconds=float(s)) for k, s in enumerate(lengths)]
            self.tokens = [
                generator.integers(4, extractor.text.config.vocab_size, size=3 + int(TOKENS_PER_SECOND * seconds))
                for seconds in lengths
            ]
            self.speech = self.utterances  # what counts is that there is some
            self.normalize, self.pad_token = Normalizer(extractor.description["audio"]), 1

        def wave(self, index):
            return noise[: int(self.utterances[index].seconds * SAMPLE_RATE)].astype(np.float32) / 32768

    return Noise()


def count_flop(extractor, dataset):
    """FLOP of a training step for a second of speech, counted without padding on one utterance of about mean length."""
    lengths = np.array(dataset.lengths)
    place = int(np.abs(lengths - lengths.mean()).argmin())
    batch = dataset.collate([dataset[place]])
    with FlopCounterMode(display=False) as counter:
        extractor(batch).sum().backward()
    extractor.zero_grad(set_to_none=True)
    return counter.get_total_flops() / lengths[place]


def timed_training(extractor, dataset, options, device):
    """Train as MIRAI/trainer_hf.py does, but write nothing; time the steps after the warm-up."""
    chosen = {name: getattr(options, name) for name in vars(options) if name in TrainingOptions.__dataclass_fields__}
    training = TrainingOptions(
        exp_name="benchmark", csv_path=Path("none"), accumulate_grad=1, max_epochs=1_000_000, **chosen
    )
    spent = SimpleNamespace(step=0.0, wait=0.0, speech=0.0, padded=0.0, now=0.0)

    class Clock(pl.Callback):
        def lap(self):
            wait_for(device)
            before, spent.now = spent.now, time.perf_counter()
            return spent.now - before

        def on_train_batch_start(self, trainer, module, batch, number):
            waited = self.lap()
            if trainer.global_step >= options.warmup:
                spent.wait += waited if spent.step else 0.0
                spent.speech += float(batch.samples.sum()) / SAMPLE_RATE
                spent.padded += batch.windows.numel() / SAMPLE_RATE

        def on_train_batch_end(self, trainer, *_):
            took = self.lap()
            spent.step += took if trainer.global_step > options.warmup else 0.0

    trainer = pl.Trainer(
        **trainer_settings(training, device),
        max_steps=options.warmup + options.steps,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=sys.stderr.isatty(),
        callbacks=[Clock()],
    )
    trainer.fit(ExtractorTraining(extractor, training, []), Data(dataset, dataset, training))
    seconds = spent.step + spent.wait
    return {
        "precision": trainer.precision,
        "step_seconds": seconds / options.steps,
        "speech_rate": spent.speech / seconds,
        "padding_timed": 1 - spent.speech / spent.padded,
        "data_wait": spent.wait / seconds,
        "peak_bytes": peak_bytes(device),
    }


def padding(lengths, options):
    """The share of padding in an epoch's batches, and in those of the published order."""
    ours = EpochBatches(lengths, None, 1, options.seed, options.max_batch_seconds)
    shuffled = np.random.default_rng(options.seed).permutation(len(lengths) // PUBLISHED_BATCH * PUBLISHED_BATCH)
    published = shuffled.reshape(-1, PUBLISHED_BATCH).tolist()
    return {"padding": padding_share(lengths, ours), "padding_published": padding_share(lengths, published)}


def report(result):
    """The rows of the table."""
    counted = result["flop_per_second"] / 1e9
    memory = "peak memory" if result["gpu"] else "peak memory of the process"
    return (
        ("matrix product, TFLOP/s", f"{result['matmul_flops'] / 1e12:.3f}", ""),
        ("work of a training step, GFLOP for a second of speech", f"{counted:.2f}", f"{FLOP_PER_SECOND / 1e9:.0f}"),
        ("seconds of speech trained on in a second", f"{result['speech_rate']:.1f}", ""),
        ("seconds of an epoch of 15.4 h", f"{result['epoch_seconds']:.1f}", "< 25"),
        ("share of the matrix-product rate, %", f"{100 * result['share_of_matmul']:.1f}", ">= 40"),
        ("a step, s", f"{result['step_seconds']:.3f}", ""),
        ("of it waiting for data, %", f"{100 * result['data_wait']:.1f}", ""),
        ("padding of an epoch, %", f"{100 * result['padding']:.1f}", "< 5"),
        ("padding of the published order, %", f"{100 * result['padding_published']:.1f}", ""),
        (f"{memory}, GB", f"{result['peak_bytes'] / 1e9:.2f}", "< 24"),
    )


if __name__ == "__main__":
    run(main)
