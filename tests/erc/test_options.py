import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from erc.options import REPOSITORY, UserError, given, option, parse, run, to_dict


@dataclass
class Options:
    must: str = option(help="a required one")
    files: list[Path] = option([], "some files")
    flag: bool = option(False, "a flag")
    count: int | None = option(None, "a count")
    window: int = option(5, "a number that may be below 0")
    rate: float = option(0.5, "a number")
    sessions: list[int] = option([19, 20], "sessions, 100% of them")
    kind: str = option("a", "a choice", choices=("a", "b"))
    where: Path = option("data/x.pkl", "a path")
    name: str | None = option(None, "a text")
    word: str | None = option(None, "a secret", secret=True)
    tag: str = option("tmp", "part of a path", name=True)
    file: Path | None = option(None, "JSON file of options", defaults_file=True)

    def __post_init__(self):
        if self.count == 13:
            raise ValueError("--count 13: expected another")


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        ([], "flag", False),
        (["--flag"], "flag", True),
        (["--flag=True"], "flag", True),
        (["--flag", "False"], "flag", False),
        ([], "count", None),
        (["--count", "3"], "count", 3),
        ([], "sessions", [19, 20]),
        (["--sessions", "1", "2", "3"], "sessions", [1, 2, 3]),
        (["--files", "a", "b"], "files", [Path("a"), Path("b")]),
        ([], "where", REPOSITORY / "data/x.pkl"),
        (["--where", "y.pkl"], "where", Path("y.pkl")),
        *((["--tag", tag], "tag", tag) for tag in ("both 2", "한국어", "v1.0", "..x", "가" * 33)),
    ],
)
def test_values(arguments, name, value, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    options = parse(Options, ["--must", "x", *arguments])
    assert getattr(options, name) == value
    assert to_dict(options)["where"] == str(options.where)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: --must"),
        (["--must", "x", "--flag=maybe"], "expected True or False, found 'maybe'"),
        (["--must", "x", "--kind", "c"], "--kind"),
        (["--must", "x", "--count", "13"], "--count 13: expected another"),
        (["--must", "x", "--coun", "3"], "--coun"),
    ],
)
def test_wrong_arguments_end_in_exit_code_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as error:
        parse(Options, arguments)
    assert error.value.code == 2
    assert message in capsys.readouterr().err


def test_positional_options(capsys, monkeypatch, tmp_path):
    @dataclass
    class Convert:
        old: Path = option(help="what is read", positional=True)
        new: Path = option(help="what is written", positional=True)
        count: int = option(3, "a count")

    monkeypatch.chdir(tmp_path)
    options = parse(Convert, ["a.pt", "--count", "4", "b.pt"])
    assert (options.old, options.new, options.count) == (Path("a.pt"), Path("b.pt"), 4)
    for arguments, message in ((["a.pt"], "required: NEW"), (["a", "b", "c"], "unrecognized arguments: c")):
        with pytest.raises(SystemExit) as error:
            parse(Convert, arguments)
        assert error.value.code == 2
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parse(Convert, ["--help"])
    assert "OLD NEW" in capsys.readouterr().out


def test_help_shows_defaults(capsys):
    with pytest.raises(SystemExit):
        parse(Options, ["--help"], "What it does.")
    text = capsys.readouterr().out
    assert "What it does." in text and "sessions, 100% of them (default: 19 20)" in text
    assert "(default: data/x.pkl)" in text


@pytest.mark.parametrize(
    ("raised", "line"),
    [
        (UserError("no such thing"), "no such thing"),
        (UserError("a\x1b[31mb\x07: damaged"), r"a\x1b[31mb\x07: damaged"),
        (FileNotFoundError(2, "No such file or directory", "a.pkl"), "a.pkl: No such file or directory"),
        (KeyError("x"), "unexpected KeyError: 'x'; run it again with --debug and report what it shows"),
        (ValueError("one\ntwo"), "unexpected ValueError: one; run it again with --debug and report what it shows"),
        (MemoryError(), "unexpected MemoryError: ; run it again with --debug and report what it shows"),
    ],
)
def test_every_error_ends_in_one_line(raised, line, capsys, monkeypatch):
    def main():
        raise raised

    with pytest.raises(SystemExit) as error:
        run(main)
    assert error.value.code == 1
    assert capsys.readouterr().err == f"error: {line}\n"
    monkeypatch.setattr("sys.argv", ["x.py", "--debug"])
    with pytest.raises(type(raised)):
        run(main)


def test_options_from_a_file(tmp_path):
    values = {"rate": 0.25, "window": -1, "flag": True, "kind": "b", "name": None, "sessions": [2, 3], "must": "x"}
    (tmp_path / "f.json").write_text(json.dumps(values))
    arguments = ["--file", str(tmp_path / "f.json")]
    options = parse(Options, arguments)
    assert {name: getattr(options, name) for name in values} == values
    changed = [*arguments, "--window", "3", "--flag=False", "--sessions", "4"]
    options = parse(Options, changed)
    assert (options.window, options.flag, options.sessions, options.rate) == (3, False, [4], 0.25)
    assert given(Options, ["--must", "y", "--rate", "0.5"]) == {"must", "rate"}
    assert given(Options, arguments) == set(values) - {"name"} | {"file"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"rat": 1, "windo": 2}', "f.json: unknown options: rat, windo"),
        ('{"word": "x"}', "f.json: unknown options: word"),
        ('{"window": "many"}', "f.json: argument --window: invalid int value: 'many'"),
        ('{"window": null}', "f.json: argument --window: invalid int value: 'None'"),
        ("[1]", "f.json: expected a JSON object"),
        ('{"name": {"a": 1}}', "f.json: name: expected text, a number"),
        ('{"rate": 1e999}', "f.json: argument --rate: expected a finite number, found 'inf'"),
        ('{"tag": "../../../x"}', "f.json: argument --tag: expected a name of at most 100 bytes without slashes"),
        ("{", "f.json: not a JSON file"),
        ("[" * 100_000, "f.json: not a JSON file"),
        (" " * 2_000_000, "f.json: has more than 1,048,576 bytes"),
        (os.mkfifo, "f.json: not a plain file"),
        (None, "f.json: no such file"),
    ],
)
def test_a_wrong_file_of_options_is_named(content, message, tmp_path, capsys):
    if content is os.mkfifo:
        os.mkfifo(tmp_path / "f.json")
    elif content is not None:
        (tmp_path / "f.json").write_text(content)
    with pytest.raises(SystemExit) as error:
        parse(Options, ["--must", "x", "--file", str(tmp_path / "f.json")])
    assert error.value.code == 2 and message in capsys.readouterr().err


def test_secrets_are_neither_stored_nor_shown():
    options = parse(Options, ["--must", "x", "--word", "hidden"])
    assert options.word == "hidden" and "hidden" not in str(options)
    assert "word" not in to_dict(options) and to_dict(options)["must"] == "x"


@pytest.mark.parametrize(
    "tag", ["", ".", "..", "a/b", "../x", "a\\b", "a\nb", "a\x1b[2J", "a\u202eb", "x" * 101, "가" * 34]
)
def test_a_name_that_leads_elsewhere(tag, capsys):
    with pytest.raises(SystemExit) as error:
        parse(Options, ["--must", "x", "--tag", tag])
    shown = capsys.readouterr().err
    assert error.value.code == 2 and "--tag: expected a name of at most 100 bytes without slashes" in shown
    assert all(line.isprintable() for line in shown.splitlines())


@pytest.mark.parametrize("number", ["nan", "-inf", "1e999"])
def test_numbers_are_finite(number, capsys):
    with pytest.raises(SystemExit):
        parse(Options, ["--must", "x", f"--rate={number}"])
    assert f"--rate: expected a finite number, found '{number}'" in capsys.readouterr().err
