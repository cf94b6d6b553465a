"""Checkpoints of the extractor: whatever single value in one is another, it is read, or refused with one line."""

import pytest
import torch

from mirai.checkpoint import load_extractor
from tests.edits import survives


@pytest.mark.filterwarnings("ignore")
def test_no_single_value_hurts(tmp_path, trained):
    content = torch.load(trained / "best.ckpt", weights_only=True)
    content = {name: content[name] for name in ("hyper_parameters", "state_dict")}
    content["state_dict"] = dict(content["state_dict"])

    def read():
        torch.save(content, tmp_path / "x.ckpt")
        load_extractor(tmp_path / "x.ckpt")

    read_in, refused = survives(content, read, every=23)
    assert read_in > 5 and refused > 20
