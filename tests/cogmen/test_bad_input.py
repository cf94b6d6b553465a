"""Broken and unusual files as preprocess.py, train.py and eval.py meet them."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from cogmen.checkpoints import load_checkpoint
from erc.corpus import corpora
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import write_dialogues
from erc.files import write_pickle
from erc.options import UserError
from erc.untrusted import read_pickle
from tests.cogmen.conftest import make_dialogues
from tests.edits import Call
from tests.tables import read_rows

QUICK = ("--from_begin", "--epochs", 1, "--batch_size", 4, "--hidden_size", 4, "--rnn", "gru", "--seqcontext_nlayer", 1)
CHECKPOINT = "model_checkpoints/KEMDy19_best_dev_f1_model_at_tmp.pt"


@pytest.fixture
def scripts(run_script, tmp_path):
    """The three scripts on the files of one folder; `scripts("train")` runs the second."""
    flags = {
        "preprocess": ("--feat_dir", tmp_path / "d.pkl", "--res_dir", tmp_path / "p.pkl"),
        "train": ("--preprocessed_feature", tmp_path / "p.pkl", "--out_dir", tmp_path, *QUICK),
        "eval": ("--pt_dir", tmp_path / CHECKPOINT, "--data_dir", tmp_path / "p.pkl", "--out_dir", tmp_path / "r"),
    }

    def call(name, *more):
        run_script(f"COGMEN_code/{name}.py", *flags[name], *more)

    return call


def one_speaker(dialogues):
    for dialogue in dialogues:
        dialogue.speakers[:] = ["F"] * len(dialogue)


def one_turn(dialogues):
    dialogues[:] = [next(dialogue.chunks(1)) for dialogue in dialogues]


def third_speaker(dialogues):
    for dialogue in dialogues:
        dialogue.speakers[-1] = "C"


@pytest.mark.parametrize(
    ("change", "speakers", "windows"),
    [
        *((one_speaker, ("M", "F"), windows) for windows in ((5, 5), (0, 0), (0, 1))),
        (one_turn, ("M", "F"), (5, 5)),
        (third_speaker, ("M", "F", "C"), (0, 0)),
        (third_speaker, (), (0, 1)),
    ],
)
def test_unusual_dialogues_are_trained_and_scored(scripts, tmp_path, monkeypatch, change, speakers, windows):
    """With no past or no future, or one speaker, some relations have no edge at all."""
    monkeypatch.setitem(corpora.CORPORA, "KEMDy19", replace(KEMDY19, speakers=speakers))
    made = make_dialogues(sessions=4, turns=(3, 5))
    change(made.dialogues)
    write_dialogues(tmp_path / "d.pkl", made)
    scripts("preprocess")
    scripts("train", "--wp", windows[0], "--wf", windows[1])
    scripts("eval")
    found = [(row["segment_id"], row["speaker"]) for row in read_rows(tmp_path / "r/predictions.csv")]
    held_out = [dialogue for dialogue in made.dialogues if dialogue.id in made.test_ids]
    assert found == [(name, speaker) for dialogue in held_out for name, _, speaker, _ in dialogue.turns()]
    network = load_checkpoint(tmp_path / CHECKPOINT).network.architecture
    assert network.num_speakers == (3 if change is third_speaker else 2)


TEXT, AUDIO, TRAIN_IDS, TEST_IDS = 3, 4, 7, 8  # items of a dialogue file's list


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda items: items[AUDIO]["Sess02_impro01"][2].fill(np.inf),
            "dialogue Sess02_impro01, turn 2: audio embedding has a value that is not finite",
        ),
        (
            lambda items: items[TEST_IDS].append(items[TRAIN_IDS].pop()),
            "session 3 is in both the training set .*Sess03_",
        ),
        (lambda items: items[TRAIN_IDS].clear(), "no dialogue is left for training"),
        (
            lambda items: items.__setitem__(slice(TEXT, AUDIO + 1), [{d: [] for d in items[0]}] * 2),
            "no embeddings; run MIRAI/feature_extractor_cogmen_format.py first",
        ),
    ],
)
def test_a_dialogue_file_that_is_wrong(scripts, tmp_path, damage, message):
    write_dialogues(tmp_path / "d.pkl", make_dialogues(sessions=4, turns=(3, 4)))
    items = read_pickle(tmp_path / "d.pkl")
    items[AUDIO] = {dialogue: [row.copy() for row in rows] for dialogue, rows in items[AUDIO].items()}
    damage(items)
    write_pickle(tmp_path / "d.pkl", items)
    (tmp_path / "p.pkl").write_text("made before")
    with pytest.raises(UserError, match=message):
        scripts("preprocess")
    assert (tmp_path / "p.pkl").read_text() == "made before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.pkl", "p.pkl"]


def test_a_dialogue_file_is_not_written_over(scripts, tmp_path, capsys):
    write_dialogues(tmp_path / "d.pkl", make_dialogues(sessions=4, turns=(3, 4)))
    (tmp_path / "other.pkl").symlink_to(tmp_path / "d.pkl")
    before = (tmp_path / "d.pkl").read_bytes()
    for name in ("d.pkl", "other.pkl"):
        with pytest.raises(SystemExit):
            scripts("preprocess", "--res_dir", tmp_path / name)
        assert f"{name}: is --feat_dir itself; give another name" in capsys.readouterr().err
    assert (tmp_path / "d.pkl").read_bytes() == before


@pytest.mark.parametrize(
    "flags", [("--device", "cpu"), ("--sbert", "x"), ("--text_feature", "extractor", "--sbert", "x")]
)
def test_options_of_the_sbert_need_it(scripts, tmp_path, flags):
    write_dialogues(tmp_path / "d.pkl", make_dialogues(sessions=4, turns=(3, 4)))
    with pytest.raises(UserError, match=f"{' '.join(flags[-2:])}: is for --text_feature sbert; give that, too, or lea"):
        scripts("preprocess", *flags)
    assert not (tmp_path / "p.pkl").exists()


def test_dialogues_of_neither_set_are_counted(scripts, tmp_path, capsys):
    dialogues = make_dialogues(sessions=4, turns=(3, 4))
    dialogues.train_ids.remove("Sess02_impro01")
    write_dialogues(tmp_path / "d.pkl", dialogues)
    scripts("preprocess")
    assert "left out: 1 dialogues that are neither among the training nor among the test ids" in capsys.readouterr().out


def test_training_and_scoring_refuse_what_is_wrong_and_leave_what_was_there(scripts, tmp_path):
    write_dialogues(tmp_path / "d.pkl", make_dialogues(sessions=4, turns=(3, 4)))
    scripts("preprocess")
    scripts("train")
    path = tmp_path / CHECKPOINT
    good, splits = path.read_bytes(), read_pickle(tmp_path / "p.pkl")
    go_on = ("--from_begin", "False", "--model_ckpt", path)
    with pytest.raises(UserError, match="trained with --modalities at, here --modalities t"):
        scripts("eval", "--modalities", "t")
    write_pickle(tmp_path / "p.pkl", {**splits, "test": []})
    for script in ("train", "eval"):
        with pytest.raises(UserError, match=r"p\.pkl: no test dialogues"):
            scripts(script)
    write_pickle(tmp_path / "p.pkl", splits)
    assert path.read_bytes() == good
    torch.save({**torch.load(path, weights_only=True), "architecture": Call(os.system, "touch pwned")}, path)
    for script, flags in (("eval", ()), ("train", (*go_on, "--out_dir", tmp_path / "new"))):
        with pytest.raises(UserError, match=r"tmp\.pt: refused: it asks for posix.system, which is neither a plain"):
            scripts(script, *flags)
    assert not list((tmp_path / "new").rglob("*.pt")) and not (tmp_path / "r").exists()


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_split_without_labels_is_refused_before_the_training(scripts, tmp_path, split, capsys):
    write_dialogues(tmp_path / "d.pkl", make_dialogues(sessions=4, turns=(3, 4)))
    scripts("preprocess")
    if split == "test":
        scripts("train")
    content = read_pickle(tmp_path / "p.pkl")
    for dialogue in content[split]:
        dialogue["labels"] = np.full(len(dialogue["labels"]), -1)
    write_pickle(tmp_path / "p.pkl", content)
    capsys.readouterr()
    for script in ("train", "eval") if split == "test" else ("train",):
        with pytest.raises(UserError, match=rf"p\.pkl: none of the turns of the {split} dialogues has a label"):
            scripts(script)
    assert "training:" not in capsys.readouterr().err
