"""Shared by the benchmarks: synthetic corpora of KEMDy19's size, the machine's limits, and runs of the real scripts."""

import json
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import Dialogue, DialogueFile
from erc.scoring.tables import markdown

TURNS_PER_DIALOGUE = 9_627 / 200  # KEMDy19, speaker only; 25 to 105 a dialogue
# Utterances of at most 25 s: the quantiles of their durations in KEMDy19, seconds.
_SHARES = (0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1)
_SECONDS = (0.4, 0.56, 1.07, 2.34, 4.18, 7.33, 14.5, 21.1, 25)
WORDS_PER_SECOND = 2.0


def durations(number, seed=0):
    """(number,) utterance durations in seconds, with KEMDy19's quantiles however few they are, in random order."""
    shares = (np.random.default_rng(seed).permutation(number) + 0.5) / number
    return np.exp(np.interp(shares, _SHARES, np.log(_SECONDS)))


def dialogue_lengths(dialogues, seed=0):
    """(dialogues,) turns of each, between 25 and 105, as many in all as KEMDy19 has in so many dialogues."""
    lengths = 25 + np.random.default_rng(seed).gamma(2.0, (TURNS_PER_DIALOGUE - 25) / 2, dialogues)
    lengths = np.clip(lengths.round().astype(int), 25, 105)
    for k in np.random.default_rng(seed + 1).permutation(dialogues):
        excess = lengths.sum() - round(dialogues * TURNS_PER_DIALOGUE)
        lengths[k] = np.clip(lengths[k] - excess, 25, 105)
    return lengths


def make_dialogues(dialogues, sizes, seed=0):
    """A `DialogueFile` of random turns, a tenth of the dialogues held out.

    Args:
        sizes: by modality, the size of its features, such as `{"t": 768}`.
    Returns:
        DialogueFile: its sentences have as many words as fit KEMDy19's durations, 18.5% of them said before.
    """
    generator = np.random.default_rng(seed)
    lengths = dialogue_lengths(dialogues, seed)
    held_out = max(1, dialogues // 10)
    sessions = [k // 10 + 1 for k in range(dialogues - held_out)]
    sessions += [sessions[-1] + 1 + k // 10 for k in range(held_out)]  # of their own
    ids = [f"Sess{session:02}_script{k % 10 + 1:02}" for k, session in enumerate(sessions)]
    sentences = _sentences(int(lengths.sum()), generator)
    made = [
        Dialogue(
            dialogue,
            segment_ids=[f"{dialogue}_F{turn:03}" for turn in range(n)],
            speakers=generator.choice(KEMDY19.speakers, n).tolist(),
            labels=generator.integers(len(KEMDY19.emotions), size=n),
            sentences=[next(sentences) for _ in range(n)],
            features={m: generator.standard_normal((n, size), dtype=np.float32) for m, size in sizes.items()},
        )
        for dialogue, n in zip(ids, lengths.tolist(), strict=True)
    ]
    return DialogueFile(made, train_ids=ids[:-held_out], test_ids=ids[-held_out:])


def _sentences(number, generator):
    said = []
    for seconds in durations(number, seed=1):
        if said and generator.random() < 0.185:  # 7,843 of 9,627 are distinct
            yield said[generator.integers(len(said))]
            continue
        words = generator.integers(2_000, size=max(1, round(seconds * WORDS_PER_SECOND)))
        said.append(" ".join(f"w{word}" for word in words))
        yield said[-1]


def matmul_rate(device="cpu", dtype=torch.float32, size=2048, seconds=1.0):
    """FLOP per second of a square matrix product, the best of several."""
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best, until = 0.0, time.perf_counter() + seconds
    while best == 0.0 or time.perf_counter() < until:
        best = max(best, 2 * size**3 / timed(lambda: left @ right, device)[0])
    return best


def timed(function, device="cpu"):
    """(seconds, result) of a call, with all that it started on the device done."""
    wait_for(device)
    start = time.perf_counter()
    result = function()
    wait_for(device)
    return time.perf_counter() - start, result


def wait_for(device):
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def reset_peak(device):
    """Begin to measure the peak that `peak_bytes` returns."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes(device):
    """Peak memory since `reset_peak`, or the start: of the GPU, or of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0]) if status.exists() else float("nan")


# Linux counts the memory of the process that starts another towards the other's `ru_maxrss`; VmHWM it does not.
_MEASURED_RUN = """
import importlib, json, pathlib, runpy, sys, time

def memory(field):
    return 1024 * int(pathlib.Path("/proc/self/status").read_text().split(field)[1].split()[0])

script, modules, *arguments = sys.argv[1:]
start = time.perf_counter()
main = runpy.run_path(script)["main"]
for module in modules.split():
    importlib.import_module(module)
imported = {"seconds": time.perf_counter() - start, "bytes": memory("VmRSS:")}
main(arguments)
whole = {"seconds": time.perf_counter() - start, "cpu": time.process_time(), "bytes": memory("VmHWM:")}
print(json.dumps([whole, imported]))
"""


def run_measured(script, *arguments, imports=()):
    """Run a script that must succeed, in a process of its own.

    Args:
        imports: the modules that it imports only when it has read its options.
    Returns:
        two dicts of `seconds` and `bytes` of memory: of the whole run (its peak; and `cpu`, the seconds of all its
        threads), and of its imports.
    """
    command = [sys.executable, "-c", _MEASURED_RUN, str(script), " ".join(imports), *map(str, arguments)]
    process = subprocess.run(command, capture_output=True, text=True)
    if process.returncode:
        raise RuntimeError(f"{script}: {process.stderr}")
    return json.loads(process.stdout.splitlines()[-1])


def hardware(device="cpu"):
    """A line on what the benchmark runs on."""
    if torch.device(device).type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, PyTorch {torch.__version__}"
    cpuinfo = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else None
    processor = named[1] if named else platform.processor() or platform.machine()
    return f"{processor}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}"


def show(rows, header=("", "measured", "goal")):
    """Print rows of cells as a Markdown table."""
    print(markdown([header, *rows]))
