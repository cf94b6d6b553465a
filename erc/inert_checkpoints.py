"""What `torch.save` wrote, read without `torch.load`: nothing that the file names is imported, made or called.

The pickle in the zip is interpreted (see `erc.pickle_machine`). Plain values become plain values, and tensors become
tensors once their sizes are held against the bytes that are there (`torch.load(weights_only=True)` runs no code, but
takes what memory it is told to). `read_plain`, for this project's own checkpoints, refuses everything else. For
`read_inert` an object of any class becomes a `Record`; names outside the packages that a published checkpoint mentions,
and calls outside a short list, are refused all the same: such a file is not what it claims to be.
"""

import io
import math
import os
import re
import zipfile
from pathlib import Path

import torch

from erc.options import UserError
from erc.pickle_machine import Name, PickleMachine
from erc.split_zip import DAMAGE
from erc.untrusted import Refused, check_tree, shown_name

_MAX_PICKLE = 4 << 20  # bytes; a published checkpoint's has about 50,000
_MAX_MEMBERS = 10_000
_MAX_READ = 4 << 20  # bytes read at once, of the zip's directory above all
_MEMORY = 256 << 20  # bytes that may be taken beside those of the tensors
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
    "torch.BoolStorage": torch.bool,
}

# What plain values and tensors need.
_PLAIN_CALLS = {
    *("collections.OrderedDict", "torch.Size"),
    *("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"),
}


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
    return _read(path, _RecordMachine)


def read_plain(path):
    """The plain values and tensors in a file of `torch.save`, which may come from anyone.

    Raises:
        UserError: the file is missing, damaged, of another kind, or holds anything else.
    """
    return _read(path, _PlainMachine)


def _read(path, machine):
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint")
    size = path.stat().st_size
    try:
        with _Bounded(path) as file:
            if file.read(len(_LEGACY)) == _LEGACY:
                raise Refused("it has the format of torch before 1.6; where it was made, save it with a newer one")
            if not zipfile.is_zipfile(file):
                raise Refused("it is cut short, or not a zip, as torch.save writes")
            with zipfile.ZipFile(file) as archive:
                return machine(archive, _check_members(archive, size), size).run()
    except Refused as error:
        raise UserError(f"{path}: refused: {error}") from None
    except MemoryError:
        raise UserError(f"{path}: refused: it asks for more memory than there is") from None
    except (*DAMAGE, OSError, OverflowError) as error:
        raise UserError(f"{path}: refused: it is damaged ({' '.join(str(error).split())[:100]})") from error


class _Bounded(io.FileIO):
    """A file of which no large piece is read at once: `zipfile` would read a directory of any size."""

    def read(self, size=-1):
        left = max(os.fstat(self.fileno()).st_size - self.tell(), 0)
        size = left if size is None or size < 0 else min(size, left)
        if size > _MAX_READ:
            raise Refused(f"its directory of members has more than {_MAX_READ:,} bytes")
        return super().read(size)


def _check_members(archive, size):
    """The folder that all members of the zip share; only what `torch.save` writes, uncompressed, may be there."""
    members = archive.infolist()
    folders = [m.filename.removesuffix("data.pkl") for m in members if re.fullmatch(r"[^/]+/data\.pkl", m.filename)]
    if len(folders) != 1 or len(members) > _MAX_MEMBERS:
        raise Refused(f"a zip of {len(members)} members with {len(folders)} data.pkl, torch.save writes one")
    seen = set()
    for member in members:
        name = member.filename.removeprefix(folders[0])
        if name == member.filename or not _MEMBER.fullmatch(name) or name in seen:
            raise Refused(f"the zip holds {shown_name(member.filename)}, which torch.save does not write, or twice")
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise Refused(f"{shown_name(member.filename)} is compressed, torch.save does not compress")
        seen.add(name)
    if sum(member.file_size for member in members) > size:
        raise Refused("the members of the zip overlap")
    return folders[0]


class _Machine(PickleMachine):
    """Interprets the pickle of one file, whose tensors lie beside it in the zip."""

    def __init__(self, archive, folder, size):
        self.archive, self.folder, self.size = archive, folder, size
        self.members = {}
        if archive.getinfo(folder + "data.pkl").file_size > _MAX_PICKLE:
            raise Refused(f"its data.pkl has more than {_MAX_PICKLE:,} bytes")
        if folder + "byteorder" in archive.namelist() and self._member("byteorder") != b"little":
            raise Refused("its numbers are not little-endian")
        content = self._member("data.pkl")
        super().__init__(io.BytesIO(content), len(content), _MEMORY)

    def _member(self, name):
        """The bytes of a member, whose checksum is verified."""
        size = self.archive.getinfo(self.folder + name).file_size
        content, at = bytearray(size), 0
        with self.archive.open(self.folder + name) as member:
            while piece := member.read(_MAX_READ):
                content[at : at + len(piece)] = piece
                at += len(piece)
        if at != size:
            raise Refused(f"{name} has {at:,} bytes, {size:,} are announced")
        return content

    def call(self, name, args):
        if name.path == "collections.OrderedDict" and args == ():
            return {}
        if name.path == "torch._utils._rebuild_tensor_v2":
            return _tensor(*args[:4])
        if name.path == "torch._utils._rebuild_parameter" and args and isinstance(args[0], torch.Tensor):
            return args[0]
        raise Refused(f"it asks to call {shown_name(name.path)}, which has no place in a checkpoint")

    def build(self, target, state):
        """Attributes of an object; those of an ordered dict are of no interest. Nothing is copied: no file can grow."""
        if type(state) is tuple and len(state) == 2:  # attributes, slots
            state = state[0] or state[1]
        record = isinstance(target, Record) and target.state is None
        if type(state) is not dict or not (type(target) is dict or record):
            raise Refused("it sets attributes of what is not an object")
        if record:
            target.state = state

    def persistent(self, reference):
        """A member of the zip as a flat tensor."""
        kind, storage, key, _, size = reference if type(reference) is tuple and len(reference) == 5 else [None] * 5
        dtype = _STORAGES.get(storage.path) if type(storage) is Name else None
        if kind != "storage" or dtype is None or type(key) is not str or type(size) is not int:
            raise Refused("it refers to what is not a storage of plain numbers")
        name = f"{self.folder}data/{key}"
        there = self.archive.getinfo(name).file_size if name in self.archive.NameToInfo else -1
        if size < 0 or size * dtype.itemsize != there:
            found = f"there are {there:,}" if there >= 0 else "there is none"
            raise Refused(f"storage {shown_name(key)} is to have {size * dtype.itemsize:,} bytes, {found}")
        if key not in self.members:
            self.members[key] = self._member(f"data/{key}")
        return _Storage(torch.frombuffer(self.members[key], dtype=dtype) if size else torch.empty(0, dtype=dtype))


class _RecordMachine(_Machine):
    """Objects of any class of the packages that a published checkpoint mentions become `Record`s."""

    def name(self, module, name):
        path = f"{module}.{name}"
        known = path in _NAMES or module.split(".")[0] in _PACKAGES
        if not known or not name.isidentifier():  # a name with a dot would lead out of its module
            raise Refused(f"it asks for {shown_name(path)}, which has no place in a checkpoint")
        return Name(path)

    def call(self, name, args):
        return Record(name.path, args) if name.path in _INERT_CALLS else super().call(name, args)

    def new(self, name, args):
        if name.path in _NAMES and name.path != "argparse.Namespace":
            raise Refused(f"it asks to call {name.path}, which has no place in a checkpoint")
        return Record(name.path, args)


class _PlainMachine(_Machine):
    """Nothing but plain values and tensors, which together are hardly larger than the file."""

    def run(self):
        value = super().run()
        check_tree(value, _MEMORY + 2 * self.size, leaves=(torch.Tensor,))
        return value

    def name(self, module, name):
        if (path := f"{module}.{name}") not in _PLAIN_CALLS | _STORAGES.keys():
            raise Refused(f"it asks for {shown_name(path)}, which is neither a plain value nor a tensor")
        return Name(path)

    def call(self, name, args):
        if name.path == "torch.Size" and len(args) == 1 and type(args[0]) is tuple:
            return args[0]
        return super().call(name, args)


def _tensor(storage, offset, size, stride):
    """A view of a storage; its memory has been taken already."""
    if not (isinstance(storage, _Storage) and type(size) is type(stride) is tuple and len(size) == len(stride) <= 8):
        raise Refused("malformed tensor")
    if not all(type(n) is int and 0 <= n < _MAX_INTEGER for n in (offset, *size, *stride)):
        raise Refused("malformed tensor size")
    there = storage.values.numel()
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if math.prod(size) > there or (math.prod(size) and last >= there):
        raise Refused(f"a tensor of shape {size} does not fit its storage of {there:,} numbers")
    return torch.as_strided(storage.values, size, stride, offset)
