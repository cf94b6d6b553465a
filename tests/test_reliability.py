"""docs/reliability.md: what is promised in case of bad input and faults is shown by tests that are there."""

import ast
import re

import pytest

from erc.options import REPOSITORY

GROUPS = range(1, 21)  # of the cases; each has a row, or several: 1a, 1b
COLUMNS = ["", "case", "what the user sees", "tests"]


def rows(text):
    """The cells of the table's rows, without those that are only a heading."""
    table = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert cells[0] == COLUMNS
    return [row for row in cells[2:] if not row[1].startswith("**")]


def defined_in(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def faults(text):
    """What is wrong with the table: a list of sentences."""
    found, told = [], set()
    for row in rows(text):
        where = f"row {row[0] or row[1]}"
        if len(row) != len(COLUMNS):
            found.append(f"{where} has {len(row)} cells")
            continue
        number = re.fullmatch(r"([0-9]+)[a-z]?|", row[0])
        if number is None:
            found.append(f"{where} is not numbered like 1 or 1a")
        elif number[1]:
            told.add(int(number[1]))
        named = re.findall(r"`([^`]+)`", row[3])
        if not named:
            found.append(f"{where} names no test")
        for name in named:
            file, _, test = name.partition("::")
            path = REPOSITORY / "tests" / file
            if not path.is_file() or test not in defined_in(path):
                found.append(f"{where}: there is no {name}")
    return found + [f"case {number} has no row" for number in sorted(set(GROUPS) ^ told)]


TEXT = (REPOSITORY / "docs/reliability.md").read_text(encoding="utf-8")


def test_every_case_has_a_row_and_every_row_its_tests():
    assert not faults(TEXT)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "erc/test_files.py::test_a_folder_is_made",
            "erc/test_files.py::test_x",
            "row 15a: there is no erc/test_files",
        ),
        ("erc/test_files.py::test_a_folder_is_made", "test_x.py::test_a", "row 15a: there is no test_x.py::test_a"),
        ("| 17 |", "| 16f |", "case 17 has no row"),
        ("| 17 |", "| x |", "row x is not numbered"),
        ("| it is made |", "| it is | made |", "row 15a has 5 cells"),
        ("`erc/test_files.py::test_a_folder_is_made` |", " |", "row 15a names no test"),
    ],
)
def test_what_is_wrong_is_found(old, new, fault):
    assert old in TEXT
    assert any(found.startswith(fault) for found in faults(TEXT.replace(old, new)))
