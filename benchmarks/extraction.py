"""Speed of feature extraction: seconds of speech per second, against a naive loop over the same network.

    python benchmarks/extraction.py --size small --out extraction.json

Makes its own speech, whose durations follow KEMDy19's, and encoders with random weights. Naive: batches of 6 in the
order of the table, transformers' own convolutional front end. Here: what MIRAI/feature_extractor_cogmen_format.py
does. Both run in turn, --repeats times, with as many threads as OMP_NUM_THREADS says; the median counts. Prints speed,
padding, waiting for input and peak memory of both, and by how much an embedding differs.
"""

import statistics
import tempfile
import time
import wave
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from encoders import SIZES, SYLLABLES, make_extractor
from measuring import durations, hardware, peak_bytes, reset_peak, show
from torch.utils.data import DataLoader
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2FeatureEncoder

from erc.corpus.annotations import Utterance
from erc.files import write_json
from erc.options import option, parse, run, to_dict
from erc.runtime import find_device
from mirai.dataset import UtteranceDataset
from mirai.options import PREDICTION_PRECISIONS
from mirai.prediction import plan_batches, run_batches
from mirai.speech import SAMPLE_RATE

GOAL = 2.0  # times the naive loop
NAIVE_BATCH = 6
UTTERANCES = {"tiny": 200, "small": 60, "full": 24}


@dataclass
class Options:
    size: str = option("small", "of the encoders", choices=list(SIZES))
    utterances: int | None = option(None, "how many; default: 200 (tiny), 60 (small), 24 (full)")
    repeats: int = option(3, "runs of each, in turn")
    batch_size: int = option(64, "as in the script")
    batch_seconds: float | None = option(None, "as in the script")
    num_workers: int = option(0, "as in the script")
    precision: str = option("32-true", "as in the script", choices=list(PREDICTION_PRECISIONS))
    device: str = option("auto", "auto, cpu, cuda or cuda:N")
    seed: int = option(0, "of speech and weights")
    out: Path | None = option(None, "JSON file for the figures")


class TimedLoader(DataLoader):
    """A loader that adds up how long its user waits (seconds), and samples of speech without and with padding."""

    waited = samples = padded = 0.0

    def __iter__(self):
        batches = super().__iter__()
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            TimedLoader.waited += time.perf_counter() - start
            if batch is None:
                return
            TimedLoader.samples += batch.samples.sum().item()
            TimedLoader.padded += batch.windows.numel()
            yield batch


def main(argv=None):
    options = parse(Options, argv, __doc__)
    device = find_device(options.device)
    torch.manual_seed(options.seed)
    extractor = make_extractor(options.size).to(device).eval()
    with tempfile.TemporaryDirectory() as folder:
        utterances = make_speech(Path(folder), options.utterances or UTTERANCES[options.size], options.seed)
        dataset = UtteranceDataset(utterances, folder, **extractor.dataset_settings())
        places = list(range(len(dataset)))
        in_order = [places[k : k + NAIVE_BATCH] for k in range(0, len(places), NAIVE_BATCH)]
        planned = plan_batches(dataset, places, options, device)
        runs = {"naive": [], "here": []}
        for _ in range(options.repeats):
            with transformers_front_end(extractor):
                runs["naive"].append(measure(extractor, dataset, in_order, device, replace(options, num_workers=0)))
            runs["here"].append(measure(extractor, dataset, planned, device, options))
    report(options, device, utterances, runs)


def measure(extractor, dataset, batches, device, options):
    """One run: the embeddings (N, 2 D), seconds, peak memory in MB, shares of waiting and padding."""
    TimedLoader.waited = TimedLoader.samples = TimedLoader.padded = 0.0
    reset_peak(device)
    start = time.perf_counter()
    rows = list(run_batches(extractor, dataset, batches, device, options, TimedLoader))
    seconds = time.perf_counter() - start
    both = np.concatenate([np.concatenate([row["text"], row["audio"]], axis=1) for row in rows])
    embeddings = np.empty_like(both)
    embeddings[[place for batch in batches for place in batch]] = both
    return {
        "embeddings": embeddings,
        "seconds": seconds,
        "peak_mb": peak_bytes(device) / 1e6,
        "waiting": TimedLoader.waited / seconds,
        "padding": 1 - TimedLoader.samples / TimedLoader.padded,
    }


def report(options, device, utterances, runs):
    speech = sum(utterance.seconds for utterance in utterances)
    figures = {
        name: {key: statistics.median(run[key] for run in own) for key in ("seconds", "peak_mb", "waiting", "padding")}
        for name, own in runs.items()
    }
    for row in figures.values():
        row["speech_per_second"] = speech / row["seconds"]
    ratios = [a["seconds"] / b["seconds"] for a, b in zip(runs["naive"], runs["here"], strict=True)]
    ratio = statistics.median(ratios)
    difference = float(np.abs(runs["naive"][0]["embeddings"] - runs["here"][0]["embeddings"]).max())
    print(f"{options.size} encoders, {len(utterances)} utterances, {speech:.0f} s of speech")
    print(f"{hardware(device)}, median of {options.repeats}\n")
    rows = [
        (label, *(f"{scale * figures[name][key]:.{digits}f}" for name in ("naive", "here")), "")
        for label, key, scale, digits in (
            ("seconds of speech per second", "speech_per_second", 1, 2),
            ("padding, % of what is computed", "padding", 100, 1),
            ("waiting for input, % of time", "waiting", 100, 2),
            ("peak memory, MB", "peak_mb", 1, 0),
        )
    ]
    pairs = f"times the naive loop (pairs of runs: {min(ratios):.2f} to {max(ratios):.2f})"
    show([*rows, (pairs, "1", f"{ratio:.2f}", f"at least {GOAL:g}")], ("", "naive", "here", "goal"))
    print(f"\nlargest difference of an embedding {difference:.1e}")
    if options.out:
        setting = {**to_dict(options), "utterances": len(utterances), "speech_seconds": speech}
        result = {"ratio": ratio, "ratios": ratios, "goal": GOAL, "difference": difference, **figures}
        write_json(options.out, {**setting, "machine": hardware(device), **result})


def make_speech(folder, count, seed):
    """Noise of KEMDy19's durations, 16 kHz mono 16-bit, and transcripts of as many syllables as people say."""
    generator = np.random.default_rng(seed)
    noise = (3000 * generator.standard_normal(30 * SAMPLE_RATE)).clip(-32768, 32767).astype(np.int16)
    utterances = []
    for k, seconds in enumerate(durations(count, seed)):
        name = f"Sess01_script{k // 900 + 1:02}_F{k % 900 + 1:03}"
        samples = noise[: int(seconds * SAMPLE_RATE)]
        with wave.open(str(folder / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", None))
            file.writeframes(samples.data)
        (folder / f"{name}.txt").write_text("".join(generator.choice(list(SYLLABLES), 1 + int(4 * seconds))))
        utterances.append(Utterance(name, "neutral", 0, 1, name[:15], "F", 0.0, len(samples) / SAMPLE_RATE))
    return utterances


@contextmanager
def transformers_front_end(extractor):
    """The convolutional front end of transformers, with the same weights."""
    ours = extractor.audio.feature_extractor
    theirs = Wav2Vec2FeatureEncoder(extractor.audio.config)
    theirs.conv_layers = ours.conv_layers
    extractor.audio.feature_extractor = theirs.eval()
    try:
        yield
    finally:
        extractor.audio.feature_extractor = ours


if __name__ == "__main__":
    run(main)
