"""Scoring extractors on what their training held out, as users call it: one checkpoint, or a directory of them."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch

from erc.options import UserError
from mirai.checkpoint import load_extractor

from .conftest import VARIANTS, shuffled_copy


@pytest.fixture(scope="session")
def infer(run_script, data, tmp_path_factory):
    """`infer("--ckpt_path", path, ...)`: the folder of the results."""

    def call(*arguments, table=data / "annotation_speaker_only.csv", out_dir=None):
        out_dir = out_dir or tmp_path_factory.mktemp("scored")
        run_script("MIRAI/inference.py", "--csv_path", table, "--out_dir", out_dir, *arguments)
        return out_dir

    return call


@pytest.fixture(scope="module")
def scored(experiments, infer):
    """What `--all` writes."""
    return infer("--all", experiments)


def metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def table(path):
    """(header, rows) of a CSV file; every cell is text."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    return header, rows


def assert_same_predictions(one, other):
    (header, rows), (other_header, other_rows) = (table(folder / "predictions.csv") for folder in (one, other))
    rows, other_rows = np.array(rows), np.array(other_rows)
    assert header == other_header and (rows[:, :5] == other_rows[:, :5]).all()
    np.testing.assert_allclose(rows[:, 5:].astype(float), other_rows[:, 5:].astype(float), atol=1e-5)


def test_all_experiments_in_one_table(scored):
    header, rows = table(scored / "result.csv")
    assert header == ["model", "loss", "accuracy", "weighted_f1", "macro_f1"]
    expected = [["audio", "cs_and_ce"], ["both", "cs_and_ce"], ["both+mmer", "cs_and_ce"], ["text", "ce"]]
    assert [row[:2] for row in rows] == expected
    for name, _, *values in rows:
        found = metrics(scored / name)
        assert list(map(float, values)) == [found[column] for column in header[2:]]
        assert found["n"] == (11 if name == "text" else 28)  # the random 20%, or sessions 19 and 20


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_checkpoint_alone_gives_what_all_gives(experiments, scored, infer, capsys, variant):
    """And one utterance at a time what batches give."""
    by_session = f"--test_1920={variant != 'text'}"
    alone = infer("--ckpt_path", experiments / variant / "best.ckpt", by_session, "--batch_size", 1)
    assert f"{variant}: accuracy" in capsys.readouterr().out
    assert_same_predictions(alone, scored / variant)


def test_scores_of_the_held_out_sessions_in_any_order_of_the_table(infer, trained, data, tmp_path):
    arguments = ("--ckpt_path", trained / "best.ckpt", "--test_1920", "True", "--test_sessions", 20)
    found = infer(*arguments)
    _, rows = table(found / "predictions.csv")
    assert len(rows) == metrics(found)["n"] == 14 and all(row[0].startswith("Sess20") for row in rows)
    assert_same_predictions(found, infer(*arguments, table=shuffled_copy(data, tmp_path / "shuffled")))


def test_sessions_seen_in_training_are_not_scored(infer, trained):
    with pytest.raises(UserError, match=r"best\.ckpt: was trained on .* session 2\)"):
        infer("--ckpt_path", trained / "best.ckpt", "--test_1920=True", "--test_sessions", 2, 19)
    # --test_1920=False is false: the random 20% of the table, of which most were trained on
    with pytest.raises(UserError, match=r"was trained on \d+ of the 11 utterances"):
        infer("--ckpt_path", trained / "best.ckpt", "--test_1920=False")


def test_checkpoint_needs_nothing_else(infer, trained, tmp_path, encoders):
    """Stripped to what is shipped, as 16-bit floats, with the encoders' directories out of the way."""
    whole = torch.load(trained / "best.ckpt", weights_only=True)
    kept = {name: whole[name] for name in ("hyper_parameters", "state_dict", "pytorch-lightning_version")}
    kept["state_dict"] = {name: value.half() for name, value in kept["state_dict"].items()}
    torch.save(kept, tmp_path / "small.ckpt")
    hidden = [path.rename(path.with_name(f"hidden_{path.name}")) for path in (encoders.text, encoders.audio)]
    try:
        extractor, hyper_parameters = load_extractor(tmp_path / "small.ckpt")
        paths = (trained / "best.ckpt", tmp_path / "small.ckpt")
        full, small = (metrics(infer("--ckpt_path", path, "--test_1920=True")) for path in paths)
    finally:
        for path in hidden:
            path.rename(path.with_name(path.name.removeprefix("hidden_")))
    assert {value.dtype for value in extractor.state_dict().values()} == {torch.float32}
    assert str(encoders.text.parent) not in json.dumps(hyper_parameters)
    assert abs(full["accuracy"] - small["accuracy"]) < 0.1


def test_experiments_that_cannot_be_scored_are_named_and_the_others_scored(experiments, infer, tmp_path, capsys):
    zoo = tmp_path / "zoo"
    for name in ("audio", "text"):
        shutil.copytree(experiments / name, zoo / name)
    (zoo / "broken").mkdir()
    (zoo / "broken" / "best.ckpt").write_bytes(b"no checkpoint")
    seen = torch.load(zoo / "text" / "best.ckpt", weights_only=True)
    seen["hyper_parameters"]["options"].update(test_1920=True, test_sessions=[2])
    (zoo / "seen").mkdir()
    torch.save(seen, zoo / "seen" / "best.ckpt")
    with pytest.raises(UserError, match=r"--all .*zoo: 2 of its experiments could not be scored"):
        infer("--all", zoo, out_dir=tmp_path / "out")
    error = capsys.readouterr().err
    assert "broken is not scored: " in error and "best.ckpt: " in error
    assert "seen is not scored: " in error and "was trained on" in error
    assert [row[0] for row in table(tmp_path / "out" / "result.csv")[1]] == ["audio", "text"]


def test_no_experiment(infer, tmp_path):
    with pytest.raises(UserError, match="--all .*: no <experiment>/best.ckpt in it"):
        infer("--all", tmp_path)
