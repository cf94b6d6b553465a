"""Everything that docs/benchmarks.md names for one GPU, in one call: a Markdown table with the goals beside it.

    python benchmarks/gpu.py

`bash benchmarks/gpu.sh` starts it without any installation: it needs no network and no package but torch, PyTorch
Geometric, Lightning and transformers with what these bring and scikit-learn. It makes noise of KEMDy19's durations
itself. On a CPU, and with --tiny, everything has a size whose figures mean nothing. A part that fails has a row that
says so, the others go on, and the exit status is 1.
"""

import contextlib
import importlib.util
import os
import signal
import sys
import tempfile
import time
import wave
from dataclasses import dataclass, replace
from pathlib import Path

import extraction
import extractor
import graph_network
import numpy as np
import torch
from encoders import make_extractor
from measuring import hardware, peak_bytes, reset_peak, show, timed

import cogmen.training
import mirai.dataset
from cogmen.network.batching import DialogueSet
from cogmen.training import predict, train
from erc.corpus.corpora import KEMDY19
from erc.options import UserError, option, parse, run
from erc.runtime import find_device
from mirai.prediction import plan_batches

# Largest differences that are allowed; exact but for rounding, which training steps carry further.
SAME_OUTPUT, SAME_TF32, SAME_RESUMED, SAME_EMBEDDING, SAME_BF16 = 1e-4, 2e-2, 1e-2, 1e-3, 5e-2
RESUMED_EPOCHS, STOPPED_AFTER = 4, 5  # epochs of the stopped training; the step that stops it


@dataclass
class Options:
    device: str = option("auto", "auto, cpu, cuda or cuda:N")
    tiny: bool = option(False, "sizes whose figures mean nothing, as on a CPU; without --compile")
    num_workers: int | None = option(None, "processes that read ahead for the extractor (default: 8; with --tiny 0)")
    seconds: float = option(420.0, "begin no further part after so many seconds")


@dataclass
class Sizes:
    """What is measured: `stage3` and the `encoders` by the names of the other benchmarks, `utterances` to extract."""

    stage3: graph_network.Options
    encoders: str
    utterances: int
    workers: int
    steps: tuple[int, int]  # timed, and before them


FULL = Sizes(graph_network.Options(epochs=100), "full", 10_080, 8, (20, 6))
TINY = Sizes(graph_network.Options(epochs=2, dialogues=12, width=32), "tiny", 12, 0, (1, 1))


def main(argv=None):
    options = parse(Options, argv, __doc__)
    device, began, rows = find_device(options.device), time.perf_counter(), []
    sizes = TINY if options.tiny or device.type == "cpu" else FULL
    if options.num_workers is not None:
        sizes = replace(sizes, workers=options.num_workers)
    if importlib.util.find_spec("soundfile") is None:
        mirai.dataset.read_speech = read_wave
    failed = 0
    parts = [stage3, stage3_resumed, stage3_equality, training, extracting, embeddings]
    if sizes is not TINY:  # on a CPU compiling takes minutes
        parts.append(stage3_compiled)
    for part in parts:
        name = part.__name__.replace("_", " ")
        if (passed := time.perf_counter() - began) > options.seconds:
            rows.append((name, f"not measured: {passed:.0f} s had passed", ""))
            continue
        print(f"{passed:5.0f} s  {name}", file=sys.stderr, flush=True)
        try:
            rows += part(sizes, device)
        except Exception as error:  # whatever it is, the other parts are worth their time
            failed += 1
            rows.append((name, f"failed: {type(error).__name__}: {str(error).splitlines()[0][:100]}", ""))
        if device.type == "cuda":
            torch.cuda.empty_cache()
    print(
        f"{hardware(device)}{', tiny sizes: the figures mean nothing' if sizes is TINY else ''}, "
        f"{time.perf_counter() - began:.0f} s\n"
    )
    show(rows)
    if failed:
        raise UserError(f"{failed} parts failed; their rows say why")


# ---- stage 3


def stage3(sizes, device):
    """Epochs with dev scoring in float32 and TF32, and their peak memory."""
    splits, rows = graph_network.corpus(sizes.stage3), []
    for name, tf32, goal in (("float32", False, "100 in under 10 s"), ("`--tf32`", True, "")):
        reset_peak(device)
        times, *_ = graph_network.timed_epochs(replace(sizes.stage3, tf32=tf32), splits, device)
        rows.append((f"stage 3: {len(times)} epochs with dev scoring, {name}", f"{sum(times):.1f} s", goal))
        rows.append(("peak memory of that", f"{peak_bytes(device) / 1e9:.2f} GB", ""))
    return rows


def stage3_compiled(sizes, device):
    """The same with --compile; what compiling takes is the first epoch, which does not count."""
    options = replace(sizes.stage3, tf32=True, compile=True)
    seconds, (times, *_) = timed(
        lambda: graph_network.timed_epochs(options, graph_network.corpus(sizes.stage3), device), device
    )
    what = f"stage 3: {len(times)} epochs with `--tf32 --compile`, and compiling"
    return [(what, f"{sum(times):.1f} s, {seconds - sum(times):.0f} s", "")]


def stage3_resumed(sizes, device):
    """A training that is stopped and resumed, and a second uninterrupted one, beside an uninterrupted one."""
    splits = graph_network.corpus(sizes.stage3)
    options = replace(graph_network.train_options(sizes.stage3, RESUMED_EPOCHS), batch_size=4, save_every=1e9)

    def outputs(state=None, resume=False, stop_after=None):
        network = graph_network.new_network(sizes.stage3)
        chosen = replace(options, resume=resume)
        with stopping(stop_after):
            train(network, splits["train"], splits["dev"], KEMDY19, chosen, device, state_path=state)
        return of_dev(network.to(device), splits, device)

    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "training.resume"
        whole, again = outputs(), outputs()
        with contextlib.suppress(UserError):  # that it was stopped
            outputs(state, stop_after=STOPPED_AFTER)
        resumed = outputs(state, resume=True)
    largest = f"{difference(resumed, whole):.1e}; {difference(again, whole):.1e}"
    what = "stage 3, stopped and resumed; run twice: largest difference of a log-probability"
    return [(what, largest, f"at most {SAME_RESUMED:g}")]


@contextlib.contextmanager
def stopping(steps):
    """Within the block, a training is stopped by a signal after so many steps; None: never."""
    original, done = cogmen.training.train_step, 0

    def step(*arguments):
        nonlocal done
        loss, done = original(*arguments), done + 1
        if done == steps:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss

    cogmen.training.train_step = step
    try:
        yield
    finally:
        cogmen.training.train_step = original


def stage3_equality(sizes, device):
    """The outputs of the same weights on the device, also with TF32, beside those of the CPU."""
    splits, network = graph_network.corpus(sizes.stage3), graph_network.new_network(sizes.stage3)
    expected, rows = of_dev(network, splits, torch.device("cpu")), []
    for name, tf32, goal in (("float32", False, SAME_OUTPUT), ("TF32", True, SAME_TF32)):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        found = difference(of_dev(network.to(device), splits, device), expected)
        what = f"stage 3, {name}: largest difference of a log-probability from the CPU's"
        rows.append((what, f"{found:.1e}", f"at most {goal:g}"))
    torch.backends.cuda.matmul.allow_tf32 = False
    return rows


def of_dev(network, splits, device):
    """(N, emotions) log-probabilities of the dev turns."""
    speakers = network.architecture.num_speakers
    dialogues = DialogueSet(splits["dev"], "at", KEMDY19, 5, 5, speakers, device)
    return predict(network, dialogues, graph_network.BATCH_SIZE)[0].numpy()


def difference(one, other):
    return float(np.abs(np.asarray(one, np.float64) - other).max())


# ---- extractor


def training(sizes, device):
    """The rows of benchmarks/extractor.py."""
    steps, warmup = sizes.steps
    options = extractor.Options(
        size=sizes.encoders, device=str(device), num_workers=sizes.workers, steps=steps, warmup=warmup
    )
    reset_peak(device)
    return [(f"extractor: {what}", *cells) for what, *cells in extractor.report(extractor.measure(options, device))]


def extracting(sizes, device):
    """Extraction from files of a corpus' durations, in float32 and bfloat16."""
    options, rows = extraction.Options(size=sizes.encoders, num_workers=sizes.workers), []
    network = make_extractor(sizes.encoders).to(device).eval()
    with tempfile.TemporaryDirectory() as folder:
        utterances = extraction.make_speech(Path(folder), sizes.utterances, seed=0)
        dataset = mirai.dataset.UtteranceDataset(utterances, folder, **network.dataset_settings())
        batches = plan_batches(dataset, range(len(dataset)), options, device)
        speech = sum(utterance.seconds for utterance in utterances)
        for precision, goal in (("32-true", "under 40 s (15.4 h)"), ("bf16-mixed", "")):
            chosen = replace(options, precision=precision)
            figures = extraction.measure(network, dataset, batches, device, chosen)
            what = f"extraction of {speech / 3600:.2f} h of speech, {precision}"
            rows.append((what, f"{figures['seconds']:.1f} s", goal))
            rows.append(("of it waiting for input", f"{100 * figures['waiting']:.1f}%", ""))
            rows.append(("peak memory of that", f"{figures['peak_mb'] / 1000:.1f} GB", ""))
    return rows


def embeddings(sizes, device):
    """Embeddings of the same weights on the device beside those of the CPU, over their largest."""
    network, options, rows = make_extractor(sizes.encoders).eval(), extraction.Options(size=sizes.encoders), []
    with tempfile.TemporaryDirectory() as folder:
        utterances = extraction.make_speech(Path(folder), min(sizes.utterances, 12), seed=0)
        dataset = mirai.dataset.UtteranceDataset(utterances, folder, **network.dataset_settings())
        batches = plan_batches(dataset, range(len(dataset)), options, torch.device("cpu"))
        expected = extraction.measure(network, dataset, batches, torch.device("cpu"), options)["embeddings"]
        for precision, goal in (("32-true", SAME_EMBEDDING), ("bf16-mixed", SAME_BF16)):
            chosen = replace(options, precision=precision)
            found = extraction.measure(network, dataset, batches, device, chosen)["embeddings"]
            share = difference(found, expected) / np.abs(expected).max()
            what = f"embeddings, {precision}: largest difference from the CPU's, over the largest value"
            rows.append((what, f"{share:.1e}", f"at most {goal:g}"))
    return rows


def read_wave(path):
    """A 16 kHz mono 16-bit file, as `mirai.speech.read_speech` has it, where there is no soundfile."""
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16) * np.float32(1 / 32768)


if __name__ == "__main__":
    run(main)
