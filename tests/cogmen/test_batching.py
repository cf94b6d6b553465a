"""Packing: batches against dialogues that are put one after another by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cogmen.network.batching import DialogueSet, Layout
from erc.corpus.corpora import KEMDY19
from erc.options import UserError
from tests.oracles import naive_graph


def test_padding_and_back():
    layout = Layout.of([2, 1, 3])
    turns = torch.arange(1.0, 13.0).view(6, 2)
    padded = layout.pad(turns)
    assert padded.shape == (3, 3, 2)
    assert padded[0, 2].tolist() == padded[1, 1].tolist() == padded[1, 2].tolist() == [0, 0]
    assert padded[1, 0].tolist() == [5, 6]
    assert torch.equal(layout.unpad(padded), turns)


@pytest.mark.parametrize("modalities", ["at", "t", "a"])
@pytest.mark.parametrize("numbers", [[4, 0, 7], [2], [1, 3, 5, 6]])
def test_a_batch_is_its_dialogues_one_after_another(dialogues, modalities, numbers):
    wp, wf = 1, 2  # of different lengths, lest one stand for the other
    batch = DialogueSet(dialogues.dialogues, modalities, KEMDY19, wp, wf, 2).batch(numbers)
    chosen = [dialogues.dialogues[k] for k in numbers]
    lengths = [len(dialogue) for dialogue in chosen]
    speakers = [0 if speaker == "M" else 1 for dialogue in chosen for speaker in dialogue.speakers]
    edges, relations = naive_graph(lengths, speakers, wp, wf, 2)
    assert batch.edge_index.T.tolist() == [list(edge) for edge in edges] and batch.edge_type.tolist() == relations
    rows = [np.hstack([one.features[m][turn] for m in modalities]) for one in chosen for turn in range(len(one))]
    assert torch.equal(batch.features, torch.from_numpy(np.stack(rows)))
    assert batch.labels.tolist() == [label for dialogue in chosen for label in dialogue.labels.tolist()]
    assert batch.layout.lengths.tolist() == lengths


def test_past_and_future_turns_are_not_exchanged(dialogues):
    (dialogue,) = dialogues.dialogues[:1]
    source, target = DialogueSet([dialogue], "t", KEMDY19, 2, 0, 2).batch([0]).edge_index
    assert (source <= target).all() and (target - source).max() == 2


def test_every_dialogue_is_in_one_batch(dialogues):
    everything = DialogueSet(dialogues.dialogues, "at", KEMDY19, 5, 5, 2)
    assert everything.order(5) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11]]
    order = everything.order(5, torch.Generator().manual_seed(0))
    assert [len(numbers) for numbers in order] == [5, 5, 2]
    assert sorted(k for numbers in order for k in numbers) == list(range(12)) != [k for n in order for k in n]
    assert (
        order
        == everything.order(5, torch.Generator().manual_seed(0))
        != everything.order(5, torch.Generator().manual_seed(1))
    )


def test_speakers_of_a_corpus_that_declares_none(dialogues):
    own = replace(KEMDY19, speakers=())
    dialogue = max(dialogues.dialogues, key=len)
    dialogue.speakers[:] = [("Ross", "Joey", "Monica")[turn % 3] for turn in range(len(dialogue))]
    batch = DialogueSet([dialogue], "t", own, -1, -1, 3).batch([0])
    edges, relations = naive_graph([len(dialogue)], [turn % 3 for turn in range(len(dialogue))], -1, -1, 3)
    assert batch.edge_index.T.tolist() == [list(edge) for edge in edges] and batch.edge_type.tolist() == relations
    with pytest.raises(UserError, match=f"dialogue {dialogue.id} has 3 speakers, the network was made for 2"):
        DialogueSet([dialogue], "t", own, -1, -1, 2)
    batch = DialogueSet([dialogue], "t", own, -1, -1, 2, relations="same_other").batch([0])
    _, relations = naive_graph([len(dialogue)], [turn % 3 for turn in range(len(dialogue))], -1, -1, 2, "same_other")
    assert batch.edge_type.tolist() == relations


@pytest.mark.filterwarnings("error")
def test_features_that_must_not_be_written_to(dialogues):
    (dialogue,) = dialogues.dialogues[:1]
    dialogue.features["t"].flags.writeable = False
    batch = DialogueSet([dialogue], "t", KEMDY19, 5, 5, 2).batch([0])
    assert batch.features.tolist() == dialogue.features["t"].tolist()


def test_features_and_labels_are_put_on_the_device_once(dialogues):
    """`meta` is a device that every machine has."""
    on_meta = DialogueSet(dialogues.dialogues, "at", KEMDY19, 5, 5, 2, device="meta")
    assert {tensor.device.type for rows in (*on_meta.features, on_meta.labels) for tensor in rows} == {"meta"}


def test_a_batch_goes_to_a_gpu_without_waiting_for_it(dialogues, monkeypatch):
    sent = []

    def to(tensor, device=None, non_blocking=False):
        sent.append((torch.device(device or "cpu").type, non_blocking))
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(torch.Tensor, "to", to)
    everything = DialogueSet(dialogues.dialogues, "t", KEMDY19, 5, 5, 2, device="cuda")
    sent.clear()
    everything.batch([0, 1])
    assert sent == [("cuda", True)] * 5  # edges, relations, speakers, the turns' places, the mask
