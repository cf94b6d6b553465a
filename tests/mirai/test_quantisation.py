"""Encoders in 8-bit integers: near to what they were, whatever is around them, and refused where they cannot be."""

import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.ao.nn.quantized import dynamic

from erc.options import UserError
from mirai.network.quantisation import quantise

CPU = torch.device("cpu")


@pytest.fixture
def extractor():
    from tests.conftest import load_script

    torch.manual_seed(0)
    return load_script("benchmarks/encoders.py").make_extractor("tiny").eval()


def embeddings(extractor, waves, together):
    from conversation.prediction import TurnDataset
    from conversation.turns import Turn
    from mirai.prediction import run_batches

    turns = [Turn(0.0, 1.0, "M", "가나다라"[: k + 1], segment_id=str(k), wave=wave) for k, wave in enumerate(waves)]
    dataset = TurnDataset(turns, **extractor.dataset_settings())
    places = list(range(len(turns)))
    settings = SimpleNamespace(batch_size=64, batch_seconds=None, precision="32-true", num_workers=0)
    batches = [places] if together else [[place] for place in places]
    found = list(run_batches(extractor, dataset, batches, CPU, settings, quiet=True))
    return {name: np.concatenate([one[name] for one in found]) for name in ("text", "audio")}


def test_embeddings_stay_near_and_do_not_depend_on_others(extractor):
    generator = np.random.default_rng(0)
    waves = [generator.normal(0, 0.1, 16_000 + 3_000 * k).astype(np.float32) for k in range(4)]
    before = embeddings(extractor, waves, together=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is said
        quantise(extractor, CPU)
    for name in ("text", "audio"):
        layers = list(getattr(extractor, name).modules())
        assert not any(type(layer) is nn.Linear for layer in layers)
        rounded = [layer.weight() for layer in layers if isinstance(layer, dynamic.Linear)]
        assert rounded and {weight.qscheme() for weight in rounded} == {torch.per_channel_affine}  # a row at a time
    after = embeddings(extractor, waves, together=False)
    for name in before:
        a, b = before[name], after[name]
        cosines = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        assert cosines.min() > 0.99 and not np.array_equal(a, b)
    alone = embeddings(extractor, waves[:1], together=False)
    assert np.array_equal(alone["audio"][0], after["audio"][0])


def test_where_it_cannot_be(extractor, monkeypatch):
    with pytest.raises(UserError, match="--int8: computes on the CPU, found cuda"):
        quantise(extractor, torch.device("cuda"))
    with monkeypatch.context() as patched:
        patched.setattr(torch.backends, "quantized", SimpleNamespace(engine="none"))
        with pytest.raises(UserError, match="--int8: this torch has no 8-bit arithmetic for this processor"):
            quantise(extractor, CPU)
    monkeypatch.setitem(sys.modules, "torch.ao.quantization", None)
    with pytest.raises(UserError, match="--int8: torch .* has no dynamic quantisation"):
        quantise(extractor, CPU)
