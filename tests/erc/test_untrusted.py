"""Hostile, damaged and odd files, one by one, with the memory that reading them takes; and what good ones give."""

import argparse
import errno
import gc
import os
import pickle
import struct
import tracemalloc
import weakref
from collections import OrderedDict

import numpy as np
import pytest
import torch
from numpy._core.multiarray import _reconstruct

from erc import pickles
from erc.files import atomic_writer, write_pickle
from erc.options import UserError
from erc.untrusted import damaged, read_json, read_module, read_pickle, read_torch
from tests.edits import Call


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


def test_what_was_read_is_freed_with_its_last_user(tmp_path):
    write_pickle(tmp_path / "x.pkl", [np.zeros(1000, np.float32)])
    gc.disable()
    try:
        value = read_pickle(tmp_path / "x.pkl")
        array = weakref.ref(value[0])
        del value
        assert array() is None
    finally:
        gc.enable()


def array_of(shape, data=b"", dtype="f8"):
    """A pickle whose array state claims a shape that its bytes do not have."""
    state = (1, shape, np.dtype(dtype), False, data)
    return pickle.dumps(Call(_reconstruct, np.ndarray, (0,), b"b"))[:-1] + (
        pickle.dumps(state, protocol=2)[2:-1] + b"b."
    )


HOSTILE = {
    "runs a command": pickle.dumps(Call(os.system, "touch pwned")),
    "evaluates": pickle.dumps(Call(eval, "open('pwned', 'w')")),
    "numpy's builtins": b"\x80\x02cnumpy\n__builtins__\n.",
    "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x08core.sys\x93.",
    "an array of 8 GiB": pickle.dumps(Call(np.ndarray, (1 << 30,), "d")),
    "the reconstructor asked for 8 GiB": pickle.dumps(
        Call(np._core.multiarray._reconstruct, np.ndarray, (1 << 30,), b"d")
    ),
    "an object array": pickle.dumps(np.array([None, 1], dtype=object)),
    "a record array": pickle.dumps(np.zeros(2, dtype=[("a", "f4")])),
    "truncated": pickle.dumps(list(range(1000)))[:-20],
    "persistent id": b"\x80\x02Pother\n.",
    "text longer than the file": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 33) + b"x.",
    "bytes longer than the file": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"x.",
    "a bytearray longer than the file": b"\x80\x05\x96" + struct.pack("<Q", 1 << 33) + b"x.",
    "a frame longer than the file": b"\x80\x04\x95" + struct.pack("<Q", 1 << 33) + b"N.",
    "text that is not": b"\x80\x04\x8c\x03\xed\xb0\x80.",
    "a number of a million digits": pickle.dumps(1 << (1 << 22)),
    "a protocol to come": b"\x80\x06N.",
    "an operation to come": b"\x80\x04\xfe.",
    "text of Python 2": b"\x80\x02U\x01x.",
    "a set": pickle.dumps({1}),
    "an array type alone": pickle.dumps([np.dtype("f4")]),
    "a name alone": b"\x80\x02cnumpy\nndarray\n.",
    "a reference to nothing": b"\x80\x04h\x07.",
    "an end in the middle": b"\x80\x04]]].",
    "more ends than beginnings": b"\x80\x04te.",
    "an odd number of items": b"\x80\x04}(K\x01u.",
    "a key that is a list": b"\x80\x04}]K\x01s.",
    "a key of nested tuples": b"\x80\x02})" + b"\x85" * 20_000 + b"K\x01s.",
    "a class of 2^60 items": b"\x80\x02]q\0" + b"".join(b"](h%ch%ceq%c" % (k, k, k + 1) for k in range(60)) + b")R.",
    "an old instance": b"\x80\x02(ios\nsystem\n.",
    "an attribute of a maker": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n}b.",
    "a named buffer": b"\x80\x05\x97.",
    "keys of one hash": pickle.dumps({k * (2**61 - 1): None for k in range(1, 9)}),
    "a list that holds itself": b"\x80\x04]\x94h\x00a.",
    "10,000 nested lists": b"\x80\x04" + b"]" * 10_000 + b"a" * 9_999 + b".",
    "nested by references": b"\x80\x04]" + b"".join(b"\x94]h%ca" % k for k in range(40)) + b".",
    "2^100 items": b"\x80\x04(]\x94" + b"".join(b"](h%ch%ce\x94" % (k, k) for k in range(100)) + b"t.",
    "one array, a million times": pickle.dumps([np.zeros(1 << 16)] * 10_000),
    "one text, many times": pickle.dumps(["x" * (1 << 20)] * 1000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pkl").write_bytes(HOSTILE[name])
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"x\.pkl: refused") as caught:
            read_pickle(tmp_path / "x.pkl")
        assert tracemalloc.get_traced_memory()[1] < 16 * len(HOSTILE[name]) + (1 << 20)
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)
    assert not (tmp_path / "pwned").exists()


def test_an_array_and_its_bytes_must_match(tmp_path):
    for content in (
        array_of((1 << 30,), bytes(16)),
        pickle.dumps(Call(np._core.numeric._frombuffer, bytes(16), np.dtype("f8"), (3,), "C")),
        pickle.dumps(Call(np._core.multiarray.scalar, np.dtype("f8"), bytes(16))),
    ):
        (tmp_path / "x.pkl").write_bytes(content)
        with pytest.raises(UserError, match=r"x\.pkl: refused: .*does not match the 16 bytes"):
            read_pickle(tmp_path / "x.pkl")


def test_a_few_bytes_for_gigabytes(tmp_path):
    """What the C unpickler takes 8 GiB for, a large index of its memo, is harmless."""
    (tmp_path / "x.pkl").write_bytes(b"\x80\x04Nr" + struct.pack("<I", 1 << 29) + b".")
    tracemalloc.start()
    assert read_pickle(tmp_path / "x.pkl") is None
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_what_is_shared_is_read(tmp_path):
    """A vector, an empty list or a text may stand in many places."""
    zeros, empty = np.zeros(768, np.float32), []
    value = {"rows": [zeros] * 10_000, "none": [empty, empty], "text": ["x"] * 3, "ids": {1: "a", -5: "b"}}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(value))
    again = read_pickle(tmp_path / "x.pkl")
    np.testing.assert_equal(again, value)
    assert again["rows"][0] is again["rows"][-1]
    again["rows"][0][0] = 1  # a plain array, which can be written to
    assert type(again["rows"][0]) is np.ndarray


def test_every_copy_is_counted(tmp_path):
    """Bytes made again and again from one text of the file, arrays from the same bytes."""
    text = b"X" + struct.pack("<I", 8 << 20) + b"x" * (8 << 20) + b"q\x00"
    call = b"c_codecs\nencode\nh\x00h\x01\x86R"
    state = (1, (1 << 20,), np.dtype("f8"), False, bytes(8 << 20))
    for content in (
        b"\x80\x02(" + text + b"X\x06\0\0\0latin1q\x01" + call * 1000 + b"t.",
        pickle.dumps([Call(_reconstruct, np.ndarray, (0,), b"b", state=state) for _ in range(1000)]),
    ):
        (tmp_path / "x.pkl").write_bytes(content)
        with pytest.raises(UserError, match=r"x\.pkl: refused: .*(pickle bomb|holds the same things so often)"):
            read_pickle(tmp_path / "x.pkl")


def test_the_number_of_objects_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(pickles, "FREE", 10 << 20)
    for content in (b"]" * 200_000, b"(" * 200_000, b"N\x94" * 200_000, b"}" * 100_000, b"N" * 2_000_000):
        (tmp_path / "x.pkl").write_bytes(b"\x80\x04(" + content + b"t.")
        with pytest.raises(UserError, match=r"x\.pkl: refused: .*pickle bomb"):
            read_pickle(tmp_path / "x.pkl")


def test_other_kinds_of_files_are_named(tmp_path):
    for content in (b"segment_id,emotion\n", b"PK\3\4", pickle.dumps([1], protocol=0)):
        (tmp_path / "x.pkl").write_bytes(content)
        with pytest.raises(
            UserError, match=r"x\.pkl: refused: it does not begin as a pickle of protocol 2 or newer does"
        ):
            read_pickle(tmp_path / "x.pkl")
    (tmp_path / "x.pkl").write_bytes(b"")
    with pytest.raises(UserError, match=r"x\.pkl: refused: it is empty"):
        read_pickle(tmp_path / "x.pkl")


@pytest.mark.parametrize("read", [read_pickle, read_torch, read_module, read_json])
def test_only_plain_files_are_opened(tmp_path, read):
    """Reading a pipe would wait for ever, a device has no end."""
    os.mkfifo(tmp_path / "fifo")
    for path, message in (
        (tmp_path / "fifo", "fifo: is not a plain file"),
        ("/dev/zero", "/dev/zero: is not a plain file"),
        (tmp_path, "is a directory"),
        (tmp_path / "none", "none: no such (file|checkpoint)"),
    ):
        with pytest.raises(UserError, match=message):
            read(path)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{", '{"a": NaN}', "[1e999]", "[-Infinity]", "[" + "9" * 5000 + "]", b"\xff\xfe\xff"]
)
def test_a_json_that_is_none(tmp_path, text):
    (tmp_path / "x.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=r"x\.json: not JSON, or damaged"):
        read_json(tmp_path / "x.json")
    (tmp_path / "x.json").write_text('{"a": [1, 2.5, null]}')
    assert read_json(tmp_path / "x.json") == {"a": [1, 2.5, None]}


def test_plain_values_and_tensors_come_back_as_torch_load_gives_them(tmp_path):
    base = torch.arange(24.0).view(2, 3, 4)
    value = {
        "floats": [base, base[:, 1:, ::2], base.permute(2, 0, 1)],
        "kinds": [
            torch.ones(3).to(kind) for kind in (torch.half, torch.bfloat16, torch.double, torch.bool, torch.int8)
        ],
        "empty": torch.empty(0, 5),
        "scalar": torch.tensor(3),
        "ordered": OrderedDict(torch.nn.Linear(2, 3).state_dict()),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "plain": {0: (1, -(2**40), 2.5, None, True, "말", ()), "size": torch.Size([1, 2])},
        "optimizer": torch.optim.Adam([torch.nn.Parameter(torch.ones(2))]).state_dict(),
        "random": torch.get_rng_state(),
    }
    torch.save(value, tmp_path / "x.pt")
    ours, theirs = read_torch(tmp_path / "x.pt"), torch.load(tmp_path / "x.pt", weights_only=True)
    assert ours.keys() == theirs.keys()
    assert ours.pop("plain") == theirs.pop("plain")
    torch.testing.assert_close(ours.pop("parameter"), theirs.pop("parameter").detach())
    assert ours.pop("optimizer") == theirs.pop("optimizer")
    torch.testing.assert_close(ours, theirs, atol=0, rtol=0)
    assert ours["floats"][1].stride() == theirs["floats"][1].stride()
    assert ours["floats"][0].data_ptr() == ours["floats"][1].data_ptr() - 16  # what shared a storage still does


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.nn.Linear(2, 2), r"it asks for torch\.nn\.modules\.linear\.Linear, which is neither"),
        (argparse.Namespace(x=1), r"it asks for argparse\.Namespace"),
        (np.ones(3), r"it asks for numpy\._?core\.multiarray\._reconstruct"),
        (torch.float32, r"it asks for torch\.float32"),
        ([torch.zeros(1 << 20)] * 1000, "holds the same things so often"),
        (torch.zeros(1).expand(1 << 30), r"a tensor of shape \(1073741824,\) does not fit its storage of 1 numbers"),
        (torch.zeros(3).to_sparse(), r"it asks for torch\._utils\._rebuild_sparse_tensor"),
        (torch.zeros(3, device="meta"), r"it asks for torch\._utils\._rebuild_meta_tensor"),
        ({1 << 40: 1}, "a dict of plain keys"),
        (bytearray(3), "it asks for "),
        (Call(OrderedDict, [(1, 2)]), "it is damaged"),
    ],
)
def test_anything_else_is_refused(tmp_path, value, message):
    torch.save({"value": value}, tmp_path / "x.pt")
    with pytest.raises(UserError, match=rf"x\.pt: refused: .*{message}"):
        read_torch(tmp_path / "x.pt")


def test_a_large_directory_is_not_read(tmp_path):
    """The zip's end record announces a directory of 5 MiB, which are there."""
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 5 << 20, 0, 0)
    (tmp_path / "x.pt").write_bytes(b"PK\1\2" + bytes((5 << 20) - 4) + end)
    with pytest.raises(UserError, match="its directory of members has more than 4,194,304 bytes"):
        read_torch(tmp_path / "x.pt")


def test_a_member_of_a_size_that_is_not_there(tmp_path):
    """The zip's directory says 4 GiB, the file has a few bytes."""
    torch.save(torch.ones(25), tmp_path / "x.pt")
    data = (tmp_path / "x.pt").read_bytes()
    assert data.count(struct.pack("<II", 100, 100)) >= 1
    (tmp_path / "x.pt").write_bytes(
        data.replace(struct.pack("<II", 100, 100), struct.pack("<II", 0xFFFFFFF0, 0xFFFFFFF0))
    )
    with pytest.raises(UserError, match=r"x\.pt: refused: the members of the zip overlap"):
        read_torch(tmp_path / "x.pt")


@pytest.mark.parametrize(
    "error", [KeyError("x"), TypeError("a\nb"), RecursionError(), AssertionError(), OverflowError("x" * 999)]
)
def test_whatever_fails_behind_the_guard_is_one_line(error):
    with (
        pytest.raises(UserError, match=f"^c.pt: damaged, or not ours .{type(error).__name__}.*") as caught,
        damaged("c.pt"),
    ):
        raise error
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    for kept in (UserError("c.pt: of another corpus"), KeyboardInterrupt()):
        with pytest.raises(type(kept)) as caught, damaged("c.pt"):
            raise kept
        assert caught.value is kept


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write_pickle(tmp_path / "x.pkl", [1])
    with pytest.raises(RuntimeError), atomic_writer(tmp_path / "x.pkl") as file:
        file.write(b"half")
        raise RuntimeError
    assert read_pickle(tmp_path / "x.pkl") == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["x.pkl"]


def test_errors_of_writing_name_the_file(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError) as caught:
        write_pickle(tmp_path / "file" / "x.pkl", 1)
    assert str(tmp_path / "file") in caught.value.filename
    with pytest.raises(OSError) as caught, atomic_writer(tmp_path / "x.pkl"):
        raise OSError(errno.ENOSPC, "No space left on device")  # as `write` says it: without a name
    assert caught.value.filename == str(tmp_path / "x.pkl")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_written_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "plain").write_text("x")
    write_pickle(tmp_path / "ours", 1)
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode
