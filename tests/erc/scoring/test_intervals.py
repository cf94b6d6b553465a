import functools

import numpy as np
import pytest

from erc.corpus.metrics import scores
from erc.scoring import intervals
from erc.scoring.intervals import SCORES, bootstrap, dialogue_confusions, mean_scores, permutation, scores_of

EMOTIONS = ("neutral", "angry", "happy", "sad")


@pytest.fixture
def turns():
    """Labels, predictions of three runs, the dialogue of each turn; 7 dialogues of different lengths."""
    random = np.random.default_rng(3)
    numbers = np.repeat(np.arange(7), (3, 8, 1, 5, 12, 6, 4))
    labels = random.integers(0, 3, len(numbers))
    labels[numbers == 4] = 3  # an emotion that only one dialogue has
    runs = [np.where(random.random(len(labels)) < 0.6, labels, random.integers(0, 4, len(labels))) for _ in range(3)]
    return labels, runs, numbers


def naive(labels, predictions):
    """The scores by scikit-learn; the F1 of an emotion without a turn is NaN."""
    result = scores(labels, predictions, EMOTIONS)
    per_class = result["per_class"].values()
    return [*(result[score] for score in SCORES), *(row["f1"] if row["support"] else np.nan for row in per_class)]


def test_scores_of_resamples_are_those_of_their_turns(turns):
    """The sum of the dialogues' confusion matrices against scikit-learn on the same turns, one after the other."""
    labels, runs, numbers = turns
    confusions = np.stack([dialogue_confusions(labels, run, numbers, 4) for run in runs])
    draws = np.random.default_rng(0).integers(0, 7, (40, 7))
    weights = np.stack([np.bincount(draw, minlength=7) for draw in draws]).astype(float)
    found = mean_scores(weights, confusions)
    for k, draw in enumerate(draws):
        places = np.concatenate([np.flatnonzero(numbers == dialogue) for dialogue in draw])
        expected = np.mean([naive(labels[places], run[places]) for run in runs], axis=0)
        np.testing.assert_allclose(found[:, k], expected, atol=1e-12)
    assert np.isnan(found[-1]).any() and not np.isnan(found[:4]).any()


def test_the_interval_is_that_of_the_same_draws_by_hand(turns, monkeypatch):
    """Every weight that scipy's draws come to, scored turn by turn; then the quantiles of Student's t, for 7 dialogues:
    the normal distribution's share below -2.4469 * sqrt(7 / 6)."""
    labels, runs, numbers = turns
    confusions = dialogue_confusions(labels, runs[0], numbers, 4)[None]
    seen = []

    def statistic(weights):
        seen.append(weights)
        return mean_scores(weights, confusions)

    low, high = bootstrap(statistic, 7, resamples=199)
    weights = np.concatenate(seen)
    assert (weights.sum(axis=1) == 7).all() and len(weights) >= 199
    values = []
    for row in weights[-199:]:
        places = np.concatenate([np.tile(np.flatnonzero(numbers == d), int(count)) for d, count in enumerate(row)])
        values.append(naive(labels[places], runs[0][places]))
    np.testing.assert_allclose(low, np.nanquantile(values, 0.0041111, axis=0), atol=1e-4)
    np.testing.assert_allclose(high, np.nanquantile(values, 1 - 0.0041111, axis=0), atol=1e-4)
    again = bootstrap(lambda weights: mean_scores(weights, confusions), 7, resamples=199)
    np.testing.assert_array_equal(again, (low, high))
    monkeypatch.setattr(intervals, "_CELLS", 70)  # in parts of ten resamples
    in_parts = bootstrap(lambda weights: mean_scores(weights, confusions), 7, resamples=199)
    np.testing.assert_allclose(in_parts, (low, high), atol=1e-12)


def test_alike_turns_of_a_dialogue_widen_the_interval():
    """Dialogues that are wholly right or wholly wrong tell as much as ten turns do, not a hundred."""
    labels, numbers = np.zeros(100, int), np.repeat(np.arange(10), 10)
    whole = np.where(numbers < 5, 0, 1)
    spread = np.tile([0, 1], 50)
    ends = []
    for predictions in (whole, spread):
        confusions = dialogue_confusions(labels, predictions, numbers, 2)[None]
        ends.append(bootstrap(functools.partial(mean_scores, confusions=confusions), 10, 999))
    assert ends[0][1][0] - ends[0][0][0] > 0.6
    assert ends[1][1][0] == ends[1][0][0] == 0.5


def test_few_dialogues_have_no_interval():
    confusions = np.ones((1, 4, 2, 2))
    low, high = bootstrap(lambda weights: mean_scores(weights, confusions), 4)
    assert np.isnan(low).all() and np.isnan(high).all() and len(low) == 6


@pytest.mark.parametrize("pair", [(0, 1), (1, 2), (2, 0)])
def test_permutations_against_all_of_them_one_by_one(turns, pair):
    """2^7 exchanges, each scored by scikit-learn on its turns; p is twice the smaller tail, as scipy has it."""
    labels, runs, numbers = turns
    first, second = (runs[k] for k in pair)
    found = permutation(*(dialogue_confusions(labels, run, numbers, 4)[None] for run in (first, second)))
    differences = []
    for exchange in range(128):
        swapped = (exchange >> numbers) & 1 == 1
        ours, theirs = np.where(swapped, second, first), np.where(swapped, first, second)
        differences.append(np.subtract(naive(labels, theirs), naive(labels, ours)))
    differences = np.round(differences, 9)
    tails = [(differences <= differences[0]).mean(axis=0), (differences >= differences[0]).mean(axis=0)]
    np.testing.assert_allclose(found, np.minimum(1, 2 * np.minimum(*tails)), atol=1e-12)
    assert 0 < found[0] < 1


def test_runs_are_exchanged_together(turns):
    labels, runs, numbers = turns
    confusions = np.stack([dialogue_confusions(labels, run, numbers, 4) for run in runs])
    alone = permutation(confusions[:1], confusions[1:2])
    np.testing.assert_allclose(permutation(confusions[[0, 0]], confusions[[1, 1]]), alone)


def test_a_clear_difference_and_none():
    """16 dialogues, too many for all exchanges: right in all of them against wrong in all, and twice the same."""
    right, wrong = (np.tile(one, (1, 16, 1, 1)) for one in (np.diag([3.0, 3.0]), np.array([[0, 3], [3, 0]])))
    assert permutation(wrong, right, 999)[0] == pytest.approx(2 / 1000)  # none of 999 is as large
    assert permutation(right, right, 999)[0] == 1


def test_scores_by_hand():
    """The case of `erc.corpus.metrics`: 3 neutral turns, one of them predicted angry, and an angry one."""
    accuracy, weighted, macro, uar, neutral, angry, happy = scores_of(np.array([[2.0, 1, 0], [0, 1, 0], [0, 0, 0]]))
    assert (accuracy, weighted) == (0.75, pytest.approx((3 * 0.8 + 2 / 3) / 4))
    assert (macro, uar) == (pytest.approx((0.8 + 2 / 3) / 2), pytest.approx((2 / 3 + 1) / 2))
    assert (neutral, angry) == (pytest.approx(0.8), pytest.approx(2 / 3)) and np.isnan(happy)
