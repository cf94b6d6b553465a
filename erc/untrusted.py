"""Reading what may come from anyone: pickles, files of torch.save, JSON, TOML. Nothing in them is imported or called.

`torch.load(weights_only=True)` runs no code either, but a few bytes make it crash (a key of nested tuples), hang (an
error that prints 2^60 items) or read beyond a storage (with `mmap`). The pickle in a checkpoint is therefore read
as any other, by `erc.pickles` and `erc.torch_pickles`.
"""

import contextlib
import json
import math
import pickle
import tomllib
import unicodedata
import zipfile
from pathlib import Path

import numpy as np

from erc.options import UserError
from erc.pickles import FREE, Refused, Unpickler, check_tree, shown, shown_name
from erc.torch_pickles import BoundedFile, RecordUnpickler, TensorUnpickler, zip_members

MAX_JSON = 64 << 20  # bytes of a file
_MAX_TOML = 1 << 20  # bytes; it is written by hand
_MAX_PICKLE = 4 << 30  # bytes of a file; KEMDy19's features take 60 MB
_MAX_NETWORK = 8 << 30  # bytes of a network's weights
_MAX_NAME = 200  # characters

_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # how files of torch before 1.6 begin


@contextlib.contextmanager
def damaged(path, what="damaged, or not ours"):
    """Turn whatever fails while something is made from the content of a file into one `UserError` that names it."""
    try:
        yield
    except UserError:
        raise
    except Refused as error:
        raise UserError(f"{path}: refused: {error}") from None
    except MemoryError:
        raise UserError(f"{path}: refused: it asks for more memory than there is") from None
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{path}: {what} ({shown_name(reason, 200)})") from error


def is_name(value):
    """Whether a value can name a corpus, an emotion, a dialogue, a turn or a speaker in tables and messages."""
    return isinstance(value, str) and 0 < len(value) <= _MAX_NAME and value.isprintable()


def is_text(value):
    """Whether a string can be written as UTF-8: JSON may hold half a character, and a file's name any bytes."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def plain_file(path, limit=None, what="file"):
    """The bytes of a plain file: neither a directory nor a device, a pipe or a socket, at which reading would wait.

    Raises:
        UserError: it is missing, something else, or has more bytes than `limit`.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: is a directory, expected a {what}")
    if not path.is_file():
        raise UserError(f"{path}: {'is not a plain file' if path.exists() else f'no such {what}'}")
    if limit is not None and (size := path.stat().st_size) > limit:
        raise UserError(f"{path}: refused: it has {size:,} bytes, more than {limit:,}")
    return path.stat().st_size


# ---- JSON and TOML ----


def read_json(path):
    """The contents of a JSON file.

    Raises:
        UserError: the file is missing, too large, not JSON, nested too deep, or has a number that is not finite.
    """
    plain_file(path, MAX_JSON)
    return parse_json(Path(path).read_bytes(), path)


def parse_json(text, source):
    """The same of text (str or bytes) that was read from `source`."""
    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{source}: not JSON, or damaged: {' '.join(str(error).split())[:100]}") from None


def has_format(path, name):
    """Whether a file is JSON of this `format`, as whoever may replace it wrote it."""
    try:
        content = read_json(path)
    except UserError:
        return False
    return isinstance(content, dict) and content.get("format") == name


def read_toml(path):
    """The contents of a TOML file, all text composed (NFC).

    Raises:
        UserError: the file is missing, too large, not TOML, or nested too deep.
    """
    plain_file(path, _MAX_TOML)
    try:
        return tomllib.loads(unicodedata.normalize("NFC", Path(path).read_text(encoding="utf-8-sig")))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not TOML, or damaged: {' '.join(str(error).split())[:100]}") from None


def _finite(text):
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:20]} is not a finite number")
    return number


# ---- pickles ----


def read_pickle(path):
    """The plain containers, numbers, text and arrays in a pickle, which may come from anyone.

    Raises:
        UserError: the file is missing, damaged, asks for anything else, or for far more memory than it has bytes.
    """
    return next(_pickles(path))


def read_two_pickles(path):
    """What `read_pickle` gives, and what a second pickle behind the first holds; None if there is none."""
    both = [value for _, value in zip(range(2), _pickles(path), strict=False)]
    return both[0], both[1] if len(both) > 1 else None


def _pickles(path):
    size = plain_file(path, _MAX_PICKLE)
    with damaged(path, "refused: it is damaged"), open(path, "rb", 1 << 18) as file:
        while (start := file.tell()) < size or not start:
            if file.read(1) != pickle.PROTO:
                raise Refused("it does not begin as a pickle of protocol 2 or newer does" if size else "it is empty")
            file.seek(start)
            value = Unpickler(file, size).load()
            check_tree(value, FREE + 4 * size, leaves=(np.ndarray, np.generic))
            yield value


# ---- files of torch.save ----


def read_torch(path):
    """The plain values and tensors (on the CPU) that `torch.save` put into a file, which may come from anyone.

    Raises:
        UserError: the file is missing, damaged, or holds anything else.
    """
    return _read_zip(path, TensorUnpickler)


def read_module(path):
    """The object in a file of `torch.save`, such as a whole module, as plain values, tensors and `Record`s: names
    outside the packages that a published checkpoint mentions, and calls outside a short list, are refused all the same.

    Raises:
        UserError: the file is missing, damaged, of another kind, or asks for anything else.
    """
    return _read_zip(path, RecordUnpickler)


def _read_zip(path, unpickler):
    size = plain_file(path, what="checkpoint")
    with damaged(path, "refused: it is damaged"), BoundedFile(path) as file:
        if file.read(len(_LEGACY)) == _LEGACY:
            raise Refused("it has the format of torch before 1.6; where it was made, save it with a newer one")
        if not zipfile.is_zipfile(file):
            raise Refused("it is cut short, or not a zip, as torch.save writes")
        with zipfile.ZipFile(file) as archive:
            value = unpickler(archive, zip_members(archive, size)).load()
        if unpickler is TensorUnpickler:
            import torch

            check_tree(value, FREE + 2 * size, leaves=(torch.Tensor,))
        return value


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
    if (size := sum(weight.nbytes for weight in expected.values())) > _MAX_NETWORK:
        raise UserError(f"{path}: refused: its network has {size:,} bytes, more than {_MAX_NETWORK:,}")
    for problem, names in (
        ("it has no layer", expected.keys() - weights.keys()),
        ("unknown layer", weights.keys() - expected.keys()),
    ):
        if names:
            listed = ", ".join(sorted(shown_name(str(name)) for name in names)[:5])
            raise UserError(f"{path}: its weights do not fit its network: {problem} {listed} ({len(names)} in all)")
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
