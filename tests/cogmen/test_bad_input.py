"""Broken and unusual files as preprocess.py, train.py and eval.py meet them."""

import csv
import resource
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from cogmen.checkpoints import load_checkpoint
from erc.corpus import corpora
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import write_dialogues
from erc.files import write_pickle
from erc.options import REPOSITORY, UserError
from erc.untrusted import read_pickle
from tests.cogmen.conftest import make_dialogues

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
    ("change", "speakers"),
    [(one_speaker, ("M", "F")), (one_turn, ("M", "F")), (third_speaker, ("M", "F", "C")), (third_speaker, ())],
)
@pytest.mark.parametrize("windows", [(5, 5), (0, 0), (0, 1)], ids=str)
def test_unusual_dialogues_are_trained_and_scored(scripts, tmp_path, monkeypatch, change, speakers, windows):
    """With no past or no future, or one speaker, some relations have no edge at all."""
    monkeypatch.setitem(corpora.CORPORA, "KEMDy19", replace(KEMDY19, speakers=speakers))
    made = make_dialogues(sessions=4, turns=(3, 5))
    change(made.dialogues)
    write_dialogues(tmp_path / "d.pkl", made)
    scripts("preprocess")
    scripts("train", "--wp", windows[0], "--wf", windows[1])
    scripts("eval")
    with (tmp_path / "r/predictions.csv").open(newline="") as file:
        found = [(row["segment_id"], row["speaker"]) for row in csv.DictReader(file)]
    held_out = [dialogue for dialogue in made.dialogues if dialogue.id in made.test_ids]
    assert found == [(name, speaker) for dialogue in held_out for name, _, speaker, _ in dialogue.turns()]
    network = load_checkpoint(tmp_path / CHECKPOINT).network.architecture
    assert network.num_speakers == (3 if change is third_speaker else 2)


def test_more_speakers_than_the_network_was_made_for(scripts, tmp_path, monkeypatch):
    monkeypatch.setitem(corpora.CORPORA, "KEMDy19", replace(KEMDY19, speakers=()))
    made = make_dialogues(sessions=4, turns=(3, 5))
    write_dialogues(tmp_path / "d.pkl", made)
    scripts("preprocess")
    scripts("train")
    made.dialogues[-1].speakers[:3] = ["A", "B", "C"]
    write_dialogues(tmp_path / "d.pkl", made)
    scripts("preprocess")
    with pytest.raises(UserError, match=r"dialogue Sess04_script01 has \d speakers, the network was made for 2; train"):
        scripts("eval")


TEXT, AUDIO, TRAIN_IDS = 3, 4, 7  # items of a dialogue file's list


def without_embeddings(items):
    for item in (TEXT, AUDIO):
        items[item] = {dialogue: [] for dialogue in items[item]}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda items: items[AUDIO]["Sess02_impro01"][2].fill(np.inf),
            "dialogue Sess02_impro01, turn 2: audio embedding has a value that is not finite",
        ),
        (lambda items: items.pop(), "expected a dialogue file of KEMDy19, a list of 10 items; found 9 items"),
        (lambda items: items[TRAIN_IDS].clear(), "no dialogue is left for training"),
        (without_embeddings, "no embeddings; run MIRAI/feature_extractor_cogmen_format.py first"),
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


def test_a_full_disk(tmp_path):
    """RLIMIT_FSIZE stands for it; the limit holds for a whole process, so that the script runs in its own."""
    write_dialogues(tmp_path / "d.pkl", make_dialogues(sessions=9, turns=(20, 30)))
    (tmp_path / "p.pkl").write_text("made before")
    done = subprocess.run(
        [
            sys.executable,
            "COGMEN_code/preprocess.py",
            "--feat_dir",
            tmp_path / "d.pkl",
            "--res_dir",
            tmp_path / "p.pkl",
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        preexec_fn=lambda: (
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
        ),
        timeout=240,
    )
    assert (done.returncode, done.stderr) == (1, f"error: {tmp_path}/p.pkl: File too large\n")
    assert (tmp_path / "p.pkl").read_text() == "made before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.pkl", "p.pkl"]


def test_dialogues_of_neither_set_are_counted(scripts, tmp_path, capsys):
    dialogues = make_dialogues(sessions=4, turns=(3, 4))
    dialogues.train_ids.remove("Sess02_impro01")
    write_dialogues(tmp_path / "d.pkl", dialogues)
    scripts("preprocess")
    assert "left out: 1 dialogues that are neither among the training nor among the test ids" in capsys.readouterr().out


def test_a_preprocessed_file_that_is_wrong(scripts, tmp_path):
    write_dialogues(tmp_path / "d.pkl", make_dialogues(sessions=4, turns=(3, 4)))
    scripts("preprocess")
    scripts("train")
    before = (tmp_path / CHECKPOINT).read_bytes()
    good = read_pickle(tmp_path / "p.pkl")
    test = good["test"][0]
    objects = {**test, "a": np.array([[None] * 8] * 3, dtype=object)}
    for splits, message in (
        ({**good, "test": [*good["test"], test]}, "segment id .* is that of a turn before it, too"),
        ({**good, "test": [{**test, "id": good["train"][0]["id"]}]}, "is in both train and test"),
        (
            {**good, "test": [{**test, "a": test["a"][:2]}]},
            "dialogue Sess04_impro01 has 3 labels but 2 audio embeddings",
        ),
        ({**good, "test": []}, "no test dialogues"),
        ({**good, "test": [objects]}, "refused: array type 'O8' is not a plain number type"),
    ):
        write_pickle(tmp_path / "p.pkl", splits)
        for script in ("train", "eval"):
            with pytest.raises(UserError, match=rf"p\.pkl: .*{message}"):
                scripts(script)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_a_checkpoint_that_is_wrong(scripts, tmp_path):
    write_dialogues(tmp_path / "d.pkl", make_dialogues(sessions=4, turns=(3, 4)))
    scripts("preprocess")
    scripts("train")
    path = tmp_path / CHECKPOINT
    good = torch.load(path, weights_only=True)
    for change, message in (
        ({"version": 2}, "of checkpoint version 2, this program reads 1; update this program"),
        ({"architecture": {**good["architecture"], "hidden_size": 10**9}}, "hidden_size 1000000000, expected 1 to"),
        ({"state_dict": {**good["state_dict"], "clf.lin2.bias": torch.full((7,), torch.nan)}}, "clf.lin2.bias has wei"),
        ({"architecture": Runs()}, "it asks for posix.system, which is neither a plain value nor a tensor"),
    ):
        torch.save({**good, **change}, path)
        with pytest.raises(UserError, match=rf"tmp\.pt: .*{message}"):
            scripts("eval")
        with pytest.raises(UserError, match=rf"tmp\.pt: .*{message}"):
            scripts("train", "--from_begin", "False", "--model_ckpt", path, "--out_dir", tmp_path / "new")
    assert not list((tmp_path / "new").rglob("*.pt")) and not (tmp_path / "r").exists()
    torch.save(good, path)
    load_checkpoint(path)
    with pytest.raises(UserError, match="trained with --modalities at, here --modalities t"):
        scripts("eval", "--modalities", "t")


class Runs:
    """Pickles as a command."""

    def __reduce__(self):
        import os

        return os.system, ("touch pwned",)
