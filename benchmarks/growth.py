"""Does stage 3 grow as the corpus does? Time per turn and peak memory of preprocess.py and train.py, corpus by corpus.

    python benchmarks/growth.py --scales 1 4 16 64

A scale of 1 is the paper's corpus (200 dialogues, 9,627 turns), here synthetic with one modality of 768 features. Time
and memory are what a script takes above its imports. preprocess.py: the quickest of three runs. train.py: a further
epoch, which is the difference of two runs, over its turns; of a small corpus it is the mean of several.
"""

import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from measuring import hardware, make_dialogues, run_measured

from erc.corpus.dialogues import write_dialogues
from erc.options import REPOSITORY, option, parse, run

SCRIPTS = ("preprocess", "train")
EPOCHS = 16  # of the smallest corpus, for a time that can be told from the noise


@dataclass
class Options:
    scales: list[int] = option([1, 4, 16], "sizes of the corpus, in corpora of the paper")
    width: int = option(768, "features of a turn")
    layers: int = option(2, "layers of the context; 1 is quicker")
    work: Path | None = option(None, "folder for the corpora, if not a temporary one (64: 4 GB)")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    print(hardware())
    columns = (f" {script}: ms per turn | MB above imports | over features |" for script in SCRIPTS)
    print("| scale | turns | features |" + "".join(columns))
    print("| ---: " * (3 + 3 * len(SCRIPTS)) + "|")
    for scale in options.scales:
        with tempfile.TemporaryDirectory(dir=options.work) as folder:
            with ProcessPoolExecutor(1, get_context("spawn")) as elsewhere:  # whose memory is then free again
                turns = elsewhere.submit(make_corpus, Path(folder) / "features.pkl", scale, options.width).result()
            features = turns * options.width * 4
            runs = [above_imports("preprocess", Path(folder)) for _ in range(3)]
            cells = [f"{scale}", f"{turns:,}", f"{features / 1e6:,.0f} MB"]
            cells += figures(min(seconds for seconds, _ in runs), max(memory for _, memory in runs), turns, features)
            more = max(1, EPOCHS // scale)
            first, _ = above_imports("train", Path(folder), 1, options.layers)
            seconds, memory = above_imports("train", Path(folder), 1 + more, options.layers)
            cells += figures((seconds - first) / more, memory, turns, features)
        print("| " + " | ".join(cells) + " |", flush=True)


def figures(seconds, memory, turns, features):
    return [f"{1000 * seconds / turns:.3f}", f"{memory / 1e6:,.0f}", f"{memory / features:.2f}"]


def make_corpus(path, scale, width):
    """Write a dialogue file; returns the number of turns."""
    dialogues = make_dialogues(200 * scale, {"t": width})
    write_dialogues(path, dialogues)
    return sum(map(len, dialogues.dialogues))


def above_imports(script, folder, epochs=1, layers=1):
    """(seconds, peak bytes) of a run of `script`, less what it takes to import it."""
    if script == "preprocess":
        arguments = "--feat_dir", folder / "features.pkl", "--res_dir", folder / "preprocessed.pkl"
    else:
        data = ("--preprocessed_feature", folder / "preprocessed.pkl", "--out_dir", folder, "--modalities", "t")
        arguments = *data, "--from_begin", "--epochs", epochs, "--seqcontext_nlayer", layers
    whole, imports = run_measured(REPOSITORY / f"COGMEN_code/{script}.py", *arguments)
    return whole["seconds"] - imports["seconds"], whole["bytes"] - imports["bytes"]


if __name__ == "__main__":
    run(main)
