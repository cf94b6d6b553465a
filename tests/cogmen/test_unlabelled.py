"""Turns without a label in stage 3: they are context, and neither a loss nor a score counts them."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cogmen.network.batching import DialogueSet
from cogmen.network.model import CGNN, Architecture
from cogmen.training import class_weights, predict, train_step
from erc.corpus.corpora import KEMDY19, UNLABELLED
from erc.corpus.dialogues import read_dialogues, read_preprocessed, write_dialogues
from erc.corpus.metrics import scores
from tests.cogmen.conftest import make_dialogues

TURN = 2  # of the first dialogue, which has no label


@pytest.fixture
def file():
    file = make_dialogues(turns=(5, 9))
    file.dialogues[0].labels[TURN] = UNLABELLED
    return file


@pytest.fixture
def network():
    torch.manual_seed(0)
    return CGNN(Architecture(24, 7, 2, drop_rate=0))


def dialogue_set(dialogues):
    return DialogueSet(dialogues, "at", KEMDY19, wp=5, wf=5, num_speakers=2)


def test_its_features_reach_its_neighbours_but_no_other_dialogue(file, network):
    before, _ = predict(network, dialogue_set(file.dialogues), 4)
    file.dialogues[0].features["t"][TURN] += 1
    after, _ = predict(network, dialogue_set(file.dialogues), 4)
    n = len(file.dialogues[0])
    assert ((before - after)[:n].abs().amax(1) > 1e-4).all()
    torch.testing.assert_close(before[n:], after[n:])


def test_the_loss_is_the_mean_over_the_other_turns(file, network):
    """The step that is taken is that of a loss over the labelled turns alone, also where emotions are weighted."""
    for weight in (None, class_weights(file.dialogues, 7)):
        networks = [copy.deepcopy(network) for _ in range(2)]
        batch = dialogue_set(file.dialogues).batch([0, 1])
        loss = train_step(networks[0], torch.optim.SGD(networks[0].parameters(), lr=0.1), batch, weight, -1)
        optimizer = torch.optim.SGD(networks[1].parameters(), lr=0.1)
        has_label = [turn for turn, label in enumerate(batch.labels) if label != UNLABELLED]
        assert len(has_label) == len(batch.labels) - 1
        expected = F.nll_loss(networks[1].train()(batch)[has_label], batch.labels[has_label], weight)
        expected.backward()
        optimizer.step()
        assert loss.item() == pytest.approx(expected.item())
        for one, other in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
            torch.testing.assert_close(one, other)


def test_no_score_and_no_weight_counts_it(file, network):
    log_probs, labels = predict(network, dialogue_set(file.dialogues), 4)
    predictions, labels = log_probs.argmax(1).numpy(), labels.numpy()
    results = []
    for guess in range(7):  # whatever is said of the turn
        predictions[TURN] = guess
        results.append(scores(labels, predictions, KEMDY19.emotions))
    assert all(result == results[0] for result in results) and results[0]["n"] == len(labels) - 1
    others = np.delete(labels, TURN)
    assert results[0]["accuracy"] == np.mean(np.delete(predictions, TURN) == others)
    counts = [np.sum(others == emotion) for emotion in range(7)]
    assert class_weights(file.dialogues, 7).tolist() == pytest.approx([len(others) / count for count in counts])


def test_what_the_raters_said_stays_with_each_turn(file, run_script, tmp_path, monkeypatch):
    """From the dialogue file through chunks, and through text features made anew."""
    import cogmen.sbert

    generator = np.random.default_rng(0)
    said = {}
    for dialogue in file.dialogues:
        ratings = generator.integers(11, size=(len(dialogue), 9)).astype(np.float32)
        ratings[0, 7:] = np.nan  # a turn of which nobody said how it felt
        dialogue.ratings = {"emotions": ratings[:, :7], "valence": ratings[:, 7], "arousal": ratings[:, 8]}
        said |= dict(zip(dialogue.segment_ids, ratings, strict=True))
    write_dialogues(tmp_path / "d.pkl", file)
    monkeypatch.setattr(cogmen.sbert, "embed_sentences", lambda texts, *_: np.ones((len(texts), 5), dtype=np.float32))
    shared = ("--feat_dir", tmp_path / "d.pkl", "--res_dir", tmp_path / "p.pkl")
    for flags in ((), ("--split_utterances", 4), ("--text_feature", "sbert")):
        run_script("COGMEN_code/preprocess.py", *shared, *flags)
        splits, _ = read_preprocessed(tmp_path / "p.pkl")
        found = {}
        for dialogue in (dialogue for split in splits.values() for dialogue in split):
            columns = [dialogue.ratings["emotions"], dialogue.ratings["valence"], dialogue.ratings["arousal"]]
            found |= dict(zip(dialogue.segment_ids, np.column_stack(columns), strict=True))
        assert found.keys() == said.keys()
        assert all(np.array_equal(found[name], said[name], equal_nan=True) for name in said)
    assert read_dialogues(tmp_path / "d.pkl").dialogues[0].labels[TURN] == UNLABELLED
