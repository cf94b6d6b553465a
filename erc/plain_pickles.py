"""Plain containers, numbers, text and numeric numpy arrays in a pickle; numpy's own makers are replaced by checked
ones, known by their exact names, so that a few bytes cannot ask for gigabytes."""

import pickle
import re

import numpy as np

from erc.pickle_machine import Name, PickleMachine
from erc.untrusted import Refused, check_tree, shown, shown_name

_FREE = 512 << 20  # bytes of memory that even a small file may ask for; what one of 20,000 arrays takes is 50 MiB
_NUMERIC = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248])")
_MAX_AXIS = 1 << 31


def unpickle(file, size):
    """The plain value in a pickle: an open file of `size` bytes.

    Raises:
        Refused: it is damaged, asks for anything else, is nested too deep, or asks for much more memory than it has.
    """
    if file.read(1) != pickle.PROTO:
        raise Refused("it does not begin as a pickle of protocol 2 or newer does" if size else "it is empty")
    file.seek(0)
    limit = _FREE + 4 * size
    value = _PlainMachine(file, size, limit).run()
    check_tree(value, limit, leaves=(np.ndarray, np.generic))
    return value


class _DType:
    """An array's type: only plain numbers, and nothing but the byte order can change."""

    __slots__ = ("dtype",)

    def __init__(self, name, *_):
        if type(name) is not str or not _NUMERIC.fullmatch(name):
            raise Refused(f"array type {shown(name)} is not a plain number type")
        self.dtype = np.dtype(name)


class _PlainMachine(PickleMachine):
    def name(self, module, name):
        if (path := f"{module}.{name}") not in _NAMES:
            raise Refused(f"it asks for {shown_name(path)}, which is neither plain data nor an array")
        return Name(path)

    def call(self, name, args):
        if name.path == "numpy.ndarray":
            raise Refused("an array may not be made by calling ndarray")
        return _CALLS[name.path](self, *args)

    def build(self, target, state):
        if type(target) is _DType:
            order = state[1] if type(state) is tuple and len(state) > 1 else None
            if order not in ("<", ">", "|", "="):
                raise Refused("malformed array type")
            target.dtype = target.dtype.newbyteorder(order)
        elif type(target) is np.ndarray and type(state) is tuple and len(state) == 5:
            _, shape, dtype, is_fortran, data = state
            self.check_size(shape, dtype, data)
            target.__setstate__((1, shape, dtype.dtype, bool(is_fortran), data))
        else:
            super().build(target, state)

    def check_size(self, shape, dtype, data):
        """The bytes for an array are there, no more and no fewer."""
        if type(dtype) is not _DType or type(data) is not bytes or type(shape) is not tuple or len(shape) > 8:
            raise Refused("malformed array")
        if not all(type(n) is int and 0 <= n < _MAX_AXIS for n in shape):
            raise Refused("malformed array shape")
        size = dtype.dtype.itemsize
        for n in shape:
            size *= n
        if len(data) != size:
            raise Refused(f"an array of shape {shape} does not match the {len(data)} bytes stored for it")
        self.charge(size)


def _reconstruct(_, kind, shape, _typecode):
    """An array that is to be given its state."""
    if type(kind) is not Name or kind.path != "numpy.ndarray" or shape != (0,):
        raise Refused("malformed array")
    return np.empty(0, "b")


def _from_buffer(machine, data, dtype, shape, order):
    """How protocol 5 writes arrays."""
    machine.check_size(shape, dtype, data)
    if order not in ("C", "F"):
        raise Refused("malformed array")
    return np.frombuffer(data, dtype.dtype).reshape(shape, order=order).copy(order)


def _scalar(machine, dtype, data):
    machine.check_size((), dtype, data)
    return np.frombuffer(data, dtype.dtype)[0]


def _dtype(_, *args):
    return _DType(*args)


def _encode(machine, text, encoding):
    """How protocol 2 writes bytes: as text of the same code points."""
    if type(text) is not str or encoding != "latin1":
        raise Refused("malformed bytes")
    machine.charge(len(text))
    return text.encode("latin1")


def _no_bytes(_):
    """How protocol 2 writes empty bytes: a call without arguments."""
    return b""


_CALLS = {"_codecs.encode": _encode, "__builtin__.bytes": _no_bytes, "numpy.dtype": _dtype}
for _core in ("numpy.core", "numpy._core"):  # before and since numpy 2
    _CALLS[_core + ".multiarray._reconstruct"] = _reconstruct
    _CALLS[_core + ".multiarray.scalar"] = _scalar
    _CALLS[_core + ".numeric._frombuffer"] = _from_buffer
_NAMES = {"numpy.ndarray", *_CALLS}
