"""What saves memory or time in training: what it must not change, and what it must."""

import numpy as np
import pytest
import torch

from erc.corpus.annotations import Utterance
from mirai.checkpoint import load_extractor
from mirai.dataset import UtteranceDataset
from mirai.network.extractor import Extractor, describe
from mirai.options import TrainingOptions
from mirai.training.module import ExtractorTraining

from .conftest import write_wav


@pytest.fixture
def extractor(encoders):
    torch.manual_seed(0)
    description = describe("both", encoders.text, encoders.audio)
    return Extractor.from_pretrained(description, encoders.text, encoders.audio)


@pytest.fixture
def batch(extractor, tmp_path):
    generator = np.random.default_rng(0)
    rows = [Utterance(f"Sess01_impro01_F{k:03}", "sad", k, 1, "Sess01_impro01", "F", 0.0, 1.0) for k in range(4)]
    for k, row in enumerate(rows):
        write_wav(tmp_path / f"{row.segment_id}.wav", 0.1 * generator.normal(size=3000 + 5000 * k))
        (tmp_path / f"{row.segment_id}.txt").write_text("좋아요 " * (k + 1), encoding="utf-8")
    dataset = UtteranceDataset(rows, tmp_path, **extractor.dataset_settings())
    return dataset.collate([dataset[k] for k in range(len(rows))])


def gradients(extractor, batch):
    """Of a training step, with dropout and SpecAugment."""
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 (transformers' SpecAugment draws from it)
    extractor.zero_grad()
    loss = torch.nn.functional.cross_entropy(extractor(batch), batch.labels)
    loss.backward()
    return {name: weights.grad for name, weights in extractor.named_parameters() if weights.grad is not None}


def assert_same(one, other, atol):
    assert one.keys() == other.keys() and len(one) > 50
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=atol, rtol=0, msg=name)


def test_attention_is_pytorchs_own(extractor, trained):
    loaded, _ = load_extractor(trained / "best.ckpt")
    for network in (extractor, loaded):
        assert network.text.config._attn_implementation == network.audio.config._attn_implementation == "sdpa"


def test_gradient_checkpointing_gives_the_same_gradients(extractor, batch, monkeypatch):
    expected = gradients(extractor, batch)
    layer = extractor.audio.encoder.layers[0].attention
    calls = []
    monkeypatch.setattr(layer, "forward", lambda *a, forward=layer.forward, **k: calls.append(1) or forward(*a, **k))
    extractor.checkpoint_gradients()
    assert_same(gradients(extractor, batch), expected, atol=1e-7)
    assert len(calls) == 2  # once forward, once more for the gradients


def test_compiled_layers_give_the_same_gradients(extractor, batch, monkeypatch):
    """Traced as ever, but then run operation by operation, which takes no compiler and less time."""
    extractor.eval()  # a compiled dropout draws other numbers
    expected = gradients(extractor, batch)
    compiled = []

    def without_compiler(function, **settings):
        compiled.append(settings)
        return original(function, backend="eager", **settings)

    original = torch.compile
    monkeypatch.setattr(torch, "compile", without_compiler)
    extractor.compile_layers()
    # a layer of each encoder and the seven convolutions
    assert compiled == [{"dynamic": True}] * 9
    assert_same(gradients(extractor, batch), expected, atol=1e-6)
    extractor.train()
    assert all(torch.isfinite(gradient).all() for gradient in gradients(extractor, batch).values())
    assert not any("_orig_mod" in name for name in extractor.state_dict())


def test_frozen_feature_encoder_stays_as_it_was(train, data, encoders, tmp_path):
    table = data / "annotation_speaker_only.csv"
    folder = train(table, tmp_path, "--freeze_feature_encoder", "--gradient_checkpointing", epochs=1)
    state = torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]
    description = describe("both", encoders.text, encoders.audio)
    before = Extractor.from_pretrained(description, encoders.text, encoders.audio).state_dict()
    changed = {name.removeprefix("extractor.") for name in state if not torch.equal(state[name], before[name[10:]])}
    frozen = {name for name in before if name.startswith("audio.feature_extractor.")}
    assert frozen and not changed & frozen
    assert any(name.startswith("audio.feature_projection.") for name in changed)
    assert any(name.startswith("text.") for name in changed)


def test_fused_optimizer_on_a_gpu_unless_gradients_are_scaled(extractor, tmp_path, monkeypatch):
    options = TrainingOptions(exp_name="x", csv_path=tmp_path / "table.csv")
    module = ExtractorTraining(extractor, options, [])
    made = []
    monkeypatch.setattr(torch.optim, "AdamW", lambda weights, **settings: made.append(settings))
    for device, precision, expected in (("cuda", "bf16-mixed", True), ("cuda", "16-mixed", None), ("cpu", "32", None)):
        monkeypatch.setattr(ExtractorTraining, "device", torch.device(device), raising=False)
        monkeypatch.setattr(ExtractorTraining, "trainer", type("T", (), {"precision": precision}), raising=False)
        module.configure_optimizers()
        assert made[-1] == {"lr": options.lr, "fused": expected}
