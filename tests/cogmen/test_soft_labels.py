"""train.py --soft_labels: the raters' votes as targets, ties among them, and what that is good for."""

import csv
import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cogmen.checkpoints import load_checkpoint
from cogmen.network.batching import DialogueSet
from cogmen.network.model import CGNN, Architecture
from cogmen.soft_labels import soft_loss, targets_of
from cogmen.training import TrainOptions, loss_of, predict, seed_everything, train
from erc.corpus.corpora import KEMDY19, UNLABELLED
from erc.corpus.dialogues import write_dialogues
from erc.corpus.metrics import scores
from erc.options import UserError
from tests.cogmen.conftest import make_dialogues

RATERS = 10


def with_votes(dialogues, share=lambda: 0.5, seed=0):
    """Each of ten raters names the emotion with the probability that `share` gives for the turn, or any; the label is
    the majority's."""
    generator = np.random.default_rng(seed)
    for dialogue in dialogues:
        votes = np.zeros((len(dialogue), 7), dtype=np.float32)
        for turn, truth in enumerate(dialogue.labels.tolist()):
            named = np.where(generator.random(RATERS) < share(), truth, generator.integers(7, size=RATERS))
            votes[turn] = np.bincount(named, minlength=7)
        is_tie = (votes == votes.max(axis=1, keepdims=True)).sum(axis=1) > 1
        dialogue.labels = np.where(is_tie, UNLABELLED, votes.argmax(axis=1))
        dialogue.ratings = {"emotions": votes}
    return dialogues


def test_the_loss_is_that_of_a_plain_loop():
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(5, 4, generator=generator).log_softmax(1)
    targets = torch.rand(5, 4, generator=generator)
    targets /= targets.sum(dim=1, keepdim=True)
    targets[3] = 0  # has no target
    weight = torch.tensor([1.0, 2.0, 0.5, 3.0])
    total = scale = 0.0
    for turn in (0, 1, 2, 4):
        for emotion in range(4):
            smooth = 0.9 * targets[turn, emotion] + 0.1 / 4
            total -= weight[emotion] * smooth * outputs[turn, emotion]
            scale += weight[emotion] * targets[turn, emotion]
    assert soft_loss(outputs, targets, weight, 0.1).item() == pytest.approx((total / scale).item(), rel=1e-5)
    plain = F.cross_entropy(outputs[[0, 1, 2, 4]], targets[[0, 1, 2, 4]])
    assert soft_loss(outputs, targets).item() == pytest.approx(plain.item(), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, torch.tensor([1.0, 2.0, 0.5, 3.0])])
@pytest.mark.parametrize("members", [(), (2,)])
def test_raters_who_agree_give_the_loss_of_hard_labels(smoothing, weight, members):
    outputs = torch.randn(*members, 6, 4, generator=torch.Generator().manual_seed(1)).log_softmax(-1)
    labels = torch.tensor([0, 1, 2, UNLABELLED, 3, 2])
    targets = F.one_hot(labels.clamp(min=0), 4).float() * (labels != UNLABELLED)[:, None]
    expected = loss_of(outputs, labels, weight, smoothing)
    assert soft_loss(outputs, targets, weight, smoothing).item() == pytest.approx(expected.item(), rel=1e-5)


def test_turns_are_counted_by_their_targets():
    file = make_dialogues(sessions=2)
    first, second, *_ = with_votes(file.dialogues)
    first.labels[:] = UNLABELLED  # ties: each has a target
    second.ratings = {}  # nobody rated it: its labels
    second.labels[0] = UNLABELLED
    dialogues = DialogueSet([first, second], "at", KEMDY19, 5, 5, 2)
    targets = targets_of([first, second], 7, "file")
    dialogues.train_on(targets)
    assert dialogues.labelled.tolist() == [len(first), (second.labels != UNLABELLED).sum()]
    batch = dialogues.batch([1, 0])
    assert torch.equal(batch.targets, torch.from_numpy(np.concatenate(targets[::-1])))
    np.testing.assert_allclose(targets[0], first.ratings["emotions"] / RATERS, atol=1e-6)
    assert (targets[1].sum(axis=1) == (second.labels != UNLABELLED)).all()


@pytest.mark.parametrize("recipe", ["published", "improved"])
def test_the_script_trains_on_them_and_goes_on_with_them(run_script, tmp_path, recipe):
    file = make_dialogues(sessions=4)
    with_votes(file.dialogues)
    write_dialogues(tmp_path / "feat.pkl", file)
    paths = ("--feat_dir", tmp_path / "feat.pkl", "--res_dir", tmp_path / "preprocessed.pkl")
    run_script("COGMEN_code/preprocess.py", *paths)
    shared = ("--preprocessed_feature", tmp_path / "preprocessed.pkl", "--out_dir", tmp_path, "--from_begin")
    shared += ("--epochs", 1, "--hidden_size", 8, "--recipe", recipe)
    losses, place = {}, tmp_path / "model_checkpoints"
    for tag, more in {"hard": (), "soft": ("--soft_labels",)}.items():
        run_script("COGMEN_code/train.py", *shared, "--tag", tag, *more)
        with (place / f"KEMDy19_best_dev_f1_model_at_{tag}.csv").open(newline="") as history:
            (losses[tag],) = csv.DictReader(history)
    assert losses["soft"]["train_loss"] != losses["hard"]["train_loss"]
    checkpoint = load_checkpoint(place / "KEMDy19_best_dev_f1_model_at_soft.pt")
    assert checkpoint.options["soft_labels"] is True


def test_a_file_without_votes_is_refused(run_script, tmp_path):
    file = make_dialogues(sessions=3)
    write_dialogues(tmp_path / "feat.pkl", file)
    run_script("COGMEN_code/preprocess.py", "--feat_dir", tmp_path / "feat.pkl", "--res_dir", tmp_path / "p.pkl")
    shared = ("--preprocessed_feature", tmp_path / "p.pkl", "--out_dir", tmp_path, "--from_begin", "--epochs", 1)
    with pytest.raises(UserError, match=r"--soft_labels: .*p.pkl has no votes of the raters. MIRAI/preprocess.py wri"):
        run_script("COGMEN_code/train.py", *shared, "--soft_labels")


def test_soft_labels_train_a_better_network_where_raters_disagree():
    """Of three turns in ten nine raters of ten name the emotion that it has, of the others they guess: the majority of
    a guess is a wrong label like any other, its votes say little. Scored against the emotions that no training sees."""
    file = make_dialogues(sessions=32, turns=(8, 14), noise=0.7)
    emotions = {dialogue.id: dialogue.labels.copy() for dialogue in file.dialogues}
    clear = np.random.default_rng(1)
    with_votes(file.dialogues, lambda: 0.9 if clear.random() < 0.3 else 0.0)
    training, dev, test = file.dialogues[:32], file.dialogues[32:38], file.dialogues[38:]
    test = [dataclasses.replace(dialogue, labels=emotions[dialogue.id]) for dialogue in test]
    found = {}
    for soft in (False, True):
        options = TrainOptions(
            from_begin=True,
            epochs=30,
            rnn="gru",
            hidden_size=16,
            batch_size=8,
            learning_rate=3e-3,
            soft_labels=soft,
        )
        seed_everything(24)
        network = CGNN(Architecture.from_options(options, 24, 7, 2))
        train(network, training, dev, KEMDY19, options, torch.device("cpu"))
        outputs, labels = predict(network, DialogueSet(test, "at", KEMDY19, 5, 5, 2), 64)
        found[soft] = scores(labels, outputs.argmax(1), KEMDY19.emotions)["weighted_f1"]
    assert found[True] > found[False] + 0.05, found
