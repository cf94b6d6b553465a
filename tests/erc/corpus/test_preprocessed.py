from copy import deepcopy

import numpy as np
import pytest
import torch

from cogmen.network.batching import DialogueSet, Layout, as_tensors
from cogmen.network.graph import dialogue_graph
from erc.corpus.corpora import KEMDY19
from erc.corpus.preprocessed import feature_sizes, preprocess, read_preprocessed, split_ids, write_preprocessed
from erc.files import write_pickle
from erc.options import UserError


def test_dev_is_the_first_tenth_of_the_training_ids(dialogues):
    ids = split_ids(dialogues)
    assert ids["dev"] == dialogues.train_ids[:1]
    assert ids["train"] == dialogues.train_ids[1:]
    assert ids["test"] == dialogues.test_ids


def test_dev_sessions(dialogues):
    ids = split_ids(dialogues, dev_sessions=[2, 4])
    assert ids["dev"] == ["Sess02_impro01", "Sess02_script01", "Sess04_impro01", "Sess04_script01"]
    assert not set(ids["dev"]) & set(ids["train"])
    with pytest.raises(UserError, match="--dev_sessions: session 6 is not among the training dialogues"):
        split_ids(dialogues, dev_sessions=[6])


def test_dev_drawn_with_a_seed(dialogues):
    draws = {tuple(split_ids(dialogues, seed=seed)["dev"]) for seed in range(20)}
    assert len(draws) > 3
    assert split_ids(dialogues, seed=3) == split_ids(dialogues, seed=3)


def test_contents(dialogues):
    splits = preprocess(deepcopy(dialogues), KEMDY19, split_ids(dialogues))
    record = splits["test"][0]
    name = record["id"]
    np.testing.assert_array_equal(record["a"], np.stack(dialogues.audio[name]))
    assert [KEMDY19.speakers[s] for s in record["speakers"]] == dialogues.speakers[name]
    assert record["labels"].tolist() == dialogues.labels[name]
    assert "v" not in record


def test_chunks_of_consecutive_turns(dialogues):
    whole = preprocess(deepcopy(dialogues), KEMDY19, split_ids(dialogues))["train"]
    chunks = preprocess(dialogues, KEMDY19, split_ids(dialogues), split_utterances=3)["train"]
    assert max(len(chunk["labels"]) for chunk in chunks) == 3
    for field in ("segment_ids", "a"):
        joined = np.concatenate([chunk[field] for chunk in chunks])
        np.testing.assert_array_equal(joined, np.concatenate([record[field] for record in whole]))


def test_round_trip_and_sizes(dialogues, tmp_path):
    path = tmp_path / "p.pkl"
    write_preprocessed(path, preprocess(dialogues, KEMDY19, split_ids(dialogues)))
    splits = read_preprocessed(path, KEMDY19)
    assert feature_sizes(path, splits, "at") == {"a": 8, "t": 16}
    with pytest.raises(UserError, match=r"--modalities atv asks for visual, the file has at"):
        feature_sizes(path, splits, "atv")


def test_modalities_are_joined_in_the_order_a_t(dialogues):
    record = preprocess(dialogues, KEMDY19, split_ids(dialogues))["test"][0]
    audio, text = record["a"], record["t"]
    assert torch.equal(as_tensors([{**record}], "at")[0].features, torch.from_numpy(np.concatenate([audio, text], 1)))
    assert torch.equal(as_tensors([{**record}], "t")[0].features, torch.from_numpy(text))


def test_other_files_are_refused(tmp_path):
    for value in ([1], {"train": [], "test": []}, {"train": [], "dev": [], "test": [], "more": []}):
        write_pickle(tmp_path / "p.pkl", value)
        with pytest.raises(UserError, match="expected a preprocessed file with train, dev and test"):
            read_preprocessed(tmp_path / "p.pkl", KEMDY19)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda s: s.update(dev={}), "dev is a dict, expected a list of dialogues"),
        (lambda s: s["test"].append(3), "test dialogue 2 is not a dict with an id"),
        (lambda s: s["test"][1].pop("id"), "test dialogue 1 is not a dict with an id"),
        (lambda s: s["test"].append(s["test"][0]), "Sess06_impro01: turn Sess06_impro01_.001 is there twice"),
        (lambda s: s["test"].append(s["train"][0]), "dialogue Sess01_script01 is in both train and test"),
        (
            lambda s: s["dev"].append(s["test"].pop()),
            r"session 6 is in both the training set \(Sess06_script01\) and the",
        ),
        (lambda s: s["test"][1].update(a=s["test"][1]["a"][:, :5]), "Sess06_script01 has features of sizes a 5, t 16"),
        (lambda s: s["test"][1].pop("a"), "Sess06_script01 has features of sizes t 16, others a 8, t 16"),
        (
            lambda s: s["test"][1].update(a=s["test"][1]["a"][1:]),
            r"Sess06_script01: audio features of shape \(\d+, 8\)",
        ),
        (lambda s: s["test"][1].update(a=s["test"][1]["a"][0]), r"Sess06_script01: audio features of shape \(8,\)"),
        (lambda s: s["test"][1].update(a=list(s["test"][1]["a"])), "audio features that are no array"),
        (lambda s: s["test"][1]["a"].__setitem__((2, 1), np.inf), "Sess06_script01, turn 2: audio .* not finite"),
        (lambda s: s["test"][1]["labels"].__setitem__(2, 7), "Sess06_script01, turn 2: label 7; KEMDy19 has 0 to 6"),
        (lambda s: s["test"][1]["labels"].__setitem__(2, -1), "Sess06_script01, turn 2: label -1"),
        (
            lambda s: s["test"][1]["speakers"].__setitem__(2, 2),
            "Sess06_script01, turn 2: speaker 2; KEMDy19 has",
        ),
        (
            lambda s: s["test"][1].update(labels=s["test"][1]["labels"] * 1.0),
            "labels are not an array of whole numbers",
        ),
        (lambda s: s["test"][1].update(labels=s["test"][1]["labels"][:0]), "labels are not an array of whole numbers"),
        (lambda s: s["test"][1].update(labels=["x"]), "labels are not an array of whole numbers"),
        (lambda s: s["test"][1].update(speakers=s["test"][1]["speakers"][1:]), r"has \d labels but \d speakers"),
        (lambda s: s["test"][1]["sentences"].pop(), r"Sess06_script01 has \d labels but \d sentences"),
        (lambda s: s["test"][1]["sentences"].__setitem__(0, None), "sentences are not a list of text"),
        (lambda s: s["test"][1]["segment_ids"].__setitem__(0, "a\nb"), "segment_ids are not a list of text"),
        (lambda s: s["test"][1].update(segment_ids="ab"), "segment_ids are not a list of text"),
        (
            lambda s: s["test"][1]["segment_ids"].__setitem__(0, s["test"][1]["segment_ids"][1]),
            "Sess06_script01: a segment id is there twice",
        ),
    ],
)
def test_malformed_files_are_refused(dialogues, tmp_path, damage, message):
    splits = preprocess(dialogues, KEMDY19, split_ids(dialogues))
    damage(splits)
    write_pickle(tmp_path / "p.pkl", splits)
    with pytest.raises(UserError, match=rf"p\.pkl: .*{message}.*; make the file again with preprocess\.py"):
        read_preprocessed(tmp_path / "p.pkl", KEMDY19)


def test_chunks_of_a_dialogue_share_its_id(dialogues, tmp_path):
    splits = preprocess(dialogues, KEMDY19, split_ids(dialogues), split_utterances=2)
    write_preprocessed(tmp_path / "p.pkl", splits)
    assert len(read_preprocessed(tmp_path / "p.pkl", KEMDY19)["test"]) == len(splits["test"]) > 2


def test_no_features_is_told_with_the_next_command(dialogues):
    for dialogue in dialogues.ids:
        dialogues.text[dialogue], dialogues.audio[dialogue] = [], []
    with pytest.raises(UserError, match="no embeddings; run MIRAI/feature_extractor"):
        preprocess(dialogues, KEMDY19, split_ids(dialogues))


def test_padding_and_back():
    layout = Layout.of([2, 1, 3])
    turns = torch.arange(1.0, 13.0).view(6, 2)
    padded = layout.pad(turns)
    assert padded.shape == (3, 3, 2)
    assert padded[0, 2].tolist() == padded[1, 1].tolist() == [0, 0]
    assert padded[1, 0].tolist() == [5, 6]
    assert torch.equal(layout.unpad(padded), turns)


def test_every_dialogue_is_in_one_batch(dialogues):
    train = as_tensors(preprocess(dialogues, KEMDY19, split_ids(dialogues))["train"], "at")
    batching = DialogueSet(train, wp=5, wf=5, num_speakers=2)
    order = batching.order(4, torch.Generator().manual_seed(0))
    assert [len(numbers) for numbers in order] == [4, 4, 1]
    numbers = [k for batch in order for k in batch]
    assert sorted(numbers) == list(range(9)) != numbers
    everything = torch.cat([batching.batch(numbers).features for numbers in order])
    assert torch.equal(everything, torch.cat([train[k].features for k in numbers]))


def test_a_batchs_graph_is_that_of_its_dialogues(dialogues):
    train = as_tensors(preprocess(dialogues, KEMDY19, split_ids(dialogues))["train"], "at")
    batch = DialogueSet(train, wp=1, wf=2, num_speakers=2).batch([4, 0, 7])
    chosen = [train[k] for k in (4, 0, 7)]
    lengths = np.array([len(dialogue.labels) for dialogue in chosen])
    speakers = np.concatenate([dialogue.speakers for dialogue in chosen])
    edge_index, edge_type = dialogue_graph(lengths, speakers, 1, 2, 2)
    assert np.array_equal(batch.edge_index, edge_index) and np.array_equal(batch.edge_type, edge_type)
    assert torch.equal(batch.labels, torch.cat([dialogue.labels for dialogue in chosen]))
    assert batch.layout.lengths.tolist() == lengths.tolist()
