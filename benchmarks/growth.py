"""Does stage 3 grow as the corpus does? Time per turn and peak memory of preprocess.py and train.py, corpus by corpus.

    python benchmarks/growth.py --scales 1 4 16 64
    python benchmarks/growth.py --shards 1 4 16

A scale of 1 is the paper's corpus (200 dialogues, 9,627 turns), here synthetic with one modality of 768 features. Time
and memory are what a script takes above its imports. preprocess.py: the quickest of three runs. train.py: a further
epoch, which is the difference of two runs, over its turns; of a small corpus it is the mean of several. With --shards
the corpus grows by its number of shards, each of the first of the scales, and only the memory is measured.
"""

import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from measuring import hardware, make_dialogues, run_measured

from erc.corpus.dialogue_shards import write_dialogue_index, write_shard
from erc.corpus.dialogues import DialogueFile, write_dialogues
from erc.corpus.shards import shard_folder
from erc.options import REPOSITORY, option, parse, run

SCRIPTS = ("preprocess", "train")
EPOCHS = 16  # of the smallest corpus, for a time that can be told from the noise


@dataclass
class Options:
    scales: list[int] = option([1, 4, 16], "sizes of the corpus, in corpora of the paper")
    shards: list[int] = option([], "instead, numbers of shards, each a corpus of the first of the scales")
    width: int = option(768, "features of a turn")
    layers: int = option(2, "layers of the context; 1 is quicker")
    work: Path | None = option(None, "folder for the corpora, if not a temporary one (64: 4 GB)")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    print(hardware())
    if options.shards:
        return measure_shards(options)
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


def measure_shards(options):
    """Print a row for each number of shards."""
    print("| shards | turns | features | preprocess.py: MB above imports | with them | train.py | with them |")
    print("| ---: " * 7 + "|")
    for shards in options.shards:
        with tempfile.TemporaryDirectory(dir=options.work) as folder:
            made = Path(folder) / "features.pkl", options.scales[0], options.width, shards
            with ProcessPoolExecutor(1, get_context("spawn")) as elsewhere:
                turns = elsewhere.submit(make_shards, *made).result()
            cells = [f"{shards}", f"{turns:,}", f"{4 * turns * options.width / 1e6:,.0f} MB"]
            for script in SCRIPTS:
                whole, imports = run_script(script, Path(folder), 1, options.layers)
                cells += [f"{(whole['bytes'] - imports['bytes']) / 1e6:,.0f}", f"{whole['bytes'] / 1e6:,.0f}"]
        print("| " + " | ".join(cells) + " |", flush=True)


def make_shards(path, scale, width, shards):
    """Write a folder of dialogue files, one after another; returns the number of turns."""
    every, turns = DialogueFile([], [], []), 0
    with shard_folder(path) as folder:
        for number in range(1, shards + 1):
            made = make_dialogues(200 * scale, {"t": width}, seed=number)
            for dialogue in made.dialogues:  # the same sessions in each, of which the same are held out
                dialogue.id += f"_{number:05}"
                dialogue.segment_ids = [f"{dialogue.id}_{turn:03}" for turn in range(len(dialogue))]
            made.train_ids, made.test_ids = (
                [f"{one}_{number:05}" for one in ids] for ids in (made.train_ids, made.test_ids)
            )
            write_shard(folder, made, made.dialogues, ("growth", number, shards))
            every.train_ids += made.train_ids
            every.test_ids += made.test_ids
            turns += sum(map(len, made.dialogues))
        write_dialogue_index(folder, "growth", shards, every)
    return turns


def figures(seconds, memory, turns, features):
    return [f"{1000 * seconds / turns:.3f}", f"{memory / 1e6:,.0f}", f"{memory / features:.2f}"]


def make_corpus(path, scale, width):
    """Write a dialogue file; returns the number of turns."""
    dialogues = make_dialogues(200 * scale, {"t": width})
    write_dialogues(path, dialogues)
    return sum(map(len, dialogues.dialogues))


def above_imports(script, folder, epochs=1, layers=1):
    """(seconds, peak bytes) of a run of `script`, less what it takes to import it."""
    whole, imports = run_script(script, folder, epochs, layers)
    return whole["seconds"] - imports["seconds"], whole["bytes"] - imports["bytes"]


def run_script(script, folder, epochs, layers):
    """What `measuring.run_measured` says of a run of `script` on the corpus in `folder`."""
    if script == "preprocess":
        arguments = "--feat_dir", folder / "features.pkl", "--res_dir", folder / "preprocessed.pkl"
    else:
        data = ("--preprocessed_feature", folder / "preprocessed.pkl", "--out_dir", folder, "--modalities", "t")
        arguments = *data, "--from_begin", "--epochs", epochs, "--seqcontext_nlayer", layers
    imports = ("cogmen.run", "cogmen.training", "erc.corpus.metrics") if script == "train" else ()
    return run_measured(REPOSITORY / f"COGMEN_code/{script}.py", *arguments, imports=imports)


if __name__ == "__main__":
    run(main)
