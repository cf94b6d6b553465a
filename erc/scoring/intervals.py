"""Intervals and tests that resample whole dialogues, as the turns of a dialogue are not independent of each other.

A score is a function of confusion matrices, and that of some dialogues together is the sum of theirs. So a resample of
the D dialogues is a row of D weights (how often each was drawn), and thousands of resamples are one matrix product.

D: dialogues; B: resamples; R: runs; K: emotions; S: scores.
"""

import warnings

import numpy as np

LEVEL = 0.95
RESAMPLES = 9999
SEED = 24
LEAST = 5  # dialogues; fewer say nothing about how dialogues differ
_CELLS = 2_000_000  # weights that are in memory at once


def dialogue_confusions(labels, predictions, numbers, emotions):
    """The confusion matrix of each dialogue, (D, K, K); row: label, column: prediction.

    Args:
        labels, predictions: (N,) emotion numbers.
        numbers: (N,) the number of each turn's dialogue, of 0 to D - 1.
        emotions: K.
    """
    confusions = np.zeros((numbers.max() + 1, emotions, emotions))
    np.add.at(confusions, (numbers, labels, predictions), 1)
    return confusions


def scores_of(confusions):
    """(S, ...) the `SCORES`, as `erc.corpus.metrics.scores` defines them, then the F1 of each emotion; S = 4 + K.

    An emotion that no turn is labelled with has the F1 NaN.

    Args:
        confusions: (..., K, K), not empty.
    """
    right = np.diagonal(confusions, axis1=-2, axis2=-1)  # (..., K)
    support, predicted = confusions.sum(-1), confusions.sum(-2)
    f1 = 2 * right / np.maximum(support + predicted, 1)
    recall = right / np.maximum(support, 1)
    turns, occurring = support.sum(-1), (support > 0).sum(-1)
    scores = [
        right.sum(-1) / turns,
        (f1 * support).sum(-1) / turns,
        np.where(support > 0, f1, 0).sum(-1) / occurring,
        recall.sum(-1) / occurring,
    ]
    return np.stack([*scores, *np.moveaxis(np.where(support > 0, f1, np.nan), -1, 0)])


def mean_scores(weights, confusions):
    """(S, B) the scores of weighted dialogues, each the mean over the runs.

    Args:
        weights: (B, D) how often each dialogue counts.
        confusions: (R, D, K, K).
    """
    return scores_of(_weighted(weights, confusions)).mean(axis=1)


def _weighted(weights, confusions):
    """(R, B, K, K) the sums of weighted dialogues."""
    runs, dialogues, emotions, _ = confusions.shape
    totals = weights @ confusions.reshape(runs, dialogues, -1)  # (R, B, K * K)
    return totals.reshape(runs, len(weights), emotions, emotions)


def bootstrap(statistic, dialogues, resamples=RESAMPLES, seed=SEED):
    """The ends of the 95% interval of each score: (S,) and (S,); NaN if there are fewer than `LEAST` dialogues.

    Resamples without an emotion say nothing of its F1 and are left out there.

    The percentile interval of scipy's bootstrap, at the level that makes it as wide as Student's t and the variance of
    a sample of D would: percentiles alone are too narrow for few dialogues (T. Hesterberg, What Teachers Should Know
    About the Bootstrap, The American Statistician 69, 2015: the expanded percentile interval).

    Args:
        statistic: makes (S, B) scores of (B, D) weights.
        dialogues: D.
    """
    from scipy import stats

    if dialogues < LEAST:
        nothing = np.full(statistic(np.ones((1, dialogues))).shape[0], np.nan)
        return nothing, nothing
    tail = stats.norm.cdf(np.sqrt(dialogues / (dialogues - 1)) * stats.t.ppf((1 - LEVEL) / 2, dialogues - 1))

    def score(drawn, axis):
        flat = drawn.reshape(-1, dialogues)  # (B, D) numbers of dialogues, drawn with replacement
        places = flat + dialogues * np.arange(len(flat))[:, None]
        weights = np.bincount(places.ravel(), minlength=flat.size).reshape(flat.shape)
        values = statistic(weights.astype(float))
        return values.reshape(len(values), *drawn.shape[:-1])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of emotions that a resample or all of them lack
        result = stats.bootstrap(
            (np.arange(dialogues),),
            score,
            n_resamples=resamples,
            batch=max(1, _CELLS // dialogues),
            method="percentile",
            rng=np.random.default_rng(seed),
        )
        low, high = np.nanquantile(result.bootstrap_distribution, [tail, 1 - tail], axis=-1)
    return low, high


def permutation(first, second, resamples=RESAMPLES, seed=SEED):
    """(S,) the p of each score's difference: how often it is as large, two-sided, when in each dialogue it is left to
    chance which predictions are whose. All 2^D exchanges if these are fewer than `resamples`.

    Args:
        first, second: (R, D, K, K) confusion matrices of as many runs; the runs of a dialogue are exchanged together.
    """
    from scipy import stats

    dialogues = first.shape[1]

    def difference(drawn, others, axis):
        kept = (drawn.reshape(-1, dialogues) < dialogues).astype(float)  # (B, D) 1: as it was, 0: exchanged
        ours = _weighted(kept, first) + _weighted(1 - kept, second)
        theirs = _weighted(kept, second) + _weighted(1 - kept, first)
        values = scores_of(theirs).mean(axis=1) - scores_of(ours).mean(axis=1)  # (S, B)
        # Differences that are equal but for rounding count as equal: the test asks for "as large".
        return np.round(values, 12).T.reshape(*drawn.shape[:-1], len(values))

    numbers = np.arange(dialogues)
    result = stats.permutation_test(
        (numbers, numbers + dialogues),
        difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, _CELLS // dialogues),
        rng=np.random.default_rng(seed),
    )
    return result.pvalue
