"""The loss curve of a training: that of a naive loop, however its steps are divided over batches and processes."""

import json
import shutil
import socket
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from erc.corpus.annotations import read_annotations
from erc.corpus.splits import split
from erc.options import UserError
from mirai.dataset import UtteranceDataset
from mirai.network.encoders import describe
from mirai.network.extractor import Extractor
from mirai.training.sampling import EpochBatches
from tests.children import run_together, script_at
from tests.tables import read_rows


@pytest.fixture(scope="session")
def calm(encoders, tmp_path_factory):
    """The tiny encoders with nothing random in them: no dropout, no SpecAugment, no dropped layers."""
    folder = tmp_path_factory.mktemp("calm")
    for name in ("text", "audio"):
        path = shutil.copytree(getattr(encoders, name), folder / name) / "config.json"
        config = json.loads(path.read_text())
        calmed = {key: 0.0 for key in config if "dropout" in key or key in ("mask_time_prob", "layerdrop")}
        path.write_text(json.dumps({**config, **calmed, "mask_feature_prob": 0.0, "layerdrop": 0.0}))
    return SimpleNamespace(text=folder / "text", audio=folder / "audio")


@pytest.fixture(scope="session")
def arguments(calm, data):
    """44 utterances that are not held out: 39 train, 5 validate, no multiples of 2."""
    return [
        *("--csv_path", data / "annotation_speaker_only.csv", "--text_encoder", calm.text, "--device", "cpu"),
        *("--audio_encoder", calm.audio, "--lr", 0.003, "--max_epochs", 2, "--exp_name", "run"),
    ]


def curve(out_dir):
    """(epochs, 4): train_loss, val_loss, val_accuracy, val_macro_f1."""
    rows = read_rows(out_dir / "tensorboard" / "run" / "version_0" / "metrics.csv")
    names = ("train_loss", "val_loss", "val_accuracy", "val_macro_f1")
    columns = [[float(row[name]) for row in rows if row[name]] for name in names]
    return np.array(columns).T


@pytest.fixture
def one(run_script, arguments, tmp_path):
    def call(*more):
        out_dir = tmp_path / "one" / "_".join(map(str, more))
        run_script("MIRAI/trainer_hf.py", *arguments, "--out_dir", out_dir, *more)
        return curve(out_dir)

    return call


def naive_curve(encoders, table, loss, lr=0.003, epochs=2, size=8):
    """(epochs, 2): train_loss and val_loss in plain PyTorch, and the largest norm of a step's gradients."""
    torch.manual_seed(42)
    description = describe("both", encoders.text, encoders.audio)
    extractor = Extractor.from_pretrained(description, encoders.text, encoders.audio)
    splits, settings = split(read_annotations(table), False, []), extractor.dataset_settings()
    train, dev = (UtteranceDataset(rows, table.parent / "txt_wav", **settings) for rows in (splits.train, splits.dev))
    optimizer, order = torch.optim.AdamW(extractor.parameters(), lr=lr), EpochBatches(train.lengths, size, 1, 42)

    def losses(dataset, places):
        batch = dataset.collate([dataset[k] for k in places])
        logits, targets = extractor(batch), torch.eye(7)[batch.labels]
        cross_entropy = -(logits.log_softmax(1) * targets).sum(1)
        return cross_entropy if loss == "ce" else 0.1 * cross_entropy + 1 - torch.cosine_similarity(logits, targets)

    curve, largest = [], 0.0
    for epoch in range(epochs):
        order.set_epoch(epoch)
        found = []
        for places in order:
            found.append(losses(train, places))
            optimizer.zero_grad()
            found[-1].mean().backward()
            largest = max(largest, torch.nn.utils.clip_grad_norm_(extractor.parameters(), 2.0).item())
            optimizer.step()
        with torch.no_grad():
            curve.append([torch.cat(found).mean().item(), losses(dev, range(len(dev))).mean().item()])
    return np.array(curve), largest


def trainer(arguments, out_dir, *more, **settings):
    return script_at("MIRAI/trainer_hf.py", *arguments, "--out_dir", out_dir, *more, **settings)


def environment_of(rank, port, file):
    """Have torchrun on a machine, of two, write the environment of what it starts."""
    command = ["--nnodes", "2", "--nproc_per_node", "1", "--node_rank", str(rank), "--no-python"]
    place = ["--master_addr", "127.0.0.1", "--master_port", str(port)]
    torch.distributed.run.main([*command, *place, "sh", "-c", f"env -0 > {file}"])


@pytest.fixture(scope="module")
def torchrun(tmp_path_factory):
    """The environments that torchrun gives the processes of two machines, one each."""
    files = [tmp_path_factory.mktemp("torchrun") / name for name in "01"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    ends = run_together(*(partial(environment_of, rank, port, file) for rank, file in enumerate(files)))
    assert [code for code, *_ in ends] == [0, 0], ends
    environments = [dict(line.split("=", 1) for line in file.read_text().split("\0")[:-1]) for file in files]
    # torchrun has ended, so the first process opens the store where they meet.
    return [{**each, "TORCHELASTIC_USE_AGENT_STORE": "False"} for each in environments]


def curve_of_two_machines(torchrun, arguments, out_dir, *more):
    of_two = (*more, "--accumulate_grad", 1, "--devices", 1, "--num_nodes", 2)
    first, other = run_together(*(trainer(arguments, out_dir, *of_two, environment=each) for each in torchrun))
    assert (first[0], other[0]) == (0, 0), first[2] + other[2]
    assert (first[1].count("best epoch"), other[1].count("best epoch")) == (1, 0)
    return curve(out_dir)


@pytest.mark.parametrize("loss", ["ce", "cs_and_ce"])
def test_one_process_trains_as_a_naive_loop(one, calm, data, tmp_path, loss):
    """Of AdamW, with gradients clipped to a norm of 2, on the mean loss of 8 utterances."""
    loud = SimpleNamespace(text=calm.text, audio=shutil.copytree(calm.audio, tmp_path / "audio"))
    weights = load_file(loud.audio / "model.safetensors")
    weights["wav2vec2.encoder.layer_norm.weight"] *= 8  # so that gradients are clipped
    save_file(weights, loud.audio / "model.safetensors", metadata={"format": "pt"})
    expected, largest = naive_curve(loud, data / "annotation_speaker_only.csv", loss)
    assert largest > 4
    found = one("--batch_size", 2, "--accumulate_grad", 4, "--loss", loss, "--audio_encoder", loud.audio)
    np.testing.assert_allclose(found[:, :2], expected, atol=3e-6)


def test_same_loss_curve_as_one_process_with_the_same_global_batch(one, arguments, tmp_path):
    """8 utterances a step; the last of the epoch has 7, which two processes share unequally."""
    expected = one("--batch_size", 8, "--accumulate_grad", 1)
    assert expected.shape == (2, 4)
    options = ("--devices", 2, "--batch_size", 4, "--accumulate_grad", 1)
    ((code, shown, error),) = run_together(trainer(arguments, tmp_path / "two", *options))
    assert code == 0, error
    assert shown.count("best epoch") == 1  # by the first process alone
    np.testing.assert_allclose(curve(tmp_path / "two"), expected, atol=1e-4)
    np.testing.assert_allclose(one("--batch_size", 2, "--accumulate_grad", 4), expected, atol=1e-4)
    other = one("--batch_size", 9, "--accumulate_grad", 1)
    assert np.abs(expected - other).max() > 1e-3  # so that this means something


def test_batches_of_limited_duration_on_two_machines_under_torchrun(one, torchrun, arguments, tmp_path):
    limited = ("--max_batch_seconds", 4)
    found = curve_of_two_machines(torchrun, arguments, tmp_path / "two", *limited)
    np.testing.assert_allclose(found, one(*limited, "--accumulate_grad", 2), atol=1e-4)


def test_dropped_layers_and_a_process_without_an_utterance_in_the_last_step(torchrun, arguments, encoders, tmp_path):
    """In many steps a layer has no gradient, in one process or in both; 39 utterances make 20 steps of two."""
    path = shutil.copytree(encoders.audio, tmp_path / "audio") / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "layerdrop": 0.5}))
    options = ("--batch_size", 1, "--max_epochs", 1, "--audio_encoder", path.parent, "--gradient_checkpointing")
    found = curve_of_two_machines(torchrun, arguments, tmp_path / "two", *options)
    assert np.isfinite(found).all()


def test_a_loss_that_is_not_finite_ends_all_processes(arguments, tmp_path):
    options = ("--using_model", "text", "--strategy", "ddp", "--devices", 2, "--batch_size", 4, "--accumulate_grad", 1)
    ((code, _, error),) = run_together(trainer(arguments, tmp_path, *options, "--lr", 1e30))
    assert code == 1 and error.count("loss is not finite (nan) in epoch 0: take a smaller --lr") == 1
    assert not list(tmp_path.glob("checkpoint/run/*.ckpt"))


def test_more_processes_than_utterances(run_script, arguments, tmp_path):
    message = "--devices 6 --num_nodes 1: 6 processes, but 39 utterances to train on and 5 to validate"
    with pytest.raises(UserError, match=message):
        run_script("MIRAI/trainer_hf.py", *arguments, "--out_dir", tmp_path, "--devices", 6)


def test_torchrun_with_another_number_of_processes(run_script, arguments, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert torch.distributed.is_torchelastic_launched()
    with pytest.raises(UserError, match="--devices 2 --num_nodes 1: torchrun started 4 processes"):
        run_script("MIRAI/trainer_hf.py", *arguments, "--out_dir", tmp_path, "--devices", 2)
