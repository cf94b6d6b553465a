"""train.py --soft_labels: the raters' votes as targets, ties among them, and what that is good for."""

import csv

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import HashingVectorizer
from torch.nn import functional as F

from cogmen.checkpoints import load_checkpoint
from cogmen.network.batching import DialogueSet
from cogmen.soft_labels import soft_loss, targets_of
from cogmen.training import loss_of, predict
from erc.corpus.corpora import KEMDY19, UNLABELLED
from erc.corpus.dialogues import read_dialogues, read_preprocessed, write_dialogues
from erc.corpus.metrics import scores
from erc.options import UserError
from tests.cogmen.conftest import make_dialogues

RATERS = 10


def with_votes(dialogues):
    """Each of ten raters names the emotion with probability 0.5, or any; the label is the majority's."""
    generator = np.random.default_rng(0)
    for dialogue in dialogues:
        votes = np.zeros((len(dialogue), 7), dtype=np.float32)
        for turn, truth in enumerate(dialogue.labels.tolist()):
            named = np.where(generator.random(RATERS) < 0.5, truth, generator.integers(7, size=RATERS))
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


def hashed_sample(run_script, folder, train, held_out, *flags):
    """Write `preprocessed.pkl` of a sample corpus of so many sessions and one for dev: its raters' labels and votes,
    and as features what is written in each transcript, counted in pieces of letters."""
    sessions = 1 + train + held_out
    table = folder / "data/annotation_speaker_only.csv"
    paths = ("--feat_dir", folder / "feat.pkl", "--res_dir", folder / "preprocessed.pkl")
    test = range(2 + train, 1 + sessions)
    make = ("--out", folder / "corpus", "--sessions", sessions, "--workers", 1)
    run_script("MIRAI/make_sample_corpus.py", *make, "--test_sessions", *test, *flags)
    run_script("MIRAI/preprocess.py", "--root_path", folder / "corpus", "--save_path", folder / "data")
    formatting = ("--csv_path", table, "--out", folder / "dialogues.pkl", "--test_sessions", *test)
    run_script("COGMEN_code/cogmen_formatting.py", *formatting)
    file = read_dialogues(folder / "dialogues.pkl")
    pieces = HashingVectorizer(analyzer="char_wb", ngram_range=(1, 3), n_features=256)
    for dialogue in file.dialogues:
        dialogue.features = {"t": pieces.transform(dialogue.sentences).toarray().astype(np.float32)}
    write_dialogues(folder / "feat.pkl", file)
    run_script("COGMEN_code/preprocess.py", *paths, "--dev_sessions", 1)


def scores_on_the_sample(run_script, folder, seeds, *flags):
    """(seeds, 2) weighted F1 of the held-out sessions, against the planted emotions and against the labels."""
    with (folder / "corpus/planted.csv").open() as file:
        planted = {row["segment_id"]: KEMDY19.emotions.index(row["emotion"]) for row in csv.DictReader(file)}
    splits, corpus = read_preprocessed(folder / "preprocessed.pkl")
    truth = [planted[segment_id] for dialogue in splits["test"] for segment_id in dialogue.segment_ids]
    shared = ("--preprocessed_feature", folder / "preprocessed.pkl", "--out_dir", folder, "--from_begin")
    found = []
    for seed in range(24, 24 + seeds):
        run_script("COGMEN_code/train.py", *shared, "--modalities", "t", "--seed", seed, *flags)
        checkpoint = load_checkpoint(folder / "model_checkpoints/KEMDy19_best_dev_f1_model_t_tmp.pt")
        test = checkpoint.dialogue_set(splits["test"], corpus, torch.device("cpu"))
        outputs, labels = predict(checkpoint.network, test, 64)
        found.append([scores(one, outputs.argmax(1), corpus.emotions)["weighted_f1"] for one in (truth, labels)])
    return np.array(found)


def test_soft_labels_train_a_better_network_on_the_sample(run_script, tmp_path):
    """Of 40% of its turns most raters guessed: a fifth of its labels is not the planted emotion, and the votes say so.
    One of the draws of docs/soft_labels.md, scored against the planted emotions, which no training sees."""
    hashed_sample(run_script, tmp_path, 6, 5, "--seed", 1, "--guessed_turns", 0.4)
    recipe = ("--recipe", "improved")
    labels, soft = (scores_on_the_sample(run_script, tmp_path, 2, *recipe, *more) for more in ((), ("--soft_labels",)))
    assert soft[:, 0].mean() > labels[:, 0].mean() + 0.01, (labels, soft)
