"""trainer_hf.py --valence_arousal: two more outputs of the extractor, which change nothing where not asked for."""

import csv
import json

import numpy as np
import pytest
import torch

from erc.corpus.feelings import WEIGHT
from erc.options import UserError
from erc.untrusted import read_torch
from mirai.checkpoint import load_extractor
from mirai.dataset import UtteranceDataset
from mirai.network.encoders import describe
from mirai.network.extractor import Extractor
from mirai.training.targets import TrainingDataset, ratings_of
from tests.tables import read_rows

from .conftest import speak, weights


def test_the_other_weights_and_outputs_are_those_of_the_extractor_without(encoders, tmp_path):
    networks = []
    for more in ({}, {"valence_arousal": True}):
        torch.manual_seed(0)
        description = describe("both", encoders.text, encoders.audio, **more)
        networks.append(Extractor.from_pretrained(description, encoders.text, encoders.audio).eval())
    usual, felt = (network.state_dict() for network in networks)
    assert {name for name in felt if name not in usual} == {"feelings.weight", "feelings.bias"}
    assert all(torch.equal(felt[name], value) for name, value in usual.items())
    rows = speak(tmp_path, [0.1 * np.sin(np.arange(2000 + 900 * k)) for k in range(3)])
    dataset = UtteranceDataset(rows, tmp_path, **networks[0].dataset_settings())
    batch = dataset.collate([dataset[k] for k in range(3)])
    logits, feelings = networks[1](batch, feelings=True)
    assert torch.equal(networks[0](batch), logits) and feelings.shape == (3, 2)


def test_each_utterance_has_its_own_ratings(tmp_path):
    rows = speak(tmp_path, [np.zeros(500)] * 4)
    rows = [type(row)(**{**vars(row), "valence": 1.0 + k, "arousal": None}) for k, row in enumerate(rows)]
    feelings = ratings_of(rows)
    dataset = TrainingDataset(rows, tmp_path, lambda said: [[1]] * len(said), feelings=feelings)
    batch = dataset.collate([dataset[k] for k in (3, 0)])
    assert batch.feelings[:, 0].tolist() == [4, 1] and batch.feelings[:, 1].isnan().all() and batch.targets is None


@pytest.fixture
def table(data, tmp_path):
    """A table whose valence and arousal differ from turn to turn; one turn has none."""
    path = tmp_path / "table.csv"
    rows = read_rows(data / "annotation_speaker_only.csv")
    for k, row in enumerate(rows):
        row["valence"], row["arousal"] = ("", "") if k == 30 else (f"{1 + k % 5}", f"{5 - k % 4}")
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([list(rows[0]), *(list(row.values()) for row in rows)])
    (tmp_path / "txt_wav").symlink_to(data / "txt_wav")
    return path


@pytest.mark.parametrize("script", ["MIRAI/trainer_hf.py", "MIRAI/trainer_hf_MMER.py"])
def test_they_are_trained_scored_and_written(train, table, run_script, tmp_path, capsys, script):
    folder = train(table, tmp_path, "--valence_arousal", epochs=2, script=script)
    trained, kept = load_extractor(folder / "best.ckpt")
    assert trained.description["valence_arousal"] and kept["options"]["valence_arousal"]
    scoring = ("--ckpt_path", folder / "best.ckpt", "--csv_path", table, "--test_1920=True", "--out_dir", tmp_path)
    run_script("MIRAI/inference.py", *scoring)
    assert ": CCC: valence " in capsys.readouterr().out
    rows = read_rows(tmp_path / "predictions.csv")
    rated = [row for row in rows if row["valence"]]
    assert json.loads((tmp_path / "metrics.json").read_text())["ccc"]["valence"]["n"] == len(rated) > 20
    raters = {row["segment_id"]: row["arousal"] for row in read_rows(table)}
    assert all(float(row["arousal"]) == float(raters[row["segment_id"]]) for row in rated)
    assert all(1 <= float(row["predicted_valence"]) <= 5 for row in rows)


def test_the_loss_is_that_of_the_emotions_and_half_of_theirs(train, table, tmp_path):
    """In the first step, which both trainings begin with the same weights and one batch of all."""
    losses = {}
    for name, more in {"without": (), "with": ("--valence_arousal",)}.items():
        shared = ("--using_model", "text", "--batch_size", 100, "--lr", 1e-12)
        folder = train(table, tmp_path, *shared, *more, name=name, epochs=1)
        losses[name] = read_torch(folder / "last.ckpt")["hyper_parameters"]["validation"]["train_loss"]
    state = weights(tmp_path / "checkpoint" / "with" / "last.ckpt")
    assert "extractor.feelings.weight" in state
    extra = (losses["with"] - losses["without"]) / WEIGHT
    assert 0.2 < extra < 2  # the mean square of numbers of -1 to 1, against outputs near 0


def test_a_table_without_them_is_refused(train, table, tmp_path):
    lines = table.read_text().splitlines()
    header = lines[0].split(",")
    place = header.index("arousal")
    cells = [line.split(",") for line in lines[1:]]
    table.write_text("\n".join([lines[0], *(",".join([*row[:place], "", *row[place + 1 :]]) for row in cells)]) + "\n")
    with pytest.raises(UserError, match="--valence_arousal: .*table.csv has no valence or no arousal of any training"):
        train(table, tmp_path, "--using_model", "text", "--valence_arousal")


def test_a_damaged_word_of_them_is_refused(trained, tmp_path):
    content = read_torch(trained / "best.ckpt")
    content["hyper_parameters"]["description"]["valence_arousal"] = "no"
    torch.save(content, tmp_path / "broken.ckpt")
    with pytest.raises(UserError, match="damaged: its valence_arousal is 'no'"):
        load_extractor(tmp_path / "broken.ckpt")
