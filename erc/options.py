"""Command lines: a dataclass of options becomes an argparse parser, and errors are reported once, at the edge.

    @dataclass
    class TrainOptions:
        epochs: int = option(100, "passes over the training dialogues")
        res_dir: Path = option("data/out.pkl", "where the result goes")

    def main(argv=None):
        options = parse(TrainOptions, argv, __doc__)

    if __name__ == "__main__":
        run(main)

Types understood: bool, int, float, str, Path, and list[int], list[str], list[Path], each also as `X | None`.
A boolean accepts `--x`, `--x=True` and `--x False`; a float is finite. A default path is relative to the repository
root wherever the script is started; a path that the user types is relative to where they are. A dataclass field with
`init=False` is no option.
"""

import argparse
import contextlib
import dataclasses
import json
import math
import re
import sys
import types
import typing
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
MAX_FILE = 1 << 20  # bytes of a JSON file of options
MAX_NAME = 100  # bytes, so that a file's name around it is short enough for every file system
_REQUIRED = dataclasses.MISSING


class UserError(Exception):
    """An error that the user can mend. The message names the file or the flag, what was found, what was expected and
    what to do; `run` prints it without a traceback."""


@contextlib.contextmanager
def errors_in(place, advice=""):
    """Makes a `UserError` of the block begin with a file, a row or a flag, and end with `advice`."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{place}: {error}{advice}") from None


def first_of(names, most=5):
    """The first of some names, as an error lists them."""
    names = list(names)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


# Control characters, those that turn the direction of text, line separators, and halves of characters.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text):
    """Text, perhaps from a file of anyone's, as a terminal or a table's cell may show it: what would control them is
    escaped."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def option(
    default=_REQUIRED,
    help="",  # noqa: A002 (argparse's own word)
    *,
    choices=None,
    positional=False,
    name=False,
    secret=False,
    defaults_file=False,
):
    """A dataclass field that is a command-line option; without a default the flag must be given.

    Args:
        positional: it is given by its place instead of a flag; it has no default, unless it is a list.
        name: it becomes a part of a path, so it has no separators and leads to no other folder.
        secret: it is neither shown nor stored.
        defaults_file: a JSON file of options, which those of the command line override.
    """
    value = {"default_factory": default.copy} if isinstance(default, list) else {"default": default}
    metadata = {"help": help, "choices": choices, "positional": positional, "name": name}
    metadata.update(secret=secret, defaults_file=defaults_file)
    return dataclasses.field(**value, metadata=metadata, kw_only=True, repr=not secret)


def parse(cls, argv=None, description=""):
    """The dataclass `cls` filled from `argv` (default: the process's arguments). A `ValueError` of its
    `__post_init__`, whose message should begin with the flag, ends like any other wrong argument (exit code 2)."""
    parser = _parser(cls, description)
    values = vars(parser.parse_args(_with_file(cls, parser, argv)))
    values.pop("debug")
    try:
        return cls(**values)
    except ValueError as error:
        parser.error(str(error))


def given(cls, argv=None):
    """The names of the options that `argv`, or the file that it names, gives a value; `argv` as `parse` accepts it."""
    parser = _parser(cls, "")
    arguments = _with_file(cls, parser, argv)
    for action in parser._actions:
        action.default = argparse.SUPPRESS
    return set(vars(parser.parse_args(arguments))) - {"debug"}


def to_dict(options):
    """The options as plain values (paths as strings), to be stored beside a result; secret ones are left out."""
    names = [field.name for field in _option_fields(options) if not field.metadata["secret"]]
    values = {name: getattr(options, name) for name in names}
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def run(main):
    """Call a script's `main`; every error ends in one clear line and exit code 1, and shows its traceback only with
    `--debug`."""
    try:
        main()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        lines = f"error: {_message(error)}".splitlines()
        print(*map(printable, lines), sep="\n", file=sys.stderr)
        sys.exit(1)


def _message(error):
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.strerror is not None:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else str(error)
    first = (str(error).splitlines() or [""])[0][:300]
    return f"unexpected {type(error).__name__}: {first}; run it again with --debug and report what it shows"


def _option_fields(cls):
    return [field for field in dataclasses.fields(cls) if field.init]


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        super().error(printable(message))


def _parser(cls, description):
    parser = _Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    hints = typing.get_type_hints(cls)
    for field in _option_fields(cls):
        _add_argument(parser, field, hints[field.name])
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _with_file(cls, parser, argv):
    """The arguments, those of the file that they name first, so that the others override them."""
    argv = sys.argv[1:] if argv is None else list(argv)
    for field in _option_fields(cls):
        if field.metadata["defaults_file"]:
            finder = _Parser(add_help=False, allow_abbrev=False)
            finder.add_argument(f"--{field.name}", dest="file", type=_path)
            file = finder.parse_known_args(argv)[0].file
            if file is not None:
                return _file_arguments(cls, parser, field.name, file) + argv
    return argv


def _file_arguments(cls, parser, flag, file):
    """A JSON file of options as arguments, each checked as if it had been typed."""
    checker = _Parser(add_help=False, allow_abbrev=False)
    checker.error = lambda message: parser.error(f"--{flag} {file}: {message}")
    if not file.is_file():
        checker.error("not a plain file" if file.exists() else "no such file")
    try:
        if file.stat().st_size > MAX_FILE:
            checker.error(f"has more than {MAX_FILE:,} bytes; expected a file of options")
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        checker.error(error.strerror)
    except (ValueError, RecursionError) as error:
        checker.error(f"not a JSON file: {error}")
    if not isinstance(content, dict):
        checker.error("expected a JSON object, an option's name and value in each entry")
    hidden = ("positional", "secret", "defaults_file")
    fields = {one.name: one for one in _option_fields(cls) if not any(map(one.metadata.get, hidden))}
    unknown = sorted(set(content) - set(fields))
    if unknown:
        checker.error(f"unknown options: {', '.join(unknown)}")
    hints = typing.get_type_hints(cls)
    arguments = []
    for name, value in content.items():
        if value is None and fields[name].default is None:
            continue  # what it is without the flag
        if any(isinstance(one, list | dict) for one in (value if isinstance(value, list) else [value])):
            checker.error(f"{name}: expected text, a number, true, false, or a list of these")
        arguments += [f"--{name}", *map(str, value)] if isinstance(value, list) else [f"--{name}={value}"]
        _add_argument(checker, fields[name], hints[name])
    checker.parse_args(arguments)
    return arguments


def _add_argument(parser, field, hint):
    kind, many = _kind(hint)
    default = field.default if field.default_factory is _REQUIRED else field.default_factory()
    required = default is _REQUIRED
    shown = " (required)" if required else f" (default: {_shown(default)})" if default not in (None, []) else ""
    positional = field.metadata["positional"]
    settings = {"help": f"{field.metadata['help']}{shown}".replace("%", "%%")}
    if required and not positional:
        settings["required"] = True
    elif not required:
        settings["default"] = REPOSITORY / default if kind is Path and isinstance(default, str) else default
    if kind is bool:
        settings.update(type=_boolean, nargs="?", const=True, metavar="True|False")
    else:
        convert = _name if field.metadata["name"] else {Path: _path, float: _finite}.get(kind, kind)
        settings.update(type=convert, choices=field.metadata["choices"])
        if many:
            settings["nargs"] = "*" if positional and not required else "+"
        if positional:
            settings["metavar"] = field.name.upper()
        elif field.metadata["choices"] is None:
            settings["metavar"] = {int: "N", float: "X", str: "TEXT", Path: "PATH"}[kind]
    parser.add_argument(field.name if positional else f"--{field.name}", **settings)


def _kind(hint):
    """(element type, is it a list?) of a type hint, with `| None` taken off."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        (hint,) = (part for part in typing.get_args(hint) if part is not type(None))
    if typing.get_origin(hint) is list:
        return typing.get_args(hint)[0], True
    return hint, False


def _shown(default):
    return " ".join(map(str, default)) if isinstance(default, list) else default


def _path(text):
    return Path(text).expanduser()


def _finite(text):
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid float value: {text!r}") from None
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"expected a finite number, found {text!r}")
    return value


def _name(text):
    if text in ("", ".", "..") or set(text) & {"/", "\\"} or printable(text) != text or len(text.encode()) > MAX_NAME:
        raise argparse.ArgumentTypeError(
            f"expected a name of at most {MAX_NAME} bytes without slashes, found {text[:MAX_NAME]!r}"
        )
    return text


def _boolean(text):
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError(f"expected True or False, found {text!r}")
    return known[text.lower()]
