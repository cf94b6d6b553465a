"""Encoders from a directory or a hub name to a description: what fits, what does not and why."""

import functools
import json
import os
import shutil
import socket
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from erc.options import UserError
from mirai.network import encoders as module
from mirai.network.encoders import (
    Normalizer,
    describe,
    describe_audio,
    describe_text,
    empty_encoder,
    make_tokenizer,
    pretrained_audio,
    pretrained_text,
    text_width,
)
from mirai.network.extractor import Extractor
from mirai.options import TEXT_ENCODER


@pytest.fixture
def audio(encoders, tmp_path):
    """A copy of the audio encoder with another configuration."""

    def change(file="config.json", **values):
        folder = shutil.copytree(encoders.audio, tmp_path / "audio")
        path = folder / file
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
        return folder

    return change


def test_descriptions_are_plain_and_name_no_place(encoders):
    text = json.dumps([describe_text(encoders.text), describe_audio(encoders.audio)])
    assert str(encoders.text.parent) not in text and "transformers_version" not in text


def test_tokenizer_is_the_encoders_own(encoders):
    from transformers import AutoTokenizer

    sentences = ["좋아요 정말", "", "어제 " * 200]
    ours = make_tokenizer(describe_text(encoders.text))(sentences)
    theirs = AutoTokenizer.from_pretrained(encoders.text)(sentences, truncation=True, max_length=64)["input_ids"]
    assert ours == theirs
    assert [len(tokens) for tokens in ours][1:] == [2, 64]  # RoBERTa's 66 positions hold 64 tokens


@pytest.fixture
def text(encoders, tmp_path):
    """A copy of the text encoder with other values in its configuration and its tokenizer's; None takes one away."""

    def change(config=None, tokenizer=None, without=(), whole=False):
        folder = shutil.copytree(encoders.text, tmp_path / "text")
        for name, values in {"config.json": config or {}, "tokenizer_config.json": tokenizer or {}}.items():
            path = folder / name
            before = {} if whole and name == "config.json" else json.loads(path.read_text())
            path.write_text(
                json.dumps({key: value for key, value in {**before, **values}.items() if value is not None})
            )
        for name in without:
            (folder / name).unlink()
        return folder

    return change


@pytest.mark.parametrize(
    ("change", "pad_token", "max_length"),
    [
        ({"config": {"pad_token_id": 3}}, 3, 66 - 4),  # of the configuration before the tokenizer's 1
        ({"config": {"model_type": "bert"}}, 1, 66),
        ({"config": {"max_position_embeddings": 2000}}, 1, 512),  # at most, though the tokenizer names no limit
        ({"config": {"max_position_embeddings": 2000}, "tokenizer": {"model_max_length": 100}}, 1, 100),
        ({"config": {"model_type": "t5"}, "whole": True}, 0, 512),  # which counts no positions
    ],
)
def test_padding_and_limit_of_a_text_encoder(text, change, pad_token, max_length):
    found = describe_text(text(**change))["tokenizer"]
    assert (found["pad_token"], found["max_length"]) == (pad_token, max_length)


def test_a_configuration_without_padding_token_leaves_it_to_the_tokenizer(text, tmp_path):
    folder = text({"model_type": "bert"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "pad_token_id": None}))
    assert describe_text(folder)["tokenizer"]["pad_token"] == 1
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "pad_token": None}))
    with pytest.raises(UserError, match="--text_encoder .*: neither config.json nor the tokenizer names a padding"):
        describe_text(folder)


def test_tokenizers_that_do_not_fit(text, tmp_path):
    slow = text(tokenizer={"tokenizer_class": "ByT5Tokenizer"}, without=["tokenizer.json"])
    with pytest.raises(UserError, match="--text_encoder .*text: its tokenizer has no tokenizer.json form"):
        describe_text(slow)
    shutil.rmtree(slow)
    with pytest.raises(UserError, match="--text_encoder .*text: not a transformers model directory"):
        describe_text(text(without=["tokenizer.json"]))


def test_a_directory_without_a_tokenizer(text):
    """transformers makes one that knows its special tokens alone, so that each word would be unknown."""
    with pytest.raises(UserError, match="--text_encoder .*: its tokenizer knows no word; expected a tokenizer.json"):
        describe_text(text(without=["tokenizer.json", "tokenizer_config.json"]))


def test_a_configuration_with_a_field_of_another_type(text):
    with pytest.raises(UserError, match="not a transformers model directory: Validation error for field 'hidden_size'"):
        describe_text(text({"hidden_size": "wide"}))


@pytest.mark.parametrize("normalised", [True, False])
def test_speech_is_prepared_by_the_encoders_own_front_end(audio, normalised):
    from transformers import AutoFeatureExtractor

    folder = audio(file="preprocessor_config.json", do_normalize=normalised)
    wave = np.random.default_rng(0).normal(0.2, 0.1, 5000).astype(np.float32)
    found = Normalizer(describe_audio(folder))(wave)
    expected = AutoFeatureExtractor.from_pretrained(folder)(wave, sampling_rate=16_000)["input_values"][0]
    assert found.dtype == np.float32 and np.array_equal(found, np.asarray(expected, np.float32))
    assert (abs(found.mean()) < 1e-3 and abs(found.std() - 1) < 1e-3) == normalised


def test_group_norm_is_refused_with_the_reason(audio):
    with pytest.raises(UserError, match="feat_extract_norm is 'group'.*padding included.*XLS-R"):
        describe_audio(audio(feat_extract_norm="group"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"add_adapter": True}, "has an adapter"),
        ({"conv_kernel": [10, 3, 3, 3, 3, 2, 4]}, "a frame needs 720 samples, expected at most 400"),
        (
            {"file": "preprocessor_config.json", "sampling_rate": 8000},
            "its front end is Wav2Vec2FeatureExtractor at 8000 Hz, expected .* at 16000 Hz",
        ),
        (
            {"file": "preprocessor_config.json", "feature_extractor_type": "SeamlessM4TFeatureExtractor"},
            "its front end is SeamlessM4TFeatureExtractor at 16000 Hz, expected Wav2Vec2FeatureExtractor at 16000 Hz",
        ),
    ],
)
def test_other_audio_encoders_that_do_not_fit(audio, change, message):
    with pytest.raises(UserError, match=f"--audio_encoder .*audio: {message}"):
        describe_audio(audio(**change))


def test_directories_that_lack_what_an_audio_encoder_needs(audio):
    folder = audio()
    for name in ("preprocessor_config.json", "config.json"):
        (folder / name).unlink()
        with pytest.raises(UserError, match="--audio_encoder .*audio: not a transformers model directory"):
            describe_audio(folder)


def test_text_encoder_as_audio_encoder(encoders):
    with pytest.raises(UserError, match="is a roberta model, expected wav2vec2"):
        describe_audio(encoders.text)


def test_width_that_the_heads_do_not_divide(encoders, tmp_path):
    text = shutil.copytree(encoders.text, tmp_path / "text")
    config = json.loads((text / "config.json").read_text())
    (text / "config.json").write_text(json.dumps({**config, "hidden_size": 20}))
    with pytest.raises(UserError, match="--text_encoder .*: is 20 wide, which the 12 heads .*a multiple of 12"):
        describe("both", text, encoders.audio, "mmer")
    assert describe("both", text, encoders.audio)["width"] == 20


@pytest.mark.parametrize(("kind", "load"), [("text", pretrained_text), ("audio", pretrained_audio)])
def test_weights_are_float32_and_their_attention_pytorchs(encoders, tmp_path, kind, load):
    folder = tmp_path / "half"
    original = load(getattr(encoders, kind))
    original.half().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "attn_implementation": "eager"}))
    loaded = load(folder)
    assert {weights.dtype for weights in loaded.parameters()} == {torch.float32}
    for one, other in zip(loaded.parameters(), original.parameters(), strict=True):
        assert torch.equal(one, other.float())
    described = empty_encoder({"config": json.loads((folder / "config.json").read_text())})
    assert {network.config._attn_implementation for network in (loaded, described)} == {"sdpa"}
    assert [weights.shape for weights in described.parameters()] == [weights.shape for weights in loaded.parameters()]
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=f"--{kind}_encoder .*half: not a transformers model directory"):
        load(folder)


def test_only_the_fusion_takes_a_text_encoder_without_pooler(encoders, tmp_path):
    from transformers import DistilBertConfig, DistilBertModel

    text = shutil.copytree(encoders.text, tmp_path / "text")
    DistilBertModel(DistilBertConfig(vocab_size=60, dim=24, n_layers=1, n_heads=2, hidden_dim=32)).save_pretrained(text)
    with pytest.raises(UserError, match="--text_encoder .*text: has no pooler; expected a model like RoBERTa"):
        Extractor.from_pretrained(describe("text", text, encoders.audio), text, encoders.audio)
    Extractor.from_pretrained(describe("both", text, encoders.audio, "mmer"), text, encoders.audio)


def test_hub_name_without_network_says_how_to_fetch_it(monkeypatch, capfd):
    """In one line and at once: nothing is asked for again and again."""

    def error():
        with pytest.raises(UserError) as told:
            describe_text("someone/something")
        message = str(told.value)
        assert "--text_encoder someone/something: neither in the local Hugging Face cache nor reachable (" in message
        assert "fetch it with `hf download someone/something`; or give a directory that holds the model" in message
        assert "None" not in message and "\n" not in message and capfd.readouterr() == ("", "")
        return message

    assert "HF_HUB_OFFLINE is set" in error()
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    asked_once = functools.cache(module._why_offline.__wrapped__)  # what it heard before is forgotten
    monkeypatch.setattr(module, "_why_offline", asked_once)
    connect = Mock(side_effect=socket.create_connection)
    monkeypatch.setattr(socket, "create_connection", connect)
    for _ in range(2):
        assert "127.0.0.1 does not answer: " in error()
    assert connect.call_count == 1


def test_what_a_hub_that_answers_says_is_passed_on(monkeypatch):
    monkeypatch.setattr(module, "_why_offline", lambda: None)
    load = Mock(side_effect=OSError("x/y is not a model\nSee above."))
    with pytest.raises(UserError, match=r"^--f x/y: neither in .* nor reachable \(x/y is not a model\)\. Where"):
        module.fetch("--f x/y", "x/y", load, dtype="d")
    load.assert_called_once_with("x/y", dtype="d")


@pytest.mark.parametrize("name", ["nothing/here/there", "./nothing", ".nothing", "/nothing", "~/nothing"])
def test_directory_that_is_none(name, tmp_path, monkeypatch):
    """What looks like a path is no name of the hub, which is not asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "_why_offline", Mock(side_effect=AssertionError))
    for look in (describe_text, text_width):
        with pytest.raises(UserError, match=f"--text_encoder {name}: no such directory"):
            look(name)


def test_directory_without_a_model(tmp_path):
    said = f"--audio_encoder {tmp_path}: not a transformers model directory: [^\n]*config.json[^\n]*; found in it: "
    with pytest.raises(UserError, match=f"{said}nothing$"):
        describe_audio(tmp_path)
    for name in ("notes.txt", "more.txt"):
        (tmp_path / name).write_text("x")
    with pytest.raises(UserError, match=rf"{said}more\.txt, notes\.txt$"):
        describe_audio(tmp_path)


def test_a_directory_is_read_without_asking_the_hub(encoders, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_why_offline", Mock(side_effect=AssertionError))
    monkeypatch.setenv("HOME", str(encoders.text.parent))
    assert describe_text("~/text") == describe_text(encoders.text)


def test_default_text_width_needs_no_network():
    assert text_width(TEXT_ENCODER) == 768
