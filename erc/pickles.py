"""An unpickler for files that come from anyone: nothing that they name is imported or called.

It is the standard library's unpickler in Python, with the operations that write plain data and an exact list of names,
each of which stands for a function of ours that checks sizes before it takes memory. Every operation is counted, so
that a file gets hardly more memory than it has bytes. (The C unpickler takes gigabytes at one operation.)
"""

import math
import pickle
import pickletools
import re
import reprlib
import sys
import types
from struct import unpack

import numpy as np

FREE = 512 << 20  # bytes of memory that even a small file may ask for; what one of 20,000 arrays takes is 50 MiB
_MAX_DEPTH = 32
_MAX_KEY = 1 << 31  # of a whole number as the key of a dict: larger ones can be chosen to have the same hash
_NUMERIC = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248])")

# The operations that are known, by the bytes of memory that each may take beside those that are counted on their own.
_COSTS = {
    16: "PROTO FRAME STOP NONE NEWTRUE NEWFALSE BININT1 EMPTY_TUPLE BINGET LONG_BINGET APPEND APPENDS SETITEMS BUILD",
    128: "BININT BININT2 BINFLOAT SHORT_BINUNICODE BINUNICODE BINUNICODE8 SHORT_BINBYTES BINBYTES BINBYTES8 "
    "BYTEARRAY8 TUPLE1 TUPLE2 TUPLE3 TUPLE MARK EMPTY_LIST SETITEM GLOBAL STACK_GLOBAL NEWOBJ BINPERSID",
    256: "EMPTY_DICT BINPUT LONG_BINPUT MEMOIZE REDUCE LONG1",
}
_OPERATIONS = [(getattr(pickle, name), cost) for cost, names in _COSTS.items() for name in names.split()]


class Refused(Exception):
    """Why a file is not read."""


def shown(value):
    """A value from a file as an error may show it: short, on one line."""
    return " ".join(reprlib.repr(value).split())[:80]


def shown_name(text, length=80):
    """A name from a file, likewise, without quotes."""
    return (text if text.isprintable() else ascii(text))[:length]


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
        size, height = 64, 0
        for item in [*node.keys(), *node.values()] if type(node) is dict else node:
            kind = type(item)
            if kind is dict or kind is list or kind is tuple:
                if not item:
                    size += 64
                    continue
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
        return size, height

    measure([value], 0)


class Name:
    """The dotted name of a class."""

    __slots__ = ("path",)

    def __init__(self, path):
        self.path = path


_NDARRAY = Name("numpy.ndarray")


class _DType:
    """The type of an array's numbers."""

    __slots__ = ("dtype",)

    def __init__(self, name):
        if type(name) is not str or not _NUMERIC.fullmatch(name):
            raise Refused(f"array type {shown(name)} is not a plain number type")
        self.dtype = np.dtype(name)


class Unpickler(pickle._Unpickler):
    """Reads one pickle of plain data and arrays of numbers, once.

    Args:
        file: open for reading, at the pickle.
        size: its bytes.
    """

    kinds = "plain data nor an array"

    def __init__(self, file, size):
        super().__init__(file)
        self.file, self.size, self.budget = file, size, FREE + 2 * size
        self.read, self.readline = self._read, lambda: file.readline(256)
        self.stack, self.metastack = [], []
        self.append = self.stack.append

    def load(self):
        steps = {
            code: (getattr(self, pickle._Unpickler.dispatch[code[0]].__name__), cost) for code, cost in _OPERATIONS
        }
        read = self.file.read
        try:
            while code := read(1):
                if code not in steps:
                    name = getattr(pickletools.code2op.get(chr(code[0])), "name", f"the operation {code[0]:#04x}")
                    raise Refused(f"its pickle uses {name}, which plain data of protocol 2 to 5 does not")
                step, cost = steps[code]
                self.charge(cost)
                step()
        except pickle._Stop as stop:
            return stop.value
        finally:
            vars(self).clear()  # it refers to itself: all that it has read would stay until garbage is collected
        raise Refused("it is cut short")

    def charge(self, size):
        """Count memory before it is taken."""
        self.budget -= size
        if self.budget < 0:
            raise Refused("it asks for far more memory than a file of its size should (a pickle bomb?)")

    def _read(self, size):
        if size > 255:
            self._announce(size)
        data = self.file.read(size)
        if len(data) != size:
            raise Refused("it is cut short")
        return data

    def _announce(self, size):
        self._check_there(size)
        self.charge(size)

    def _check_there(self, size):
        if size > self.size - self.file.tell():
            raise Refused("it is cut short, or announces more than there is")

    # Operations that trust the file in the standard library.

    def load_frame(self):
        self._check_there(unpack("<Q", self.read(8))[0])  # nothing is read for a frame, so that it takes no memory

    def load_stop(self):
        if self.metastack or len(self.stack) != 1:
            raise Refused("it is damaged: it ends in the middle of something")
        super().load_stop()

    def load_bytearray8(self):
        (size,) = unpack("<Q", self.read(8))
        self._announce(size)
        data = bytearray(size)
        self.file.readinto(data)
        self.append(data)

    def load_short_binunicode(self):
        self._text(self.read(1)[0])

    def load_binunicode(self):
        self._text(unpack("<I", self.read(4))[0])

    def load_binunicode8(self):
        self._text(unpack("<Q", self.read(8))[0])

    def _text(self, size):
        text = str(self.read(size), "utf-8")
        self.charge(sys.getsizeof(text))
        self.append(text)

    def load_setitem(self):
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def load_setitems(self):
        self._update(self.pop_mark())

    def _update(self, items):
        keys, target = items[::2], self.stack[-1]
        plain = all(type(key) is str or (type(key) is int and -_MAX_KEY <= key < _MAX_KEY) for key in keys)
        if type(target) is not dict or not plain:
            raise Refused("it sets items of what is not a dict of plain keys")
        target.update(zip(keys, items[1::2], strict=True))

    def load_reduce(self):
        args, function = self.stack.pop(), self.stack.pop()
        if type(args) is not tuple:  # a text as arguments would take many times its bytes
            raise Refused("malformed arguments of a call")
        self.append(function(self, *args) if type(function) is types.FunctionType else self.call(function, args))

    def load_newobj(self):
        args, name = self.stack.pop(), self.stack.pop()
        self.append(self.new(name, args))

    def call(self, name, _args):
        """What the call of a `Name` stands for."""
        raise Refused(f"it asks to call {shown_name(name.path)}, which has no place in such a file")

    new = call  # what a new object of the class `Name` stands for

    def load_build(self):
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) is _DType and type(state) is tuple and state[1] in ("<", ">", "|", "="):
            target.dtype = target.dtype.newbyteorder(state[1])
        elif type(target) is np.ndarray and type(state) is tuple and len(state) == 5:
            _, shape, dtype, is_fortran, data = state
            self.check_size(shape, dtype, data)
            self.charge(len(data))  # numpy takes large bytes as they are, and copies small ones
            target.__setstate__((1, shape, dtype.dtype, is_fortran is True, bytes(data)))
        else:
            raise Refused("it sets attributes of what is not an object")

    def persistent_load(self, reference):
        raise Refused("it refers to what is not in it")

    def find_class(self, module, name):
        if (path := f"{module}.{name}") not in self.names:
            raise Refused(f"it asks for {shown_name(path)}, which is neither {self.kinds}")
        return self.names[path]

    # What the names stand for.

    def check_size(self, shape, dtype, data):
        """The bytes for an array are there, no more and no fewer."""
        if len(shape) > 8 or not all(type(n) is int and 0 <= n < 1 << 31 for n in shape):
            raise Refused("malformed array shape")
        if len(data) != dtype.dtype.itemsize * math.prod(shape):
            raise Refused(f"an array of shape {shape} does not match the {len(data)} bytes stored for it")

    def _reconstruct(self, kind, shape, _typecode):
        """An array that is to be given its state."""
        if kind is not _NDARRAY or shape != (0,):
            raise Refused("malformed array")
        return np.empty(0, "b")

    def _from_buffer(self, data, dtype, shape, order):
        """How protocol 5 writes arrays; those of a bytearray are made over it, without a copy."""
        self.check_size(shape, dtype, data)
        if order not in ("C", "F"):
            raise Refused("malformed array")
        if type(data) is bytes:  # of an array that could not be written to
            self.charge(len(data))
            data = bytearray(data)
        return np.ndarray(shape, dtype.dtype, data, order=order)

    def _scalar(self, dtype, data):
        self.check_size((), dtype, data)
        return np.frombuffer(data, dtype.dtype)[0]

    def _dtype(self, name, *_):
        return _DType(name)

    def _encode(self, text, encoding):
        """How protocol 2 writes bytes: as text of the same code points."""
        if encoding != "latin1":  # others import a module
            raise Refused("malformed bytes")
        self.charge(len(text))
        return text.encode("latin1")

    names = {"numpy.ndarray": _NDARRAY, "numpy.dtype": _dtype}
    names |= {"_codecs.encode": _encode, "__builtin__.bytes": lambda _: b""}
    for _core in ("numpy.core", "numpy._core"):  # before and since numpy 2
        names[_core + ".multiarray._reconstruct"] = _reconstruct
        names[_core + ".multiarray.scalar"] = _scalar
        names[_core + ".numeric._frombuffer"] = _from_buffer
