"""preprocess.py, train.py and eval.py as a user runs them."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from cogmen.checkpoints import load_checkpoint
from cogmen.network.batching import DialogueBatch, Layout
from cogmen.network.model import CGNN
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import read_preprocessed, write_dialogues
from erc.options import REPOSITORY, UserError
from tests.cogmen.conftest import make_dialogues
from tests.oracles import naive_graph

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


def checkpoint_of(folder, modalities="at", tag="tmp"):
    return folder / "model_checkpoints" / f"KEMDy19_best_dev_f1_model_{modalities}_{tag}.pt"


def evaluate(run_script, folder, *more, pt_dir=None):
    data = ("--pt_dir", pt_dir or checkpoint_of(folder), "--data_dir", folder / "preprocessed.pkl")
    run_script("COGMEN_code/eval.py", *data, "--out_dir", folder / "result", *more)
    return json.loads((folder / "result/metrics.json").read_text())


def test_it_learns_and_writes_what_it_promises(stage3, run_script):
    result = evaluate(run_script, stage3)
    assert result["weighted_f1"] > 0.8
    with (stage3 / "result/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    test = read_preprocessed(stage3 / "preprocessed.pkl", KEMDY19)["test"]
    assert [(row["segment_id"], row["dialogue"], row["speaker"], KEMDY19.label(row["label"])) for row in rows] == [
        turn for dialogue in test for turn in dialogue.turns()
    ]
    assert all(row["segment_id"].startswith(f"{row['dialogue']}_{row['speaker']}") for row in rows)
    for row in rows:
        p = [float(row[f"p_{emotion}"]) for emotion in KEMDY19.emotions]
        assert sum(p) == pytest.approx(1, abs=1e-4) and KEMDY19.emotions[np.argmax(p)] == row["prediction"]
    with checkpoint_of(stage3).with_suffix(".csv").open(newline="") as file:
        history = list(csv.DictReader(file))
    kept = load_checkpoint(checkpoint_of(stage3))
    assert len(history) == 12
    assert max(float(row["dev_weighted_f1"]) for row in history) == pytest.approx(kept.dev_weighted_f1)
    assert float(history[kept.epoch - 1]["dev_weighted_f1"]) == pytest.approx(kept.dev_weighted_f1)


def test_the_scores_do_not_depend_on_the_batch(stage3, run_script):
    assert evaluate(run_script, stage3, "--batch_size", 1) == evaluate(run_script, stage3, "--batch_size", 64)


def test_the_same_seed_gives_the_same_weights(stage3, run_script, tmp_path):
    """And so the same scores, of every epoch and of the test dialogues."""
    train = ("COGMEN_code/train.py", "--preprocessed_feature", stage3 / "preprocessed.pkl", "--out_dir", tmp_path)
    run_script(*train, *QUICK)
    first, second = (load_checkpoint(checkpoint_of(folder)).network.state_dict() for folder in (stage3, tmp_path))
    assert all(torch.equal(first[name], second[name]) for name in first)
    histories = [checkpoint_of(folder).with_suffix(".csv").read_text() for folder in (stage3, tmp_path)]
    assert histories[0] == histories[1]
    assert evaluate(run_script, stage3) == evaluate(run_script, stage3, pt_dir=checkpoint_of(tmp_path))
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
    splits = read_preprocessed(stage3 / "preprocessed.pkl", KEMDY19)
    dev, test = (np.concatenate([dialogue.labels for dialogue in splits[name]]).tolist() for name in ("dev", "test"))
    assert scored == [dev] * 3 + [test]


def test_training_continues_from_a_checkpoint(stage3, run_script, tmp_path):
    shared = ("COGMEN_code/train.py", "--preprocessed_feature", stage3 / "preprocessed.pkl", "--out_dir", tmp_path)
    run_script(*shared, "--model_ckpt", checkpoint_of(stage3), "--epochs", 1, "--learning_rate", 1e-9)
    start, end = (load_checkpoint(checkpoint_of(folder)).network.state_dict() for folder in (stage3, tmp_path))
    for name in start:
        if "bn" not in name:  # the running statistics move without the learning rate
            torch.testing.assert_close(start[name], end[name], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "flags",
    [
        ("--modalities", "a"),
        ("--modalities", "t"),
        ("--rnn", "lstm"),
        ("--rnn", "gru", "--seqcontext_nlayer", 1),
        ("--use_highway", "--concat_gin_gout=True", "--gnn_nheads", 3),
        ("--class_weight", "--optimizer", "sgd", "--scheduler", "expLR"),
        ("--optimizer", "rmsprop", "--scheduler", "reduceLR", "--max_grad_value", 0.1),
        ("--optimizer", "adamw", "--wp", -1, "--wf", 0, "--hidden_size", 12, "--weight_decay", 1e-3),
    ],
)
def test_every_option_trains_and_scores(stage3, run_script, tmp_path, flags):
    modalities = flags[1] if flags[0] == "--modalities" else "at"
    run_script(
        *("COGMEN_code/train.py", "--preprocessed_feature", stage3 / "preprocessed.pkl", "--out_dir", tmp_path),
        *(*QUICK, "--epochs", 1, *flags),
    )
    checkpoint = checkpoint_of(tmp_path, modalities)
    result = evaluate(run_script, stage3, "--modalities", modalities, pt_dir=checkpoint)
    assert result["n"] == sum(map(len, read_preprocessed(stage3 / "preprocessed.pkl", KEMDY19)["test"]))


def test_the_windows_of_the_training_are_those_of_the_evaluation(stage3, run_script, tmp_path, capsys):
    """Past and future ones, of different lengths: the scores are those of graphs made by hand."""
    shared = ("--preprocessed_feature", stage3 / "preprocessed.pkl", "--out_dir", tmp_path)
    run_script("COGMEN_code/train.py", *shared, *QUICK, "--epochs", 2, "--wp", 3, "--wf", 1)
    trained = capsys.readouterr().out
    evaluate(run_script, stage3, pt_dir=checkpoint_of(tmp_path))
    assert f"test: {capsys.readouterr().out.splitlines()[0]}\n" in trained
    kept = load_checkpoint(checkpoint_of(tmp_path))
    assert kept.windows == {"wp": 3, "wf": 1}
    splits = read_preprocessed(stage3 / "preprocessed.pkl", KEMDY19)
    log_probs = {name: [by_hand(kept.network, one, wp=3, wf=1) for one in splits[name]] for name in ("dev", "test")}
    with (stage3 / "result/predictions.csv").open(newline="") as file:
        found = [[float(row[f"p_{emotion}"]) for emotion in KEMDY19.emotions] for row in csv.DictReader(file)]
    np.testing.assert_allclose(found, torch.cat(log_probs["test"]).exp(), atol=1e-5)
    labels = torch.from_numpy(np.concatenate([dialogue.labels for dialogue in splits["dev"]]))
    with checkpoint_of(tmp_path).with_suffix(".csv").open(newline="") as file:
        best = list(csv.DictReader(file))[kept.epoch - 1]
    loss = torch.nn.functional.nll_loss(torch.cat(log_probs["dev"]), labels).item()
    assert float(best["dev_loss"]) == pytest.approx(loss, abs=1e-5)


@torch.no_grad()
def by_hand(network, dialogue, wp, wf):
    """(L, emotions) log-probabilities over a graph made by plain loops."""
    speakers = ["MF".index(speaker) for speaker in dialogue.speakers]
    edges, relations = map(torch.tensor, naive_graph([len(dialogue)], speakers, wp, wf, 2))
    features, labels = torch.from_numpy(dialogue.joined("at")), torch.from_numpy(dialogue.labels)
    return network(DialogueBatch(features, labels, edges.T, relations, Layout.of([len(dialogue)])))


def test_what_does_not_fit_is_refused(stage3, run_script, tmp_path):
    with pytest.raises(UserError, match="trained with --modalities at, here --modalities a"):
        evaluate(run_script, stage3, "--modalities", "a")
    for content in (b"", b"junk", checkpoint_of(stage3).read_bytes()[:5000]):
        (tmp_path / "bad.pt").write_bytes(content)
        with pytest.raises(UserError, match=r"bad\.pt: refused"):
            evaluate(run_script, stage3, pt_dir=tmp_path / "bad.pt")
    torch.save({"weights": 1}, tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"other\.pt: not a checkpoint of COGMEN_code/train\.py"):
        evaluate(run_script, stage3, pt_dir=tmp_path / "other.pt")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    with pytest.raises(UserError, match=r"module\.pt: refused"):
        evaluate(run_script, stage3, pt_dir=tmp_path / "module.pt")


def test_dialogues_of_one_turn_and_of_one_speaker(run_script, tmp_path):
    dialogues = make_dialogues(sessions=5, turns=(1, 2))
    write_dialogues(tmp_path / "feat.pkl", dialogues)
    paths = ("--feat_dir", tmp_path / "feat.pkl", "--res_dir", tmp_path / "preprocessed.pkl")
    run_script("COGMEN_code/preprocess.py", *paths)
    shared = ("--preprocessed_feature", tmp_path / "preprocessed.pkl", "--out_dir", tmp_path)
    run_script("COGMEN_code/train.py", *shared, *QUICK, "--epochs", 2, "--batch_size", 1)
    assert evaluate(run_script, tmp_path)["n"] == 2


def test_errors_are_one_line_through_the_shell(stage3):
    def run_shell(*arguments):
        command = [sys.executable, REPOSITORY / "COGMEN_code/eval.py", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=stage3, check=False, timeout=240)

    result = run_shell("--pt_dir", "none.pt")
    assert (result.returncode, result.stderr) == (1, "error: none.pt: no such checkpoint\n")
    assert "Traceback" in run_shell("--pt_dir", "none.pt", "--debug").stderr
    # a relative path is relative to where the user is
    relative = run_shell("--pt_dir", checkpoint_of(stage3).relative_to(stage3), "--data_dir", "preprocessed.pkl")
    assert relative.returncode == 0 and "weighted F1" in relative.stdout


def test_wrong_devices(stage3, run_script):
    for name in ("gpu", "cuda:٣"):
        with pytest.raises(UserError, match=f"--device {name}: expected auto, cpu, cuda or cuda:N"):
            evaluate(run_script, stage3, "--device", name)
    with pytest.raises(UserError, match="--device cuda:99: PyTorch sees .* GPUs here"):
        evaluate(run_script, stage3, "--device", "cuda:99")


def test_a_training_that_diverges_stops_and_leaves_no_checkpoint(stage3, run_script, tmp_path):
    command = ("COGMEN_code/train.py", "--preprocessed_feature", stage3 / "preprocessed.pkl", "--out_dir", tmp_path)
    expected = r"the (training|dev) loss is not finite \(.*\) in epoch [12]: take a smaller --learning_rate"
    with pytest.raises(UserError, match=expected):
        run_script(*command, "--from_begin", "--epochs", 3, "--optimizer", "sgd", "--learning_rate", 1e30)
    assert not list(tmp_path.rglob("*.pt"))
