"""preprocess.py, train.py and eval.py as a user runs them."""

import json

import numpy as np
import pytest
import torch

from cogmen.checkpoints import load_checkpoint
from cogmen.network.model import CGNN
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import read_preprocessed, write_dialogues
from erc.options import UserError
from tests.children import run_together, script_at
from tests.cogmen.conftest import make_dialogues
from tests.tables import read_rows

QUICK = ("--from_begin", "--epochs", 12, "--batch_size", 4, "--learning_rate", 3e-3, "--drop_rate", 0.1)


@pytest.fixture(scope="module")
def stage3(tmp_path_factory, run_script):
    """A folder with features, preprocessed features and a trained checkpoint."""
    folder = tmp_path_factory.mktemp("stage3")
    write_dialogues(folder / "feat.pkl", make_dialogues(sessions=12))
    features, preprocessed = folder / "feat.pkl", folder / "preprocessed.pkl"
    run_script("COGMEN_code/preprocess.py", "--feat_dir", features, "--res_dir", preprocessed)
    train = ("COGMEN_code/train.py", "--preprocessed_feature", preprocessed, "--out_dir", folder, *QUICK)
    run_script(*train)
    return folder


def checkpoint_of(folder):
    return folder / "model_checkpoints/KEMDy19_best_dev_f1_model_at_tmp.pt"


def evaluate(run_script, folder, *more, pt_dir=None):
    data = ("--pt_dir", pt_dir or checkpoint_of(folder), "--data_dir", folder / "preprocessed.pkl")
    run_script("COGMEN_code/eval.py", *data, "--out_dir", folder / "result", *more)
    return json.loads((folder / "result/metrics.json").read_text())


def test_it_learns_and_writes_what_it_promises(stage3, real_pictures, run_script):
    result = evaluate(run_script, stage3)
    names = ("confusion_matrix", "confidence", "timelines")
    assert all((stage3 / f"result/{name}.png").stat().st_size > 10_000 for name in names)
    assert result["weighted_f1"] > 0.8
    rows = read_rows(stage3 / "result/predictions.csv")
    test = read_preprocessed(stage3 / "preprocessed.pkl", KEMDY19)[0]["test"]
    assert [(row["segment_id"], row["dialogue"], row["speaker"], KEMDY19.label(row["label"])) for row in rows] == [
        turn for dialogue in test for turn in dialogue.turns()
    ]
    assert all(row["segment_id"].startswith(f"{row['dialogue']}_{row['speaker']}") for row in rows)
    for row in rows:
        p = [float(row[f"p_{emotion}"]) for emotion in KEMDY19.emotions]
        assert sum(p) == pytest.approx(1, abs=1e-4) and KEMDY19.emotions[np.argmax(p)] == row["prediction"]
    history = read_rows(checkpoint_of(stage3).with_suffix(".csv"))
    kept = load_checkpoint(checkpoint_of(stage3))
    assert len(history) == 12
    assert max(float(row["dev_weighted_f1"]) for row in history) == pytest.approx(kept.dev_weighted_f1)
    assert float(history[kept.epoch - 1]["dev_weighted_f1"]) == pytest.approx(kept.dev_weighted_f1)


def test_the_scores_do_not_depend_on_the_batch(stage3, run_script):
    assert evaluate(run_script, stage3, "--batch_size", 1) == evaluate(run_script, stage3, "--batch_size", 64)


def test_the_same_seed_gives_the_same_weights(stage3, run_script, tmp_path, capsys):
    """And so the same scores, of every epoch and of the test dialogues."""
    train = ("COGMEN_code/train.py", "--preprocessed_feature", stage3 / "preprocessed.pkl", "--out_dir", tmp_path)
    run_script(*train, *QUICK)
    printed = capsys.readouterr().out
    first, second = (load_checkpoint(checkpoint_of(folder)).network.state_dict() for folder in (stage3, tmp_path))
    assert all(torch.equal(first[name], second[name]) for name in first)
    histories = [checkpoint_of(folder).with_suffix(".csv").read_text() for folder in (stage3, tmp_path)]
    assert histories[0] == histories[1]
    assert evaluate(run_script, stage3) == evaluate(run_script, stage3, pt_dir=checkpoint_of(tmp_path))
    assert f"test: {capsys.readouterr().out.splitlines()[0]}\n" in printed
    run_script(*train, *QUICK, "--seed", 1)
    other = load_checkpoint(checkpoint_of(tmp_path)).network.state_dict()
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_the_test_set_is_scored_once_after_training(stage3, run_script, tmp_path, monkeypatch):
    """Defect 9: the test set scored after every epoch."""
    scored, forward = [], CGNN.forward

    def recorded(network, batch):
        if not network.training:
            scored.append(batch.labels.tolist())
        return forward(network, batch)

    monkeypatch.setattr(CGNN, "forward", recorded)
    shared = ("--preprocessed_feature", stage3 / "preprocessed.pkl", "--out_dir", tmp_path)
    run_script("COGMEN_code/train.py", *shared, *QUICK, "--epochs", 3)
    splits, _ = read_preprocessed(stage3 / "preprocessed.pkl", KEMDY19)
    dev, test = (np.concatenate([dialogue.labels for dialogue in splits[name]]).tolist() for name in ("dev", "test"))
    assert scored == [dev] * 4 + [test]  # three epochs, then the temperature


def test_training_continues_from_a_checkpoint(stage3, run_script, tmp_path):
    shared = ("COGMEN_code/train.py", "--preprocessed_feature", stage3 / "preprocessed.pkl", "--out_dir", tmp_path)
    run_script(*shared, "--model_ckpt", checkpoint_of(stage3), "--epochs", 1, "--learning_rate", 1e-9)
    start, end = (load_checkpoint(checkpoint_of(folder)).network.state_dict() for folder in (stage3, tmp_path))
    for name in start:
        if "bn" not in name:  # the running statistics move without the learning rate
            torch.testing.assert_close(start[name], end[name], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--hidden_size", 8), "trained with --hidden_size 100, here --hidden_size 8"),
        (("--rnn", "gru"), "trained with --rnn transformer, here --rnn gru"),
        (("--seqcontext_nlayer", 1), "trained with --seqcontext_nlayer 2, here --seqcontext_nlayer 1"),
        (("--gnn_nheads", 2), "trained with --gnn_nheads 1, here --gnn_nheads 2"),
        (("--use_highway",), "trained with --use_highway False, here --use_highway True"),
        (("--concat_gin_gout",), "trained with --concat_gin_gout False, here --concat_gin_gout True"),
        (("--ablate", "no_graph"), "trained with --ablate None, here --ablate no_graph"),
        (("--ablate", "no_context"), "trained with --ablate None, here --ablate no_context"),
    ],
)
def test_training_does_not_continue_with_another_network(stage3, run_script, tmp_path, flags, message):
    shared = ("COGMEN_code/train.py", "--preprocessed_feature", stage3 / "preprocessed.pkl", "--out_dir", tmp_path)
    with pytest.raises(UserError, match=rf"tmp\.pt: {message}"):
        run_script(*shared, "--model_ckpt", checkpoint_of(stage3), "--epochs", 1, *flags)


def test_training_does_not_continue_from_the_other_recipe(stage3, run_script, tmp_path):
    shared = ("COGMEN_code/train.py", "--preprocessed_feature", stage3 / "preprocessed.pkl", "--out_dir", tmp_path)
    run_script(*shared, "--from_begin", "--recipe", "improved", "--epochs", 1, "--hidden_size", 4)
    with pytest.raises(UserError, match=r"tmp\.pt: trained with --recipe improved, expected --recipe published"):
        run_script(*shared, "--model_ckpt", checkpoint_of(tmp_path), "--epochs", 1)


def test_errors_are_one_line_through_the_shell(stage3):
    def run_shell(*arguments):
        return run_together(script_at("COGMEN_code/eval.py", *arguments, cwd=stage3))[0]

    assert run_shell("--pt_dir", "none.pt") == (1, "", "error: none.pt: no such checkpoint\n")
    assert "Traceback" in run_shell("--pt_dir", "none.pt", "--debug")[2]
    # a relative path is relative to where the user is
    code, shown, _ = run_shell("--pt_dir", checkpoint_of(stage3).relative_to(stage3), "--data_dir", "preprocessed.pkl")
    assert code == 0 and "weighted F1" in shown


def test_wrong_devices(stage3, run_script, tmp_path):
    for name in ("gpu", "cuda:٣"):
        with pytest.raises(UserError, match=f"--device {name}: expected auto, cpu, cuda or cuda:N"):
            evaluate(run_script, stage3, "--device", name)
    sbert = ("--res_dir", tmp_path / "p.pkl", "--text_feature", "sbert", "--sbert", tmp_path)
    for script, flags in (
        ("eval", ("--pt_dir", checkpoint_of(stage3), "--data_dir", stage3 / "preprocessed.pkl")),
        ("train", ("--preprocessed_feature", stage3 / "preprocessed.pkl", "--out_dir", tmp_path, *QUICK)),
        ("preprocess", ("--feat_dir", stage3 / "feat.pkl", *sbert)),
    ):
        with pytest.raises(UserError, match="--device cuda:99: PyTorch sees .* GPUs here"):
            run_script(f"COGMEN_code/{script}.py", *flags, "--device", "cuda:99")


def test_a_training_that_diverges_stops_and_leaves_no_checkpoint(stage3, run_script, tmp_path):
    command = ("COGMEN_code/train.py", "--preprocessed_feature", stage3 / "preprocessed.pkl", "--out_dir", tmp_path)
    expected = r"the (training|dev) loss is not finite \(.*\) in epoch [12]: take a smaller --learning_rate"
    with pytest.raises(UserError, match=expected):
        run_script(*command, "--from_begin", "--epochs", 3, "--optimizer", "sgd", "--learning_rate", 1e30)
    assert not list(tmp_path.rglob("*.pt"))
