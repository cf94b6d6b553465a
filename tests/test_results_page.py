"""docs/results.md invents nothing: its cells are those of the pages that they are copied from."""

import re

import pytest

from erc.options import REPOSITORY
from erc.results import PUBLISHED

PAGE = (REPOSITORY / "docs/results.md").read_text(encoding="utf-8")
SOURCES = [(REPOSITORY / f"docs/{name}.md").read_text(encoding="utf-8") for name in ("recipe", "iemocap")]


def section(name):
    return re.search(rf"^## {name}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)[1]


def rows(text):
    """The rows of all tables: lists of cells."""
    lines = [line.strip().strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines]


def test_iemocap_is_as_in_its_pages():
    """Each row's numbers stand in this order in one row of a source, whatever it is called there."""
    known = [row for source in SOURCES for row in rows(source)]
    found = [row for row in rows(section("IEMOCAP, text")) if re.search(r"\d\.\d", "".join(row[1:]))]
    assert len(found) == 25
    for name, *cells in found:
        assert any(row[0] == name and cells in (row[1:], row[-3:]) for row in known), name


def test_the_published_numbers_are_those_of_the_tables():
    published = [cells for name, *cells in rows(section("KEMDy19")) if name == "published"]
    expected = [
        [f"{a:.2f} / {b:.2f} / -" for a, b in (rows["a"], rows["t"], rows["at"])] for rows in PUBLISHED.values()
    ]
    assert published == expected


@pytest.mark.parametrize("text", ["+0.6 [−2.1, 3.7]", "1.3 and 1.4 points", "3.5 to 5 points on", "+6.6 [−1.5, 16.5]"])
def test_what_the_text_says_is_said_there(text):
    told = " ".join(" ".join(SOURCES).split())
    assert text in " ".join(PAGE.split()) and text in told
