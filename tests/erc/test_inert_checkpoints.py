"""Files of torch.save read without torch.load; the pickles in them are attacked in test_published_checkpoints.py."""

import argparse
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from erc import untrusted
from erc.options import UserError
from erc.untrusted import read_torch


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
    ],
)
def test_anything_else_is_refused(tmp_path, value, message):
    torch.save({"value": value}, tmp_path / "x.pt")
    with pytest.raises(UserError, match=rf"x\.pt: refused: .*{message}"):
        read_torch(tmp_path / "x.pt")


def test_a_directory_of_many_members_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(untrusted, "_CHUNK", 10_000)
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        for k in range(300):
            archive.writestr(f"x/data/{k}", b"")
    with pytest.raises(UserError, match="its directory of members has more than 10,000 bytes"):
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
