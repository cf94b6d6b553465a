"""Unpicklers for files of `torch.save`, which may come from anyone: the pickle in the zip, and the tensors beside it.

As in `erc.pickles`, nothing that a file names is imported or called. Tensors become views of the zip's members once
their sizes fit.
"""

import io
import math
import os
import re
import zipfile

from erc.pickles import Name, Refused, Unpickler, shown_name

_MAX_DATA_PKL = 4 << 20  # bytes of the pickle in a checkpoint; a published one has about 50,000
_MAX_MEMBERS = 10_000  # of a checkpoint's zip
_CHUNK = 4 << 20  # bytes read at once
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


class Record:
    """Stands for an object: `name` of its class or maker, the `args` it is made with, its attributes as `state`."""

    __slots__ = ("args", "name", "state")

    def __init__(self, name, args):
        self.name, self.args, self.state = name, args, None


class BoundedFile(io.FileIO):
    """A file of which no large piece is read at once: `zipfile` would read a directory of any size."""

    def read(self, size=-1):
        left = max(os.fstat(self.fileno()).st_size - self.tell(), 0)
        size = left if size is None or size < 0 else min(size, left)
        if size > _CHUNK:
            raise Refused(f"its directory of members has more than {_CHUNK:,} bytes")
        return super().read(size)


def zip_members(archive, size):
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


class TensorUnpickler(Unpickler):
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


class RecordUnpickler(TensorUnpickler):
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
