"""Each option of the utterance scripts changes what it says it changes."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import read_dialogues
from erc.options import UserError
from erc.untrusted import read_torch


@pytest.fixture(scope="module")
def epoch(train, data, tmp_path_factory):
    """`epoch("--lr", 0.1, ...)`: the validation scores after one epoch; the same arguments are trained once."""
    done = {}

    def call(*more):
        if more not in done:
            out_dir = tmp_path_factory.mktemp("effect")
            table = data / "annotation_speaker_only.csv"
            folder = train(table, out_dir, "--using_model", "text", "--max_epochs", 1, *more)
            done[more] = read_torch(folder / "last.ckpt")["hyper_parameters"]["validation"]
        return done[more]

    return call


@pytest.mark.parametrize(
    "arguments", [("--accumulate_grad", 2), ("--batch_size", 2), ("--lr", 0.1), ("--loss", "cs_and_ce"), ("--seed", 1)]
)
def test_the_training_is_another(epoch, arguments):
    assert epoch(*arguments)["train_loss"] != epoch()["train_loss"]


@pytest.mark.parametrize("arguments", [("--num_workers", 1), ("--gradient_checkpointing",)])
def test_the_training_is_the_same(epoch, arguments):
    assert epoch(*arguments) == pytest.approx(epoch(), abs=1e-6)


def test_compiled_training(epoch, monkeypatch):
    """Traced as ever, but then run operation by operation, which takes no compiler."""
    compiled, compile_ = [], torch.compile

    def without_compiler(function, **settings):
        compiled.append(function)
        return compile_(function, backend="eager", **settings)

    monkeypatch.setattr(torch, "compile", without_compiler)
    assert epoch("--compile")["val_loss"] == pytest.approx(epoch()["val_loss"], abs=0.05)  # dropout draws other numbers
    assert compiled


def test_what_lightning_is_asked_for(train, data, tmp_path, monkeypatch):
    """Two real processes: `test_distributed.py`."""
    import mirai.training.fit

    asked = {}

    def trainer(**settings):
        asked.update(settings)
        raise UserError("stop here")

    monkeypatch.setattr(mirai.training.fit.pl, "Trainer", trainer)
    hosts = ("--devices", 1, "--num_nodes", 2, "--strategy", "ddp", "--precision", "bf16-mixed")
    with pytest.raises(UserError, match="stop here"):
        train(data / "annotation_speaker_only.csv", tmp_path, *hosts)
    names = ("devices", "num_nodes", "strategy", "precision")
    assert [asked[name] for name in names] == [1, 2, "ddp", "bf16-mixed"]


def test_the_cache_of_a_training(train, data, tmp_path):
    table, found = data / "annotation_speaker_only.csv", []
    for place in (tmp_path / "cache", "none"):
        folder = train(table, tmp_path / f"out_{len(found)}", "--using_model", "audio", "--cache", place, epochs=1)
        found.append(read_torch(folder / "last.ckpt")["hyper_parameters"]["validation"])
    assert found[0] == found[1]
    assert any((tmp_path / "cache").iterdir())


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


def test_how_inference_works_changes_no_result(probabilities, tmp_path):
    expected = probabilities()
    for more in (("--batch_seconds", 2), ("--num_workers", 1), ("--cache", tmp_path / "cache")):
        np.testing.assert_allclose(probabilities(*more), expected, atol=2e-6)
    assert any((tmp_path / "cache").iterdir())
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
