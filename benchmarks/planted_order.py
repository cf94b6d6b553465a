"""Does the order that the sample corpus plants come out? Accuracy by how the emotion is shown, and paired margins.

    python benchmarks/planted_order.py --corpus data/sample/corpus --results_dir models_zoo/sample/results

A margin is the mean difference of two methods over the same held-out turns; its standard error treats the turns of a
dialogue as one cluster. Seeds of the graph network are averaged turn by turn.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from erc.options import UserError, option, parse, run

KINDS = ("words", "voice", "context", "neutral")
COMPARISONS = [  # (better, worse, the kind of turns compared)
    *(((method, "at"), (method, alone), "all") for method in ("extractor", "cgnn") for alone in ("t", "a")),
    *((("cgnn", "at"), ("extractor", "at"), kind) for kind in ("all", "context", "words", "voice", "neutral")),
]


@dataclass
class Options:
    corpus: Path = option("data/sample/corpus", "sample corpus; its planted.csv tells how each emotion is shown")
    results_dir: Path = option("models_zoo/sample/results", "what run_command.sh left there")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    planted = pd.read_csv(options.corpus / "planted.csv", index_col="segment_id")
    correct = pd.DataFrame(
        {
            (method, modalities): read_correct(options.results_dir / method / modalities)
            for method in ("extractor", "cgnn")
            for modalities in ("a", "t", "at")
        }
    )
    if correct.isna().any().any():
        raise UserError(f"{options.results_dir}: the methods did not score the same turns")
    shown = planted.loc[correct.index, "shown"]
    dialogue = correct.index.str.replace(r"_[FM]\d+$", "", regex=True)
    majority = planted.loc[correct.index, "emotion"].value_counts().max() / len(correct)

    print(f"{len(correct)} held-out turns in {dialogue.nunique()} dialogues; the commonest emotion: {majority:.1%}\n")
    print("| accuracy, % | all | " + " | ".join(KINDS) + " |\n|---|---|---|---|---|---|")
    print(f"| turns | {len(correct)} | " + " | ".join(str((shown == kind).sum()) for kind in KINDS) + " |")
    for method, modalities in correct:
        column = 100 * correct[method, modalities]
        cells = [column.mean(), *(column[shown == kind].mean() for kind in KINDS)]
        print(f"| {method} {modalities} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |")
    print("\n| margin | turns | points | standard error | ratio |\n|---|---|---|---|---|")
    for better, worse, kind in COMPARISONS:
        chosen = ((shown == kind) | (kind == "all")).to_numpy()
        difference = 100 * (correct[better] - correct[worse])[chosen]
        margin, error = difference.mean(), clustered_error(difference, dialogue[chosen])
        name = f"{' '.join(better)} > {' '.join(worse)}"
        print(f"| {name} | {kind} | {margin:+.1f} | {error:.1f} | {margin / error:+.1f} |")


def read_correct(folder):
    """By segment id, the share of the runs in `folder` that predict the turn rightly."""
    paths = sorted([*folder.glob("predictions.csv"), *folder.glob("*/predictions.csv")])
    if not paths:
        raise UserError(f"{folder}: no predictions.csv; run run_command.sh first")
    runs = [pd.read_csv(path, index_col="segment_id") for path in paths]
    return pd.concat([(run.label == run.prediction).astype(float) for run in runs], axis=1).mean(axis=1)


def clustered_error(difference, cluster):
    """Standard error of the mean of `difference`, the turns of a cluster being dependent."""
    sums = (difference - difference.mean()).groupby(np.asarray(cluster)).sum()
    count = len(sums)
    return float(np.sqrt(count / (count - 1) * (sums**2).sum()) / len(difference))


if __name__ == "__main__":
    run(main)
