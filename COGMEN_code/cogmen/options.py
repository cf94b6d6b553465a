"""Command lines: a dataclass of options becomes an argparse parser, and errors are told once, at the edge.

    @dataclass
    class TrainOptions:
        epochs: int = option(100, "passes over the training dialogues")
        res_dir: Path = option("data/out.pkl", "where the result goes")

    def main(argv=None):
        options = parse(TrainOptions, argv, __doc__)

    if __name__ == "__main__":
        run(main)

Types understood: bool, int, float, str, Path, and list[int], list[str], list[Path], each also as `X | None`.
A boolean accepts `--x`, `--x=True` and `--x False`. A default path is relative to the repository root wherever the
script is started; a path that the user types is relative to where they are.
"""

import argparse
import dataclasses
import sys
import types
import typing
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
_REQUIRED = dataclasses.MISSING


class UserError(Exception):
    """Something that the user can mend. The message names the file or the flag, what was found, what was expected
    and what to do; `run` prints it without a traceback."""


def option(default=_REQUIRED, help="", *, choices=None, positional=False):  # noqa: A002 (argparse's own word)
    """A dataclass field that is a command-line option; without a default the flag must be given.

    A `positional` one is given by its place instead of a flag; it has no default.
    """
    metadata = {"help": help, "choices": choices, "positional": positional}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    if default is _REQUIRED:
        return dataclasses.field(metadata=metadata, kw_only=True)
    return dataclasses.field(default=default, metadata=metadata, kw_only=True)


def parse(cls, argv=None, description=""):
    """The dataclass `cls` filled from `argv` (default: the process's arguments). A `ValueError` of its
    `__post_init__`, whose message should begin with the flag, is told like any other wrong argument (exit code 2)."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        _add_argument(parser, field, hints[field.name])
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    values = vars(parser.parse_args(argv))
    values.pop("debug")
    try:
        return cls(**values)
    except ValueError as error:
        parser.error(str(error))


def to_dict(options):
    """The options as plain values (paths as strings), to be stored beside a result."""
    return {
        name: str(value) if isinstance(value, Path) else value for name, value in dataclasses.asdict(options).items()
    }


def run(main):
    """Call a script's `main`; mistakes that the user can mend end in one clear line and exit code 1."""
    try:
        main()
    except (UserError, OSError) as error:
        if "--debug" in sys.argv:
            raise
        print(f"error: {_message(error)}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _message(error):
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


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
        settings.update(type=_path if kind is Path else kind, choices=field.metadata["choices"])
        if many:
            settings["nargs"] = "+"
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


def _boolean(text):
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError(f"expected True or False, found {text!r}")
    return known[text.lower()]
