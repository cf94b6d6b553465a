"""The network, with and without the cross-modal fusion: what an utterance gets depends on nothing but the utterance."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mirai.dataset import UtteranceBatch, UtteranceDataset
from mirai.network.encoders import describe, pretrained_audio, pretrained_text
from mirai.network.extractor import Extractor
from mirai.network.front_end import FrontEnd, channels_last_conv
from mirai.network.fusion import CrossModalBlock
from mirai.training.module import cosine_and_cross_entropy

from .conftest import speak

SAMPLES = [1, 399, 400, 719, 720, 8000, 24_000, 50_001]


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """Utterances of very different lengths, the first without words; the last two are silent and constant."""
    folder = tmp_path_factory.mktemp("spoken")
    generator = np.random.default_rng(0)
    sounds = [0.1 * generator.normal(size=samples) for samples in SAMPLES]
    return folder, speak(folder, [*sounds, np.zeros(5000), np.full(5000, 0.25)])


def make(encoders, fusion="concat", using_model="both"):
    torch.manual_seed(0)
    description = describe(using_model, encoders.text, encoders.audio, fusion)
    return Extractor.from_pretrained(description, encoders.text, encoders.audio)


@pytest.fixture(scope="module", params=["concat", "mmer"])
def extractor(request, encoders):
    return make(encoders, request.param).eval()


@pytest.fixture
def dataset(extractor, spoken):
    folder, rows = spoken
    return UtteranceDataset(rows, folder, **extractor.dataset_settings())


@torch.no_grad()
def embed(extractor, dataset, places):
    """(B, text, audio and logits side by side)"""
    embeddings = extractor.embed(dataset.collate([dataset[k] for k in places]))
    return torch.cat([embeddings["text"], embeddings["audio"], extractor.classify(embeddings)], dim=1)


@torch.no_grad()
def naive(extractor, encoders, item):
    """The same of one utterance: transformers' own encoders, PyTorch's own attention, no batch, no padding, no mask."""
    weights = extractor.state_dict()
    linear = torch.nn.functional.linear

    def block(name, x, memory):
        attention = torch.nn.MultiheadAttention(24, 12)
        own = {key: weights[f"fusion.{name}.attention.{key}"] for key in attention.state_dict()}
        attention.load_state_dict(own)
        weight = {key.removeprefix(f"fusion.{name}."): value for key, value in weights.items()}

        def norm(rows, part):
            return torch.nn.functional.layer_norm(rows, (24,), weight[f"{part}.weight"], weight[f"{part}.bias"])

        x = norm(x + attention(x, memory, memory)[0], "attention_norm")
        inner = torch.nn.functional.gelu(linear(x, weight["feed_forward.0.weight"], weight["feed_forward.0.bias"]))
        outer = linear(inner, weight["feed_forward.2.weight"], weight["feed_forward.2.bias"])
        return norm(x + outer, "feed_forward_norm")

    _, tokens, windows = item
    audio, text = pretrained_audio(encoders.audio).eval(), pretrained_text(encoders.text).eval()
    text.load_state_dict({key[5:]: value for key, value in weights.items() if key.startswith("text.")}, strict=False)
    frames = torch.cat([audio(window[None]).last_hidden_state[0] for window in windows])
    h = linear(frames, weights["audio_width.weight"], weights["audio_width.bias"])
    read = text(tokens[None])
    if extractor.description["fusion"] == "mmer":
        e = read.last_hidden_state[0]
        p = block("speech_asks_text", h, e)
        r = block("text_asks_that", e, p)
        q = block("text_asks_speech", e, h)
        g = torch.sigmoid(linear(torch.cat([r, q], 1), weights["fusion.gate.weight"], weights["fusion.gate.bias"]))
        z = linear(torch.cat([r, g], 1), weights["fusion.join.weight"])
        joined = torch.cat([z.mean(0), h.mean(0)])
    else:
        joined = torch.cat([read.pooler_output[0], h.mean(0)])
    return torch.cat([joined, linear(joined, weights["classifier.weight"], weights["classifier.bias"])])


def test_every_batch_gives_what_a_naive_computation_gives_to_each_utterance_alone(extractor, encoders, dataset):
    places = [6, 2, 9, 0, *range(len(dataset))]
    together = embed(extractor, dataset, places)
    assert together.shape == (14, 24 + 24 + 7)
    for row, k in enumerate(places):
        expected = naive(extractor, encoders, dataset[k])
        torch.testing.assert_close(together[row], expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(embed(extractor, dataset, [k])[0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("using_model", "fusion", "recipe", "variant"),
    [
        ("both", "concat", "published", "both"),
        ("both", "mmer", "published", "both+mmer"),
        ("both", "concat", "improved", "both+improved"),
        ("audio", "concat", "published", "audio"),
        ("text", "concat", "improved", "text+improved"),
    ],
)
def test_its_parts_and_its_name(encoders, using_model, fusion, recipe, variant):
    description = describe(using_model, encoders.text, encoders.audio, fusion, recipe=recipe)
    network = Extractor.from_pretrained(description, encoders.text, encoders.audio)
    used = ("text", "audio") if using_model == "both" else (using_model,)
    assert (network.variant, network.modalities, network.training) == (variant, used, True)
    parts = {name.split(".")[0] for name, _ in network.named_parameters()}
    expected = {*used, "classifier"} | ({"audio_width"} if "audio" in used else set())
    expected |= {"mmer": {"fusion"}, "concat": set()}[fusion]
    assert parts == expected | {"published": set(), "improved": {"layer_sums", "poolings"}}[recipe]
    assert network.classifier.weight.shape == (7, 24 * len(used))
    own = network.state_dict()
    assert ("text.pooler.dense.weight" in own) == (variant == "both")
    originals = {"text": pretrained_text(encoders.text), "audio": pretrained_audio(encoders.audio)}
    for name in used:
        kept = {key: value for key, value in originals[name].state_dict().items() if "pooler" not in key}
        assert all(torch.equal(own[f"{name}.{key}"], value) for key, value in kept.items())
    settings = network.dataset_settings()
    assert (settings["tokenize"] is None, settings["normalize"] is None) == ("text" not in used, "audio" not in used)
    assert settings["pad_token"] == ("text" in used)  # RoBERTa's is 1


def test_frames_of_all_windows_count_alike(extractor, encoders, tmp_path):
    """Speech longer than a minute is cut into windows: 2, 1 and 3 of them."""
    generator = np.random.default_rng(1)
    rows = speak(tmp_path, [0.1 * generator.normal(size=16_000 * seconds) for seconds in (61, 1, 125)])
    dataset = UtteranceDataset(rows, tmp_path, **extractor.dataset_settings())
    assert dataset.collate([dataset[k] for k in range(3)]).owner.tolist() == [0, 0, 1, 2, 2, 2]
    together = embed(extractor, dataset, range(3))
    for k in range(3):
        torch.testing.assert_close(together[k], naive(extractor, encoders, dataset[k]), atol=1e-5, rtol=0)


@torch.no_grad()
def test_windows_of_an_utterance_are_joined(encoders):
    network = make(encoders, using_model="audio").eval()
    samples, owner = torch.tensor([1200, 500, 3000, 800]), torch.tensor([0, 0, 1, 0])
    windows = torch.randn(4, 3000) * (torch.arange(3000) < samples[:, None])
    order = torch.tensor([0, 1, 3, 2])  # an utterance's windows stand one after another

    def embed(rows, owners):
        labels = torch.zeros(owners.max() + 1, dtype=torch.int64)
        spoken = {"windows": windows[rows], "samples": samples[rows], "owner": owners}
        return network.embed(UtteranceBatch(labels, **spoken))["audio"]

    alone = torch.cat([embed(torch.tensor([k]), torch.tensor([0])) for k in range(4)])
    frames = torch.tensor([3, 1, 9, 2])
    expected = [(alone[k] * frames[k, None]).sum(0) / frames[k].sum() for k in ([0, 1, 3], [2])]
    torch.testing.assert_close(embed(order, owner[order]), torch.stack(expected), atol=1e-5, rtol=0)


def test_only_the_fusion_lets_speech_change_the_text_embedding(extractor, dataset):
    batch = dataset.collate([dataset[6]])
    one = extractor.embed(batch)["text"]
    batch.windows = batch.windows.flip(1)
    assert torch.allclose(one, extractor.embed(batch)["text"], atol=1e-4) == (
        extractor.description["fusion"] == "concat"
    )


@torch.no_grad()
def test_a_modality_that_the_batch_or_the_network_lacks_is_left_out(encoders, spoken):
    folder, rows = spoken
    network = make(encoders).eval()
    dataset = UtteranceDataset(rows, folder, **network.dataset_settings())
    batch = dataset.collate([dataset[k] for k in (6, 3)])
    whole = network.embed(batch)
    for name, field in (("audio", "tokens"), ("text", "windows")):
        found = network.embed(replace(batch, **{field: None}))
        assert list(found) == [name] and torch.equal(found[name], whole[name])
        one = make(encoders, using_model=name).eval()
        assert list(one.embed(batch)) == [name] and one(batch).shape == (2, 7)


def test_every_weight_is_trained(extractor, encoders, dataset):
    """Speech shorter than a mask of SpecAugment among it."""
    fresh = make(encoders, extractor.description["fusion"])
    assert all(module.training for module in fresh.modules())
    fresh.audio.config.layerdrop = 0.0
    for places in ([0, 1, 2], range(len(dataset))):
        fresh.zero_grad()
        batch = dataset.collate([dataset[k] for k in places])
        cosine_and_cross_entropy(fresh(batch), batch.labels).backward()
        assert all(weights.grad is None or torch.isfinite(weights.grad).all() for weights in fresh.parameters())
    assert not [name for name, weights in fresh.named_parameters() if weights.grad is None or not weights.grad.any()]


def test_short_speech_trains_an_encoder_that_came_without_masks(encoders):
    description = describe("audio", encoders.text, encoders.audio)
    description["audio"]["config"] |= {"mask_time_prob": 0.0, "mask_feature_prob": 0.0}
    spoken = {"windows": torch.randn(1, 400), "samples": torch.tensor([400]), "owner": torch.tensor([0])}
    assert Extractor(description)(UtteranceBatch(torch.tensor([0]), **spoken)).isfinite().all()


def test_dropout_of_the_cross_modal_block():
    """0.3 after the attention, inside the feed-forward and after it. Attention, layers and norms are made such that the
    values show which dropouts an element has passed: each sets it to 0 or divides it by 0.7."""
    torch.manual_seed(0)
    block, x = CrossModalBlock(24).train(), torch.zeros(100, 4, 24)
    block.attention_norm = block.feed_forward_norm = torch.nn.Identity()
    with torch.no_grad():
        for weights in block.parameters():
            weights.zero_()
        block.attention.out_proj.bias.fill_(1.0)
    found, counts = block(x, x, torch.ones(100, 4, dtype=torch.bool)).unique(return_counts=True)
    torch.testing.assert_close(found, torch.tensor([0, 1 / 0.7]))
    assert counts[0] / counts.sum() == pytest.approx(0.3, abs=0.02)
    with torch.no_grad():
        block.attention.out_proj.bias.fill_(0.0)
        block.feed_forward[0].bias.fill_(10.0)  # gelu(10) is 10
        block.feed_forward[2].weight.copy_(torch.eye(24, 96))
        block.feed_forward[2].bias.fill_(1.0)
    found, counts = block(x, x, torch.ones(100, 4, dtype=torch.bool)).unique(return_counts=True)
    torch.testing.assert_close(found, torch.tensor([0, 1 / 0.7, (1 + 10 / 0.7) / 0.7]))
    np.testing.assert_allclose(counts / counts.sum(), [0.3, 0.7 * 0.3, 0.7 * 0.7], atol=0.02)
    assert len(block.eval()(x, x, torch.ones(100, 4, dtype=torch.bool)).unique()) == 1


def test_sixteen_bits(extractor, dataset):
    """Mixed precision, as on a GPU, gives nearly the same."""
    places = range(len(dataset))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = embed(extractor, dataset, places)
    torch.testing.assert_close(mixed.float(), embed(extractor, dataset, places), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("using_model", ["audio", "text"])
def test_one_modality_opens_only_its_own_files(encoders, spoken, tmp_path, using_model):
    folder, rows = spoken
    kind = {"audio": "wav", "text": "txt"}[using_model]
    for row in rows:
        (tmp_path / f"{row.segment_id}.{kind}").symlink_to(folder / f"{row.segment_id}.{kind}")
    extractor = make(encoders, using_model=using_model).eval()
    dataset = UtteranceDataset(rows, tmp_path, **extractor.dataset_settings())
    batch = dataset.collate([dataset[k] for k in range(len(rows))])
    assert {name: rows.shape for name, rows in extractor.embed(batch).items()} == {using_model: (10, 24)}
    assert extractor(batch).shape == (10, 7)


@pytest.mark.parametrize(("kernel", "stride", "channels"), [(10, 5, 1), (3, 2, 4), (2, 2, 4), (5, 3, 2), (2, 3, 2)])
@pytest.mark.parametrize("samples", [10, 11, 12, 30])
def test_channels_last_convolution(kernel, stride, channels, samples):
    torch.manual_seed(samples)
    x, weight, bias = torch.randn(2, samples, channels), torch.randn(6, channels, kernel), torch.randn(6)
    expected = torch.nn.functional.conv1d(x.transpose(1, 2), weight, bias, stride).transpose(1, 2)
    torch.testing.assert_close(channels_last_conv(x, weight, bias, stride), expected, atol=1e-5, rtol=1e-5)


class OnGPU(torch.Tensor):
    """What says that it is on a GPU: it is computed as there."""

    is_cuda = True


@pytest.mark.parametrize("bias", [False, True])
def test_front_end_and_its_gradients_are_those_of_transformers(encoders, bias):
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    config = Wav2Vec2Config.from_pretrained(encoders.audio, conv_bias=bias)
    theirs = Wav2Vec2Model(config).feature_extractor.double()
    ours = FrontEnd(theirs)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    waves = torch.randn(3, 4001, dtype=torch.float64)
    results = []
    for module, sound in ((theirs, waves), (ours, waves), (ours, waves.as_subclass(OnGPU))):
        module.zero_grad()
        hidden = module(sound)
        hidden.square().sum().backward()
        results.append([hidden, *(weights.grad for weights in module.parameters())])
    for one, *others in zip(*results, strict=True):
        for other in others:
            torch.testing.assert_close(one, other.as_subclass(torch.Tensor), atol=1e-9, rtol=1e-9)
