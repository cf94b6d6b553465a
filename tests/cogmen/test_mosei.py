"""CMU-MOSEI's two pickles, of their exact format, through stage 3; loss and scores of turns with several emotions."""

import contextlib
import json
import math
import pickle
from copy import deepcopy

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, recall_score

from cogmen.checkpoints import load_checkpoint
from cogmen.network.graph_layers import RelationalConv
from cogmen.training import decide, loss_of
from erc.corpus.corpora import CORPORA
from erc.corpus.dialogues import read_dialogues, read_preprocessed, write_preprocessed
from erc.corpus.metrics import report, scores
from erc.corpus.splits import divide
from erc.corpus.targets import take_task
from erc.options import UserError
from tests.cogmen.test_published_checkpoints import published_network
from tests.cogmen.test_published_checkpoints import write as write_published
from tests.cogmen.test_sbert import model as sbert_model  # noqa: F401 (a fixture)
from tests.edits import survives
from tests.tables import read_rows

EMOTIONS = ["happiness", "sadness", "anger", "surprise", "disgust", "fear"]
SIZES = {"a": 80, "t": 768, "v": 35}
KINDS = {
    "sentiment": lambda generator: float(generator.choice([-3, -2, -1.5, -1, -1 / 3, 0, 1 / 3, 1, 1.5, 2, 3])),
    "presence": lambda generator: int(generator.integers(2)),
    "emotions": lambda generator: generator.choice([0, 0, 1 / 3, 1, 2], size=6),
}


def items_of(kind="sentiment", frames=True, dev=False):
    """The nine items of `categorical.p`, or with `dev` the ten of `tbje_mosei_*.pkl`."""
    generator = np.random.default_rng(0)
    ids = [f"-3g5yACwYn{k:02}" for k in range(14)]
    lengths = {name: int(generator.integers(2, 8)) for name in ids}

    def by_turn(make):
        return {name: [make() for _ in range(length)] for name, length in lengths.items()}

    def vectors(size):
        return by_turn(lambda: generator.normal(size=size))

    audio = by_turn(lambda: generator.normal(size=(int(generator.integers(1, 4)), SIZES["a"])) if frames else None)
    if not frames:
        audio = vectors(SIZES["a"])
    columns = by_turn(lambda: "M"), by_turn(lambda: KINDS[kind](generator)), vectors(SIZES["t"]), audio
    train, held_out, test = ids[:10], ids[10:12], ids[12:]
    nine = (ids, *columns, vectors(SIZES["v"]), by_turn(lambda: "so they said"), train, test)
    return (*nine, held_out) if dev else (*nine[:7], train + held_out, test)


def write_pickle(path, items, protocol=2):
    path.write_bytes(pickle.dumps(items, protocol=protocol))
    return path


@pytest.fixture
def preprocess(run_script, tmp_path):
    def call(items, *more):
        path = write_pickle(tmp_path / "mosei.pkl", items)
        paths = ("--dataset", "mosei", "--feat_dir", path, "--res_dir", tmp_path / "p.pkl")
        run_script("COGMEN_code/preprocess.py", *paths, "--text_feature", "extractor", *more)
        return tmp_path / "p.pkl"

    return call


QUICK = ("--from_begin", "--epochs", 2, "--rnn", "gru", "--hidden_size", 8, "--batch_size", 4, "--modalities", "atv")


@pytest.fixture
def trained(preprocess, run_script, tmp_path):
    """`trained(items, "7class")`: the preprocessed file, the checkpoint's path, metrics.json, the predictions."""

    def call(items, emotion, *more):
        made = preprocess(items)
        run_script(
            *("COGMEN_code/train.py", "--dataset", "mosei", "--emotion", emotion, *QUICK, *more),
            *("--preprocessed_feature", made, "--out_dir", tmp_path),
        )
        checkpoint = tmp_path / f"model_checkpoints/mosei_{emotion}_best_dev_f1_model_atv_tmp.pt"
        run_script("COGMEN_code/eval.py", "--pt_dir", checkpoint, "--data_dir", made, "--out_dir", tmp_path / "out")
        rows = read_rows(tmp_path / "out/predictions.csv")
        return made, checkpoint, json.loads((tmp_path / "out/metrics.json").read_text()), rows

    return call


def test_both_pickles(preprocess, tmp_path):
    nine = items_of()
    splits, corpus = read_preprocessed(preprocess(nine))
    assert corpus is CORPORA["mosei"] and [len(splits[name]) for name in ("train", "dev", "test")] == [11, 1, 2]
    for dialogue in (one for name in splits for one in splits[name]):
        assert {m: rows.shape for m, rows in dialogue.features.items()} == {
            m: (len(dialogue), n) for m, n in SIZES.items()
        }
        for turn, frames in enumerate(nine[4][dialogue.id]):
            np.testing.assert_allclose(dialogue.features["a"][turn], frames.mean(axis=0), atol=1e-5)
        assert dialogue.labels.tolist() == nine[2][dialogue.id]  # raw
    splits, _ = read_preprocessed(preprocess(items_of("emotions", dev=True)))
    assert [dialogue.id[-2:] for dialogue in splits["dev"]] == ["10", "11"]
    assert len(splits["train"]) == 10 and splits["test"][0].labels.shape == (len(splits["test"][0]), 6)
    overlapping = list(items_of(dev=True))
    overlapping[7] = overlapping[7] + overlapping[9]  # dev ids among the training ids
    splits, _ = read_preprocessed(preprocess(overlapping, "--split_utterances", 2))
    assert {dialogue.id[-2:] for dialogue in splits["dev"]} == {"10", "11"} and len(splits["train"]) > 10


def test_its_texts_are_embedded_unless_the_users_says_otherwise(run_script, tmp_path, sbert_model):  # noqa: F811
    path = write_pickle(tmp_path / "categorical.p", items_of(), protocol=4)
    paths = ("--feat_dir", path, "--res_dir", tmp_path / "p.pkl", "--sbert", sbert_model)
    run_script("COGMEN_code/preprocess.py", "--dataset", "mosei", *paths)
    assert read_preprocessed(tmp_path / "p.pkl")[0]["train"][0].features["t"].shape[1] == 12


@pytest.mark.parametrize(
    ("kind", "dev", "emotion", "classes"),
    [
        ("sentiment", False, "2class", 2),
        ("sentiment", True, "7class", 7),
        ("presence", True, "surprise", 2),
        ("emotions", True, "happiness", 2),
    ],
)
def test_one_class_for_each_turn(trained, kind, dev, emotion, classes):
    items = items_of(kind, dev=dev)
    _, path, result, rows = trained(items, emotion)
    checkpoint = load_checkpoint(path)
    assert checkpoint.emotion == emotion and len(checkpoint.emotions) == classes == len(result["per_class"])
    turns = [label for name in items[8] for label in items[2][name]]
    assert result["n"] == len(turns) == len(rows)
    if emotion == "2class":
        assert [row["label"] for row in rows] == ["positive" if label >= 0 else "negative" for label in turns]
    if kind == "emotions":
        assert [row["label"] == "happiness" for row in rows] == [label[0] > 0 for label in turns]
    assert checkpoint.network.architecture.num_speakers == 1 and len(checkpoint.network.gcn.conv1.weight) == 2


def test_several_emotions_of_a_turn(trained, run_script, tmp_path, capsys):
    items = items_of("emotions", dev=True)
    made, path, result, rows = trained(items, "multilabel")
    printed = capsys.readouterr().out
    turns = [label for name in items[8] for label in items[2][name]]
    for place, emotion in enumerate(EMOTIONS):
        label, prediction = ([int(row[f"{what}_{emotion}"]) for row in rows] for what in ("label", "prediction"))
        p = [float(row[f"p_{emotion}"]) for row in rows]
        assert label == [int(turn[place] > 0) for turn in turns]
        assert all((q > 0.5) == bool(yes) for q, yes in zip(p, prediction, strict=True) if abs(q - 0.5) > 1e-5)
        own = result["per_class"][emotion]
        assert own["weighted_f1"] == pytest.approx(f1_score(label, prediction, average="weighted", zero_division=0))
        assert own["accuracy"] == pytest.approx(accuracy_score(label, prediction))
        assert np.sum(result["confusion"][emotion]) == len(turns) == result["n"]
        assert f"{emotion:10}" in printed
    assert result["weighted_f1"] == pytest.approx(np.mean([one["weighted_f1"] for one in result["per_class"].values()]))
    assert (tmp_path / "out/confusion_matrix.png").read_bytes().startswith(b"\x89PNG")
    run_script("COGMEN_code/eval.py", "--pt_dir", path, "--data_dir", made)
    assert capsys.readouterr().out.splitlines()[0] in printed  # train.py's, and without --out_dir
    history = read_rows(path.with_suffix(".csv"))
    assert max(float(row["dev_weighted_f1"]) for row in history) == load_checkpoint(path).dev_weighted_f1
    train = ("COGMEN_code/train.py", *QUICK, "--emotion", "multilabel", "--preprocessed_feature", made)
    with pytest.raises(UserError, match="--class_weight: weighs the one emotion of a turn"):
        run_script(*train, "--out_dir", tmp_path, "--class_weight")


def test_emotions_that_the_audio_tells_are_found(trained):
    items = items_of("emotions", frames=False, dev=True)
    for name, labels in items[2].items():
        items[4][name] = [[*np.sign(label), *np.zeros(74)] for label in labels]
        for other in (3, 5):
            items[other][name] = [0 * row for row in items[other][name]]
    wide = ("--hidden_size", 50, "--wp", 0, "--wf", 0, "--drop_rate", 0)
    _, _, result, _ = trained(items, "multilabel", "--epochs", 40, "--learning_rate", 0.01, *wide)
    assert result["weighted_f1"] > 0.85


def test_the_loss_against_a_loop():
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(7, 6, generator=generator) * 3, torch.randint(2, (7, 6), generator=generator)
    total = 0.0
    for row, own in zip(logits.tolist(), labels.tolist(), strict=True):
        for logit, label in zip(row, own, strict=True):
            p = 1 / (1 + math.exp(-logit))
            total -= math.log(p if label else 1 - p)
    assert loss_of(logits, labels).item() == pytest.approx(total / 7, rel=1e-5)
    decided = decide(logits, CORPORA["mosei"].of_task("multilabel"))
    assert decided.tolist() == [[int(logit > 0) for logit in row] for row in logits.tolist()]


def test_scores_of_several_emotions_by_hand():
    labels = [[1, 0], [1, 1], [0, 0], [1, 0]]
    predictions = [[1, 0], [0, 1], [0, 1], [1, 0]]
    result = scores(labels, predictions, ("happiness", "fear"))
    assert result["confusion"] == {"happiness": [[1, 0], [1, 2]], "fear": [[2, 1], [0, 1]]}
    columns = list(zip(np.transpose(labels), np.transpose(predictions), strict=True))
    for name, score in (
        ("weighted_f1", lambda own, found: f1_score(own, found, average="weighted")),
        ("macro_f1", lambda own, found: f1_score(own, found, average="macro")),
        ("uar", lambda own, found: recall_score(own, found, average="macro")),
        ("accuracy", accuracy_score),
    ):
        assert result[name] == pytest.approx(np.mean([score(*column) for column in columns]))
    assert result["per_class"]["happiness"]["recall"] == pytest.approx(2 / 3)
    assert report(result).splitlines()[2:] == [
        "emotion    precision  recall      F1  support  weighted F1",
        "happiness     100.00   66.67   80.00        3        76.67",
        "fear           50.00  100.00   66.67        1        76.67",
    ]


def change(place, value):
    def damage(items):
        name = items[0][2]
        items[place][name] = [value if turn == 0 else old for turn, old in enumerate(items[place][name])]

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda items: items.append([]), "of mosei, a list of 9 items; found 11"),
        (change(2, "happy"), r"dialogue -3g5yACwYn02, turn 0: label 'happy', expected a number, or 6 of them"),
        (change(2, None), "turn 0: label None, expected a number, or 6"),
        (change(2, float("nan")), "turn 0: label nan, expected a number, or 6"),
        (change(2, True), "turn 0: label True, expected a number"),
        (change(2, [1, 2]), r"turn 0: label \[1, 2\], expected a number, or 6"),
        (lambda items: change(2, [0.0] * 6)(items), "numbers? as (its|the) label"),
        (change(4, np.zeros((0, 80))), r"turn 0: audio embedding has shape \(0, 80\), expected one vector"),
        (change(4, np.zeros((2, 2, 80))), r"turn 0: audio embedding has shape \(2, 2, 80\), expected one vector"),
        (change(4, np.full((2, 80), np.inf)), "turn 0: audio embedding has a value that is not finite"),
        (change(4, np.zeros((2, 74))), "turn 0: audio embedding has 74 values, the turns before it 80"),
        (lambda items: items[9].append("none"), "dialogue none is in the training or test set but not among the ids"),
        (lambda items: items[9].append(items[8][0]), "is in both the training and the test set"),
        (lambda items: items.__setitem__(9, {}), "`dev_ids` is a dict, expected a list"),
    ],
)
def test_wrong_files_are_named(tmp_path, damage, message):
    items = list(items_of(dev=True))
    damage(items)
    path = write_pickle(tmp_path / "mosei.pkl", items)
    with pytest.raises(UserError, match=rf"mosei\.pkl: .*{message}"):
        read_dialogues(path, CORPORA["mosei"])


@pytest.mark.parametrize("emotion", ["2class", "multilabel"])
def test_no_single_value_hurts(tmp_path, emotion):
    label = {"2class": [0.5, -1], "multilabel": [[0, 1, 0, 2, 0, 0.5], [0] * 6]}[emotion]
    ids, visual = ["d0", "d1", "d2"], [[0.5, 2.0], [1.5, 0.0]]
    columns = (["M", "M"], label, visual, [[[0.5, 1.0], [0.0, 1.0]], [[2.0, 2.0]]], visual, ["yes", "no"])
    items = [ids, *({name: deepcopy(column) for name in ids} for column in columns), ids[:1], ids[1:2], ids[2:]]

    def read():
        path, corpus = write_pickle(tmp_path / "mosei.pkl", items), CORPORA["mosei"]
        file = read_dialogues(path, corpus)
        with contextlib.suppress(UserError):  # no training dialogue may be left
            splits = divide(file, corpus)
            write_preprocessed(tmp_path / "p.pkl", splits, corpus)
            assert take_task(path, read_preprocessed(tmp_path / "p.pkl")[0], corpus, emotion).emotions

    read_in, refused = survives(items, read, every=4)
    assert refused > 100 and read_in > 10


def test_wrong_options(preprocess, trained, run_script, tmp_path):
    made, path, _, _ = trained(items_of(), "2class")
    train = ("COGMEN_code/train.py", *QUICK, "--preprocessed_feature", made, "--out_dir", tmp_path)
    with pytest.raises(UserError, match=r"p\.pkl: mosei has a choice: 2class, .*; give --emotion"):
        run_script(*train)
    with pytest.raises(UserError, match=r"p\.pkl: --emotion multilabel: takes 6 numbers"):
        run_script(*train, "--emotion", "multilabel")
    seven = [flag for flag in train if flag != "--from_begin"] + ["--emotion", "7class", "--model_ckpt", path]
    with pytest.raises(UserError, match="trained with emotions negative, positive, here emotions highly negative"):
        run_script(*seven)
    vectors = preprocess(items_of("emotions", dev=True))
    with pytest.raises(UserError, match=r"p\.pkl: --emotion 2class: takes a number"):
        run_script("COGMEN_code/eval.py", "--pt_dir", path, "--data_dir", vectors)


def test_a_search_for_several_emotions_weighs_none(preprocess, run_script, tmp_path, capsys):
    made = preprocess(items_of("emotions", dev=True))
    shared = ("--preprocessed_feature", made, "--out_dir", tmp_path, "--emotion", "multilabel", "--epochs", 1)
    run_script("COGMEN_code/tune.py", *shared, "--rnn", "gru", "--hidden_size", 4, "--modalities", "t", "--trials", 2)
    assert "fixed: class_weight" in capsys.readouterr().out


def published(outputs, speakers=1):
    """The module of the published network for a task, as it would be if only its sizes were other than KEMDy19's."""
    network = published_network("gru")
    torch.manual_seed(0)
    hidden = network.clf.lin2.in_features
    network.clf.lin2 = torch.nn.Linear(hidden, outputs)
    network.gcn.conv1 = RelationalConv(network.rnn.rnn.hidden_size * 2, hidden, 2 * speakers**2)
    pairs = [f"{i}{j}{later}" for i in range(speakers) for j in range(speakers) for later in (0, 1)]
    network.edge_type_to_idx = {pair: number for number, pair in enumerate(pairs)}
    return network


@pytest.mark.parametrize(
    ("emotion", "outputs", "speakers"), [("2class", 2, 1), ("7class", 7, 2), ("anger", 2, 2), ("multilabel", 6, 1)]
)
def test_published_checkpoints_are_converted_and_scored(run_script, tmp_path, capsys, emotion, outputs, speakers):
    sizes = {"dataset": "mosei", "dataset_embedding_dims": {"mosei": {"t": 16}}}
    network = published(outputs, speakers)
    old = write_published(tmp_path / "old.pt", network=network, emotion=emotion, **sizes)
    run_script("COGMEN_code/convert_checkpoint.py", old, tmp_path / "new.pt")
    assert f", mosei {emotion}, feature sizes t 16" in capsys.readouterr().out
    checkpoint = load_checkpoint(tmp_path / "new.pt")
    assert checkpoint.emotion == emotion and checkpoint.network.architecture.relations == "speakers"
    assert torch.equal(checkpoint.network.clf.lin2.weight, network.clf.lin2.weight)
    kind = {"2class": "sentiment", "7class": "sentiment"}.get(emotion, "emotions")
    items = list(items_of(kind, dev=True))
    items[3] = {name: [row[:16] for row in rows] for name, rows in items[3].items()}
    data = ("--feat_dir", write_pickle(tmp_path / "mosei.pkl", items), "--res_dir", tmp_path / "p.pkl")
    run_script("COGMEN_code/preprocess.py", "--dataset", "mosei", *data, "--text_feature", "extractor")
    capsys.readouterr()
    run_script("COGMEN_code/eval.py", "--pt_dir", tmp_path / "new.pt", "--data_dir", tmp_path / "p.pkl")
    assert "weighted F1" in capsys.readouterr().out


def test_published_checkpoints_that_tell_no_task_or_another(run_script, tmp_path):
    old = write_published(tmp_path / "old.pt", network=published(6), dataset="mosei")
    convert = ("COGMEN_code/convert_checkpoint.py", old, tmp_path / "new.pt")
    with pytest.raises(UserError, match="do not tell the emotion; give --emotion"):
        run_script(*convert)
    with pytest.raises(UserError, match="tells 6 emotions apart over 2 relations of speakers; mosei has 7 and 2"):
        run_script(*convert, "--emotion", "7class")
    run_script(*convert, "--emotion", "multilabel")
    kemdy19 = write_published(tmp_path / "kemdy19.pt")
    with pytest.raises(UserError, match=r"--emotion anger: .*kemdy19\.pt is of KEMDy19, which has only its emotions"):
        run_script("COGMEN_code/convert_checkpoint.py", kemdy19, tmp_path / "new.pt", "--emotion", "anger")


def test_a_network_of_other_outputs_than_its_task_is_refused(trained):
    _, path, _, _ = trained(items_of("emotions", dev=True), "multilabel")
    content = torch.load(path, weights_only=True)
    for changes, message in (
        ({"multilabel": False}, "damaged: its multilabel is False, its other parts say True"),
        ({"multilabel": 1}, "damaged: its multilabel is 1, its other parts say True"),
        ({"relations": "all"}, "its architecture has relations 'all', expected one of speakers, same_other, time"),
        ({"relations": "same_other"}, r"gcn\.conv1\.weight has the wrong shape .* expected \(4, "),
    ):
        torch.save({**content, "architecture": content["architecture"] | changes}, path)
        with pytest.raises(UserError, match=message):
            load_checkpoint(path)
    torch.save({**content, "emotions": EMOTIONS[:5]}, path)
    with pytest.raises(UserError, match="its emotions is"):
        load_checkpoint(path)
