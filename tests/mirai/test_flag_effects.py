"""Each option of the utterance scripts changes what it says it changes."""

import os
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch

from erc.corpus.annotations import read_annotations
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import read_dialogues
from erc.corpus.splits import split
from erc.options import REPOSITORY, UserError
from erc.untrusted import read_torch
from mirai.checkpoint import load_extractor
from mirai.dataset import UtteranceDataset


@pytest.fixture(scope="module")
def epoch(train, data, tmp_path_factory):
    """`epoch("--lr", 0.1, ...)`: the checkpoint after one epoch; the same arguments are trained once."""
    done = {}

    def call(*more):
        if more not in done:
            out_dir = tmp_path_factory.mktemp("effect")
            table = data / "annotation_speaker_only.csv"
            done[more] = train(table, out_dir, "--using_model", "text", "--max_epochs", 1, *more) / "last.ckpt"
        return read_torch(done[more])

    return call


def validation(checkpoint):
    return checkpoint["hyper_parameters"]["validation"]


@pytest.mark.parametrize(("batch_size", "accumulate_grad", "steps"), [(4, 1, 6), (2, 2, 6), (4, 2, 3), (64, 1, 1)])
def test_a_step_takes_so_many_utterances(epoch, batch_size, accumulate_grad, steps):
    """Of the 24 that train."""
    assert epoch("--batch_size", batch_size, "--accumulate_grad", accumulate_grad)["global_step"] == steps


def test_the_learning_rate_is_the_length_of_adams_first_step(epoch):
    one, two = (
        epoch("--batch_size", 64, "--lr", lr)["state_dict"]["extractor.classifier.weight"] for lr in (0.001, 0.002)
    )
    assert (two - one).abs().median().item() == pytest.approx(0.001, rel=0.02)


@pytest.mark.parametrize("loss", ["ce", "cs_and_ce"])
def test_the_loss_is_the_published_one(epoch, data, train, tmp_path, loss):
    """Of the validation utterances, with the trained weights."""
    table = data / "annotation_speaker_only.csv"
    folder = train(table, tmp_path, "--using_model", "text", "--loss", loss, epochs=1)
    extractor, _ = load_extractor(folder / "last.ckpt")
    utterances = split(read_annotations(table), True, [19, 20]).dev
    dataset = UtteranceDataset(utterances, data / "txt_wav", **extractor.dataset_settings())
    with torch.no_grad():
        logits = extractor.eval()(dataset.collate([dataset[k] for k in range(len(dataset))])).double().numpy()
    right = logits[np.arange(len(logits)), [utterance.label for utterance in utterances]]
    expected = np.log(np.exp(logits).sum(axis=1)) - right
    if loss == "cs_and_ce":
        expected = 0.1 * expected + 1 - right / np.linalg.norm(logits, axis=1)
    found = validation(read_torch(folder / "last.ckpt"))["val_loss"]
    assert len(logits) == 3 and found == pytest.approx(expected.mean(), abs=1e-5)


def test_another_seed_is_another_training(epoch):
    assert validation(epoch("--seed", 1))["train_loss"] != validation(epoch())["train_loss"]


@pytest.mark.parametrize("arguments", [("--num_workers", 1), ("--gradient_checkpointing",)])
def test_the_training_is_the_same(epoch, arguments):
    assert validation(epoch(*arguments)) == pytest.approx(validation(epoch()), abs=1e-6)


def test_half_precision_is_near(epoch):
    half, whole = (validation(epoch("--precision", name))["train_loss"] for name in ("bf16-mixed", "32-true"))
    assert 0 < abs(half - whole) < 0.02
    with pytest.raises(UserError, match="--precision 16-mixed: needs a GPU"):
        epoch("--precision", "16-mixed")


def test_compiled_training(epoch, monkeypatch):
    """Traced as ever, but then run operation by operation, which takes no compiler."""
    compiled, compile_ = [], torch.compile

    def without_compiler(function, **settings):
        compiled.append(function)
        return compile_(function, backend="eager", **settings)

    monkeypatch.setattr(torch, "compile", without_compiler)
    found, expected = validation(epoch("--compile")), validation(epoch())
    assert found["val_loss"] == pytest.approx(expected["val_loss"], abs=0.05)  # dropout draws other numbers
    assert compiled


def test_two_machines(data, encoders, tmp_path):
    """Here two processes that torchrun would start, one on each: together they take the steps that one would."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    flags = ("--exp_name", "run", "--csv_path", data / "annotation_speaker_only.csv", "--out_dir", tmp_path)
    flags += ("--using_model", "text", "--text_encoder", encoders.text, "--test_1920=True", "--max_epochs", 1)
    flags += ("--batch_size", 2, "--accumulate_grad", 1, "--device", "cpu", "--strategy", "ddp", "--num_nodes", 2)
    command = [sys.executable, str(REPOSITORY / "MIRAI/trainer_hf.py"), *map(str, flags)]
    shared = {"WORLD_SIZE": 2, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1, "TORCHELASTIC_RUN_ID": "test"}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}

    def run(rank):
        added = {name: str(value) for name, value in {**shared, "RANK": rank, "GROUP_RANK": rank}.items()}
        return subprocess.run(command, env={**os.environ, **added}, capture_output=True, text=True, timeout=240)

    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(run, range(2)))
    assert [end.returncode for end in ends] == [0, 0], ends
    assert read_torch(tmp_path / "checkpoint/run/last.ckpt")["global_step"] == 6


@pytest.fixture(scope="module")
def probabilities(run_script, data, trained, tmp_path_factory):
    """`probabilities("--batch_seconds", 5, ...)`: (N, emotions), as inference.py writes them."""

    def call(*more):
        folder = tmp_path_factory.mktemp("scored")
        table = ("--csv_path", data / "annotation_speaker_only.csv", "--test_1920=True")
        checkpoint = ("--ckpt_path", trained / "best.ckpt", "--out_dir", folder, "--device", "cpu")
        run_script("MIRAI/inference.py", *table, *checkpoint, *more)
        columns = [f"p_{emotion}" for emotion in KEMDY19.emotions]
        return pd.read_csv(folder / "predictions.csv")[columns].to_numpy()

    return call


def test_how_inference_works_changes_no_result(probabilities):
    expected = probabilities()
    for more in (("--batch_seconds", 2), ("--num_workers", 1)):
        np.testing.assert_allclose(probabilities(*more), expected, atol=2e-6)
    half = probabilities("--precision", "bf16-mixed")
    assert 0 < np.abs(half - expected).max() < 0.05


def test_speech_elsewhere(run_script, data, trained, tmp_path):
    moved, table = tmp_path / "speech", tmp_path / "table.csv"
    moved.symlink_to(data / "txt_wav")
    shutil.copy(data / "annotation_speaker_only.csv", table)
    score = ("MIRAI/inference.py", "--ckpt_path", trained / "best.ckpt", "--test_1920=True", "--csv_path", table)
    with pytest.raises((UserError, OSError)):
        run_script(*score, "--out_dir", tmp_path / "out", "--device", "cpu")
    run_script(*score, "--out_dir", tmp_path / "out", "--device", "cpu", "--txt_wav", moved)
    formatting = ("COGMEN_code/cogmen_formatting.py", "--csv_path", table, "--out", tmp_path / "format.pkl")
    with pytest.raises((UserError, OSError)):
        run_script(*formatting)
    run_script(*formatting, "--txt_wav", moved)
    extraction = ("MIRAI/feature_extractor_cogmen_format.py", "--model_save_path", trained / "best.ckpt")
    extraction += ("--csv_path", table, "--features_format_path", tmp_path / "format.pkl")
    with pytest.raises((UserError, OSError)):
        run_script(*extraction)
    run_script(*extraction, "--txt_wav", moved)
    assert "a" in read_dialogues(tmp_path / "format_feat.pkl", KEMDY19).dialogues[0].features


def test_the_formatted_test_dialogues(run_script, data, tmp_path):
    table = data / "annotation_speaker_only.csv"
    formatting = ("COGMEN_code/cogmen_formatting.py", "--csv_path", table, "--out", tmp_path / "f.pkl")
    run_script(*formatting, "--test_sessions", 2)
    assert read_dialogues(tmp_path / "f.pkl", KEMDY19).test_ids == ["Sess02_impro01", "Sess02_script01"]


@pytest.mark.parametrize(
    "script", ["MIRAI/inference.py", "MIRAI/feature_extractor_cogmen_format.py", "MIRAI/trainer_hf.py"]
)
def test_a_device_that_is_not_there(run_script, data, trained, tmp_path, script):
    table = ("--csv_path", data / "annotation_speaker_only.csv")
    inputs = {
        "MIRAI/inference.py": ("--ckpt_path", trained / "best.ckpt", "--out_dir", tmp_path),
        "MIRAI/feature_extractor_cogmen_format.py": ("--model_save_path", trained / "best.ckpt"),
        "MIRAI/trainer_hf.py": ("--exp_name", "x", "--out_dir", tmp_path),
    }
    with pytest.raises(UserError, match="--device cuda:99: PyTorch sees"):
        run_script(script, *table, *inputs[script], "--device", "cuda:99")


def test_the_dialogues_of_the_sample_corpus(run_script, tmp_path):
    size = ("--sessions", 2, "--turns", 3, 3, "--scripts", 1, "--impros", 2)
    run_script("MIRAI/make_sample_corpus.py", "--out", tmp_path / "corpus", *size)
    dialogues = sorted(path.name for path in (tmp_path / "corpus/wav/Session02").iterdir())
    assert dialogues == ["Sess02_impro01", "Sess02_impro02", "Sess02_script01"]
