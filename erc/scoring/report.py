"""The scores of an evaluation as plain values: what `scores.json` holds and the tables are made of."""

import numpy as np

from erc.corpus.corpora import SCORES
from erc.scoring.calibration import calibration, coverage
from erc.scoring.intervals import (
    LEAST,
    LEVEL,
    RESAMPLES,
    SEED,
    bootstrap,
    dialogue_confusions,
    mean_scores,
    permutation,
    scores_of,
)
from erc.scoring.predictions import ensemble

FEW = 10  # dialogues, below which an interval deserves no trust


def report(evaluation, groups=(), split=None, resamples=RESAMPLES, seed=SEED):
    """The scores of every method, and of the ensemble of one that has several runs; the difference between two methods.

    Args:
        groups: `breakdowns.Group`s.
        split: what the turns are all of, in words, where that was checked.
    Returns:
        dict of plain values, scores as fractions; docs/scoring.md describes them. What is not known is None.
    """
    turns, settings = evaluation.turns, (resamples, seed)
    parts = [Part(turns, len(evaluation.emotions), group.mask) for group in groups]
    every = Part(turns, len(evaluation.emotions))
    methods = [one for method in evaluation.methods for one in (method, ensemble(method)) if one]

    def by_group(score):
        return [_group(group, part, score(part)) for group, part in zip(groups, parts, strict=True)]

    difference = None
    if len(evaluation.methods) == 2:
        difference = _difference(evaluation.methods, every, settings)
        per_emotion = zip(evaluation.emotions, difference["f1"], strict=True)
        difference["f1"] = {emotion: {**entry, "p": None} for emotion, entry in per_emotion}  # no test of each
        difference["groups"] = by_group(lambda part: _difference(evaluation.methods, part, settings, test=False))
    return {
        "corpus": evaluation.corpus.name if evaluation.corpus else None,
        "headline": evaluation.corpus.headline if evaluation.corpus else "weighted_f1",
        "emotions": list(evaluation.emotions),
        "turns": len(turns.ids),
        "split": split,
        "unlabelled": turns.unlabelled,
        "dialogues": every.dialogues,
        "interval": {
            "level": LEVEL,
            "resampled": "dialogues" if turns.dialogues_known else "turns",
            "resamples": resamples,
            "seed": seed,
        },
        "notes": _notes(evaluation, every, methods, split),
        "methods": [
            _method(method, evaluation, every, settings)
            | {"groups": by_group(lambda part, method=method: _scores(method, part, settings))}
            for method in methods
        ],
        "difference": difference,
    }


class Part:
    """Some of the turns, and the dialogues that have any of them; no others are resampled for these turns' scores."""

    def __init__(self, turns, emotions, mask=None):
        self.mask = np.ones(len(turns.ids), bool) if mask is None else mask
        self.labels = turns.labels[self.mask]
        names = [name for name, inside in zip(turns.dialogues, self.mask, strict=True) if inside]
        number = {name: k for k, name in enumerate(sorted(set(names)))}  # whatever the order of the file
        self.numbers = np.array([number[name] for name in names])
        self.dialogues, self.emotions = len(number), emotions
        pairs = set(zip(self.numbers.tolist(), self.labels.tolist(), strict=True))
        self.occurring = np.bincount([label for _, label in pairs], minlength=emotions)  # dialogues with each emotion

    def confusions(self, method):
        """(runs, dialogues, K, K)"""
        return np.stack(
            [
                dialogue_confusions(self.labels, run.predictions[self.mask], self.numbers, self.emotions)
                for run in method.runs
            ]
        )


def _scores(method, part, settings):
    """The scores of a method: `scores` and `f1`, that of each emotion."""
    confusions = part.confusions(method)
    each = scores_of(confusions.sum(axis=1))  # (S, R)
    low, high = _intervals(lambda weights: mean_scores(weights, confusions), part, settings)
    spread = each.std(axis=1, ddof=1) if len(method.runs) > 1 else np.full(len(each), np.nan)
    values = [_values(value=a, low=b, high=c, sd=d) for a, b, c, d in zip(each.mean(1), low, high, spread, strict=True)]
    return {"scores": dict(zip(SCORES, values, strict=False)), "f1": values[len(SCORES) :]}


def _difference(methods, part, settings, test=True):
    """The scores of the second of two methods minus those of the first, over the same resampled dialogues.

    Args:
        test: by permutations too, if both have as many runs, which can then be exchanged.
    """
    first, second = (part.confusions(method) for method in methods)

    def difference(weights):
        return mean_scores(weights, second) - mean_scores(weights, first)

    values = difference(np.ones((1, part.dialogues)))[:, 0]
    low, high = _intervals(difference, part, settings)
    test = test and len(first) == len(second) and part.dialogues > 1
    p = permutation(first, second, *settings) if test else np.full(len(values), np.nan)
    entries = [_values(value=a, low=b, high=c, p=d) for a, b, c, d in zip(values, low, high, p, strict=True)]
    names = {"first": methods[0].name, "second": methods[1].name}
    return {**names, "scores": dict(zip(SCORES, entries, strict=False)), "f1": entries[len(SCORES) :]}


def _intervals(statistic, part, settings):
    """The ends of the scores' intervals; none for the F1 of an emotion that too few dialogues have."""
    rare = np.concatenate([np.zeros(len(SCORES), bool), part.occurring < LEAST])
    return (np.where(rare, np.nan, ends) for ends in bootstrap(statistic, part.dialogues, *settings))


def _values(**numbers):
    return {name: None if np.isnan(number) else float(number) for name, number in numbers.items()}


def _method(method, evaluation, every, settings):
    result = _scores(method, every, settings)
    totals = every.confusions(method).sum(axis=1)  # (R, K, K)
    right = np.diagonal(totals, axis1=1, axis2=2)
    support = totals.sum(axis=2)
    precision, recall = (right / np.maximum(total, 1) for total in (totals.sum(axis=1), support))
    per_emotion = {
        emotion: {
            "support": int(support[0, k]),
            "dialogues": int(every.occurring[k]),
            "precision": p,
            "recall": r if support[0, k] else None,
            "f1": f1,
        }
        for k, (emotion, p, r, f1) in enumerate(
            zip(evaluation.emotions, precision.mean(0).tolist(), recall.mean(0).tolist(), result.pop("f1"), strict=True)
        )
    }
    runs = [str(run.path) for run in method.runs]
    return {"name": method.name, "runs": runs, **result, "per_emotion": per_emotion, **_confidence(method, every)}


def _confidence(method, every):
    """Calibration and coverage, each number the mean over the runs; None without probabilities."""
    if any(run.probabilities is None for run in method.runs):
        return {"calibration": None, "coverage": None}
    found = [(every.labels, run.predictions, run.probabilities) for run in method.runs]
    calibrations, coverages = ([function(*one) for one in found] for function in (calibration, coverage))
    mean = {name: float(np.mean([one[name] for one in calibrations])) for name in ("ece", "brier", "nll", "confidence")}
    # The bins of all runs together.
    mean["reliability"] = [_joined(bins) for bins in zip(*(one["reliability"] for one in calibrations), strict=True)]
    shares = coverages[0]["accuracy"]
    accuracy = {share: float(np.mean([one["accuracy"][share] for one in coverages])) for share in shares}
    return {
        "calibration": mean,
        "coverage": {"accuracy": accuracy, "aurc": float(np.mean([one["aurc"] for one in coverages]))},
    }


def _joined(bins):
    turns = sum(one["turns"] for one in bins)
    means = {
        name: sum(one["turns"] * one[name] for one in bins if one["turns"]) / turns if turns else None
        for name in ("confidence", "accuracy")
    }
    return {**bins[0], "turns": turns, **means}


def _group(group, part, result):
    return {
        "by": group.by,
        "name": group.name,
        "turns": int(group.mask.sum()),
        "dialogues": part.dialogues,
        "scores": result["scores"],
    }


def _notes(evaluation, every, methods, split):
    """What a reader of the numbers must know."""
    turns, notes = evaluation.turns, []
    if evaluation.corpus and not split:
        notes.append("Whether these are all turns of a test split was not checked; --table does it.")
    if not turns.dialogues_known:
        notes.append(
            "Nothing tells which turns belong to one dialogue, so single turns were resampled: the intervals are too "
            "narrow and the p too small. A column dialogue or --dialogue_pattern tells it."
        )
    elif every.dialogues < LEAST:
        notes.append(f"There are fewer than {LEAST} dialogues, so there are no intervals.")
    elif every.dialogues < FEW:
        notes.append(f"There are only {every.dialogues} dialogues: the intervals are rough.")
    if turns.unlabelled:
        notes.append(f"{turns.unlabelled} turns have no label; they are not scored.")
    runs = [len(method.runs) for method in evaluation.methods]
    if len(runs) == 2 and runs[0] != runs[1]:
        notes.append(f"No permutation test: {runs[0]} and {runs[1]} runs cannot be exchanged.")
    for method in methods:
        given = [run for run in method.runs if run.probabilities is not None]
        chosen = [run.probabilities[np.arange(len(turns.ids)), run.predictions] for run in given]
        unlike = sum((p < run.probabilities.max(axis=1)).sum() for p, run in zip(chosen, given, strict=True))
        if unlike:
            notes.append(f"{method.name}: {unlike} predictions are not the emotion with the highest probability.")
    return notes
