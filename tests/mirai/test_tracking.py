"""Comet's record of the extractor's training."""

import pytest
import torch

from tests.erc.test_tracking import read_archive


def test_an_offline_experiment_of_the_extractor(train, data, tmp_path, monkeypatch, capsys):
    comet_ml = pytest.importorskip("comet_ml")
    monkeypatch.delenv("COMET_API_KEY", raising=False)
    start, asked = comet_ml.start, []

    def unreachable(**settings):
        asked.append((settings["api_key"], settings["workspace"]))
        return type("Unreachable", (), {"alive": False})() if settings["online"] else start(**settings)

    monkeypatch.setattr(comet_ml, "start", unreachable)
    comet = ("--log_in_comet", "--comet_api_key", "KeyThatMustNotBeStored", "--comet_workspace", "team")
    folder = train(data / "annotation_speaker_only.csv", tmp_path, *comet, epochs=2)
    assert asked == [("KeyThatMustNotBeStored", "team"), (None, "team")]
    (path,) = (tmp_path / "comet").glob("*.zip")
    parameters, metrics, _ = read_archive(path)
    assert parameters["exp_name"] == "run" and parameters["lr"] == 0.003
    for name in ("train_loss", "val_loss", "val_weighted_f1", "val_macro_f1", "val_accuracy"):
        assert len(metrics[name]) == 2
    kept = torch.load(folder / "best.ckpt", weights_only=True)["hyper_parameters"]
    assert min(metrics["val_loss"]) == pytest.approx(kept["validation"]["val_loss"])
    assert "comet_api_key" not in kept["options"] and "KeyThatMustNotBeStored" not in str(kept)
    assert "KeyThatMustNotBeStored" not in capsys.readouterr().out
    assert not any(b"KeyThatMustNotBeStored" in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
