"""What the raters said of each turn: `<table>_ratings.csv` beside an annotation table, where the corpus has it.

Its columns are `segment_id` and, for each emotion, how many raters named it. The means of their valence and arousal are
columns of the annotation table itself.
"""

from pathlib import Path

import numpy as np

from erc.corpus.annotations import read_csv, seconds
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
        numbers = [seconds(count) for count in counts]
        if len(numbers) != len(corpus.emotions) or None in numbers or min(numbers) < 0 or name in ratings:
            raise UserError(f"{path}, row {row.number}: expected a segment id, once, and a number for each emotion")
        ratings[name] = np.array(numbers, dtype=np.float32)
    return ratings
