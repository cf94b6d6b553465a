"""Speed of feature extraction: seconds of speech per second, against a naive loop over the same network.

    python benchmarks/extraction.py --size small --out extraction.json

Makes its own speech, whose durations follow KEMDy19's, and encoders with random weights: tiny, small, or full (the
sizes of XLS-R-300m and KLUE-RoBERTa-base). Naive: batches of 6 in the order of the table, speech decoded as it is
read, transformers' own convolutional front end. Here: what MIRAI/feature_extractor_cogmen_format.py does. Both run in
turn, --repeats times, with as many threads as OMP_NUM_THREADS says; the median counts.
"""

import statistics
import tempfile
import time
import wave
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from measuring import durations, hardware
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import RobertaConfig, Wav2Vec2Config
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2FeatureEncoder

from erc.corpus.annotations import Utterance
from erc.corpus.corpora import KEMDY19
from erc.files import write_json
from erc.options import option, parse, run, to_dict
from erc.runtime import find_device
from mirai import prediction
from mirai.dataset import UtteranceDataset
from mirai.network.extractor import Extractor
from mirai.options import PREDICTION_PRECISIONS
from mirai.speech import SAMPLE_RATE

GOAL = 2.0  # times the naive loop
NAIVE_BATCH = 6
# Audio: width, layers, heads, convolution channels; text: width, layers, heads; utterances.
SIZES = {
    "tiny": (32, 2, 2, 32, 32, 2, 2, 200),
    "small": (256, 6, 4, 256, 256, 4, 4, 60),
    "full": (1024, 24, 16, 512, 768, 12, 12, 24),
}
SYLLABLES = "가나다라마바사아자차"


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


class TimedLoader(prediction.DataLoader):
    """A loader that notes how long its user waits and how much of the speech is padding."""

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
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(prediction, "DataLoader", TimedLoader):
        utterances = make_speech(Path(folder), options.utterances or SIZES[options.size][-1], options.seed)
        settings = extractor.dataset_settings()
        decoding = UtteranceDataset(utterances, folder, **settings)
        start = time.perf_counter()
        cached = UtteranceDataset(utterances, folder, **settings, cache=Path(folder) / "cache")
        cache_seconds = time.perf_counter() - start
        in_order = [list(range(len(utterances)))[k : k + NAIVE_BATCH] for k in range(0, len(utterances), NAIVE_BATCH)]
        planned = prediction.plan_batches(cached, range(len(cached)), options, device)
        runs = {"naive": [], "here": []}
        for _ in range(options.repeats):
            with transformers_front_end(extractor):
                runs["naive"].append(measure(extractor, decoding, in_order, device, replace(options, num_workers=0)))
            runs["here"].append(measure(extractor, cached, planned, device, options))
    report(options, device, utterances, runs, cache_seconds)


def measure(extractor, dataset, batches, device, options):
    """One run: the embeddings (N, 2 D), seconds, peak memory in MB, shares of waiting and padding."""
    TimedLoader.waited = TimedLoader.samples = TimedLoader.padded = 0.0
    reset_peak(device)
    start = time.perf_counter()
    rows = list(prediction.run_batches(extractor, dataset, batches, device, options))
    seconds = time.perf_counter() - start
    both = np.concatenate([np.concatenate([row["text"], row["audio"]], axis=1) for row in rows])
    embeddings = np.empty_like(both)
    embeddings[[place for batch in batches for place in batch]] = both
    return {
        "embeddings": embeddings,
        "seconds": seconds,
        "peak_mb": peak_mb(device),
        "waiting": TimedLoader.waited / seconds,
        "padding": 1 - TimedLoader.samples / TimedLoader.padded,
    }


def report(options, device, utterances, runs, cache_seconds):
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
    print(f"{'':32}{'naive':>10}{'here':>10}{'goal':>10}")
    for label, key, scale, form in (
        ("seconds of speech per second", "speech_per_second", 1, ".2f"),
        ("padding, % of what is computed", "padding", 100, ".1f"),
        ("waiting for input, % of time", "waiting", 100, ".2f"),
        ("peak memory, MB", "peak_mb", 1, ".0f"),
    ):
        print(f"{label:32}" + "".join(f"{scale * figures[name][key]:>10{form}}" for name in ("naive", "here")))
    shown = f"{min(ratios):.2f}-{max(ratios):.2f}"
    print(f"{'times the naive loop':32}{1:>10.2f}{ratio:>10.2f}{f'>= {GOAL:g}':>10}   (pairs of runs: {shown})")
    print(f"\nlargest difference of an embedding {difference:.1e}; the cache took {cache_seconds:.2f} s to make")
    if options.out:
        setting = {
            **to_dict(options),
            "utterances": len(utterances),
            "speech_seconds": speech,
            "machine": hardware(device),
        }
        result = {"ratio": ratio, "ratios": ratios, "goal": GOAL, "difference": difference, "cache_s": cache_seconds}
        write_json(options.out, {**setting, **result, **figures})


def make_speech(folder, count, seed):
    """Noise of KEMDy19's durations, 16 kHz mono 16-bit, and transcripts of as many syllables as people say."""
    generator = np.random.default_rng(seed)
    utterances = []
    for k, seconds in enumerate(durations(count, seed)):
        name = f"Sess01_script{k // 900 + 1:02}_F{k % 900 + 1:03}"
        samples = (3000 * generator.standard_normal(int(seconds * SAMPLE_RATE))).clip(-32768, 32767).astype("<i2")
        with wave.open(str(folder / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
            file.writeframes(samples.tobytes())
        (folder / f"{name}.txt").write_text("".join(generator.choice(list(SYLLABLES), 1 + int(4 * seconds))))
        utterances.append(Utterance(name, "neutral", 0, 1, name[:15], "F", 0.0, len(samples) / SAMPLE_RATE))
    return utterances


def make_extractor(size):
    """An extractor of speech and text with random weights."""
    width, layers, heads, channels, text_width, text_layers, text_heads, _ = SIZES[size]
    vocabulary = {token: k for k, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *SYLLABLES])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    text = RobertaConfig(
        vocab_size=32_000,
        hidden_size=text_width,
        num_hidden_layers=text_layers,
        num_attention_heads=text_heads,
        intermediate_size=4 * text_width,
        max_position_embeddings=514,
        type_vocab_size=1,
        pad_token_id=1,
    )
    audio = Wav2Vec2Config(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        conv_dim=(channels,) * 7,
        conv_bias=True,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
    )
    return Extractor(
        {
            "using_model": "both",
            "fusion": "concat",
            "text": {
                "config": text.to_dict(),
                "tokenizer": {"json": tokenizer.to_str(), "pad_token": 1, "max_length": 512},
            },
            "audio": {"config": audio.to_dict(), "front_end": {"do_normalize": True}},
            "width": text_width,
            "emotions": list(KEMDY19.emotions),
        }
    )


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


def reset_peak(device):
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def peak_mb(device):
    """Since `reset_peak`; of the GPU, or the resident memory of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    status = Path("/proc/self/status")
    if not status.exists():
        return float("nan")
    return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    run(main)
