"""Each option of the dialogue scripts changes what it says it changes."""

import csv
import zipfile
from functools import partial

import pytest
import torch

from cogmen.checkpoints import load_checkpoint
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import read_preprocessed, write_dialogues
from erc.options import UserError
from tests.cogmen.conftest import make_dialogues

BASE = ("--from_begin", "--epochs", 2, "--rnn", "gru", "--hidden_size", 8, "--batch_size", 8, "--learning_rate", 0.003)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, run_script):
    folder = tmp_path_factory.mktemp("effects")
    write_dialogues(folder / "feat.pkl", make_dialogues(sessions=12))
    paths = ("--feat_dir", folder / "feat.pkl", "--res_dir", folder / "preprocessed.pkl")
    run_script("COGMEN_code/preprocess.py", *paths)
    return folder


@pytest.fixture(scope="module")
def train(folder, run_script):
    """`train("--wp", 3, ...)`: the history's rows and the checkpoint; the same arguments are trained once."""
    done = {}

    def call(*more, modalities="at", tag="tmp"):
        if more not in done:
            shared = ("--preprocessed_feature", folder / "preprocessed.pkl", "--out_dir", folder)
            run_script("COGMEN_code/train.py", *shared, *BASE, *more)
            path = folder / f"model_checkpoints/KEMDy19_best_dev_f1_model_{modalities}_{tag}.pt"
            with path.with_suffix(".csv").open(newline="") as file:
                done[more] = list(csv.DictReader(file)), load_checkpoint(path)
        return done[more]

    return call


@pytest.mark.parametrize(
    ("arguments", "beside"),
    [
        (("--batch_size", 4), ()),
        (("--optimizer", "sgd"), ()),
        (("--optimizer", "rmsprop"), ()),
        (("--optimizer", "adamw"), ("--weight_decay", 0.5)),
        (("--scheduler", "expLR"), ()),
        (("--scheduler", "reduceLR"), ("--epochs", 25, "--learning_rate", 0.3, "--batch_size", 64)),
        (("--learning_rate", 0.001), ()),
        (("--weight_decay", 0.5), ()),
        (("--max_grad_value", 1e-6), ()),
        (("--class_weight",), ()),
        (("--drop_rate", 0), ()),
        (("--wp", 0), ()),
        (("--wf", 0), ()),
        (("--seed", 1), ()),
    ],
)
def test_the_training_is_another(train, arguments, beside):
    (with_it, _), (without, _) = train(*beside, *arguments), train(*beside)
    assert len(with_it) == len(without) and with_it != without
    if arguments[0] == "--scheduler":
        assert with_it[0] == without[0]  # the learning rate is another from some later epoch on


@pytest.mark.parametrize(
    ("arguments", "attribute"),
    [
        (("--rnn", "lstm"), "rnn"),
        (("--seqcontext_nlayer", 1), "seqcontext_nlayer"),
        (("--hidden_size", 12), "hidden_size"),
        (("--gnn_nheads", 3), "gnn_nheads"),
        (("--concat_gin_gout",), "concat_gin_gout"),
        (("--use_highway",), "use_highway"),
    ],
)
def test_the_network_is_another(train, arguments, attribute):
    (_, with_it), (_, without) = train(*arguments), train()
    value = arguments[1] if len(arguments) > 1 else True
    assert getattr(with_it.network.architecture, attribute) == value
    sizes = [sum(p.numel() for p in kept.network.parameters()) for kept in (with_it, without)]
    assert sizes[0] != sizes[1]


def test_modalities_and_tag(train):
    _, speech = train("--modalities", "a", "--tag", "other", modalities="a", tag="other")
    assert (speech.modalities, speech.feature_sizes) == ("a", {"a": 8})


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


def test_epochs(train):
    assert [row["epoch"] for row in train("--epochs", 3)[0]] == ["1", "2", "3"]


def test_a_device_that_is_not_there(train, folder, run_script, tmp_path):
    with pytest.raises(UserError, match="--device cuda:99: PyTorch sees"):
        train("--device", "cuda:99")
    sbert = ("--text_feature", "sbert", "--sbert", tmp_path, "--device", "cuda:99")
    with pytest.raises(UserError, match="--device cuda:99: PyTorch sees"):
        run_script("COGMEN_code/preprocess.py", "--feat_dir", folder / "feat.pkl", "--res_dir", tmp_path / "p", *sbert)


def test_the_corpus_must_fit(train, folder, run_script, tmp_path):
    """KEMDy19 is the default; what it is told else is refused by each script, as the file is KEMDy19's."""
    _, kept = train("--dataset", "KEMDy19")
    assert kept.emotions == list(KEMDY19.emotions)
    with pytest.raises(UserError, match="label 6; iemocap has 0 to 5"):
        train("--dataset", "iemocap")
    paths = ("--feat_dir", folder / "feat.pkl", "--res_dir", tmp_path / "p.pkl")
    with pytest.raises(UserError, match="expected a dialogue file of iemocap"):
        run_script("COGMEN_code/preprocess.py", *paths, "--dataset", "iemocap")
    checkpoint = folder / "model_checkpoints/KEMDy19_best_dev_f1_model_at_tmp.pt"
    paths = ("--pt_dir", checkpoint, "--data_dir", folder / "preprocessed.pkl")
    with pytest.raises(UserError, match="label 6; iemocap has 0 to 5"):
        run_script("COGMEN_code/eval.py", *paths, "--dataset", "iemocap")


def test_how_preprocessing_divides(folder, run_script, tmp_path):
    def splits(*more):
        paths = ("--feat_dir", folder / "feat.pkl", "--res_dir", tmp_path / "p.pkl")
        run_script("COGMEN_code/preprocess.py", *paths, *more)
        content = read_preprocessed(tmp_path / "p.pkl", KEMDY19)
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
