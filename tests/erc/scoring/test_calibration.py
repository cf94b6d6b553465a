import numpy as np
import pytest

from erc.scoring.calibration import at_temperature, calibration, coverage, fit_temperature, sure_from


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


def draw(turns, temperature, seed=0):
    """Logits, and labels that are drawn from their probabilities at a temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (turns, 4))
    p = np.exp(logits / temperature)
    p /= p.sum(axis=1, keepdims=True)
    return logits, (p.cumsum(axis=1) < rng.random((turns, 1))).sum(axis=1), p


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_of_the_labels_is_found(temperature):
    logits, labels, p = draw(20_000, temperature)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(temperature, rel=0.05)
    assert at_temperature(logits, temperature) == pytest.approx(p)
    nll = {t: calibration(labels, p.argmax(axis=1), at_temperature(logits, t))["nll"] for t in (1, found, 0.3, 4)}
    assert min(nll.values()) == nll[found]
    assert (at_temperature(logits, found).argmax(axis=1) == logits.argmax(axis=1)).all()


def test_a_few_turns_that_are_all_right_or_all_wrong_have_a_temperature_too():
    logits = np.array([[4.0, 0.0], [5.0, 0.0]])
    assert 0.05 <= fit_temperature(logits, np.array([0, 0])) < 0.1
    assert 19 < fit_temperature(logits, np.array([1, 1])) <= 20


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("temperature", [0.3, 1.5])
def test_sure_from_is_the_first_threshold_of_all_that_fits(temperature, seed):
    _, labels, p = draw(60, temperature, seed)
    p = p.round(1 + seed % 3)  # with ties
    predictions, confidence = p.argmax(axis=1), p.max(axis=1)
    expected = None
    for threshold in sorted(confidence):
        left = confidence >= threshold
        if left.sum() >= 20 and (labels == predictions)[left].mean() >= 0.9:
            expected = threshold
            break
    assert sure_from(labels, predictions, p) == expected
