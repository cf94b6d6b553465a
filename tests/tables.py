"""CSV files as tests look at them."""

import csv


def read_rows(path):
    """A dict of text for each row of a table with a header."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
