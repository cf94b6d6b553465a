import os
import pickle
import struct

import numpy as np
import pytest
from numpy._core.multiarray import _reconstruct

from cogmen.options import UserError
from cogmen.safe_files import atomic_writer, read_pickle, write_pickle


class Call:
    """Pickles as a call of anything."""

    def __init__(self, function, *arguments):
        self.parts = function, arguments

    def __reduce__(self):
        return self.parts


@pytest.mark.parametrize("protocol", range(2, 6))
def test_plain_data_and_arrays(tmp_path, protocol):
    value = {
        "list": [1, 2.5, None, True, "말"],
        "tuple": (b"x", {"a": ()}),
        "arrays": [np.arange(6, dtype=np.float32).reshape(2, 3), np.array(["1.5"], dtype="f8"), np.arange(3)[::-1]],
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big_endian": np.arange(3, dtype=">i4"),
        "empty": np.zeros((0, 4), np.float32),
        "number": np.float32(0.5),
    }
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(value, protocol=protocol))
    again = read_pickle(tmp_path / "x.pkl")
    np.testing.assert_equal(again, value)
    assert again["arrays"][0].dtype == again["number"].dtype == np.float32


def test_arrays_pickled_by_numpy_1(tmp_path):
    data = pickle.dumps(np.arange(3.0), protocol=2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    (tmp_path / "x.pkl").write_bytes(data)
    np.testing.assert_array_equal(read_pickle(tmp_path / "x.pkl"), np.arange(3.0))


def array_of(shape, data=b"", dtype="f8"):
    """A pickle whose array state claims a shape that its bytes do not have."""
    state = (1, shape, np.dtype(dtype), False, data)
    return pickle.dumps(Call(_reconstruct, np.ndarray, (0,), b"b"))[:-1] + (
        pickle.dumps(state, protocol=2)[2:-1] + b"b."
    )


HOSTILE = {
    "runs a command": pickle.dumps(Call(os.system, "touch pwned")),
    "evaluates": pickle.dumps(Call(eval, "open('pwned', 'w')")),
    "numpy's builtins": b"cnumpy\n__builtins__\n.",
    "numpy's namesake": b"cnumpy.core.multiarray\nfromfile\n.",
    "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x08core.sys\x93.",
    "an array of 8 GiB": pickle.dumps(Call(np.ndarray, (1 << 30,), "d")),
    "the reconstructor asked for 8 GiB": pickle.dumps(
        Call(np._core.multiarray._reconstruct, np.ndarray, (1 << 30,), b"d")
    ),
    "a state of 8 TiB": array_of((1 << 40,)),
    "an object array": pickle.dumps(np.array([None, 1], dtype=object)),
    "a record array": pickle.dumps(np.zeros(2, dtype=[("a", "f4")])),
    "a date": pickle.dumps(np.array(["2020-01-01"], dtype="M8[D]")),
    "truncated": pickle.dumps(list(range(1000)))[:-20],
    "empty": b"",
    "not a pickle": b"segment_id,emotion\n",
    "persistent id": b"Pother\n.",
    "string longer than the file": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 33) + b"x.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pkl").write_bytes(HOSTILE[name])
    with pytest.raises(UserError, match=r"x\.pkl: refused"):
        read_pickle(tmp_path / "x.pkl")
    assert not (tmp_path / "pwned").exists()


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"none\.pkl: no such file"):
        read_pickle(tmp_path / "none.pkl")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write_pickle(tmp_path / "x.pkl", [1])
    with pytest.raises(RuntimeError), atomic_writer(tmp_path / "x.pkl") as file:
        file.write(b"half")
        raise RuntimeError
    assert read_pickle(tmp_path / "x.pkl") == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["x.pkl"]


def test_a_written_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "plain").write_text("x")
    write_pickle(tmp_path / "ours", 1)
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode
