"""The one place that reads pickles from elsewhere and the one place that writes files.

Reading: a restricted unpickler that knows plain containers, numbers, text and numeric numpy arrays by their exact
names; numpy's reconstructors are replaced by checked ones, so that nothing runs and a few bytes cannot ask for
gigabytes. Writing: a temporary file in the target's folder, flushed to disk, then renamed over the target.
"""

import contextlib
import json
import os
import pickle
import re
import tempfile
from pathlib import Path

import numpy as np

from cogmen.options import UserError

_NUMERIC = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248])")


class _DType:
    """Stands for a `numpy.dtype` while unpickling: only plain numbers, and nothing but the byte order can change."""

    def __init__(self, name, *_):
        if not isinstance(name, str) or not _NUMERIC.fullmatch(name):
            raise pickle.UnpicklingError(f"array type {name!r} is not a plain number type")
        self.dtype = np.dtype(name)

    def __setstate__(self, state):
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("malformed array type")
        self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray):
    """An array whose state is checked before memory is taken for it."""

    def __setstate__(self, state):
        if not (isinstance(state, tuple) and len(state) == 5 and isinstance(state[2], _DType)):
            raise pickle.UnpicklingError("malformed array")
        _, shape, dtype, is_fortran, data = state
        _check_size(shape, dtype.dtype, data)
        super().__setstate__((1, shape, dtype.dtype, bool(is_fortran), data))

    def __reduce_ex__(self, protocol):
        return np.asarray(self).__reduce_ex__(protocol)  # written again, it is an ordinary array


def _check_size(shape, dtype, data):
    if not (isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape) and len(shape) <= 8):
        raise pickle.UnpicklingError("malformed array shape")
    size = dtype.itemsize
    for n in shape:
        size *= n
    if not isinstance(data, bytes | bytearray) or len(data) != size:
        raise pickle.UnpicklingError(f"an array of shape {shape} does not match the bytes stored for it")


def _reconstruct(kind, shape, _typecode):
    if kind is not _ndarray or shape != (0,):
        raise pickle.UnpicklingError("malformed array")
    return _Array((0,), dtype="b")


def _ndarray(*_):
    raise pickle.UnpicklingError("an array may not be made by calling ndarray")


def _scalar(dtype, data):
    if not isinstance(dtype, _DType):
        raise pickle.UnpicklingError("malformed number")
    _check_size((), dtype.dtype, data)
    return np.frombuffer(data, dtype.dtype)[0]


def _frombuffer(data, dtype, shape, order):
    if not isinstance(dtype, _DType) or order not in ("C", "F"):
        raise pickle.UnpicklingError("malformed array")
    _check_size(shape, dtype.dtype, data)
    return np.frombuffer(data, dtype.dtype).reshape(shape, order=order)


def _encode(text, encoding):
    """How protocol 2 writes bytes: as text of the same code points."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("malformed bytes")
    return text.encode("latin1")


def _no_bytes():
    """How protocol 2 writes empty bytes: a call without arguments."""
    return b""


_KNOWN = {
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    ("numpy", "ndarray"): _ndarray,
    ("numpy", "dtype"): _DType,
}
for _core in ("numpy.core", "numpy._core"):
    _KNOWN[_core + ".multiarray", "_reconstruct"] = _reconstruct
    _KNOWN[_core + ".multiarray", "scalar"] = _scalar
    _KNOWN[_core + ".numeric", "_frombuffer"] = _frombuffer


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, which is neither plain data nor an array"
            ) from None


def read_pickle(path):
    """The plain containers, numbers, text and arrays in a pickle, which may come from anyone.

    Raises:
        UserError: the file is missing, damaged, or asks for anything else.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _Unpickler(file).load()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a directory, expected a pickle file") from None
    except MemoryError as error:
        raise UserError(f"{path}: refused: it asks for more memory than there is") from error
    except Exception as error:  # a damaged pickle raises nearly anything
        raise UserError(f"{path}: refused: {error or type(error).__name__}. Expected a pickle of plain data") from error


def read_torch(path):
    """The plain values and tensors (on the CPU) that `torch.save` put into a file, which may come from anyone.

    Raises:
        UserError: the file is missing, damaged, or holds anything else.
    """
    import torch

    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises nearly anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        message = f"{path}: refused, it is damaged or holds more than plain values and tensors ({reason})"
        raise UserError(message) from None


def write_torch(path, value):
    import torch

    with atomic_writer(path) as file:
        torch.save(value, file)


def write_pickle(path, value):
    """Pickle plain data; the same value gives the same bytes."""
    with atomic_writer(path) as file:
        pickle.dump(value, file, protocol=4)


def write_text(path, text):
    with atomic_writer(path) as file:
        file.write(text.encode())


def write_json(path, value):
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def atomic_writer(path):
    """A binary file to write; on success it takes the place of `path` in one step, on failure nothing changes."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_directory(path.parent)


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_directory(folder):
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
