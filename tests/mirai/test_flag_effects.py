"""Each option of the utterance scripts changes what it says it changes; what saves memory or time changes nothing."""

import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import read_dialogues
from erc.options import UserError
from erc.untrusted import read_torch
from mirai.checkpoint import load_extractor
from mirai.dataset import UtteranceDataset
from mirai.network.encoders import describe
from mirai.network.extractor import Extractor
from mirai.options import TrainingOptions
from mirai.training.fit import find_precision
from mirai.training.module import ExtractorTraining

from .conftest import speak, weights


@pytest.fixture(scope="module")
def validation(train, data, tmp_path_factory):
    """`validation("--lr", 0.1, ...)`: the scores after one epoch; the same arguments are trained once."""

    @cache
    def call(*more):
        table = data / "annotation_speaker_only.csv"
        folder = train(table, tmp_path_factory.mktemp("effect"), "--using_model", "text", *more, epochs=1)
        return read_torch(folder / "last.ckpt")["hyper_parameters"]["validation"]

    return call


def test_another_seed_is_another_training(validation):
    assert validation("--seed", 1)["train_loss"] != validation()["train_loss"]


def test_reading_ahead_changes_nothing(validation):
    assert validation("--num_workers", 1) == pytest.approx(validation(), abs=1e-6)


def test_half_precision_is_near(validation):
    assert 0 < abs(validation("--precision", "bf16-mixed")["train_loss"] - validation()["train_loss"]) < 0.02
    with pytest.raises(UserError, match="--precision 16-mixed: needs a GPU; a CPU takes 32-true"):
        validation("--precision", "16-mixed")


def test_speech_elsewhere(run_script, data, trained, tmp_path):
    moved, table = tmp_path / "speech", tmp_path / "table.csv"
    moved.symlink_to(data / "txt_wav")
    shutil.copy(data / "annotation_speaker_only.csv", table)
    scoring = ("--ckpt_path", trained / "best.ckpt", "--test_1920=True", "--out_dir", tmp_path / "out")
    dialogues = tmp_path / "format.pkl"
    extraction = ("--model_save_path", trained / "best.ckpt", "--features_format_path", dialogues)
    for script, *arguments in (
        ("MIRAI/inference.py", *scoring),
        ("COGMEN_code/cogmen_formatting.py", "--out", dialogues),
        ("MIRAI/feature_extractor_cogmen_format.py", *extraction),
    ):
        with pytest.raises(UserError, match="no such file"):
            run_script(script, "--csv_path", table, *arguments)
        run_script(script, "--csv_path", table, *arguments, "--txt_wav", moved)
    assert "a" in read_dialogues(tmp_path / "format_feat.pkl", KEMDY19).dialogues[0].features


@pytest.mark.parametrize(
    ("script", "needed"),
    [
        ("MIRAI/trainer_hf.py", ("--exp_name", "x")),
        ("MIRAI/inference.py", ("--ckpt_path", "x.ckpt")),
        ("MIRAI/feature_extractor_cogmen_format.py", ("--model_save_path", "x.ckpt")),
    ],
)
def test_a_device_that_is_not_there(run_script, tmp_path, monkeypatch, script, needed):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--device cuda:99: PyTorch sees"):
        run_script(script, *needed, "--device", "cuda:99")


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


def with_options(extractor, **options):
    """Make an extractor ready to be trained."""
    ExtractorTraining(extractor, TrainingOptions(exp_name="x", csv_path=Path("x.csv"), **options), [])


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


def test_attention_is_pytorchs_own(extractor, trained):
    loaded, _ = load_extractor(trained / "best.ckpt")
    for network in (extractor, loaded):
        assert network.text.config._attn_implementation == network.audio.config._attn_implementation == "sdpa"


def test_gradient_checkpointing_gives_the_same_gradients(extractor, batch, monkeypatch):
    expected = gradients(extractor, batch)
    layer = extractor.audio.encoder.layers[0].attention
    calls = []
    monkeypatch.setattr(layer, "forward", lambda *a, forward=layer.forward, **k: calls.append(1) or forward(*a, **k))
    with_options(extractor, gradient_checkpointing=True)
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
    with_options(extractor, compile=True)
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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize(("precision", "fused"), [("bf16-mixed", True), ("16-mixed", None)])
def test_fused_optimizer_on_a_gpu_unless_gradients_are_scaled(train, data, tmp_path, precision, fused):
    arguments = ("--device", "cuda", "--precision", precision)
    folder = train(data / "annotation_speaker_only.csv", tmp_path, *arguments, epochs=1)
    (optimizer,) = torch.load(folder / "last.ckpt", weights_only=True, map_location="cpu")["optimizer_states"]
    assert [group["fused"] for group in optimizer["param_groups"]] == [fused]


def test_precision_by_device(monkeypatch):
    assert find_precision("auto", gpu=False) == "32-true" and find_precision("bf16-mixed", gpu=False) == "bf16-mixed"
    for has_it, expected in ((True, "bf16-mixed"), (False, "16-mixed")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has_it=has_it: has_it)
        assert find_precision("auto", gpu=True) == expected
