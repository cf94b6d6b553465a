"""The network: what an utterance gets depends on nothing but the utterance."""

import numpy as np
import pytest
import torch

from erc.corpus.annotations import Utterance
from erc.corpus.corpora import KEMDY19
from erc.options import UserError
from mirai import dataset as dataset_module
from mirai.checkpoint import load_extractor
from mirai.dataset import UtteranceDataset
from mirai.network.encoders import pretrained_audio
from mirai.network.extractor import Extractor, describe
from mirai.network.front_end import FrontEnd, channels_last_conv

from .conftest import write_wav

SAMPLES = [0, 1, 399, 400, 719, 720, 8000, 24_000, 50_001]


def utterance(name):
    return Utterance(name, "sad", KEMDY19.label("sad"), 1, "Sess01_impro01", "F", 0.0, 1.0)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """Utterances of very different lengths, an almost empty one, a silent one and a constant one among them."""
    folder = tmp_path_factory.mktemp("spoken")
    generator = np.random.default_rng(0)
    sounds = [0.1 * generator.normal(size=max(samples, 1)) for samples in SAMPLES]
    sounds += [np.zeros(5000), np.full(5000, 0.25)]
    rows = []
    for k, sound in enumerate(sounds):
        rows.append(utterance(f"Sess01_impro01_F{k:03}"))
        write_wav(folder / f"{rows[-1].segment_id}.wav", sound)
        (folder / f"{rows[-1].segment_id}.txt").write_text("좋아요 " * k, encoding="utf-8")
    return folder, rows


@pytest.fixture(scope="module")
def extractor(encoders):
    torch.manual_seed(0)
    description = describe("both", encoders.text, encoders.audio)
    return Extractor.from_pretrained(description, encoders.text, encoders.audio).eval()


@pytest.fixture
def dataset(extractor, spoken):
    folder, rows = spoken
    return UtteranceDataset(rows, folder, **extractor.dataset_settings())


@torch.no_grad()
def embed(extractor, dataset, places):
    embeddings = extractor.embed(dataset.collate([dataset[k] for k in places]))
    return torch.cat([*embeddings.values(), extractor.classify(embeddings)], dim=1)


def test_shapes(extractor, dataset):
    batch = dataset.collate([dataset[k] for k in range(len(dataset))])
    embeddings = extractor.embed(batch)
    assert {name: tuple(rows.shape) for name, rows in embeddings.items()} == {"text": (11, 24), "audio": (11, 24)}
    assert extractor(batch).shape == (11, 7)


def test_independent_of_the_rest_of_the_batch(extractor, dataset):
    together = embed(extractor, dataset, range(len(dataset)))
    assert torch.isfinite(together).all()
    for k in range(len(dataset)):
        torch.testing.assert_close(embed(extractor, dataset, [k])[0], together[k], atol=1e-5, rtol=0)
    shuffled = [6, 2, 9, 0]
    torch.testing.assert_close(embed(extractor, dataset, shuffled), together[shuffled], atol=1e-5, rtol=0)


def test_audio_embedding_is_the_mean_over_unpadded_frames(extractor, encoders, dataset):
    """Against transformers' own module, utterance by utterance, without padding or masks."""
    body = pretrained_audio(encoders.audio).eval()
    width = extractor.description["width"]
    together = embed(extractor, dataset, range(len(dataset)))
    for k in range(len(dataset)):
        (window,) = dataset[k][3]
        with torch.no_grad():
            frames = extractor.audio_width(body(window[None]).last_hidden_state[0])
        torch.testing.assert_close(together[k, width : 2 * width], frames.mean(0), atol=1e-5, rtol=0)


def test_frames_of_all_windows_count_alike(extractor, dataset, monkeypatch):
    monkeypatch.setattr(dataset_module, "split_windows", lambda wave: torch.from_numpy(wave).split(9000))
    places = [7, 6, 8]  # 24,000, 8,000 and 50,001 samples: 3, 1 and 6 windows
    batch = dataset.collate([dataset[k] for k in places])
    assert batch.owner.tolist() == [0] * 3 + [1] + [2] * 6
    together = embed(extractor, dataset, places)
    for row, k in enumerate(places):
        with torch.no_grad():
            hidden = [extractor.audio(window[None]).last_hidden_state[0] for window in dataset[k][3]]
            expected = extractor.audio_width(torch.cat(hidden)).mean(0)
        torch.testing.assert_close(together[row, 24:48], expected, atol=1e-5, rtol=0)


def test_fresh_extractor_trains_with_dropout(encoders):
    description = describe("both", encoders.text, encoders.audio)
    fresh = Extractor.from_pretrained(description, encoders.text, encoders.audio)
    assert all(module.training for module in fresh.modules())


def test_training_on_speech_shorter_than_a_mask(extractor, dataset):
    extractor.train()
    try:
        for places in ([0, 1, 2], [5, 6], range(len(dataset))):
            loss = extractor(dataset.collate([dataset[k] for k in places])).sum()
            loss.backward()
            assert torch.isfinite(loss)
    finally:
        extractor.eval()
        extractor.zero_grad()


@pytest.mark.parametrize("using_model", ["audio", "text"])
def test_one_modality_opens_only_its_own_files(encoders, spoken, tmp_path, using_model):
    folder, rows = spoken
    kind = {"audio": "wav", "text": "txt"}[using_model]
    for row in rows:
        (tmp_path / f"{row.segment_id}.{kind}").symlink_to(folder / f"{row.segment_id}.{kind}")
    description = describe(using_model, encoders.text, encoders.audio)
    extractor = Extractor.from_pretrained(description, encoders.text, encoders.audio).eval()
    dataset = UtteranceDataset(rows, tmp_path, **extractor.dataset_settings())
    assert embed(extractor, dataset, range(len(rows))).shape == (11, 24 + 7)


@pytest.mark.parametrize(("kernel", "stride", "channels"), [(10, 5, 1), (3, 2, 4), (2, 2, 4), (5, 3, 2), (2, 3, 2)])
@pytest.mark.parametrize("samples", [10, 11, 12, 30])
def test_channels_last_convolution(kernel, stride, channels, samples):
    torch.manual_seed(samples)
    x, weight, bias = torch.randn(2, samples, channels), torch.randn(6, channels, kernel), torch.randn(6)
    expected = torch.nn.functional.conv1d(x.transpose(1, 2), weight, bias, stride).transpose(1, 2)
    torch.testing.assert_close(channels_last_conv(x, weight, bias, stride), expected, atol=1e-5, rtol=1e-5)


def test_front_end_and_its_gradients_are_those_of_transformers(encoders):
    theirs = pretrained_audio(encoders.audio).feature_extractor.double()
    ours = FrontEnd(theirs)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    waves = torch.randn(3, 4001, dtype=torch.float64)
    results = []
    for module in (theirs, ours):
        module.zero_grad()
        hidden = module(waves)
        hidden.square().sum().backward()
        results.append([hidden, *(weights.grad for weights in module.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9)


class Hostile:
    def __reduce__(self):
        return (print, ("this must not run",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": {}}, "not a checkpoint of MIRAI/trainer_hf.py"),
        (torch.zeros(2), "not a checkpoint of MIRAI/trainer_hf.py"),
        (
            {"hyper_parameters": {"format": "mirai-extractor", "version": 99}},
            "of version 99, this program reads version 1",
        ),
        ({"hyper_parameters": {"_instantiator": Hostile()}}, r"refused: it asks for __builtin__\.print"),
    ],
)
def test_what_is_not_such_a_checkpoint_is_refused(tmp_path, capsys, content, message):
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match=message):
        load_extractor(tmp_path / "x.ckpt")
    assert "must not run" not in capsys.readouterr().out


def test_damaged_and_missing_checkpoints(tmp_path, trained):
    (tmp_path / "half.ckpt").write_bytes((trained / "best.ckpt").read_bytes()[:5000])
    with pytest.raises(UserError, match=r"half\.ckpt: refused"):
        load_extractor(tmp_path / "half.ckpt")
    with pytest.raises(UserError, match=r"none\.ckpt: no such checkpoint"):
        load_extractor(tmp_path / "none.ckpt")


def test_weights_of_another_network_are_refused(tmp_path, trained):
    content = torch.load(trained / "best.ckpt", weights_only=True)
    content["state_dict"]["extractor.classifier.bias"] = torch.zeros(6)
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match=r"classifier\.bias has the wrong shape \(6,\)"):
        load_extractor(tmp_path / "x.ckpt")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("hidden_size", 3_000_000, "its network has .* bytes, more than"),
        ("hidden_size", 10**9, "hidden_size 1000000000 is larger than that of any encoder"),
        ("num_hidden_layers", 10**6, "num_hidden_layers 1000000 is larger"),
        ("num_labels", 10**6, "num_labels 1000000 is larger"),  # a name is made for each
        ("hidden_act", "nothing", "its description makes no network"),
    ],
)
def test_a_description_that_asks_for_too_much_is_refused(tmp_path, trained, key, value, message):
    content = torch.load(trained / "best.ckpt", weights_only=True)
    content["hyper_parameters"]["description"]["text"]["config"][key] = value
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match=message):
        load_extractor(tmp_path / "x.ckpt")
