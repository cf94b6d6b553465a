"""Predictions of a few made-up dialogues of KEMDy19's form."""

import numpy as np
import pytest

from erc.corpus.corpora import KEMDY19
from erc.files import write_table

EMOTIONS = KEMDY19.emotions


def make_rows(
    seed, dialogues=("script01", "script02", "script03", "impro01", "impro02", "impro03"), turns=9, right=0.6
):
    """Rows of a file: id, label, prediction and probabilities. The labels depend on the dialogues alone."""
    random, labels = np.random.default_rng(seed), np.random.default_rng(0)
    rows = []
    for name in dialogues:
        for turn in range(turns):
            label = int(labels.choice(len(EMOTIONS), p=(0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05)))
            p = random.dirichlet(np.ones(len(EMOTIONS)))
            if random.random() < right:
                p[label] += 1
            p = np.round(p / p.sum(), 6)
            ids = f"Sess19_{name}_{'FM'[turn % 2]}{turn:03}"
            rows.append([ids, EMOTIONS[label], EMOTIONS[int(p.argmax())], *p.tolist()])
    return rows


def write_rows(path, rows, header=("segment_id", "label", "prediction", *(f"p_{emotion}" for emotion in EMOTIONS))):
    write_table(path, header, [row[: len(header)] for row in rows])
    return path


@pytest.fixture
def predictions(tmp_path):
    """A function that writes `make_rows(...)` into a file and gives its path."""

    def write(name, *arguments, **keywords):
        return write_rows(tmp_path / name, make_rows(*arguments, **keywords))

    return write
