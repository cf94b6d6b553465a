"""Soft targets: the raters' votes as shares."""

import numpy as np
import pytest

from erc.corpus.corpora import UNLABELLED
from erc.corpus.ratings import soft_targets


@pytest.mark.parametrize(
    ("votes", "label", "expected"),
    [
        ([7, 3, 0], 0, [0.7, 0.3, 0.0]),
        ([4, 4, 2], UNLABELLED, [0.4, 0.4, 0.2]),  # a tie
        ([2, 1, 0], 0, [2 / 3, 1 / 3, 0.0]),  # of some raters no vote is counted
        ([1, 2, 0], 2, [1 / 3, 2 / 3, 0.0]),  # the votes win over a label that says something else
        ([0, 0, 0], 2, [0.0, 0.0, 1.0]),  # nobody voted: the label
        ([0, 0, 0], UNLABELLED, [0.0, 0.0, 0.0]),  # nothing to learn
    ],
)
def test_the_target_of_a_turn(votes, label, expected):
    votes = np.array([votes], dtype=np.float32)
    kept = votes.copy()
    found = soft_targets(votes, [label])
    np.testing.assert_allclose(found, [expected], atol=1e-6)
    assert found.dtype == np.float32 and (votes == kept).all()
