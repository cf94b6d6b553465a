"""Whether probabilities mean what they say, how to make them, and how right the surest predictions are.

N: turns; K: emotions. The confidence of a turn is the probability of its prediction.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

BINS = 15
COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.5)
SHARE_RIGHT, LEAST_TURNS = 0.9, 20  # of the turns that `sure_from` leaves: how many are right; how many there are
_COLDEST, _HOTTEST = 0.05, 20.0  # of the temperatures
LEAST = 1e-6  # a smaller probability of the label counts as this one, as six decimals tell no smaller ones apart


def calibration(labels, predictions, probabilities):
    """Scores of the probabilities.

    ECE: the mean over the turns of |accuracy - mean confidence| of the turn's bin; 15 bins of equal width (C. Guo et
    al., On Calibration of Modern Neural Networks, ICML 2017, section 2). Brier: the mean of the squared distance
    between the probabilities and the label's one-hot vector, 0 to 2 (G. Brier, Monthly Weather Review 78, 1950). NLL:
    the mean of -ln of the label's probability.

    Args:
        labels, predictions: (N,) emotion numbers.
        probabilities: (N, K).
    Returns:
        dict: `ece, brier, nll, confidence` (its mean) and `reliability`, a dict `from, to, turns, confidence, accuracy`
        for each bin, the last two None where it is empty.
    """
    every = np.arange(len(labels))
    confidence, right = probabilities[every, predictions], labels == predictions
    number = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins, ece = [], 0.0
    for k in range(BINS):
        inside = number == k
        turns = int(inside.sum())
        values = (float(confidence[inside].mean()), float(right[inside].mean())) if turns else (None, None)
        bins.append(
            {"from": k / BINS, "to": (k + 1) / BINS, "turns": turns, "confidence": values[0], "accuracy": values[1]}
        )
        ece += turns / len(labels) * abs(values[0] - values[1]) if turns else 0
    return {
        "ece": ece,
        "brier": float(((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(axis=1).mean()),
        "nll": float(-np.log(np.maximum(probabilities[every, labels], LEAST)).mean()),
        "confidence": float(confidence.mean()),
        "reliability": bins,
    }


def accuracy_of_surest(labels, predictions, probabilities):
    """(N,) the accuracy of the 1, 2, ... N most confident turns, where those of equal confidence share their mean."""
    confidence = probabilities[np.arange(len(labels)), predictions]
    _, number = np.unique(-confidence, return_inverse=True)
    right = np.bincount(number, labels == predictions) / np.bincount(number)  # by confidence, the highest first
    return np.cumsum(right[np.sort(number)]) / np.arange(1, len(labels) + 1)


def coverage(labels, predictions, probabilities):
    """The accuracy of the most confident turns, and the area under the curve of risk over coverage.

    Turns of equal confidence share their mean, so that the order of the file never matters. AURC: the mean of the risk
    (1 - accuracy) of the n most confident turns over n = 1 ... N (Y. Geifman, G. Uziel and R. El-Yaniv, Bias-Reduced
    Uncertainty Estimation for Deep Neural Classifiers, ICLR 2019).

    Returns:
        dict: `accuracy`, by coverage ("100", "90", ...: percent of the turns, rounded up), and `aurc`.
    """
    accuracy = accuracy_of_surest(labels, predictions, probabilities)
    accuracy = np.round(accuracy, 12)  # sums of means, whose last digits would else change how it is shown
    return {
        "accuracy": {
            f"{100 * share:.0f}": float(accuracy[int(np.ceil(share * len(labels) - 1e-9)) - 1]) for share in COVERAGES
        },
        "aurc": float((1 - accuracy).mean()),
    }


def at_temperature(log_probabilities, temperature):
    """(N, K) probabilities: the softmax of the log-probabilities (or logits), divided by the temperature."""
    return softmax(np.asarray(log_probabilities, dtype=np.float64) / temperature, axis=1)


def fit_temperature(log_probabilities, labels):
    """The temperature at which the probabilities of some turns have the least NLL (C. Guo et al., section 4).

    One number for all emotions, 0.05 to 20: it changes how sure the predictions are, never which they are.

    Args:
        log_probabilities: (N, K).
        labels: (N,) emotion numbers.
    """
    log_probabilities, every = np.asarray(log_probabilities, dtype=np.float64), np.arange(len(labels))

    def nll(log_temperature):
        return -log_softmax(log_probabilities / np.exp(log_temperature), axis=1)[every, labels].mean()

    limits = np.log([_COLDEST, _HOTTEST])
    return float(np.exp(minimize_scalar(nll, bounds=limits, method="bounded", options={"xatol": 1e-4}).x))


def sure_from(labels, predictions, probabilities):
    """The smallest confidence from which on 90% of the turns are right, of at least 20; None if there is none."""
    confidence = probabilities[np.arange(len(labels)), predictions]
    thresholds, number = np.unique(confidence, return_inverse=True)
    right = np.bincount(number, labels == predictions)[::-1].cumsum()[::-1]  # of the turns from each threshold on
    turns = np.bincount(number)[::-1].cumsum()[::-1]
    fitting = np.flatnonzero((turns >= LEAST_TURNS) & (right >= SHARE_RIGHT * turns))
    return float(thresholds[fitting[0]]) if len(fitting) else None
