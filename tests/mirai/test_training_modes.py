"""What a training computes: its loss, and what saves memory or time, which must change it or must not."""

import numpy as np
import pytest
import torch

from erc.options import UserError
from mirai.checkpoint import load_extractor
from mirai.dataset import UtteranceDataset
from mirai.network.encoders import describe
from mirai.network.extractor import Extractor
from mirai.training.fit import find_precision
from mirai.training.module import checkpoint_gradients, compile_layers, cosine_and_cross_entropy

from .conftest import speak, weights


@pytest.fixture
def extractor(encoders):
    torch.manual_seed(0)
    description = describe("both", encoders.text, encoders.audio)
    return Extractor.from_pretrained(description, encoders.text, encoders.audio)


@pytest.fixture
def batch(extractor, tmp_path):
    generator = np.random.default_rng(0)
    rows = speak(tmp_path, [0.1 * generator.normal(size=3000 + 5000 * k) for k in range(4)])
    dataset = UtteranceDataset(rows, tmp_path, **extractor.dataset_settings())
    return dataset.collate([dataset[k] for k in range(len(rows))])


def gradients(extractor, batch):
    """Of a training step, with dropout and SpecAugment."""
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 (transformers' SpecAugment draws from it)
    extractor.zero_grad()
    torch.nn.functional.cross_entropy(extractor(batch), batch.labels).backward()
    return {name: weights.grad for name, weights in extractor.named_parameters() if weights.grad is not None}


def assert_same(one, other, atol):
    assert one.keys() == other.keys() and len(one) > 50
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=atol, rtol=0, msg=name)


def test_cosine_and_cross_entropy_by_hand():
    logits = torch.tensor([[3.0, 4.0, 0.0], [0.0, 2.0, 0.0]])
    loss = cosine_and_cross_entropy(logits, torch.tensor([0, 1]))
    first = -np.log(np.exp(3) / (np.exp(3) + np.exp(4) + 1))
    second = -np.log(np.exp(2) / (np.exp(2) + 2))
    expected = 0.1 * (first + second) / 2 + ((1 - 3 / 5) + (1 - 1)) / 2
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_attention_is_pytorchs_own(extractor, trained):
    loaded, _ = load_extractor(trained / "best.ckpt")
    for network in (extractor, loaded):
        assert network.text.config._attn_implementation == network.audio.config._attn_implementation == "sdpa"


def test_gradient_checkpointing_gives_the_same_gradients(extractor, batch, monkeypatch):
    expected = gradients(extractor, batch)
    layer = extractor.audio.encoder.layers[0].attention
    calls = []
    monkeypatch.setattr(layer, "forward", lambda *a, forward=layer.forward, **k: calls.append(1) or forward(*a, **k))
    checkpoint_gradients(extractor)
    assert_same(gradients(extractor, batch), expected, atol=1e-7)
    assert len(calls) == 2  # once forward, once more for the gradients


def test_compiled_layers_give_the_same_gradients(extractor, batch, monkeypatch):
    """Traced as ever, but then run operation by operation, which takes no compiler and less time."""
    extractor.eval()  # a compiled dropout draws other numbers
    expected = gradients(extractor, batch)
    compiled, original = [], torch.compile

    def without_compiler(function, **settings):
        compiled.append(settings)
        return original(function, backend="eager", **settings)

    monkeypatch.setattr(torch, "compile", without_compiler)
    compile_layers(extractor)
    # a layer of each encoder and the seven convolutions
    assert compiled == [{"dynamic": True}] * 9
    assert_same(gradients(extractor, batch), expected, atol=1e-6)
    extractor.train()
    assert all(torch.isfinite(gradient).all() for gradient in gradients(extractor, batch).values())
    assert not any("_orig_mod" in name for name in extractor.state_dict())


def test_frozen_feature_encoder_stays_as_it_was(train, data, encoders, tmp_path):
    table = data / "annotation_speaker_only.csv"
    folder = train(table, tmp_path, "--freeze_feature_encoder", "--gradient_checkpointing", epochs=1)
    after = {name.removeprefix("extractor."): value for name, value in weights(folder / "last.ckpt").items()}
    description = describe("both", encoders.text, encoders.audio)
    before = Extractor.from_pretrained(description, encoders.text, encoders.audio).state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    frozen = {name for name in before if name.startswith("audio.feature_extractor.")}
    assert frozen and not changed & frozen
    assert any(name.startswith("audio.feature_projection.") for name in changed)
    assert any(name.startswith("text.") for name in changed)


@pytest.mark.parametrize(
    ("device", "precision", "fused"),
    [("cpu", "32-true", None), ("cuda", "bf16-mixed", True), ("cuda", "16-mixed", None)],
)
def test_fused_optimizer_on_a_gpu_unless_gradients_are_scaled(train, data, tmp_path, device, precision, fused):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    arguments = ("--device", device, "--precision", precision, "--lr", 1e-3)
    folder = train(data / "annotation_speaker_only.csv", tmp_path, *arguments, epochs=1)
    (optimizer,) = torch.load(folder / "last.ckpt", weights_only=True, map_location="cpu")["optimizer_states"]
    assert [(group["lr"], group["fused"]) for group in optimizer["param_groups"]] == [(1e-3, fused)]


def test_precision_by_device(monkeypatch):
    assert find_precision("auto", gpu=False) == "32-true" and find_precision("bf16-mixed", gpu=False) == "bf16-mixed"
    for has_it, expected in ((True, "bf16-mixed"), (False, "16-mixed")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has_it=has_it: has_it)
        assert find_precision("auto", gpu=True) == expected


def test_sixteen_bit_floats_need_a_gpu(train, data, tmp_path):
    with pytest.raises(UserError, match="--precision 16-mixed: needs a GPU; a CPU takes 32-true"):
        train(data / "annotation_speaker_only.csv", tmp_path, "--precision", "16-mixed")
