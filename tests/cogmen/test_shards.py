"""A corpus in shards gives by the scripts what it gives in one file; a folder that is not whole is refused."""

import json
import os
import shutil
import signal

import numpy as np
import pytest
import torch

from cogmen.network.batching import DialogueSet
from cogmen.training import train_step as step
from erc.corpus.corpora import KEMDY19, SPLITS
from erc.corpus.dialogue_shards import open_dialogues, write_dialogue_index, write_dialogue_shards, write_shard
from erc.corpus.dialogues import read_dialogues, read_preprocessed, write_dialogues
from erc.corpus.shards import StoredRows, cut, shard_folder
from erc.options import UserError

from .conftest import make_dialogues

SHARDS = 4


@pytest.fixture(scope="module")
def made(run_script, tmp_path_factory):
    """One corpus as a file and in shards, preprocessed: `d.pkl`, `d`, `p.pkl`, `p`."""
    folder, file = tmp_path_factory.mktemp("shards"), make_dialogues()
    write_dialogues(folder / "d.pkl", file)
    with shard_folder(folder / "d") as new:
        write_dialogue_shards(new, file, SHARDS)
    for source, target in (("d.pkl", "p.pkl"), ("d", "p")):
        arguments = ("--feat_dir", folder / source, "--res_dir", folder / target, "--split_utterances", 4, "--seed", 3)
        run_script("COGMEN_code/preprocess.py", *arguments)
    return folder


@pytest.fixture
def own(made, tmp_path):
    """A copy, to be damaged."""
    return shutil.copytree(made, tmp_path / "own")


def same(ours, theirs):
    assert (ours.id, ours.speakers, ours.labels.tolist()) == (theirs.id, theirs.speakers, theirs.labels.tolist())
    assert (ours.segment_ids, ours.sentences) == (theirs.segment_ids, theirs.sentences)
    assert list(ours.features) == list(theirs.features)
    assert all(np.array_equal(ours.features[m], theirs.features[m]) for m in theirs.features)


def test_dialogues_in_shards_are_those_of_the_file(made):
    whole, source = read_dialogues(made / "d.pkl"), open_dialogues(made / "d")
    shards = [source.read(number) for number in range(1, SHARDS + 1)]
    source.check_complete()
    for ours, theirs in zip([d for shard in shards for d in shard.dialogues], whole.dialogues, strict=True):
        same(ours, theirs)
    assert (source.train_ids, source.test_ids) == (whole.train_ids, whole.test_ids)
    assert [one for shard in shards for one in shard.train_ids] == whole.train_ids
    turns = [sum(map(len, shard.dialogues)) for shard in shards]
    assert max(turns) < 2 * min(turns)


def test_preprocessed_shards_are_the_preprocessed_file(made):
    whole, _ = read_preprocessed(made / "p.pkl")
    shards, corpus = read_preprocessed(made / "p")
    assert corpus == KEMDY19 and len(list((made / "p").glob("*.npy"))) == 2 * SHARDS
    for split in SPLITS:
        for ours, theirs in zip(shards[split], whole[split], strict=True):
            same(ours, theirs)


def test_features_stay_on_the_disk_until_a_batch_needs_them(made):
    splits, _ = read_preprocessed(made / "p", lazy=True)
    whole, _ = read_preprocessed(made / "p.pkl")
    assert all(isinstance(rows, StoredRows) for one in splits["train"] for rows in one.features.values())
    lazy, loaded = (DialogueSet(one["train"], "at", KEMDY19, 5, 5, 2) for one in (splits, whole))
    ours, theirs = lazy.batch([3, 0, 5]), loaded.batch([3, 0, 5])
    assert torch.equal(ours.features, theirs.features) and torch.equal(ours.edge_index, theirs.edge_index)
    assert all(isinstance(rows, StoredRows) for part in lazy.features for rows in part)


def outputs(run_script, made, source, out, *more):
    arguments = ("--preprocessed_feature", made / source, "--out_dir", out, "--from_begin", "--epochs", 2)
    run_script("COGMEN_code/train.py", *arguments, "--device", "cpu", *more)
    checkpoint = out / "model_checkpoints/KEMDy19_best_dev_f1_model_at_tmp.pt"
    evaluate = ("--pt_dir", checkpoint, "--data_dir", made / source, "--out_dir", out / "scores", "--device", "cpu")
    run_script("COGMEN_code/eval.py", *evaluate)
    predictions = (out / "scores/predictions.csv").read_text(), (out / "scores/metrics.json").read_text()
    return predictions, torch.load(checkpoint, weights_only=True)["state_dict"]


@pytest.mark.parametrize("more", [(), ("--recipe", "improved")])
def test_training_and_scores_are_the_same(run_script, made, tmp_path, more):
    scores, weights = outputs(run_script, made, "p.pkl", tmp_path / "whole", *more)
    in_shards, ours = outputs(run_script, made, "p", tmp_path / "shards", *more)
    assert in_shards == scores and all(torch.equal(ours[name], weights[name]) for name in weights)


def test_training_on_ratings_is_the_same(run_script, tmp_path):
    file, generator = make_dialogues(), np.random.default_rng(0)
    for one in file.dialogues:
        one.ratings = {name: generator.uniform(1, 5, len(one)).astype(np.float32) for name in ("valence", "arousal")}
        one.ratings["emotions"] = generator.integers(4, size=(len(one), 7)).astype(np.float32)
    write_dialogues(tmp_path / "d.pkl", file)
    with shard_folder(tmp_path / "d") as new:
        write_dialogue_shards(new, file, SHARDS)
    found = []
    for source, target in (("d.pkl", "p.pkl"), ("d", "p")):
        run_script("COGMEN_code/preprocess.py", "--feat_dir", tmp_path / source, "--res_dir", tmp_path / target)
        more = ("--soft_labels", "--valence_arousal", "--hidden_size", 4)
        found.append(outputs(run_script, tmp_path, target, tmp_path / f"out_{target}", *more))
    (scores, weights), (in_shards, ours) = found
    assert in_shards == scores and all(torch.equal(ours[name], weights[name]) for name in weights)


def test_a_resumed_training_ends_with_the_same_weights(run_script, made, tmp_path, monkeypatch):
    _, weights = outputs(run_script, made, "p", tmp_path / "whole", "--batch_size", 4)
    steps = []

    def stop(*arguments):
        steps.append(step(*arguments))
        if len(steps) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return steps[-1]

    monkeypatch.setattr("cogmen.training.train_step", stop)
    with pytest.raises(UserError, match="--resume goes on"):
        outputs(run_script, made, "p", tmp_path / "stopped", "--batch_size", 4)
    moved = shutil.copytree(made, tmp_path / "moved")  # the state is good for the set, wherever it is
    _, ours = outputs(run_script, moved, "p", tmp_path / "stopped", "--batch_size", 4, "--resume", "True")
    assert all(torch.equal(ours[name], weights[name]) for name in weights)


@pytest.mark.parametrize("modalities", ["t", "at"])
def test_a_search_of_options_takes_shards(run_script, made, tmp_path, modalities):
    arguments = ("--preprocessed_feature", made / "p", "--out_dir", tmp_path, "--trials", 1, "--epochs", 1)
    for trials in (1, 2):  # the second time the study is found again
        run_script("COGMEN_code/tune.py", *arguments, "--trials", trials, "--modalities", modalities, "--device", "cpu")
    (rows,) = tmp_path.glob("tuning/*/trials.csv")
    assert len(rows.read_text().splitlines()) == 3


def refused(path, expected, read=read_preprocessed):
    with pytest.raises(UserError, match=expected):
        read(path)


def read_all(path):
    source = open_dialogues(path)
    for number in range(1, source.number + 1):
        source.read(number)
    source.check_complete()


def test_a_missing_shard_is_named(own):
    for folder, read in (("d", read_all), ("p", read_preprocessed)):
        (own / folder / "00003-of-00004.pkl").unlink()
        refused(own / folder, r"00003-of-00004.pkl: this shard is missing \(1 of 4 are\)", read)
    shutil.rmtree(own / "d")
    (own / "d").mkdir()
    refused(own / "d", "a folder without index.json", read_all)


def test_missing_or_short_features_are_named(own):
    (own / "p/00002-of-00004.t.npy").rename(own / "kept")
    refused(own / "p", "00002-of-00004.t.npy: no such file")
    (own / "p/00002-of-00004.t.npy").write_bytes((own / "kept").read_bytes()[:-4])
    refused(own / "p", r"00002-of-00004.t.npy: \d+ rows in [\d,]+ bytes, expected")
    (own / "p/00002-of-00004.t.npy").write_bytes(b"\x93NUMPY")
    refused(own / "p", "00002-of-00004.t.npy: damaged")


def test_features_that_become_bad_later_are_named(own):
    splits, _ = read_preprocessed(own / "p", lazy=True)
    rows = next(dialogue.features["t"] for dialogue in splits["train"] if dialogue.features["t"].start)
    values = np.load(rows.file.path)
    values[rows.start + 1] = np.nan
    np.save(rows.file.path, values)
    with pytest.raises(UserError, match=f"{rows.file.path.name}: row {rows.start + 1} has a value that is not finite"):
        np.asarray(rows)


def test_a_file_cut_short_while_it_is_read(own):
    splits, _ = read_preprocessed(own / "p", lazy=True)
    rows = splits["train"][-1].features["a"]
    rows.file.path.write_bytes(rows.file.path.read_bytes()[:200])
    with pytest.raises(UserError, match="has become shorter"):
        np.asarray(rows)


def test_features_that_are_made_again_while_they_are_read(own):
    splits, _ = read_preprocessed(own / "p", lazy=True)
    rows = splits["train"][-1].features["a"]
    shutil.copy(rows.file.path, own / "other.npy")
    (own / "other.npy").replace(rows.file.path)
    with pytest.raises(UserError, match=f"{rows.file.path.name}: was replaced by another file while it was in use"):
        np.asarray(rows)


def test_shards_of_different_sets_are_refused(own):
    other = make_dialogues(seed=5)
    with shard_folder(own / "e") as new:
        write_dialogue_shards(new, other, SHARDS)
    shutil.copy(own / "e/00002-of-00004.pkl", own / "d")
    refused(own / "d", "00002-of-00004.pkl: is shard 2 of 4 of another set", read_all)
    shutil.copy(own / "p/00001-of-00004.pkl", own / "p/00002-of-00004.pkl")
    refused(own / "p", "00002-of-00004.pkl: is shard 1 of 4, expected shard 2 of 4")
    shutil.copy(own / "d.pkl", own / "d/00001-of-00004.pkl")
    refused(own / "d", "00001-of-00004.pkl: is no shard", read_all)


def test_shards_that_lack_a_dialogue_are_refused(tmp_path):
    file = make_dialogues()
    with shard_folder(tmp_path / "d") as new:
        write_shard(new, file, file.dialogues[1:], ("x", 1, 1))
        write_dialogue_index(new, "x", 1, file)
    refused(tmp_path / "d", f"train_ids: dialogue {file.dialogues[0].id}: no shard has it", read_all)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"format": "dialogue-shards"}, "expected the index of preprocessed-shards"),
        ({"version": 2}, "of version 1"),
        ({"shards": 0}, "damaged"),
        ({"shards": 1e9}, "damaged"),
        ({"train": "Sess01_impro01"}, "train is no list of different names"),
        ({"test": ["Sess01_impro01"]}, "dialogue Sess01_impro01"),
        ({"features": {"x": 3}}, "features"),
        ({"features": {"a": 9, "t": 16}}, "features"),
        ({"corpus": "KEMDy18"}, "KEMDy18"),
    ],
)
def test_a_damaged_index_is_refused(own, change, expected):
    index = json.loads((own / "p/index.json").read_text())
    (own / "p/index.json").write_text(json.dumps(index | change))
    refused(own / "p", expected)


def test_a_folder_of_something_else_is_not_replaced(run_script, own, capsys):
    (own / "precious").mkdir()
    (own / "precious/thesis.txt").write_text("years")
    arguments = ("--feat_dir", own / "d", "--res_dir", own / "precious")
    with pytest.raises(UserError, match="is no folder of shards"):
        run_script("COGMEN_code/preprocess.py", *arguments)
    assert (own / "precious/thesis.txt").exists()


def test_made_again_it_is_the_same(run_script, made, own):
    before = {path.name: path.read_bytes() for path in (own / "p").iterdir()}
    arguments = ("--feat_dir", made / "d", "--res_dir", own / "p", "--split_utterances", 4, "--seed", 3)
    run_script("COGMEN_code/preprocess.py", *arguments)
    assert {path.name: path.read_bytes() for path in (own / "p").iterdir()} == before
    assert sorted(path.name for path in own.iterdir()) == ["d", "d.pkl", "p", "p.pkl"]


def test_where_dialogues_are_cut():
    assert cut([1] * 8, 4) == [slice(0, 2), slice(2, 4), slice(4, 6), slice(6, 8)]
    assert cut([100, 1, 1], 3) == [slice(0, 1), slice(1, 2), slice(2, 3)]
    assert cut([1, 1, 100], 3) == [slice(0, 1), slice(1, 2), slice(2, 3)]
    with pytest.raises(UserError, match="--shards 3: expected at most one a dialogue, there are 2"):
        cut([1, 1], 3)


@pytest.mark.parametrize("name", ["index.json", "00002-of-00004.t.npy", "00001-of-00004.pkl"])
def test_bytes_that_changed_give_errors_or_dialogues(own, name):
    """What is read of a damaged folder is refused, or has the form that it is to have."""
    random = np.random.default_rng(0)
    content = (own / "p" / name).read_bytes()
    refusals = 0
    for _ in range(40):
        damaged = bytearray(content[: random.integers(len(content))] if random.random() < 0.2 else content)
        for place in random.integers(max(1, min(len(damaged), 400)), size=random.integers(1, 4)):
            damaged[place : place + 1] = random.bytes(1)
        (own / "p" / name).write_bytes(damaged)
        try:
            splits, _ = read_preprocessed(own / "p")
        except UserError:
            refusals += 1
            continue
        for dialogue in (one for split in SPLITS for one in splits[split]):
            assert all(
                rows.shape[0] == len(dialogue) and np.isfinite(rows).all() for rows in dialogue.features.values()
            )
    assert refusals > 5
