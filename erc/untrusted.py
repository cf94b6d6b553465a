"""Reading what may come from anyone: pickles, files of torch.save, JSON, TOML. Nothing in them is imported or called.

`torch.load(weights_only=True)` runs no code either, but a few bytes make it crash (a key of nested tuples), hang (an
error that prints 2^60 items) or read beyond a storage (with `mmap`). The pickle in a checkpoint is therefore read by
`erc.pickles`, as any other, and tensors become views of the zip's members once their sizes fit.
"""

import contextlib
import io
import json
import math
import os
import pickle
import re
import tomllib
import zipfile
from pathlib import Path

import numpy as np

from erc.options import UserError
from erc.pickles import FREE, Name, Refused, Unpickler, check_tree, shown, shown_name

MAX_JSON = 64 << 20  # bytes of a file
_MAX_TOML = 1 << 20  # bytes; it is written by hand
_MAX_PICKLE = 4 << 30  # bytes of a file; KEMDy19's features take 60 MB
_MAX_DATA_PKL = 4 << 20  # bytes of the pickle in a checkpoint; a published one has about 50,000
_MAX_MEMBERS = 10_000  # of a checkpoint's zip
_MAX_NETWORK = 8 << 30  # bytes of a network's weights
_CHUNK = 4 << 20  # bytes read at once
_MAX_NAME = 200  # characters

_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # how files of torch before 1.6 begin
_MEMBER = re.compile(
    r"data\.pkl|data/\d+|version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id"
)

# Names that a published checkpoint may mention: of these packages, and these of the standard library.
_PACKAGES = ("cogmen", "torch", "torch_geometric", "torch_scatter", "torch_sparse", "inspect", "typing")
_CLASSES = {"argparse.Namespace", "_operator.getitem", "_operator.or_"} | {
    f"__builtin__.{name}"
    for name in (
        *("bool", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "long", "object"),
        *("reduce", "set", "str", "tuple", "type", "unicode"),
    )
}
# Calls that it may ask for; each becomes a `Record` of its arguments (annotations of methods, sets of names).
_INERT_CALLS = {
    *("_operator.getitem", "__builtin__.frozenset", "__builtin__.reduce", "__builtin__.set", "__builtin__.type"),
    *("inspect.Parameter", "inspect.Signature", "inspect._ParameterKind", "torch.device"),
}
_STORAGES = {
    "Double": "float64",
    "Float": "float32",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
}


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
    """The contents of a TOML file.

    Raises:
        UserError: the file is missing, too large, not TOML, or nested too deep.
    """
    plain_file(path, _MAX_TOML)
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
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


class Record:
    """Stands for an object: `name` of its class or maker, the `args` it is made with, its attributes as `state`."""

    __slots__ = ("args", "name", "state")

    def __init__(self, name, args):
        self.name, self.args, self.state = name, args, None


def read_torch(path):
    """The plain values and tensors (on the CPU) that `torch.save` put into a file, which may come from anyone.

    Raises:
        UserError: the file is missing, damaged, or holds anything else.
    """
    return _read_zip(path, _TensorUnpickler)


def read_module(path):
    """The object in a file of `torch.save`, such as a whole module, as plain values, tensors and `Record`s: names
    outside the packages that a published checkpoint mentions, and calls outside a short list, are refused all the same.

    Raises:
        UserError: the file is missing, damaged, of another kind, or asks for anything else.
    """
    return _read_zip(path, _RecordUnpickler)


def _read_zip(path, unpickler):
    size = plain_file(path, what="checkpoint")
    with damaged(path, "refused: it is damaged"), _Bounded(path) as file:
        if file.read(len(_LEGACY)) == _LEGACY:
            raise Refused("it has the format of torch before 1.6; where it was made, save it with a newer one")
        if not zipfile.is_zipfile(file):
            raise Refused("it is cut short, or not a zip, as torch.save writes")
        with zipfile.ZipFile(file) as archive:
            value = unpickler(archive, _members(archive, size)).load()
        if unpickler is _TensorUnpickler:
            import torch

            check_tree(value, FREE + 2 * size, leaves=(torch.Tensor,))
        return value


class _Bounded(io.FileIO):
    """A file of which no large piece is read at once: `zipfile` would read a directory of any size."""

    def read(self, size=-1):
        left = max(os.fstat(self.fileno()).st_size - self.tell(), 0)
        size = left if size is None or size < 0 else min(size, left)
        if size > _CHUNK:
            raise Refused(f"its directory of members has more than {_CHUNK:,} bytes")
        return super().read(size)


def _members(archive, size):
    """By name: the members of the zip; only what `torch.save` writes, uncompressed, may be there."""
    infos = archive.infolist()
    if len(infos) > _MAX_MEMBERS:
        raise Refused(f"a zip of {len(infos)} members, more than {_MAX_MEMBERS}")
    folder, members = infos[0].filename.partition("/")[0] + "/", {}
    for info in infos:
        name = info.filename.removeprefix(folder)
        if name == info.filename or not _MEMBER.fullmatch(name) or name in members:
            raise Refused(f"the zip holds {shown_name(info.filename)}, which torch.save does not write, or twice")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise Refused(f"{shown_name(info.filename)} is compressed, torch.save does not compress")
        members[name] = info
    if sum(info.file_size for info in infos) > size:
        raise Refused("the members of the zip overlap")
    return members


def _content(archive, info):
    """The bytes of a member, whose checksum is verified."""
    content, at = bytearray(info.file_size), 0
    with archive.open(info) as member:
        while size := member.readinto(memoryview(content)[at : at + _CHUNK]):
            at += size
    return content


class _Storage(str):
    """The name of a torch type, in the place of the class of its storages."""

    __slots__ = ()


class _TensorUnpickler(Unpickler):
    """Plain values and tensors: the pickle of one file, whose tensors lie beside it in the zip."""

    kinds = "a plain value nor a tensor"

    def __init__(self, archive, members):
        self.archive, self.members, self.storages = archive, members, {}
        if (info := members["data.pkl"]).file_size > _MAX_DATA_PKL:
            raise Refused(f"its data.pkl has more than {_MAX_DATA_PKL:,} bytes")
        if "byteorder" in members and _content(archive, members["byteorder"]) != b"little":
            raise Refused("its numbers are not little-endian")
        super().__init__(io.BytesIO(_content(archive, info)), info.file_size)

    def persistent_load(self, reference):
        """A member of the zip as a flat tensor."""
        import torch

        _, dtype, key, _, size = reference
        if type(dtype) is not _Storage or type(key) is not str or type(size) is not int:
            raise Refused("it refers to what is not a storage of plain numbers")
        dtype, info = getattr(torch, dtype), self.members[f"data/{key}"]
        if size * dtype.itemsize != info.file_size:
            raise Refused(f"storage {key} is to have {size * dtype.itemsize:,} bytes, there are {info.file_size:,}")
        if key not in self.storages:
            self.storages[key] = _content(self.archive, info)
        return torch.frombuffer(self.storages[key], dtype=dtype) if size else torch.empty(0, dtype=dtype)

    def load_build(self):
        """Attributes of an ordered dict are of no interest."""
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) is not dict or type(state) is not dict:
            raise Refused("it sets attributes of what is not an object")

    def _tensor(self, storage, offset, size, stride, *_):
        """A view of a storage, whose memory has been taken already."""
        import torch

        if len(size) > 8 or not all(type(n) is int and 0 <= n < 1 << 48 for n in (offset, *size, *stride)):
            raise Refused("malformed tensor size")
        there = storage.numel()
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if math.prod(size) > there or (math.prod(size) and last >= there):
            raise Refused(f"a tensor of shape {size} does not fit its storage of {there:,} numbers")
        return torch.as_strided(storage, size, stride, offset)

    names = {
        "collections.OrderedDict": lambda _: {},
        "torch.Size": lambda _, sizes: sizes,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_parameter": lambda _, tensor, *_options: tensor,
    }
    names |= {f"torch.{kind}Storage": _Storage(dtype) for kind, dtype in _STORAGES.items()}


class _RecordUnpickler(_TensorUnpickler):
    """Objects of any class of the packages that a published checkpoint mentions become `Record`s."""

    def find_class(self, module, name):
        if (path := f"{module}.{name}") in self.names:
            return self.names[path]
        known = path in _CLASSES or module.split(".")[0] in _PACKAGES
        if not known or not name.isidentifier():  # a name with a dot would lead out of its module
            raise Refused(f"it asks for {shown_name(path)}, which has no place in a checkpoint")
        return Name(path)

    def call(self, name, args):
        return Record(name.path, args) if name.path in _INERT_CALLS else super().call(name, args)

    def new(self, name, args):
        return Record(name.path, args)

    def load_build(self):
        """Attributes of an object. Nothing is copied: no file can grow."""
        state, target = self.stack[-1], self.stack[-2]
        if type(state) is tuple and len(state) == 2:  # attributes, slots
            state = self.stack[-1] = state[0] or state[1]
        if type(target) is Record and target.state is None and type(state) is dict:
            target.state = self.stack.pop()
        else:
            super().load_build()


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
