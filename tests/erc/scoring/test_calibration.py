import numpy as np
import pytest

from erc.scoring.calibration import calibration, coverage


def test_calibration_by_hand():
    """Two turns at confidence 0.9, one of them right; one at 0.6, right."""
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])
    found = calibration(np.array([0, 1, 1]), np.array([0, 0, 1]), probabilities)
    assert found["ece"] == pytest.approx((2 * abs(0.5 - 0.9) + abs(1 - 0.6)) / 3)
    assert found["brier"] == pytest.approx((0.02 + 1.62 + 0.32) / 3)
    assert found["nll"] == pytest.approx(-np.log([0.9, 0.1, 0.6]).mean())
    assert found["confidence"] == pytest.approx(0.8)
    filled = [one for one in found["reliability"] if one["turns"]]
    assert [(one["turns"], one["accuracy"]) for one in filled] == [(1, 1), (2, 0.5)]
    assert [pytest.approx(one["confidence"]) for one in filled] == [0.6, 0.9]
    assert all(one["from"] <= one["confidence"] < one["to"] for one in filled) and len(found["reliability"]) == 15


def test_certainty_lies_in_the_last_bin_and_a_probability_of_0_is_finite():
    found = calibration(np.array([1]), np.array([0]), np.array([[1.0, 0.0]]))
    assert found["reliability"][-1]["turns"] == 1
    assert (found["ece"], found["brier"], found["nll"]) == (1, 2, pytest.approx(-np.log(1e-6)))


def test_coverage_by_hand():
    confidence = np.array([0.6, 0.9, 0.8, 0.7])
    found = coverage(np.array([1, 0, 0, 1]), np.zeros(4, int), np.stack([confidence, 1 - confidence], axis=1))
    # by confidence: right, right, wrong, wrong
    assert found["accuracy"] == {"100": 0.5, "90": 0.5, "80": 0.5, "70": pytest.approx(2 / 3), "50": 1}
    assert found["aurc"] == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)


def test_equal_confidences_do_not_depend_on_the_order():
    """The mean over all orders of the tied turns, tried one by one."""
    from itertools import permutations

    labels = np.array([0, 1, 1, 0])
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.7, 0.3], [0.7, 0.3]])
    risks = []
    for order in permutations([1, 2, 3]):
        right = (labels == 0)[[0, *order]]
        risks.append(1 - np.cumsum(right) / np.arange(1, 5))
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        found = coverage(labels[order], np.zeros(4, int), probabilities[order])
        assert found["aurc"] == pytest.approx(np.mean(risks))
        assert found["accuracy"]["50"] == pytest.approx(1 - np.mean(risks, axis=0)[1])
