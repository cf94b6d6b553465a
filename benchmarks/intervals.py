"""How often the scorer's intervals hold the truth, and how often its test finds what is not there.

    python benchmarks/intervals.py --dialogues 20 8

Draws test sets of dialogues that differ in their emotions (Dirichlet around KEMDy19's shares) and in how easy they are
(Beta), scores two methods that are equally good on the average, and counts, for each score: intervals that hold the
score of a million turns, intervals of the difference that hold 0, and p of at most 0.05. 45 seconds for each number
of dialogues.
"""

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from erc.corpus.corpora import SCORES
from erc.options import option, parse, run
from erc.scoring.intervals import bootstrap, dialogue_confusions, mean_scores, permutation, scores_of
from erc.scoring.tables import markdown

SHARES = np.array([3835, 1844, 1404, 997, 768, 384, 395]) / 9627  # of the emotions in KEMDy19, speaker only
TURNS = 49  # of a dialogue
LARGE = 20_000  # dialogues whose score is the truth


@dataclass
class Options:
    dialogues: list[int] = option([20, 8], "dialogues of a test set")
    draws: int = option(1000, "test sets")
    resamples: int = option(999, "resamples of an interval and of a test")
    seed: int = option(0, "of the test sets")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    truth = scores_of(np.sum(draw(np.random.default_rng(options.seed + 1), LARGE)[0], axis=0))[: len(SCORES)]
    rows = [["of the test sets, %", *SCORES.values()]]
    for dialogues in options.dialogues:
        random, held, held_difference, found = np.random.default_rng(options.seed), [], [], []
        for seed in tqdm(range(options.draws), f"{dialogues} dialogues", disable=None):
            one, other = (confusions[None] for confusions in draw(random, dialogues))
            settings = (options.resamples, seed)
            low, high = bootstrap(lambda weights, one=one: mean_scores(weights, one), dialogues, *settings)
            held.append((low[: len(SCORES)] <= truth) & (truth <= high[: len(SCORES)]))
            low, high = bootstrap(
                lambda weights, one=one, other=other: mean_scores(weights, other) - mean_scores(weights, one),
                dialogues,
                *settings,
            )
            held_difference.append((low[: len(SCORES)] <= 0) & (high[: len(SCORES)] >= 0))
            found.append(permutation(one, other, *settings)[: len(SCORES)] <= 0.05)
        for name, each in (("interval holds the truth", held), ("interval of a difference holds 0", held_difference)):
            rows.append([f"{dialogues} dialogues: {name}", *(f"{100 * share:.1f}" for share in np.mean(each, axis=0))])
        shares = (f"{100 * share:.1f}" for share in np.mean(found, axis=0))
        rows.append([f"{dialogues} dialogues: p of at most 0.05", *shares])
    print(markdown(rows))


def draw(random, dialogues):
    """The confusion matrices of two methods on the same dialogues, each (dialogues, K, K)."""
    labels, predictions = [], ([], [])
    for _ in range(dialogues):
        label = random.choice(len(SHARES), TURNS, p=random.dirichlet(6 * SHARES))
        easy = random.beta(7, 3)
        labels.append(label)
        for of_method in predictions:
            right = random.random(TURNS) < easy + random.normal(0, 0.06)
            of_method.append(np.where(right, label, random.choice(len(SHARES), TURNS, p=SHARES)))
    numbers = np.repeat(np.arange(dialogues), TURNS)
    return [
        dialogue_confusions(np.concatenate(labels), np.concatenate(one), numbers, len(SHARES)) for one in predictions
    ]


if __name__ == "__main__":
    run(main)
