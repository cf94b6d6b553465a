"""What the raters said of each turn: `<table>_ratings.csv` beside an annotation table, where the corpus has it.

Its columns are `segment_id` and, for each emotion, how many raters named it. The means of their valence and arousal are
columns of the annotation table itself.
"""

from pathlib import Path

import numpy as np

from erc.corpus.annotations import as_number, read_csv
from erc.corpus.corpora import UNLABELLED
from erc.files import table_text
from erc.options import UserError


def ratings_path(table):
    return Path(table).with_name(f"{Path(table).stem}_ratings.csv")


def ratings_text(corpus, ratings):
    """The text of a table of ratings. `ratings`: {segment id: how many raters named each emotion}."""
    return table_text(("segment_id", *corpus.emotions), ([name, *counts] for name, counts in ratings.items()))


def read_ratings(table, corpus):
    """How many raters named each emotion, of the annotation table `table`.

    Returns:
        {segment id: (C,) float32}; empty if there is no table of ratings beside it.

    Raises:
        UserError: names the file and the row of the first thing that is wrong.
    """
    path = ratings_path(table)
    if not path.exists():
        return {}
    (header, *rows), _ = read_csv(path)
    if (expected := ["segment_id", *corpus.emotions]) != header.cells:
        raise UserError(f"{path}: columns {', '.join(header.cells)}; expected {', '.join(expected)}")
    ratings = {}
    for row in rows:
        name, *counts = row.fitted(len(expected))
        numbers = [as_number(count) for count in counts]
        if len(numbers) != len(corpus.emotions) or None in numbers or min(numbers) < 0 or name in ratings:
            raise UserError(f"{path}, row {row.number}: expected a segment id, once, and a number for each emotion")
        ratings[name] = np.array(numbers, dtype=np.float32)
    return ratings


def soft_targets(counts, labels):
    """What a network is to say of turns of which the raters say several things: each emotion's share of their votes.

    A rater of whom no vote is counted (none was given, or no known emotion) has no part in it. Where no vote is counted
    at all, the turn's label is the target; a tie, which has no label, has the target of its votes.

    Args:
        counts: (L, C) how many raters named each emotion.
        labels: (L,) emotion numbers, or `UNLABELLED`.
    Returns:
        (L, C) float32: rows that sum to 1; all 0 where there are neither votes nor a label.
    """
    counts, labels = np.array(counts, dtype=np.float32), np.asarray(labels)
    named = counts.sum(axis=1)
    counts[(named == 0) & (labels != UNLABELLED), labels[(named == 0) & (labels != UNLABELLED)]] = 1
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-9)
