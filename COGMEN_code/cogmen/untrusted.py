"""What the readers of files from elsewhere share: how they refuse, and what an error shows of such a file."""

import reprlib

_MAX_DEPTH = 32


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
