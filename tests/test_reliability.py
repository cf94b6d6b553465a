"""docs/reliability.md: every promise in case of bad input and faults names its tests, and they are there."""

import re

from erc.options import REPOSITORY

CASES = {*range(1, 23), 24}  # each has a row, or several: 1a, 1b; 23 is of a server, which there is not
COLUMNS = ["", "case", "what the user sees", "tests"]


def rows():
    """The cells of the table's rows, without those that are only a heading."""
    text = (REPOSITORY / "docs/reliability.md").read_text(encoding="utf-8")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert cells[0] == COLUMNS
    return [row for row in cells[2:] if not row[1].startswith("**")]


def test_every_case_has_a_row():
    numbers = [re.fullmatch(r"([0-9]*)[a-z]?", row[0]) for row in rows()]
    assert all(numbers)
    assert {int(number[1]) for number in numbers if number[1]} == CASES


def test_every_row_names_tests_that_are_there():
    for row in rows():
        assert len(row) == len(COLUMNS), row
        named = re.findall(r"`([^`]+)::(test_[^`]+)`", row[3])
        assert named and len(named) == row[3].count("`") / 2, row
        for file, test in named:
            path = REPOSITORY / "tests" / file
            assert path.is_file() and f"\ndef {test}(" in path.read_text(encoding="utf-8"), f"{row[0]}: {file}::{test}"
