"""Each option of the dialogue scripts changes what it says it changes."""

import zipfile
from functools import partial

import numpy as np
import pytest
import torch

from cogmen.checkpoints import load_checkpoint
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import read_preprocessed, write_dialogues
from erc.options import UserError
from erc.untrusted import read_pickle
from tests.cogmen.conftest import make_dialogues
from tests.cogmen.naive_training import naive_training
from tests.tables import read_rows

BASE = ("--from_begin", "--epochs", 2, "--rnn", "gru", "--hidden_size", 8, "--batch_size", 8, "--learning_rate", 0.003)
CHECKPOINT = "model_checkpoints/KEMDy19_best_dev_f1_model_at_tmp.pt"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, run_script):
    folder = tmp_path_factory.mktemp("effects")
    write_dialogues(folder / "feat.pkl", make_dialogues(sessions=12, turns=(3, 13), noise=2.0))
    paths = ("--feat_dir", folder / "feat.pkl", "--res_dir", folder / "preprocessed.pkl")
    run_script("COGMEN_code/preprocess.py", *paths)
    return folder


@pytest.fixture(scope="module")
def train(folder, run_script):
    """`train("--wp", 3, ...)`: the history's rows and the checkpoint; the same arguments are trained once."""
    done = {}

    def call(*more, path=CHECKPOINT):
        if more not in done:
            shared = ("--preprocessed_feature", folder / "preprocessed.pkl", "--out_dir", folder)
            run_script("COGMEN_code/train.py", *shared, *BASE, *more)
            done[more] = read_rows((folder / path).with_suffix(".csv")), load_checkpoint(folder / path)
        return done[more]

    return call


@pytest.fixture(scope="module")
def naive(folder):
    """`naive(epochs=3, ...)`: the naive training; the same options are trained once."""
    items = read_pickle(folder / "feat.pkl")
    done = {}

    def call(**options):
        if str(options) not in done:
            done[str(options)] = naive_training(items, **options)
        return done[str(options)]

    return call


PLATEAU = {"epochs": 25, "learning_rate": 0.03, "scheduler": "reduceLR"}  # the dev loss stops falling in the 8th epoch


def flags_of(options):
    """Options of the naive training as train.py's flags."""
    return [part for name, value in options.items() for part in (f"--{name}", *([] if value is True else [value]))]


def rows_of(history):
    return [[float(row[name]) for name in ("epoch", "train_loss", "dev_loss", "dev_weighted_f1")] for row in history]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 3},
        {"optimizer": "sgd", "learning_rate": 0.1},
        {"optimizer": "sgd", "learning_rate": 0.1, "max_grad_value": 0.01},
        {"optimizer": "rmsprop", "weight_decay": 0.1},
        {"optimizer": "adam", "weight_decay": 0.1},
        {"optimizer": "adamw", "weight_decay": 0.1},
        {"scheduler": "expLR"},
        PLATEAU,
        {"learning_rate": 0.001},
        {"class_weight": True},
        {"wp": 0},
        {"wf": 0},
        {"wp": 7, "wf": 1},
        {"wp": -1, "wf": 2},
        {"wp": 2, "wf": -1},
        {"seed": 1},
    ],
    ids=str,
)
def test_the_training_is_that_of_a_plain_loop(train, naive, folder, run_script, tmp_path, options):
    """The losses and scores of every epoch, and eval.py's predictions with the weights that are kept."""
    options = {"epochs": 4, **options}
    expected, usual = naive(**options), naive(epochs=options["epochs"])
    if len(options) > 1:  # so that agreeing means something
        assert np.abs(np.subtract(rows_of(usual.history), rows_of(expected.history))).max() > 1e-3
    history, checkpoint = train("--drop_rate", 0, *flags_of(options))
    np.testing.assert_allclose(rows_of(history), rows_of(expected.history), atol=1e-5)
    assert checkpoint.epoch == expected.epoch
    paths = ("--pt_dir", folder / CHECKPOINT, "--data_dir", folder / "preprocessed.pkl", "--out_dir", tmp_path)
    run_script("COGMEN_code/eval.py", *paths)
    found = [
        [float(row[f"p_{emotion}"]) for emotion in KEMDY19.emotions] for row in read_rows(tmp_path / "predictions.csv")
    ]
    at_temperature = np.asarray(expected.probabilities) ** (1 / checkpoint.temperature)
    np.testing.assert_allclose(found, at_temperature / at_temperature.sum(axis=1, keepdims=True), atol=1e-5)


def test_the_plateau_is_one_of_the_dev_loss(naive):
    """What else reduceLR could look at gives other learning rates, so that the run above tells them apart."""
    rates, others = naive(**PLATEAU).rates, naive(**PLATEAU, watched="dev_weighted_f1").rates
    assert min(rates) == pytest.approx(0.003) and rates != others


@pytest.mark.parametrize(
    ("arguments", "weights", "shape"),
    [
        ((), "rnn.rnn.weight_ih_l1", (300, 200)),
        (("--rnn", "lstm"), "rnn.rnn.weight_ih_l0", (400, 24)),
        (("--rnn", "transformer", "--seqcontext_nlayer", 3), "rnn.transformer_encoder.layers.2.norm1.weight", (24,)),
        (("--seqcontext_nlayer", 1), "rnn.rnn.weight_ih_l1", None),
        (("--hidden_size", 12), "gcn.conv1.root", (200, 12)),
        (("--gnn_nheads", 3), "gcn.bn.weight", (24,)),
        (("--concat_gin_gout",), "clf.lin1.weight", (8, 208)),
        (("--use_highway",), "clf.highway.gate.0.weight", (8, 8)),
    ],
)
def test_the_network_has_these_weights(train, arguments, weights, shape):
    found = train(*arguments)[1].network.state_dict()
    assert (tuple(found[weights].shape) if weights in found else None) == shape


def test_how_much_is_dropped(train):
    dropping = train("--drop_rate", 0.25)[1].network
    assert (dropping.rnn.rnn.dropout, dropping.clf.drop.p) == (0.25, 0.25)


def test_modalities_and_tag(train, folder, run_script, capsys):
    path = "model_checkpoints/KEMDy19_best_dev_f1_model_a_other.pt"
    _, speech = train("--modalities", "a", "--tag", "other", path=path)
    assert (speech.modalities, speech.feature_sizes) == ("a", {"a": 8})
    printed = capsys.readouterr().out
    run_script("COGMEN_code/eval.py", "--pt_dir", folder / path, "--data_dir", folder / "preprocessed.pkl")
    assert f"test: {capsys.readouterr().out.splitlines()[0]}\n" in printed


def test_how_exactly_a_gpu_multiplies(train):
    train("--tf32", "--epochs", 1)
    assert torch.backends.cuda.matmul.allow_tf32
    train("--epochs", 1)
    assert not torch.backends.cuda.matmul.allow_tf32


def test_compiled_training(train, monkeypatch):
    """Traced as ever, but then run operation by operation, which takes no compiler."""
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", partial(compile_, backend="eager"))
    like = ("--rnn", "transformer", "--drop_rate", 0)
    (rows, _), (expected, _) = train(*like, "--compile"), train(*like)
    assert [float(row["train_loss"]) for row in rows] == pytest.approx([float(row["train_loss"]) for row in expected])
    monkeypatch.setattr(torch, "compile", partial(compile_, backend=no_compiler))
    with pytest.raises(UserError, match="--compile: the network cannot be compiled here .*; leave it out"):
        train("--compile", "--rnn", "lstm")


def no_compiler(graph, inputs):
    raise FileNotFoundError("g++")


def test_the_corpus_must_fit(train, folder, run_script, tmp_path):
    """KEMDy19 is the default; what it is told else is refused by each script, as the file is KEMDy19's."""
    _, kept = train("--dataset", "KEMDy19")
    assert kept.emotions == list(KEMDY19.emotions)
    with pytest.raises(UserError, match="--dataset iemocap: it is of the corpus KEMDy19"):
        train("--dataset", "iemocap")
    paths = ("--feat_dir", folder / "feat.pkl", "--res_dir", tmp_path / "p.pkl")
    with pytest.raises(UserError, match="--dataset iemocap: it is of the corpus KEMDy19"):
        run_script("COGMEN_code/preprocess.py", *paths, "--dataset", "iemocap")
    paths = ("--pt_dir", folder / CHECKPOINT, "--data_dir", folder / "preprocessed.pkl")
    with pytest.raises(UserError, match="--dataset iemocap: it is of the corpus KEMDy19"):
        run_script("COGMEN_code/eval.py", *paths, "--dataset", "iemocap")


def test_how_preprocessing_divides(folder, run_script, tmp_path):
    def splits(*more):
        paths = ("--feat_dir", folder / "feat.pkl", "--res_dir", tmp_path / "p.pkl")
        run_script("COGMEN_code/preprocess.py", *paths, *more)
        content, _ = read_preprocessed(tmp_path / "p.pkl", KEMDY19)
        return {name: [dialogue.id for dialogue in dialogues] for name, dialogues in content.items()}, content

    plain, _ = splits()
    assert plain["dev"] == ["Sess01_impro01", "Sess01_script01"]
    assert splits("--dev_sessions", 3, 4)[0]["dev"] == [
        f"Sess0{s}_{k}" for s in (3, 4) for k in ("impro01", "script01")
    ]
    drawn, again = (splits("--seed", 5)[0]["dev"] for _ in range(2))
    assert drawn == again != plain["dev"] and len(drawn) == 2
    _, chunks = splits("--split_utterances", 2)
    assert max(len(chunk) for dialogues in chunks.values() for chunk in dialogues) == 2


def test_names_in_an_archive(tmp_path, run_script):
    (tmp_path / "x").mkdir()
    (tmp_path / "x/a").write_text("1")
    pack = ("COGMEN_code/archive.py", "pack", "--files", tmp_path / "x/a")
    run_script(*pack, "--out", tmp_path / "plain.zip")
    run_script(*pack, "--out", tmp_path / "based.zip", "--base", tmp_path)
    names = [zipfile.ZipFile(tmp_path / name).namelist() for name in ("plain.zip", "based.zip")]
    assert names == [["a"], ["x/a"]]
