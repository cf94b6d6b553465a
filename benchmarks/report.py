"""How long does a report take, and what do full-size encoders cost for a second of speech? With --int8, too.

    python benchmarks/report.py
    python benchmarks/report.py --minutes 0 --seconds 60

First a conversation of the sample's voices, a speaker on each channel, goes through app/predict.py, which finds its
turns; then with turns and texts given, without and with --int8, which shows what 8-bit layers change. Then encoders of
the size of XLS-R 300m and KLUE RoBERTa base, with random weights, on noise: their time beside the arithmetic of the
speech encoder at the rate of a matrix product in the same run. CPU seconds are those of all threads together; on a
machine with other work they say more than the clock.
"""

import json
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import soundfile
import torch
from encoders import SIZES, SYLLABLES, make_extractor
from measuring import hardware, run_measured, show

from conversation.prediction import embed
from conversation.turns import Turn
from erc.corpus.corpora import MODALITIES
from erc.files import write_table
from erc.options import option, parse, run
from mirai.network.quantisation import quantise
from mirai.sample.lines import lines, vary
from mirai.sample.voice import SAMPLE_RATE, speak

FLOP_PER_SECOND = 35e9  # of XLS-R 300m, for a second of speech
VOICES = (("M", "m3", 45), ("F", "f2", 60))  # speaker, eSpeak's variant, pitch
CPU = torch.device("cpu")
MB = 1 << 20


@dataclass
class Options:
    minutes: float = option(10.0, "of the conversation of the sample's voices; 0: none")
    size: str = option("full", "of the encoders", choices=list(SIZES))
    seconds: float = option(50.0, "of speech for the encoders, in turns of 5 s")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    print(f"{hardware()}\n")
    rows = []
    if options.minutes:
        with tempfile.TemporaryDirectory() as folder:
            rows += conversation_rows(Path(folder), options.minutes)
    show(rows + encoder_rows(options.size, options.seconds))


def conversation_rows(folder, minutes):
    """What reports of a conversation of some minutes take, and what 8-bit layers change in them."""
    sound, turns = converse(60 * minutes)
    soundfile.write(folder / "call.wav", sound, SAMPLE_RATE)
    header = ("file_name", "dialogue", "speaker", "start", "end", "text")
    write_table(folder / "call.csv", header, [("call.wav", "call", *turn) for turn in turns])
    seconds = len(sound) / SAMPLE_RATE
    print(f"a conversation of {seconds / 60:.1f} minutes, {len(turns)} turns\n")
    given = ("--turns", folder / "call.csv")
    ways = {
        "report, turns looked for (no text)": (),
        "report, turns and text given": given,
        "the same with --int8": (*given, "--int8"),
    }
    rows, data = [], {}
    for number, (name, arguments) in enumerate(ways.items()):
        out = folder / f"report{number}"
        common = (folder / "call.wav", "--channels", "M", "F", "--out", out, "--device", "cpu", "--quiet")
        whole, _ = run_measured("app/predict.py", *common, *arguments)
        data[name] = json.loads((out / "turns.json").read_text(encoding="utf-8"))["turns"]
        goal = ("under 60 s for 10 minutes", "under 1,536 MB") if number < 2 else ("", "")
        rows += [
            (name, f"{whole['seconds']:.1f} s, {whole['cpu']:.1f} CPU s", goal[0]),
            ("&nbsp; its peak memory", f"{whole['bytes'] / MB:,.0f} MB", goal[1]),
        ]
    plain, rounded = (data[name] for name in list(ways)[1:])
    same = np.mean([one["emotion"] == other["emotion"] for one, other in zip(plain, rounded, strict=True)])
    changes = np.abs([np.subtract(a["probabilities"], b["probabilities"]) for a, b in zip(plain, rounded, strict=True)])
    rows.append(("--int8: turns of the same emotion", f"{same:.1%} of {len(plain)}", ""))
    rows.append(("&nbsp; change of a probability, mean, largest", f"{changes.mean():.4f}, {changes.max():.3f}", ""))
    return rows


def converse(seconds):
    """((samples, 2) of at least `seconds`, [(speaker, start, end, text)]): the speakers in turn, a line each."""
    said = sorted(set(_strings(lines())))
    generator, pieces, turns, clock = random.Random(0), [], [], 0
    while clock < seconds * SAMPLE_RATE:
        number = len(turns) % len(VOICES)
        speaker, variant, pitch = VOICES[number]
        text = " ".join(vary(line, generator) for line in generator.sample(said, 2))
        wave = speak(text, variant, 190, pitch, 50) / np.float32(32768)
        silence = round(generator.uniform(0.1, 0.8) * SAMPLE_RATE)
        piece = np.zeros((len(wave) + silence, len(VOICES)), np.float32)
        piece[: len(wave), number] = wave
        turns.append((speaker, clock / SAMPLE_RATE, (clock + len(wave)) / SAMPLE_RATE, text))
        pieces.append(piece)
        clock += len(piece)
    return np.concatenate(pieces), turns


def _strings(value):
    """All text in nested tables and lists."""
    if isinstance(value, str):
        yield value
    else:
        for one in value.values() if isinstance(value, dict) else value:
            yield from _strings(one)


def encoder_rows(size, seconds):
    """Time of encoders with random weights for a second of speech, and what 8-bit layers change in embeddings."""
    torch.manual_seed(0)
    extractor, generator = make_extractor(size).eval(), np.random.default_rng(0)
    turns = [
        Turn(0.0, 5.0, "M", "".join(generator.choice(list(SYLLABLES), 20)), segment_id=str(k), wave=wave)
        for k, wave in enumerate(generator.normal(0, 0.1, (round(seconds / 5), 5 * SAMPLE_RATE)).astype(np.float32))
    ]
    rows, found = [], {}
    for name, goal, batch_size in (("encoders", 0.4, 64), ("encoders with --int8", 0.25, 1)):
        if name != "encoders":
            quantise(extractor, CPU)
        models = SimpleNamespace(
            extractor=extractor, checkpoint=SimpleNamespace(modalities="at"), batch_size=batch_size
        )
        embed(turns[:1], models, CPU, quiet=True)
        before = cpu_and_wall()
        found[name] = embed(turns, models, CPU, quiet=True)
        cpu, wall = (cpu_and_wall() - before) / (5 * len(turns))
        rows.append((f"{name}, {size}: seconds for a second of speech", f"{wall:.3f}", f"at most {goal}"))
        rows.append(("&nbsp; CPU seconds", f"{cpu:.3f}", ""))
        if name == "encoders" and size == "full":
            before, count = cpu_and_wall(), 12
            left, right = (torch.randn(2048, 2048) for _ in range(2))
            for _ in range(count):
                left @ right
            limits = (cpu_and_wall() - before) / (count * 2 * 2048**3) * FLOP_PER_SECOND
            rows.append(("&nbsp; arithmetic limit: seconds, CPU seconds", f"{limits[1]:.3f}, {limits[0]:.3f}", ""))
    for modality in "ta":
        a, b = (found[name][modality] for name in found)
        cosines = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        rows.append((f"--int8: cosine of {MODALITIES[modality]} embeddings, mean, least",
                     f"{cosines.mean():.4f}, {cosines.min():.4f}", ""))  # fmt: skip
    return rows


def cpu_and_wall():
    return np.array([time.process_time(), time.perf_counter()])


if __name__ == "__main__":
    run(main)
