"""Valence and arousal: the concordance correlation coefficient, the scale, and the files."""

import json

import numpy as np
import pytest
import torch

from erc.corpus.feelings import concordance, feeling_scores, feeling_summary, from_network, squared_error, to_network
from erc.scoring.evaluation import write_evaluation
from tests.pictures import blank_pictures  # noqa: F401 (a fixture)
from tests.tables import read_rows


def naive(x, y):
    pairs = [(a, b) for a, b in zip(x, y, strict=True) if a == a]
    n = len(pairs)
    mean_x, mean_y = sum(a for a, _ in pairs) / n, sum(b for _, b in pairs) / n
    var_x, var_y = sum((a - mean_x) ** 2 for a, _ in pairs) / n, sum((b - mean_y) ** 2 for _, b in pairs) / n
    covariance = sum((a - mean_x) * (b - mean_y) for a, b in pairs) / n
    rho = covariance / (var_x * var_y) ** 0.5
    return 2 * rho * var_x**0.5 * var_y**0.5 / (var_x + var_y + (mean_x - mean_y) ** 2)


def test_concordance_is_lins():
    generator = np.random.default_rng(0)
    x = generator.uniform(1, 5, size=40)
    y = 0.5 * x + generator.normal(size=40)
    x[[3, 17]] = np.nan
    assert concordance(x, y) == pytest.approx(naive(x.tolist(), y.tolist()))
    assert concordance([1.0, 2.0, 4.0], [1.0, 2.0, 4.0]) == pytest.approx(1)
    assert concordance([1.0, 2.0, 4.0], [2.0, 3.0, 5.0]) < 0.8  # correlated, but beside the mark
    assert concordance([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]) == 0
    assert concordance([3.0, 3.0], [4.0, 4.0]) == 0
    assert concordance([2.0, 2.0], [2.0, 2.0]) is None and concordance([np.nan, 1.0], [1.0, 2.0]) is None
    assert concordance([3.3] * 3, [3.3] * 3) is None  # whose variance is not 0 in floats


def test_the_scale_of_the_networks():
    assert to_network([1, 2, 3, 5]).tolist() == [-1, -0.5, 0, 1] and to_network([3]).dtype == np.float32
    np.testing.assert_allclose(from_network(to_network([1.3, 4.2])), [1.3, 4.2], rtol=1e-6)
    assert from_network([-7.0, 7.0]).tolist() == [1, 5]


def test_the_loss_counts_what_is_rated():
    nan = float("nan")
    ratings = torch.tensor([[0.5, nan], [nan, nan], [-1.0, 1.0]])
    outputs = torch.tensor([[0.0, 9.0], [9.0, 9.0], [-0.5, 0.0]], requires_grad=True)
    loss = squared_error(outputs, ratings)
    assert loss.item() == pytest.approx((0.25 + 0.25 + 1) / 6)
    cut = [squared_error(outputs[k : k + 1], ratings[k : k + 1]) for k in range(3)]  # batches of one turn
    assert torch.stack(cut).mean().item() == pytest.approx(loss.item())
    loss.backward()
    assert outputs.grad[1].tolist() == [0, 0] and outputs.grad.isfinite().all()
    assert squared_error(torch.stack([outputs, outputs + 1]), ratings).item() == pytest.approx(
        (loss.item() + squared_error(outputs + 1, ratings).item()) / 2
    )
    assert squared_error(outputs, torch.full((3, 2), nan)).item() == 0


def test_metrics_and_predictions_hold_them(tmp_path):
    turns = [("a_0", "a", "F", 0), ("a_1", "a", "M", 1), ("a_2", "a", "F", 1)]
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    ratings = np.array([[3.25, 2.0], [np.nan, 4.0], [1.5, 1.0]], dtype=np.float32)
    predictions = np.array([[3.0, 2.5], [2.0, 3.5], [2.0, 1.5]])
    write_evaluation(tmp_path, turns, probabilities, ("calm", "angry"), feelings=(ratings, predictions))
    found = json.loads((tmp_path / "metrics.json").read_text())["ccc"]
    assert found["valence"] == {"ccc": pytest.approx(naive([3.25, 1.5], [3.0, 2.0])), "n": 2}
    assert found["arousal"] == {"ccc": pytest.approx(naive([2, 4, 1], [2.5, 3.5, 1.5])), "n": 3}
    rows = read_rows(tmp_path / "predictions.csv")
    assert [row["valence"] for row in rows] == ["3.25", "", "1.5"]
    assert [float(row["predicted_arousal"]) for row in rows] == [2.5, 3.5, 1.5]
    write_evaluation(tmp_path, turns, probabilities, ("calm", "angry"))
    assert "ccc" not in json.loads((tmp_path / "metrics.json").read_text())
    assert "valence" not in (tmp_path / "predictions.csv").read_text()


def test_the_line_of_the_scores():
    found = feeling_scores(np.array([[1.0, np.nan], [2.0, np.nan]]), np.array([[1.0, 3.0], [2.0, 3.0]]))
    assert feeling_summary(found) == "CCC: valence 1.000 (2 rated), arousal undefined (0 rated)"
