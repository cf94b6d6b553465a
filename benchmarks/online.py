"""What it costs to see the past only: scores, and the time in which a turn is answered.

    python benchmarks/online.py --preprocessed_feature PREPROCESSED.pkl --modalities at --seeds 24 25 26
    python benchmarks/online.py

The second measures the times alone. Scores: test weighted F1, %, of trainings of train.py that differ in --online
alone. Times: of the graph network for the last turn of a dialogue, whose turns it goes through again for each answer;
without the encoders.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from measuring import timed

from cogmen.checkpoints import Checkpoint
from cogmen.network.improved import ImprovedArchitecture, MaskedAttentionNetwork
from cogmen.network.model import CGNN, Architecture
from cogmen.options import TrainOptions
from cogmen.recipes import RECIPES
from cogmen.run import build_network, prepare
from cogmen.training import decide, dialogue_set, predict, train
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import Dialogue
from erc.corpus.metrics import scores
from erc.options import option, parse, run
from erc.scoring.tables import markdown

GOAL = 100.0  # ms


@dataclass
class Options:
    preprocessed_feature: Path | None = option(None, "what preprocess.py wrote")
    dataset: str | None = option(None, "corpus, where the file does not say")
    modalities: str = option("at", "features to use")
    recipes: list[str] = option(list(RECIPES), "which")
    seeds: list[int] = option([24, 25, 26], "of weights, dropout and order")
    epochs: int | None = option(None, "passes over the training dialogues (default: the recipe's)")
    batch_size: int | None = option(None, "dialogues in a batch (default: the recipe's)")
    learning_rate: float | None = option(None, "learning rate (default: the recipe's)")
    turns: list[int] = option([10, 50, 100, 500], "lengths of the dialogues whose last turn is timed")
    width: int = option(1536, "features of a turn there")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    if options.preprocessed_feature:
        print(markdown([["recipe", "offline", "online", "online - offline"], *score_rows(options)]), "\n")
    head = ["the last of so many turns, ms", *(f"{name} (goal {GOAL:.0f})" for name in options.recipes)]
    print(markdown([head, *time_rows(options)]))


def score_rows(options):
    """A row for each recipe: mean and standard deviation over the seeds, and of their differences."""
    rows = []
    for recipe in options.recipes:
        found = np.array([[score(options, recipe, seed, online) for online in (False, True)] for seed in options.seeds])
        columns = (found[:, 0], found[:, 1], found[:, 1] - found[:, 0])
        spread = (f" ± {column.std(ddof=1):.1f}" if len(column) > 1 else "" for column in columns)
        rows.append([recipe, *(f"{column.mean():.1f}{more}" for column, more in zip(columns, spread, strict=True))])
    return rows


def score(options, recipe, seed, online):
    names = ("dataset", "modalities", "epochs", "batch_size", "learning_rate", "preprocessed_feature")
    shared = {name: getattr(options, name) for name in names}
    if recipe != "published":  # the given numbers are the published network's
        shared |= dict.fromkeys(("epochs", "batch_size", "learning_rate"))
    settings = TrainOptions(from_begin=True, device="cpu", recipe=recipe, seed=seed, online=online, **shared)
    data = prepare(settings)
    network = build_network(settings, data)
    train(network, data.dialogues["train"], data.dialogues["dev"], data.corpus, settings, data.device)
    test = dialogue_set(data.dialogues["test"], network, data.corpus, settings, data.device)
    outputs, labels = predict(network, test, settings.batch_size)
    return 100 * scores(labels, decide(outputs, data.corpus), data.corpus.emotions)["weighted_f1"]


def time_rows(options):
    """A row for each length; the median of seven answers."""
    sizes, rows = {"a": options.width // 2, "t": options.width - options.width // 2}, []
    for turns in options.turns:
        said = dialogue(turns, sizes)
        cells = []
        for recipe in options.recipes:
            torch.manual_seed(0)
            if recipe == "published":
                network = CGNN(Architecture(options.width, 7, 2, online=True))
            else:
                network = MaskedAttentionNetwork(ImprovedArchitecture(sizes, 7, online=True))
            windows = {"wp": RECIPES[recipe].defaults["wp"], "wf": 0}
            emotions = list(KEMDY19.emotions)
            checkpoint = Checkpoint(network.eval(), "KEMDy19", "at", emotions, sizes, windows, {}, 1, 0.0)

            def answer(checkpoint=checkpoint, said=said):
                return predict(checkpoint.network, checkpoint.dialogue_set([said], KEMDY19, "cpu"), 1)

            answer()
            cells.append(f"{1000 * np.median([timed(answer)[0] for _ in range(7)]):.0f}")
        rows.append([str(turns), *cells])
    return rows


def dialogue(turns, sizes):
    generator = np.random.default_rng(0)
    names = [f"t{k}" for k in range(turns)]
    speakers = [KEMDY19.speakers[k % 2] for k in range(turns)]
    features = {name: generator.normal(size=(turns, size)).astype(np.float32) for name, size in sizes.items()}
    return Dialogue("d", names, speakers, np.zeros(turns, np.int64), names, features)


if __name__ == "__main__":
    run(main)
