"""Valence and arousal: how pleasant, and how excited, a turn sounds; the raters' means, of 1 to 5.

Networks say them on a scale of -1 to 1. The score is the concordance correlation coefficient (Lin, Biometrics 1989), as
usual in the field: 1 where prediction and rating are equal, 0 where they have nothing to do with each other.
"""

import numpy as np

from erc.options import UserError

FEELINGS = ("valence", "arousal")
WEIGHT = 0.5  # of their loss, beside that of the emotions
_MIDDLE, _HALF = 3.0, 2.0  # of the scale of 1 to 5


def to_network(ratings):
    """Ratings of 1 to 5 as numbers of -1 to 1, float32; not a number stays that."""
    return ((np.asarray(ratings, dtype=np.float32) - _MIDDLE) / _HALF).astype(np.float32)


def from_network(outputs):
    """The inverse of `to_network`; what lies beyond the scale is moved to its end."""
    return np.clip(np.asarray(outputs) * _HALF + _MIDDLE, 1.0, 5.0)


def check_rated(ratings, source):
    """Refuse to train on valence and arousal without any rating.

    Args:
        ratings: (N, 2).
        source: the file that has none, for the message.
    """
    if np.isnan(ratings).all(axis=0).any():
        raise UserError(
            f"--valence_arousal: {source} has no valence or no arousal of any training turn; annotation tables have "
            "them as columns (KEMDy19's and KEMDy20's, made by MIRAI/preprocess.py); leave the flag out"
        )


def squared_error(outputs, ratings):
    """The mean squared error, a scalar; what is not rated counts as none, so that every turn weighs the same in a step,
    however it is cut into batches.

    Args:
        outputs: tensor (N, 2), or (K, N, 2) of K members, over which the mean is taken, too.
        ratings: tensor (N, 2) on the networks' scale, not a number where there is none.
    """
    return ((outputs - ratings.nan_to_num()).square() * ~ratings.isnan()).mean()


def concordance(ratings, predictions):
    """The concordance correlation coefficient of (N,) numbers; ratings that are not a number are not counted:

        2 cov(x, y) / (var x + var y + (mean x - mean y)^2)

    Returns:
        float; None where it is undefined: all numbers of both are the same one, or fewer than two are rated.
    """
    x, y = np.asarray(ratings, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
    x, y = x[~np.isnan(x)], y[~np.isnan(x)]
    if len(x) < 2 or not np.ptp([x, y]):  # the range, as variances of equal numbers may be above 0 by rounding
        return None
    scale = x.var() + y.var() + (x.mean() - y.mean()) ** 2
    return float(2 * ((x - x.mean()) * (y - y.mean())).mean() / scale)


def feeling_scores(ratings, predictions):
    """{"valence": {"ccc", "n"}, "arousal": ...} of (N, 2) ratings and predictions of 1 to 5."""
    ratings, predictions = np.asarray(ratings), np.asarray(predictions)
    return {
        name: {
            "ccc": concordance(ratings[:, k], predictions[:, k]),
            "n": int((~np.isnan(ratings[:, k])).sum()),
        }
        for k, name in enumerate(FEELINGS)
    }


def feeling_summary(found):
    """The scores in one line."""
    parts = [
        f"{name} {'undefined' if one['ccc'] is None else format(one['ccc'], '.3f')} ({one['n']} rated)"
        for name, one in found.items()
    ]
    return f"CCC: {', '.join(parts)}"
