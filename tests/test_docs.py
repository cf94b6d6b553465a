"""The documents: links and anchors lead somewhere, both READMEs say the same, and what is said of the code is in it."""

import re
import shlex
from collections import Counter

import pytest

from erc.options import REPOSITORY
from tests.test_commands import DOCUMENTS

README, KOREAN = ((REPOSITORY / name).read_text(encoding="utf-8") for name in ("README.md", "README.ko.md"))
LINK = re.compile(r"\]\(([^)\s]+)\)")
SHELL = "run_command.sh", "run_eval.sh", "run_tests.sh"


def without_blocks(text):
    """A document without its code blocks."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^ {4}.*$", "", text, flags=re.MULTILINE)


def headings(text):
    return re.findall(r"^(#+) (.+)$", without_blocks(text), re.MULTILINE)


def anchors(text):
    """The anchors that GitHub gives a document's headings."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for _, heading in headings(text)}


def sections(text):
    """The text of each section, its heading included."""
    return re.split(r"^(?=#+ )", text, flags=re.MULTILINE)[1:]


def blocks(text):
    """The indented code blocks, without comments and the space before them."""
    found = re.findall(r"(?:^ {4}.*\n)+", text, re.MULTILINE)
    return [[line for line in (re.sub(r"\s*# .*", "", line) for line in block.splitlines()) if line] for block in found]


def tables(text):
    """The rows of each table, as lists of cells."""
    found = re.findall(r"(?:^\|.*\|$\n)+", text, re.MULTILINE)
    return [[row.strip("|").split("|") for row in table.splitlines()] for table in found]


def numbers(text):
    """The numbers in a text; of words such as `at` or `F1` none."""
    return re.findall(r"(?<![\w.])\d+(?:[.,]\d+)*", text)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document):
    path = REPOSITORY / document
    for target in LINK.findall(path.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        there = path.parent / name if name else path
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there.read_text(encoding="utf-8")), target


def test_every_page_is_linked_to():
    pages = {f"docs/{path.name}" for path in REPOSITORY.glob("docs/*.md")}
    for text in (README, KOREAN):
        assert pages - {target.partition("#")[0] for target in LINK.findall(text)} == set()


def test_the_readmes_are_short():
    assert all(len(text.splitlines()) <= 250 for text in (README, KOREAN))


def test_the_readmes_have_the_same_headings():
    assert [level for level, _ in headings(README)] == [level for level, _ in headings(KOREAN)]


def test_the_readmes_have_the_same_code():
    ours, theirs = blocks(README), blocks(KOREAN)
    assert len(ours) == len(theirs) > 10
    for one, other in zip(ours, theirs, strict=True):
        if one[0].startswith("    run_command.sh  "):  # the layout, whose words are translated
            names = r"[A-Za-z_][\w.-]*(?:/|\.(?:sh|txt|lock|toml|md))"
            assert re.findall(names, "\n".join(one)) == re.findall(names, "\n".join(other))
        else:
            assert one == other
    for one, other in zip(sections(README), sections(KOREAN), strict=True):
        spans = [{" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)} for text in (one, other)]
        assert spans[0] == spans[1], one[:60]


def test_the_readmes_have_the_same_tables_and_numbers():
    ours, theirs = tables(README), tables(KOREAN)
    assert [len(table) for table in ours] == [len(table) for table in theirs]
    for one, other in zip(ours, theirs, strict=True):
        for row, same in zip(one[2:], other[2:], strict=True):
            assert len(row) == len(same)
            assert [numbers(cell) for cell in row] == [numbers(cell) for cell in same], row
    for one, other in zip(sections(README), sections(KOREAN), strict=True):
        exact = [{n for n in numbers(text) if re.search("[.,]", n)} for text in (one, other)]
        assert exact[0] == exact[1], one[:60]  # of other numbers some are words in one of the languages


def test_the_readmes_have_the_same_links():
    def targets(text):
        found = (target.replace("report.ko.png", "report.png") for target in LINK.findall(text))
        return Counter("#" if target[0] == "#" else target for target in found if not target.startswith("README"))

    assert targets(README) == targets(KOREAN)
    assert "(README.ko.md)" in README and "(README.md)" in KOREAN


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_shell_scripts_know_the_options(document):
    text = (REPOSITORY / document).read_text(encoding="utf-8").replace("\\\n", " ")
    for script, arguments in re.findall(r"bash (run_\w+\.sh)([^`\n#]*)", text):
        if script in SHELL[:2]:
            known = set(re.findall(r"--\w+", (REPOSITORY / script).read_text(encoding="utf-8").partition("\nset -")[0]))
            assert {word for word in shlex.split(arguments) if word.startswith("--")} <= known, arguments


def test_where_to_add_something_is_where_the_page_says():
    text = (REPOSITORY / "docs/architecture.md").read_text(encoding="utf-8")
    rows = [row for table in tables(text) for row in table if len(row) == 4 and "`" in row[1]]
    assert len(rows) > 10
    for _, place, line, more in rows:
        source = (REPOSITORY / place.strip(" `")).read_text(encoding="utf-8")
        assert line.strip(" `") in source, line
        for path in re.findall(r"`([\w/]+\.(?:py|js))`", more):
            assert (REPOSITORY / path).exists() or list(REPOSITORY.glob(f"tests/**/{path}")), path
    for room, module in re.findall(r"\| in `([\w/]+)/` \| \|\n\| --- \| --- \|\n((?:\|.*\n)+)", text):
        for name in re.findall(r"`(\w+)(/?)`", "".join(re.findall(r"^\|([^|]*)\|", module, re.MULTILINE))):
            assert (REPOSITORY / room / (name[0] + (name[1] or ".py"))).exists(), f"{room}/{name[0]}"


def test_the_messages_of_the_page_are_the_programs():
    text = (REPOSITORY / "docs/troubleshooting.md").read_text(encoding="utf-8")
    folders = ("erc", "MIRAI", "COGMEN_code", "app", "tools")
    paths = [path for folder in folders for path in (REPOSITORY / folder).rglob("*") if path.suffix in (".py", ".sh")]
    source = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # text that goes on in the next line
    messages = [message for row in tables(text)[-1][2:] for message in re.findall(r"`([^`]+)`", row[0])]
    assert len(messages) > 15
    assert [message for message in messages[1:] if message not in source] == []  # the first is Python's


def test_features_of_ones_own_get_in(run_script, tmp_path, monkeypatch):
    """The program of docs/troubleshooting.md writes a file that stage 3 takes."""
    monkeypatch.chdir(tmp_path)
    text = (REPOSITORY / "docs/troubleshooting.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(program, "docs/troubleshooting.md", "exec"), {})  # noqa: S102 (a page of this repository)
    run_script("COGMEN_code/preprocess.py", "--feat_dir", "features.pkl", "--res_dir", "preprocessed.pkl")
    run_script(
        *("COGMEN_code/train.py", "--from_begin", "--modalities", "at", "--preprocessed_feature", "preprocessed.pkl"),
        *("--epochs", 1, "--out_dir", tmp_path, "--device", "cpu"),
    )
    assert (tmp_path / "model_checkpoints/calls_best_dev_f1_model_at_tmp.pt").exists()


def test_pictures_are_small():
    assert all(path.stat().st_size < 300_000 for path in REPOSITORY.glob("docs/*.png"))
