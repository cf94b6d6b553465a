"""Does stage 3 grow as the corpus does? Time per turn and peak memory of preprocess.py and train.py, corpus by corpus.

    python benchmarks/growth.py --scales 1 4 16 64

A scale of 1 is the paper's corpus (200 dialogues, 9,627 turns), here synthetic with one modality of 768 features. Time
and memory are what a script takes above its imports; training is one epoch.
"""

import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from measuring import hardware, imported, make_dialogues, run_measured

from cogmen.dialogues import write_dialogues
from cogmen.options import REPOSITORY, option, parse, run

SCRIPTS = ("preprocess", "train")


@dataclass
class Options:
    scales: list[int] = option([1, 4, 16], "sizes of the corpus, in corpora of the paper")
    width: int = option(768, "features of a turn")
    layers: int = option(2, "layers of the context; 1 is quicker")
    work: Path | None = option(None, "folder for the corpora, if not a temporary one (64: 4 GB)")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    print(hardware())
    baseline = {script: imported(_path(script)) for script in SCRIPTS}
    columns = (f" {script}: ms per turn | MB above imports | over features |" for script in SCRIPTS)
    print("| scale | turns | features |" + "".join(columns))
    print("| ---: " * (3 + 3 * len(SCRIPTS)) + "|")
    for scale in options.scales:
        with tempfile.TemporaryDirectory(dir=options.work) as folder:
            with ProcessPoolExecutor(1, get_context("spawn")) as elsewhere:  # whose memory is then free again
                turns = elsewhere.submit(make_corpus, Path(folder) / "features.pkl", scale, options.width).result()
            features = turns * options.width * 4
            cells = [f"{scale}", f"{turns:,}", f"{features / 1e6:,.0f} MB"]
            for script in SCRIPTS:
                seconds, peak = run_measured(*command(script, Path(folder), options))
                seconds, peak = seconds - baseline[script][0], peak - baseline[script][1]
                cells += [f"{1000 * seconds / turns:.3f}", f"{peak / 1e6:,.0f}", f"{peak / features:.2f}"]
        print("| " + " | ".join(cells) + " |", flush=True)


def make_corpus(path, scale, width):
    """Write a dialogue file; returns the number of turns."""
    dialogues = make_dialogues(200 * scale, {"text": width})
    write_dialogues(path, dialogues)
    return dialogues.turns()


def command(script, folder, options):
    if script == "preprocess":
        return _path(script), "--feat_dir", folder / "features.pkl", "--res_dir", folder / "preprocessed.pkl"
    data = ("--preprocessed_feature", folder / "preprocessed.pkl", "--out_dir", folder, "--modalities", "t")
    return _path(script), *data, "--from_begin", "--epochs", 1, "--seqcontext_nlayer", options.layers


def _path(script):
    return str(REPOSITORY / f"COGMEN_code/{script}.py")


if __name__ == "__main__":
    run(main)
