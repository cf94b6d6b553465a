"""trainer_hf.py --soft_labels: the raters' votes as targets, of ties, too."""

import csv
import shutil

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from erc.corpus.corpora import KEMDY19, UNLABELLED
from erc.corpus.ratings import ratings_path
from erc.corpus.splits import without_label
from erc.options import UserError
from erc.untrusted import read_torch
from mirai.training.module import cosine_and_cross_entropy
from mirai.training.targets import TrainingDataset, targets_of

from .conftest import speak

TIE, UNRATED = "Sess01_impro01_F001", "Sess02_impro01_F001"


@pytest.fixture
def table(data, tmp_path):
    """A table with ten votes a turn; one turn is a tie, another one nobody rated, and of the test sessions one is a
    tie."""
    generator = np.random.default_rng(0)
    source = data / "annotation.csv"
    rows = list(csv.DictReader(source.open(encoding="utf-8", newline="")))
    votes = {row["segment_id"]: generator.multinomial(10, [1 / 7] * 7).tolist() for row in rows}
    votes[UNRATED] = [0] * 7
    ties = {TIE, next(row["segment_id"] for row in rows if row["segment_id"].startswith("Sess19"))}
    for row in rows:
        row["emotion"] = "" if row["segment_id"] in ties else row["emotion"]
    path = tmp_path / "table.csv"
    for place, header, lines in (
        (path, list(rows[0]), [list(row.values()) for row in rows]),
        (ratings_path(path), ["segment_id", *KEMDY19.emotions], [[name, *own] for name, own in votes.items()]),
    ):
        with place.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *lines])
    shutil.copytree(data / "txt_wav", tmp_path / "txt_wav", symlinks=True)
    return path


def test_both_losses_of_soft_targets():
    logits = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    soft = torch.rand(4, 7, generator=torch.Generator().manual_seed(1))
    soft /= soft.sum(dim=1, keepdim=True)
    cosine = (logits * soft).sum(1) / (logits.norm(dim=1) * soft.norm(dim=1))
    expected = -0.1 * (soft * logits.log_softmax(1)).sum(1).mean() + (1 - cosine).mean()
    torch.testing.assert_close(cosine_and_cross_entropy(logits, soft), expected)
    labels = torch.tensor([0, 3, 6, 2])
    one_hot = F.one_hot(labels, 7).float()
    torch.testing.assert_close(cosine_and_cross_entropy(logits, one_hot), cosine_and_cross_entropy(logits, labels))


def test_each_utterance_gets_its_own_target(tmp_path):
    rows = speak(tmp_path, [0.1 * np.sin(np.arange(2000 + 100 * k)) for k in range(5)])
    votes = {row.segment_id: np.arange(7, dtype=np.float32) + k for k, row in enumerate(rows)}
    del votes[rows[2].segment_id]
    dataset = TrainingDataset(rows, tmp_path, lambda said: [[1]] * len(said), targets=targets_of(rows, votes, KEMDY19))
    batch = dataset.collate([dataset[k] for k in (3, 2)])
    assert batch.labels.tolist() == [3, 2]
    np.testing.assert_allclose(batch.targets[0], (np.arange(7) + 3) / (21 + 21), atol=1e-6)
    assert batch.targets[1].tolist() == [0, 0, 1, 0, 0, 0, 0]  # its label, as nobody rated it


def test_a_tie_trains_unless_its_session_is_held_out(train, table, tmp_path, capsys):
    losses = {}
    for name, more in {"hard": (), "soft": ("--soft_labels",)}.items():
        folder = train(table, tmp_path, "--using_model", "text", *more, name=name, epochs=1)
        kept = read_torch(folder / "last.ckpt")["hyper_parameters"]
        losses[name] = kept["validation"]["train_loss"]
        assert (TIE in kept["trained_on"]) == (name == "soft")
        assert not any(segment.startswith(("Sess19", "Sess20")) for segment in kept["trained_on"])
    assert losses["hard"] != losses["soft"]
    printed = capsys.readouterr().out
    assert "of these train by the raters' votes alone, without a label: 1\nleft out, without a label: 1\n" in printed


def test_which_turns_without_a_label_are_training_turns(tmp_path):
    rows = speak(tmp_path, [np.zeros(500)] * 4)
    changes = [{"label": UNLABELLED}, {"label": UNLABELLED, "session": 19}, {"label": UNLABELLED, "session": 2}, {}]
    rows = [type(row)(**{**vars(row), **change}) for row, change in zip(rows, changes, strict=True)]
    assert without_label(rows, True, [19], [2]) == rows[:1]
    assert without_label(rows, False, [19]) == rows[:3]
    rows = [
        type(row)(**{**vars(row), "split": split})
        for row, split in zip(rows, ["test", "dev", "train", "train"], strict=True)
    ]
    assert without_label(rows, False, [19]) == [rows[2]]


def test_a_table_without_votes_is_refused(train, table, tmp_path):
    ratings_path(table).unlink()
    with pytest.raises(UserError, match=r"--soft_labels: there are no votes of the raters, .*table_ratings.csv; MIRAI"):
        train(table, tmp_path, "--using_model", "text", "--soft_labels")


def test_the_cross_modal_trainer_takes_them_too(train, table, tmp_path):
    folder = train(table, tmp_path, "--soft_labels", epochs=1, script="MIRAI/trainer_hf_MMER.py")
    assert read_torch(folder / "best.ckpt")["hyper_parameters"]["options"]["soft_labels"] is True
