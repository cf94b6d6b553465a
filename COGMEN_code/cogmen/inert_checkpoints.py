"""What `torch.save` wrote, read as inert records: nothing that the file names is imported, made or called.

The pickle in the zip is interpreted here, with only those operations that `torch.save` uses. Plain values become plain
values, tensors become tensors once their sizes are checked, and an object of any class becomes a `Record`. Names
outside the packages that a published checkpoint mentions, and calls outside a short list, are refused all the same:
such a file is not what it claims to be.
"""

import math
import pickletools
import re
import zipfile
from pathlib import Path

import torch

from cogmen.options import UserError

_MAX_PICKLE = 2**21  # bytes; a published checkpoint's has about 50,000
_MAX_MEMBERS = 10_000
_MAX_INTEGER = 2**48  # of a tensor's offset, sizes and strides
_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # how files of torch before 1.6 begin
_MEMBER = re.compile(
    r"data\.pkl|data/\d+|version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id"
)

# Names that may be mentioned: of these packages, and these of the standard library.
_PACKAGES = ("cogmen", "torch", "torch_geometric", "torch_scatter", "torch_sparse", "inspect", "typing")
_BUILTINS = (
    *("bool", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "long", "object"),
    *("reduce", "set", "str", "tuple", "type", "unicode"),
)
_NAMES = {"argparse.Namespace", "collections.OrderedDict", "_operator.getitem", "_operator.or_"} | {
    f"__builtin__.{name}" for name in _BUILTINS
}
# Calls that may be asked for; each becomes a `Record` of its arguments (annotations of methods, sets of names).
_INERT_CALLS = {
    *("_operator.getitem", "__builtin__.frozenset", "__builtin__.reduce", "__builtin__.set", "__builtin__.type"),
    *("inspect.Parameter", "inspect.Signature", "inspect._ParameterKind", "torch.device", "torch.Size"),
}

_STORAGES = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
}

_VALUES = {"BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Refused(Exception):
    """Why a file is not read."""


class Name:
    """The dotted name of a class or function that the file mentions."""

    __slots__ = ("path",)

    def __init__(self, path):
        self.path = path


class Record:
    """Stands for an object: `name` of its class or maker, the `args` it is made with, its attributes as `state`."""

    __slots__ = ("args", "name", "state")

    def __init__(self, name, args):
        self.name, self.args, self.state = name, args, None


class _Storage:
    """A member of the zip as a flat tensor."""

    __slots__ = ("values",)

    def __init__(self, values):
        self.values = values


def read_inert(path):
    """The object in a file of `torch.save`, which may come from anyone, as plain values, tensors and `Record`s.

    Raises:
        UserError: the file is missing, damaged, of another kind, or asks for anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint")
    try:
        with path.open("rb") as file:
            if file.read(len(_LEGACY)) == _LEGACY:
                raise _Refused("it has the format of torch before 1.6; where it was made, save it with a newer one")
            if not zipfile.is_zipfile(file):
                raise _Refused("it is not a zip, as torch.save writes")
            with zipfile.ZipFile(file) as archive:
                return _Machine(archive, _check_members(archive, path.stat().st_size)).run()
    except _Refused as error:
        raise UserError(f"{path}: refused: {error}") from None
    except MemoryError:
        raise UserError(f"{path}: refused: it asks for more memory than there is") from None
    except Exception as error:  # a damaged file raises nearly anything
        raise UserError(
            f"{path}: refused: it is damaged ({type(error).__name__}: {' '.join(str(error).split())[:100]})"
        ) from error


def _check_members(archive, size):
    """The folder that all members of the zip share; only what `torch.save` writes, uncompressed, may be there."""
    members = archive.infolist()
    folders = [m.filename.removesuffix("data.pkl") for m in members if re.fullmatch(r"[^/]+/data\.pkl", m.filename)]
    if len(folders) != 1 or len(members) > _MAX_MEMBERS:
        raise _Refused(f"a zip of {len(members)} members with {len(folders)} data.pkl, torch.save writes one")
    seen = set()
    for member in members:
        name = member.filename.removeprefix(folders[0])
        if name == member.filename or not _MEMBER.fullmatch(name) or name in seen:
            raise _Refused(f"the zip holds {member.filename[:80]!r}, which torch.save does not write, or twice")
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise _Refused(f"{member.filename[:80]!r} is compressed, torch.save does not compress")
        seen.add(name)
    if sum(member.file_size for member in members) > size:
        raise _Refused("the members of the zip overlap")
    return folders[0]


class _Machine:
    """Interprets the pickle of one file; a mark opens a new stack above the present one."""

    def __init__(self, archive, folder):
        self.archive, self.folder = archive, folder
        self.bytes = {}
        self.stack, self.below, self.memo = [], [], {}

    def run(self):
        if self.archive.getinfo(self.folder + "data.pkl").file_size > _MAX_PICKLE:
            raise _Refused(f"its data.pkl has more than {_MAX_PICKLE:,} bytes")
        if self.folder + "byteorder" in self.archive.namelist() and self._member("byteorder") != b"little":
            raise _Refused("its numbers are not little-endian")
        for opcode, argument, _ in pickletools.genops(self._member("data.pkl")):
            self._step(opcode.name, argument)
        return self.stack.pop()

    def _member(self, name):
        return self.archive.read(self.folder + name)

    def _step(self, opcode, argument):
        stack = self.stack
        if opcode in _VALUES:
            stack.append(argument)
        elif opcode in _CONSTANTS:
            stack.append(_CONSTANTS[opcode])
        elif opcode in _EMPTY:
            stack.append(_EMPTY[opcode]())
        elif opcode in _TUPLES:
            items = [stack.pop() for _ in range(_TUPLES[opcode])]
            stack.append(tuple(reversed(items)))
        elif opcode in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif opcode in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif opcode == "MARK":
            self.below.append(stack)
            self.stack = []
        elif opcode in ("TUPLE", "APPENDS", "SETITEMS"):
            self.stack = self.below.pop()
            self._collect(opcode, stack)
        elif opcode == "APPEND":
            self._collect("APPENDS", [stack.pop()])
        elif opcode == "SETITEM":
            value, key = stack.pop(), stack.pop()
            self._collect("SETITEMS", [key, value])
        elif opcode == "GLOBAL":
            stack.append(_name(argument))
        elif opcode in ("NEWOBJ", "REDUCE"):
            args, name = stack.pop(), stack.pop()
            stack.append(_object(opcode, name, args))
        elif opcode == "BUILD":
            _build(stack[-2], stack.pop())
        elif opcode == "BINPERSID":
            stack.append(self._storage(stack.pop()))
        elif opcode not in ("PROTO", "STOP"):
            raise _Refused(f"its pickle uses {opcode}, which torch.save does not")

    def _collect(self, opcode, items):
        if opcode == "TUPLE":
            self.stack.append(tuple(items))
        elif opcode == "APPENDS":
            if type(self.stack[-1]) is not list:
                raise _Refused("it appends to what is not a list")
            self.stack[-1].extend(items)
        else:
            keys = items[::2]
            if type(self.stack[-1]) is not dict or not all(isinstance(key, str | int | float) for key in keys):
                raise _Refused("it sets items of what is not a dict of plain keys")
            self.stack[-1].update(zip(keys, items[1::2], strict=True))

    def _storage(self, reference):
        kind, storage, key, _, size = reference
        dtype = _STORAGES.get(storage.path) if isinstance(storage, Name) else None
        if kind != "storage" or dtype is None or type(key) is not str or type(size) is not int:
            raise _Refused("it refers to what is not a storage of plain numbers")
        member = self.archive.getinfo(f"{self.folder}data/{key}")
        if size < 0 or size * dtype.itemsize != member.file_size:
            wanted = size * dtype.itemsize
            raise _Refused(f"storage {key} is to have {wanted:,} bytes, there are {member.file_size:,}")
        if key not in self.bytes:
            self.bytes[key] = bytearray(self._member(f"data/{key}"))
        return _Storage(torch.frombuffer(self.bytes[key], dtype=dtype) if size else torch.empty(0, dtype=dtype))


def _name(argument):
    module, _, name = argument.partition(" ")
    path = f"{module}.{name}"
    known = path in _NAMES or module.split(".")[0] in _PACKAGES
    if not known or not name.isidentifier():  # a name with a dot would lead out of its module
        raise _Refused(f"it asks for {path[:80]}, which has no place in a checkpoint")
    return Name(path)


def _object(opcode, name, args):
    if not isinstance(name, Name) or type(args) is not tuple:
        raise _Refused("it makes an object of what is not a class")
    if opcode == "NEWOBJ":
        if name.path == "argparse.Namespace" or name.path not in _NAMES:
            return Record(name.path, args)
    elif name.path in _INERT_CALLS:
        return Record(name.path, args)
    elif name.path == "collections.OrderedDict" and args == ():
        return {}
    elif name.path == "torch._utils._rebuild_tensor_v2":
        return _tensor(*args[:4])
    elif name.path == "torch._utils._rebuild_parameter" and isinstance(args[0], torch.Tensor):
        return args[0]
    raise _Refused(f"it asks to call {name.path[:80]}, which has no place in a checkpoint")


def _build(target, state):
    """Attributes of an object; those of an ordered dict are of no interest. Nothing is copied: no file can grow."""
    if type(state) is tuple and len(state) == 2:  # attributes, slots
        state = state[0] or state[1]
    if type(state) is not dict or not (type(target) is dict or (isinstance(target, Record) and target.state is None)):
        raise _Refused("it sets attributes of what is not an object")
    if isinstance(target, Record):
        target.state = state


def _tensor(storage, offset, size, stride):
    """A view of a storage; its memory has been taken already."""
    if not (isinstance(storage, _Storage) and type(size) is type(stride) is tuple and len(size) == len(stride) <= 8):
        raise _Refused("malformed tensor")
    if not all(type(n) is int and 0 <= n < _MAX_INTEGER for n in (offset, *size, *stride)):
        raise _Refused("malformed tensor size")
    there = storage.values.numel()
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if math.prod(size) > there or (math.prod(size) and last >= there):
        raise _Refused(f"a tensor of shape {size} does not fit its storage of {there:,} numbers")
    return torch.as_strided(storage.values, size, stride, offset)
