"""What the readers of files from elsewhere share: how they refuse, and what an error shows of such a file."""

import contextlib
import json
import reprlib
from pathlib import Path

from erc.options import UserError

_MAX_DEPTH = 32
MAX_PICKLE = 4 << 30  # bytes of a file; KEMDy19's features take 60 MB
MAX_JSON = 64 << 20  # bytes


class Refused(Exception):
    """Why a file is not read."""


def shown(value):
    """A value from a file as an error may show it: short, on one line."""
    return " ".join(reprlib.repr(value).split())[:80]


def shown_name(text):
    """A name from a file, likewise, without quotes."""
    return (text if text.isprintable() else ascii(text))[:80]


def check_tree(value, limit, leaves):
    """Refuse a value that is nested too deep, holds itself, or has more than `limit` bytes once what it holds several
    times is counted as often: nothing that walks over the value can then be made to take long, or much memory.

    Args:
        leaves: the types that it may hold beside lists, tuples, dicts, text, bytes, numbers and None.
    Raises:
        Refused: it is so, or it holds something else.
    """
    leaves = (int, float, type(None), *leaves)
    known = {}  # id of a container: bytes, height

    def measure(node, depth):
        if depth > _MAX_DEPTH:
            raise Refused(f"it is nested more than {_MAX_DEPTH} deep, or holds itself")
        size = height = 0
        for item in [*node.keys(), *node.values()] if type(node) is dict else node:
            kind = type(item)
            if kind is dict or kind is list or kind is tuple:
                if id(item) not in known:
                    known[id(item)] = measure(item, depth + 1)
                inner, above = known[id(item)]
                size += inner
                height = max(height, above + 1)
            elif kind is str or kind is bytes:
                size += 64 + len(item)
            elif isinstance(item, leaves):
                size += 32 + getattr(item, "nbytes", 0)
            else:
                raise Refused("it holds more than plain data")
        if depth + height > _MAX_DEPTH:
            raise Refused(f"it is nested more than {_MAX_DEPTH} deep")
        if size > limit:
            raise Refused(f"it holds the same things so often that they make more than {limit:,} bytes")
        return size + 64, height

    measure([value], 0)


def read_pickle(path):
    """The plain containers, numbers, text and arrays in a pickle, which may come from anyone.

    Raises:
        UserError: the file is missing, damaged, asks for anything else, or for far more memory than it has bytes.
    """
    from erc.plain_pickles import unpickle

    path = Path(path)
    try:
        with _opened(path, MAX_PICKLE) as (file, size):
            return unpickle(file, size)
    except Refused as error:
        raise UserError(f"{path}: refused: {error}. Expected a pickle of plain data") from error
    except MemoryError:
        raise UserError(f"{path}: refused: it asks for more memory than there is") from None


@contextlib.contextmanager
def _opened(path, limit):
    """(file, its bytes) of a plain file that is not too large."""
    if path.is_dir():
        raise UserError(f"{path}: is a directory, expected a file")
    if not path.is_file():
        raise UserError(f"{path}: {'is not a plain file' if path.exists() else 'no such file'}")
    if (size := path.stat().st_size) > limit:
        raise UserError(f"{path}: refused: it has {size:,} bytes, more than {limit:,}")
    with path.open("rb") as file:
        yield file, size


def read_torch(path):
    """The plain values and tensors (on the CPU) that `torch.save` put into a file, which may come from anyone.

    Raises:
        UserError: the file is missing, damaged, or holds anything else.
    """
    from erc.inert_checkpoints import read_plain  # only here: it imports torch

    return read_plain(path)


def check_weights(path, weights, make_network):
    """Every weight of the network is there, in its shape, finite, and no other.

    Args:
        weights: dict of tensors by name, as a file has them.
        make_network: makes the network; here it takes no memory.
    Raises:
        UserError: names the file and the weight.
    """
    import torch

    with torch.device("meta"):  # shapes only
        expected = make_network().state_dict()
    for problem, names in (
        ("it has no layer", expected.keys() - weights.keys()),
        ("unknown layer", weights.keys() - expected.keys()),
    ):
        if names:
            raise UserError(f"{path}: its weights do not fit its network: {problem} {_listed(names)}")
    for name, weight in weights.items():
        if not isinstance(weight, torch.Tensor):
            raise UserError(f"{path}: {name} is {shown(weight)}, expected a tensor")
        if weight.shape != expected[name].shape or weight.is_floating_point() != expected[name].is_floating_point():
            raise UserError(
                f"{path}: {name} has the wrong shape {tuple(weight.shape)} or type {weight.dtype}, "
                f"expected {tuple(expected[name].shape)} {expected[name].dtype}"
            )
        if not torch.isfinite(weight).all():
            raise UserError(f"{path}: {name} has weights that are not finite; the training that made it went wrong")


def _listed(names):
    names = sorted(map(shown_name, map(str, names)))
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def read_json(path):
    """The contents of a JSON file.

    Raises:
        UserError: the file is missing, too large, or not JSON.
    """
    path = Path(path)
    try:
        with _opened(path, MAX_JSON) as (file, size):
            return json.loads(file.read(size))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON, or damaged: {' '.join(str(error).split())[:100]}") from None
