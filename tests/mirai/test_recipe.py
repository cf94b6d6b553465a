"""trainer_hf.py --recipe improved: each part does what it says, and nothing of it touches the published recipe."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from erc.options import UserError
from erc.untrusted import read_torch
from mirai.checkpoint import load_extractor
from mirai.dataset import RECEPTIVE_FIELD, UtteranceBatch, UtteranceDataset
from mirai.network.encoders import describe, pretrained_audio, pretrained_text
from mirai.network.extractor import Extractor, leave_out
from mirai.network.pooling import AttentivePooling, LayerSum
from mirai.options import TrainingOptions
from mirai.recipes import RECIPES
from mirai.training.augmentation import change_speed, draw_speed
from mirai.training.module import ExtractorTraining
from mirai.training.rates import parameter_groups, warm_up_schedule

from .conftest import same, speak, weights

IMPROVED = RECIPES["improved"]
SAMPLES = [400, 720, 5000, 24_000, 50_001]


def make(encoders, using_model="both", recipe="improved"):
    torch.manual_seed(0)
    description = describe(using_model, encoders.text, encoders.audio, recipe=recipe)
    network = Extractor.from_pretrained(description, encoders.text, encoders.audio)
    if recipe == "improved":
        for part in (*network.layer_sums.values(), *network.poolings.values()):
            for parameter in part.parameters():  # lest what begins as 0 hide what it does
                torch.nn.init.normal_(parameter)
    return network


@pytest.fixture(scope="module")
def extractor(encoders):
    return make(encoders)


@pytest.fixture(scope="module")
def dataset(extractor, tmp_path_factory):
    folder, generator = tmp_path_factory.mktemp("spoken"), np.random.default_rng(0)
    rows = speak(folder, [0.1 * generator.normal(size=samples) for samples in SAMPLES])
    return UtteranceDataset(rows, folder, **extractor.dataset_settings())


def batch_of(dataset, places=(0, 1, 2, 3, 4)):
    return dataset.collate([dataset[k] for k in places])


def test_the_weights_of_the_layers_sum_to_one_and_are_learnt():
    layers = [torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(k)) * 10**k for k in range(4)]
    network = LayerSum(4)
    assert torch.equal(network.weights, torch.full((4,), 0.25))
    network.scores.data = torch.tensor([1.0, -2.0, 0.5, 0.0])
    assert network.weights.sum().item() == pytest.approx(1)
    shares = np.exp([1.0, -2.0, 0.5, 0.0]) / np.exp([1.0, -2.0, 0.5, 0.0]).sum()
    expected = sum(
        share * (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True, correction=0)
        for share, x in zip(shares.tolist(), layers, strict=True)
    )
    found = network(layers)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    (found * torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(9))).sum().backward()
    assert (network.scores.grad != 0).all()


def test_pooling_begins_as_the_mean_and_never_sees_padding():
    network, generator = AttentivePooling(8), torch.Generator().manual_seed(0)
    shapes = {name: tuple(weights.shape) for name, weights in network.state_dict().items()}
    assert shapes == {"hidden.weight": (128, 8), "hidden.bias": (128,), "score.weight": (1, 128)}
    rows, lengths = torch.randn(3, 6, 8, generator=generator), [6, 1, 4]
    mask = torch.arange(6) < torch.tensor(lengths)[:, None]
    means = torch.stack([row[:length].mean(0) for row, length in zip(rows, lengths, strict=True)])
    torch.testing.assert_close(network(rows, mask), means)
    torch.nn.init.normal_(network.score.weight)
    found = network(rows, mask)
    assert not torch.allclose(found[0], means[0], atol=1e-3)
    for k, length in enumerate(lengths):
        own = rows[k, :length]
        scores = torch.tanh(own @ network.hidden.weight.T + network.hidden.bias) @ network.score.weight[0]
        expected = (scores.exp()[:, None] * own).sum(0) / scores.exp().sum()
        torch.testing.assert_close(found[k], expected, atol=1e-5, rtol=1e-5)
    changed = torch.where(mask[:, :, None], rows, 1e6)
    assert torch.equal(network(changed, mask), found)


@torch.no_grad()
def test_a_batch_gives_each_utterance_what_a_naive_computation_gives_to_it_alone(extractor, encoders, dataset):
    """Transformers' own encoders, no batch, no padding; the sum and the pooling in plain words."""
    network = extractor.eval()
    state = network.state_dict()
    networks = {"text": pretrained_text(encoders.text), "audio": pretrained_audio(encoders.audio)}

    def naive(name, inputs):
        output = networks[name].eval()(inputs[None], output_hidden_states=True)
        shares = state[f"layer_sums.{name}.scores"].softmax(0)
        layers = [*output.hidden_states[:-1], output.last_hidden_state]
        assert len(layers) == 2
        x = sum(s * torch.nn.functional.layer_norm(x[0], x.shape[-1:]) for s, x in zip(shares, layers, strict=True))
        if name == "audio":
            x = x @ state["audio_width.weight"].T + state["audio_width.bias"]
        part = {key: state[f"poolings.{name}.{key}"] for key in ("hidden.weight", "hidden.bias", "score.weight")}
        scores = torch.tanh(x @ part["hidden.weight"].T + part["hidden.bias"]) @ part["score.weight"][0]
        return scores.softmax(0) @ x

    batch = network.embed(batch_of(dataset))
    alone = [network.embed(batch_of(dataset, [k])) for k in range(len(SAMPLES))]
    for k in range(len(SAMPLES)):
        _, tokens, windows = dataset[k]
        for name, inputs in {"text": tokens, "audio": windows[0]}.items():
            expected = naive(name, inputs)
            torch.testing.assert_close(batch[name][k], expected, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(alone[k][name][0], expected, atol=1e-5, rtol=1e-5)
    extractor.train()


def test_every_layer_of_deeper_encoders_counts(encoders, dataset):
    description = describe("both", encoders.text, encoders.audio, recipe="improved")
    for name in ("text", "audio"):
        description[name]["config"]["num_hidden_layers"] = 3
    network = Extractor(description).eval()
    for name, rows in network.embed(batch_of(dataset)).items():
        (rows * torch.randn(rows.shape)).sum().backward()
        scores = network.layer_sums[name].scores
        assert scores.shape == (4,) and (scores.grad != 0).all()


def test_every_weight_is_trained(encoders, dataset):
    network = make(encoders).train()
    np.random.seed(0)  # noqa: NPY002 (transformers' SpecAugment draws from it)
    total = {}
    for _ in range(4):  # masks are not drawn in every step
        loss = torch.nn.functional.cross_entropy(network(batch_of(dataset)), torch.tensor([0, 1, 2, 3, 4]))
        loss.backward()
        for name, parameter in network.named_parameters():
            total[name] = total.get(name, False) or (parameter.grad is not None and bool(parameter.grad.any()))
    # No key's bias changes a softmax; nothing asks for the last row of positions or for unused words.
    left = {name for name, found in total.items() if not found}
    assert all(name.endswith(("k_proj.bias", "key.bias")) for name in left), left
    assert not any("pooler" in name for name in total)


def test_the_learning_rate_of_each_depth(encoders):
    network = make(encoders)
    groups = parameter_groups(network, 0.01, replace(IMPROVED, layer_decay=0.5))
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))
    rate = {id(weights): group["lr"] for group in groups for weights in group["params"]}
    expected = {  # encoders of one layer
        "classifier.weight": 0.1,
        "layer_sums.audio.scores": 0.1,
        "poolings.text.hidden.weight": 0.1,
        "audio_width.bias": 0.1,
        "text.encoder.layer.0.attention.self.query.weight": 0.01,
        "audio.encoder.layers.0.attention.q_proj.weight": 0.01,
        "audio.encoder.layer_norm.weight": 0.01,
        "text.embeddings.word_embeddings.weight": 0.005,
        "audio.feature_projection.projection.weight": 0.005,
        "audio.feature_extractor.conv_layers.0.conv.weight": 0.005,
        "audio.masked_spec_embed": 0.005,
    }
    parameters = dict(network.named_parameters())
    for name, lr in expected.items():
        assert rate[id(parameters[name])] == pytest.approx(lr), name


@pytest.mark.parametrize("prefix", ["text.encoder.layer", "audio.encoder.layers"])
def test_deeper_layers_learn_less(prefix):
    """Four layers, by the names that the encoders' weights have."""

    class Deep(torch.nn.Module):
        modalities = (prefix.split(".")[0],)

        def __init__(self):
            super().__init__()
            *path, layers = prefix.split(".")
            place = self
            for name in path:
                setattr(place, name, torch.nn.Module())
                place = getattr(place, name)
            getattr(self, path[0]).config = type("Config", (), {"num_hidden_layers": 4})
            setattr(place, layers, torch.nn.ModuleList(torch.nn.Linear(1, 1, bias=False) for _ in range(4)))

    network = Deep()
    groups = parameter_groups(network, 1.0, replace(IMPROVED, layer_decay=0.5))
    rate = {id(weights): group["lr"] for group in groups for weights in group["params"]}
    assert [rate[id(weights)] for weights in network.parameters()] == [0.125, 0.25, 0.5, 1.0]


def test_rates_rise_and_fall():
    optimizer = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": 1.0}, {"params": [torch.zeros(1)], "lr": 10.0}])
    schedule = warm_up_schedule(optimizer, 20, 0.2)
    found = []
    for _ in range(20):
        found.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    rising, falling = [0.25, 0.5, 0.75, 1.0], [1 - k / 16 for k in range(16)]
    np.testing.assert_allclose(found, [[x, 10 * x] for x in rising + falling], atol=1e-9)
    assert optimizer.param_groups[0]["lr"] == 0


def test_speed_changes_the_length_and_the_pitch_but_not_with_the_padding():
    time = torch.arange(16_000) / 16_000
    tone = torch.sin(2 * np.pi * 200 * time)
    windows = torch.zeros(2, 20_000)
    windows[0, :16_000] = tone
    windows[1] = torch.sin(2 * np.pi * 200 * torch.arange(20_000) / 16_000)
    batch = UtteranceBatch(torch.tensor([0, 1]), windows=windows, samples=torch.tensor([16_000, 20_000]))
    for speed in (0.9, 1.1):
        changed = change_speed(batch, speed)
        assert changed.samples.tolist() == [round(16_000 / speed), round(20_000 / speed)]
        n = changed.samples[0]
        expected = torch.sin(2 * np.pi * 200 * speed * torch.arange(n - 1) / 16_000)
        torch.testing.assert_close(changed.windows[0, : n - 1], expected, atol=2e-3, rtol=0)
        assert not changed.windows[0, n:].any() and (batch.windows == windows).all()
        alone = UtteranceBatch(torch.tensor([0]), windows=tone[None], samples=torch.tensor([16_000]))
        assert torch.equal(change_speed(alone, speed).windows[0, :n], changed.windows[0, :n])
    assert change_speed(batch, 1.0) is batch
    short = UtteranceBatch(torch.tensor([0]), windows=torch.ones(1, 400), samples=torch.tensor([400]))
    assert change_speed(short, 1.1).windows.shape[1] >= RECEPTIVE_FIELD == change_speed(short, 1.1).samples.item()
    torch.manual_seed(0)
    drawn = [draw_speed(IMPROVED.speeds) for _ in range(60)]
    assert set(drawn) == {0.9, 1.0, 1.1}


def test_training_changes_the_speed_and_validation_does_not(encoders, dataset, monkeypatch):
    network = make(encoders)
    options = TrainingOptions(exp_name="x", csv_path=Path("x.csv"), recipe="improved")
    module = ExtractorTraining(network, options, [])
    seen = []
    monkeypatch.setattr(network, "forward", lambda batch: seen.append(batch.samples[-1].item()) or torch.zeros(5, 7))
    shares = type("Sampler", (), {"shares": [(5, 5)] * 30})
    module._trainer = type("Trainer", (), {"train_dataloader": type("Loader", (), {"batch_sampler": shares})})
    monkeypatch.setattr(ExtractorTraining, "trainer", property(lambda self: self._trainer), raising=False)
    module.sums = {}
    for number in range(30):
        module.training_step(batch_of(dataset), number)
    assert set(seen) == {round(50_001 / speed) for speed in IMPROVED.speeds}
    seen.clear()
    module.on_validation_epoch_start()
    module.validation_step(batch_of(dataset), 0)
    assert seen == [50_001]


def test_a_modality_is_left_out_of_some_utterances_in_training_only(extractor, dataset):
    torch.manual_seed(0)
    given = {"text": torch.ones(2000, 3), "audio": torch.ones(2000, 3)}
    left = leave_out(given, 0.2)
    gone = {name: (rows == 0).all(1) for name, rows in left.items()}
    assert not (gone["text"] & gone["audio"]).any()
    assert all((rows == 1).all(1)[~gone[name]].all() for name, rows in left.items())
    assert 150 < gone["text"].sum() < 250 and 150 < gone["audio"].sum() < 250  # 10% each
    calls, classify = [], extractor.classify
    batch = batch_of(dataset, [3] * 40)
    try:
        extractor.classify = lambda embeddings: calls.append(embeddings) or classify(embeddings)
        extractor.train()(batch)
        extractor.eval()(batch)
    finally:
        del extractor.classify
    training, scoring = (torch.stack([(rows == 0).all(1) for rows in call.values()]) for call in calls)
    assert training.any() and not scoring.any()


def test_the_only_modality_is_never_left_out(encoders, dataset, monkeypatch):
    network, seen = make(encoders, "text"), []
    classify = network.classify
    monkeypatch.setattr(network, "classify", lambda embeddings: seen.append(embeddings) or classify(embeddings))
    network.train()(batch_of(dataset, [3] * 40))
    assert (seen[0]["text"] != 0).any(1).all()


def test_speech_is_masked_in_time_and_width_in_training_only(encoders, dataset, monkeypatch):
    network = make(encoders, "audio")
    config = network.audio.config
    assert (config.mask_time_prob, config.mask_time_length, config.mask_feature_prob) == (0.075, 10, 0.1)
    assert (config.mask_feature_length, config.layerdrop, config.apply_spec_augment) == (1, 0.0, True)
    masked = []
    original = network.audio._mask_hidden_states

    def record(hidden, **settings):
        before = hidden.clone()
        after = original(hidden, **settings)
        masked.append((before != after)[-1])  # of the longest
        return after

    monkeypatch.setattr(network.audio, "_mask_hidden_states", record)
    np.random.seed(0)  # noqa: NPY002 (transformers' SpecAugment draws from it)
    for _ in range(20):
        network.train()(batch_of(dataset))
    changed = torch.stack(masked)
    whole_frames, whole_columns = changed.all(2), changed.all(1)
    assert whole_frames.any() and whole_columns.any() and not changed.flatten(1).all(1).any()
    masked.clear()
    network.eval()(batch_of(dataset))
    assert not masked[0].any()


def test_speech_as_short_as_a_mask_is_masked_and_shorter_is_not(encoders, dataset):
    """Where nothing is masked, training in which nothing falls out gives what evaluation gives."""
    network = make(encoders, "audio")
    network.audio.config.mask_time_prob, network.audio.config.mask_feature_prob = 1.0, 0.0
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for layer in network.audio.encoder.layers:
        layer.attention.dropout = 0.0
    differ = {}
    for frames in (9, 10):
        samples = 400 + 320 * (frames - 1)
        spoken = {"windows": torch.randn(1, samples), "samples": torch.tensor([samples]), "owner": torch.tensor([0])}
        batch = UtteranceBatch(torch.tensor([0]), **spoken)
        differ[frames] = not torch.allclose(network.train()(batch), network.eval()(batch), atol=1e-5)
    assert differ == {9: False, 10: True}


def test_an_encoder_that_came_without_masks_gets_them(encoders, tmp_path):
    description = describe("audio", encoders.text, encoders.audio, recipe="improved")
    description["audio"]["config"] |= {"mask_time_prob": 0.0, "mask_feature_prob": 0.0, "hidden_size": 56}
    network = Extractor(description)
    mask = network.audio.masked_spec_embed
    assert mask.shape == (56,) and mask.requires_grad and 0 <= mask.min() < 0.2 and 0.8 < mask.max() <= 1
    assert network.audio.config.mask_feature_length == 4  # a 16th of the width
    Extractor(description).load_state_dict(network.state_dict())


@pytest.fixture(scope="module")
def improved(train, data, tmp_path_factory):
    return train(data / "annotation_speaker_only.csv", tmp_path_factory.mktemp("zoo"), "--recipe", "improved")


def test_its_checkpoint_is_scored_and_extracted(improved, run_script, data, tmp_path):
    checkpoint = improved / "best.ckpt"
    extractor, kept = load_extractor(checkpoint)
    assert (extractor.description["recipe"], kept["options"]["recipe"]) == ("improved", "improved")
    table = data / "annotation_speaker_only.csv"
    scoring = ("--ckpt_path", checkpoint, "--csv_path", table, "--test_1920=True", "--out_dir", tmp_path / "scored")
    run_script("MIRAI/inference.py", *scoring)
    assert json.loads((tmp_path / "scored" / "metrics.json").read_text())["n"] == 28
    run_script("COGMEN_code/cogmen_formatting.py", "--csv_path", table, "--out", tmp_path / "format.pkl")
    extraction = ("--model_save_path", checkpoint, "--csv_path", table)
    run_script(
        "MIRAI/feature_extractor_cogmen_format.py", *extraction, "--features_format_path", tmp_path / "format.pkl"
    )
    assert (tmp_path / "format_feat.pkl").exists()


def test_it_goes_on_as_if_it_had_not_stopped(train, data, improved, tmp_path, monkeypatch):
    """Speeds, masks and left-out modalities are drawn by the epoch, the rates by the step."""
    table = data / "annotation_speaker_only.csv"
    from mirai.training import callbacks

    def stop(self, trainer, *_):
        if trainer.current_epoch == 1:
            raise callbacks.Stopped("SIGTERM")

    with monkeypatch.context() as patch, pytest.raises(UserError, match="stopped by SIGTERM; --resume goes on"):
        patch.setattr(callbacks.StopOnSignal, "on_train_epoch_start", stop)
        train(table, tmp_path, "--recipe", "improved")
    folder = train(table, tmp_path, "--recipe", "improved", "--resume")
    assert same(weights(folder / "last.ckpt"), weights(improved / "last.ckpt"))


def test_another_recipe_is_refused(improved, tmp_path):
    content = read_torch(improved / "best.ckpt")
    for change in ({"recipe": "other"}, {"recipe": ["improved"]}, {"fusion": "mmer"}):
        broken = {**content, "hyper_parameters": dict(content["hyper_parameters"])}
        broken["hyper_parameters"]["description"] = {**content["hyper_parameters"]["description"], **change}
        torch.save(broken, tmp_path / "broken.ckpt")
        with pytest.raises(UserError, match="of recipe .*, expected published"):
            load_extractor(tmp_path / "broken.ckpt")


def test_the_published_extractor_has_none_of_it(trained):
    extractor, kept = load_extractor(trained / "best.ckpt")
    assert (kept["options"]["recipe"], extractor.variant) == ("published", "both")
    assert not any(name.startswith(("layer_sums", "poolings")) for name in extractor.state_dict())
    content = read_torch(trained / "last.ckpt")
    assert len(content["optimizer_states"][0]["param_groups"]) == 1 and not content["lr_schedulers"]
    old = content["hyper_parameters"]["description"]
    del old["recipe"]  # as of a checkpoint from before there were two
    torch.save(content, trained.parent / "old.ckpt")
    assert load_extractor(trained.parent / "old.ckpt")[0].description["recipe"] == "published"


def test_gradient_checkpointing_gives_the_same_gradients(encoders, dataset):
    found = []
    for keeps_less in (False, True):
        network = make(encoders).train()
        options = TrainingOptions(exp_name="x", csv_path=Path("x.csv"), gradient_checkpointing=keeps_less)
        ExtractorTraining(network, options, [])
        torch.manual_seed(5)
        np.random.seed(5)  # noqa: NPY002 (transformers' SpecAugment draws from it)
        torch.nn.functional.cross_entropy(network(batch_of(dataset)), torch.tensor([0, 1, 2, 3, 4])).backward()
        found.append({name: weights.grad for name, weights in network.named_parameters() if weights.grad is not None})
    assert found[0].keys() == found[1].keys() and len(found[0]) > 50
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, atol=1e-7, rtol=0, msg=name)
