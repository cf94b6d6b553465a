"""The graph network's speed: graphs, training epochs, scoring, beside what the arithmetic alone would take.

    python benchmarks/graph_network.py
    python benchmarks/graph_network.py --compile
    python benchmarks/graph_network.py --device cuda --epochs 100 --tf32

The corpus has the paper's size (162/18/20 dialogues, 9,627 turns, D = 1536). The limit is the arithmetic of the
dialogue transformer, 189 MFLOP for each real turn of a training step, over the matrix-product rate of the same run.
What a step starts is counted with PyTorch's profiler: a GPU's kernels; on a CPU operators, and the compiler's loops,
that would be kernels there. What it costs to start them is the time of a step that has next to nothing to compute.
"""

import runpy
import time
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np
import torch
import torch._inductor.config
from measuring import dialogue_lengths, hardware, make_dialogues, matmul_rate, show, timed
from torch.profiler import ProfilerActivity, profile

from cogmen.network.batching import DialogueSet
from cogmen.network.graph import dialogue_graph
from cogmen.network.improved import ImprovedArchitecture, MaskedAttentionNetwork
from cogmen.network.model import CGNN, FEED_FORWARD_WIDTH, Architecture
from cogmen.recipes import RECIPES
from cogmen.training import OPTIMIZERS, TrainOptions, predict, train, train_step
from erc.corpus.corpora import KEMDY19
from erc.corpus.metrics import scores
from erc.corpus.splits import divide
from erc.options import REPOSITORY, option, parse, run
from erc.runtime import find_device

BATCH_SIZE = 64
EMOTIONS, SPEAKERS = len(KEMDY19.emotions), len(KEMDY19.speakers)
# Operators that move no data.
VIEWS = {f"aten::{name}" for name in ("t", "view", "transpose", "permute", "expand", "select", "slice", "unsqueeze")}
VIEWS |= {f"aten::{name}" for name in ("detach", "as_strided", "unflatten", "empty", "empty_strided", "_unsafe_view")}
VIEWS |= {f"aten::{name}" for name in ("expand_as", "unbind", "squeeze", "narrow", "alias", "new_empty_strided")}


@dataclass
class Options:
    epochs: int = option(5, "training epochs measured")
    dialogues: int = option(200, "dialogues of the corpus; fewer for a quick look")
    width: int = option(1536, "features of a turn")
    device: str = option("auto", "auto, cpu, cuda or cuda:N")
    tf32: bool = option(False, "on a GPU: matrix products in TF32, as train.py --tf32")
    compile: bool = option(False, "as train.py --compile")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    device = find_device(options.device)
    print(hardware(device))
    rows = graphs()
    rows += epochs(options, device)
    rows += launches(options, device)
    show(rows)


def graphs():
    """Milliseconds for the graphs of a batch, and how many times as long plain loops take."""
    naive_graph = runpy.run_path(REPOSITORY / "tests/oracles.py")["naive_graph"]
    lengths = dialogue_lengths(BATCH_SIZE)
    speakers = np.random.default_rng(0).integers(2, size=lengths.sum())
    build = partial(dialogue_graph, lengths, speakers, 5, 5, 2)
    ours, (edge_index, _) = min((timed(build) for _ in range(20)), key=lambda run: run[0])
    naive, _ = timed(lambda: naive_graph(lengths.tolist(), speakers.tolist(), 5, 5, 2))
    what = f"graphs of {len(lengths)} dialogues, {len(speakers):,} turns, {edge_index.shape[1]:,} edges"
    return [(what, f"{1000 * ours:.2f} ms; plain loops {1000 * naive:.0f} ms", "under 3 ms")]


def epochs(options, device):
    """Training epochs, alone and with the dev scoring, over the arithmetic limit."""
    splits = corpus(options)
    turns, dev_turns = (sum(map(len, splits[name])) for name in ("train", "dev"))
    times, rates, layers = timed_epochs(options, splits, device)
    network = new_network(options)
    network.to(device)
    scoring = median(timed(lambda: score(network, splits["dev"], device), device)[0] for _ in range(5))
    rate = median(rates or [matmul_rate(device, size=8192)])
    limit = 3 * turn_flop(options.width, layers) * turns / rate
    epoch = median(times)
    improved, share = improved_epoch(options, splits, device)
    print(f"{turns:,} training turns, {dev_turns:,} dev turns; matrix product {rate / 1e9:,.0f} GFLOP/s")
    return [
        ("arithmetic limit of a training epoch", f"{limit:.3f} s", ""),
        ("a training epoch, over the limit", f"{(epoch - scoring) / limit:.2f}", "at most 1.25 (CPU)"),
        ("the same with dev scoring", f"{epoch / limit:.2f}", "at most 1.5 (CPU)"),
        ("an epoch of --recipe improved, over it", f"{improved / epoch:.2f}", ""),
        ("a whole training of it, over the published", f"{share * improved / epoch:.2f}", "at most 0.33"),
        (f"{options.epochs} epochs with dev scoring", f"{sum(times):.1f} s", "100 in under 10 s (H200)"),
    ]


def corpus(options):
    """The synthetic dialogues by split."""
    sizes = {"a": options.width // 2, "t": options.width // 2}
    return divide(make_dialogues(options.dialogues, sizes), KEMDY19)


def new_network(options):
    """The paper's network, with fresh weights."""
    torch.manual_seed(0)
    return CGNN(Architecture.from_options(train_options(options), options.width, EMOTIONS, SPEAKERS))


def timed_epochs(options, splits, device):
    """Seconds of each epoch with dev scoring, the first left out, in which caches fill; on a CPU the matrix-product
    rate after each; the layers of the context."""
    chosen = train_options(options, epochs=options.epochs + 1)
    rates, times, began = [], [], None

    def on_epoch(_):
        nonlocal began
        if began:
            times.append(time.perf_counter() - began)
        if device.type == "cpu":
            rates.append(matmul_rate(seconds=0.5))
        began = time.perf_counter()

    train(new_network(options), splits["train"], splits["dev"], KEMDY19, chosen, device, on_epoch)
    return times, rates, chosen.seqcontext_nlayer


def improved_epoch(options, splits, device):
    """Seconds of an epoch of the improved recipe, with dev scoring; its default epochs over the published recipe's."""
    chosen = TrainOptions(from_begin=True, recipe="improved", epochs=options.epochs + 1, tf32=options.tf32)
    torch.manual_seed(0)
    sizes = {modality: options.width // 2 for modality in "at"}
    network = MaskedAttentionNetwork(ImprovedArchitecture.from_options(chosen, sizes, EMOTIONS))
    ends = []
    train(network, splits["train"], splits["dev"], KEMDY19, chosen, device, lambda _: ends.append(time.perf_counter()))
    defaults = (RECIPES[name].defaults["epochs"] for name in ("improved", "published"))
    return float(np.median(np.diff(ends))), next(defaults) / next(defaults)


def launches(options, device):
    """What a training step starts on the device, and the milliseconds that starting it takes.

    On a CPU, where attention takes one dialogue after the other, a batch of one starts what a GPU does for any batch.
    """
    dialogue = next(make_dialogues(2, {"t": 16}).dialogues[0].chunks(6))
    batch = DialogueSet([dialogue], "t", KEMDY19, 5, 5, SPEAKERS, device).batch([0])
    network = CGNN(Architecture.from_options(train_options(options), 16, EMOTIONS, SPEAKERS)).to(device)
    optimizer = OPTIMIZERS["adam"](network.parameters())
    compiled = torch.compile(network, dynamic=True) if options.compile else network

    def step():
        return train_step(compiled, optimizer, batch, None, -1)

    with torch._inductor.config.patch({"cpp.enable_kernel_profile": True}):
        step()
    activity = ProfilerActivity.CUDA if device.type == "cuda" else ProfilerActivity.CPU
    with profile(activities=[activity]) as recorded:
        step()
    started = [event for event in recorded.events() if device.type == "cuda" or is_kernel(event)]
    seconds = median(timed(step, device)[0] for _ in range(50))
    return [
        ("a training step starts", f"{len(started)} kernels", ""),
        ("a step on a dialogue of 6 turns and 16 features", f"{1000 * seconds:.1f} ms", ""),
    ]


def is_kernel(event):
    """Whether a CPU's event would be a GPU's kernel: an operator that is part of no other, or a compiled loop."""
    parent = event.cpu_parent
    whole = parent is None or not parent.name.startswith("aten::")
    return "_fused_" in event.name or (whole and event.name.startswith("aten::") and event.name not in VIEWS)


def train_options(options, epochs=1):
    switches = {"tf32": options.tf32, "compile": options.compile}
    return TrainOptions(from_begin=True, epochs=epochs, batch_size=BATCH_SIZE, **switches)


def score(network, dialogues, device):
    log_probs, labels = predict(network, DialogueSet(dialogues, "at", KEMDY19, 5, 5, SPEAKERS, device), BATCH_SIZE)
    return scores(labels, log_probs.argmax(1), range(EMOTIONS))


def turn_flop(width, layers):
    """FLOP of the dialogue transformer's linear layers for a turn, forward."""
    return layers * 2 * (4 * width**2 + 2 * width * FEED_FORWARD_WIDTH)


if __name__ == "__main__":
    run(main)
