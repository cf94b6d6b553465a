"""Training, formatting and extraction as their users call them."""

import hashlib
import shutil

import numpy as np
import pytest
import torch

from erc.corpus.annotations import read_annotations
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import read_dialogues
from erc.options import UserError
from mirai.checkpoint import load_extractor
from mirai.dataset import UtteranceDataset
from mirai.network.extractor import Extractor

from .conftest import same, shuffled_copy, weights


@pytest.fixture(scope="module")
def formatted(data, run_script):
    path = data / "KEMDy19" / "format.pkl"
    run_script("COGMEN_code/cogmen_formatting.py", "--csv_path", data / "annotation_speaker_only.csv", "--out", path)
    return path


@pytest.fixture
def extract(run_script, trained, data):
    def call(table, dialogues, *arguments, checkpoint=trained / "best.ckpt"):
        run_script(
            "MIRAI/feature_extractor_cogmen_format.py",
            *("--model_save_path", checkpoint, "--csv_path", table, "--features_format_path", dialogues),
            *("--txt_wav", data / "txt_wav", *arguments),
        )
        return dialogues.with_name(f"{dialogues.stem}_feat.pkl")

    return call


WRONG = {
    "trainer_hf.py --exp_name x": [
        ("--batch_size 0", "--batch_size 0: expected more than 0"),
        ("--max_batch_seconds 0", "--max_batch_seconds 0: expected more than 0"),
        ("--num_workers -1", "--num_workers -1: expected 0 or more"),
        ("--test_1920=True --dev_sessions 18 19", "--dev_sessions 19: also in --test_sessions"),
        ("--dev_sessions 18", "--dev_sessions: needs --test_1920"),
        ("--test_sessions 3", "--test_sessions 3: needs --test_1920"),
        ("--resume --overwrite", "--resume: goes on"),
        ("--using_model video", "invalid choice: 'video'"),
        ("--test_1920=maybe", "expected True or False, found 'maybe'"),
        ("--using_model text --max_batch_seconds 9", "--max_batch_seconds: needs speech"),
        ("--using_model text --freeze_feature_encoder", "--freeze_feature_encoder: needs speech"),
        ("--device cuda:1 --num_nodes 2", "--num_nodes 2: --device cuda:1 names one GPU"),
        ("--comet_workspace team", "--comet_workspace: needs --log_in_comet"),
    ],
    "trainer_hf.py": [
        ("--exp_name a/b", "--exp_name: expected a name of at most 100 bytes without slashes, found 'a/b'")
    ],
    "trainer_hf_MMER.py --exp_name x": [("--using_model both", "unrecognized arguments: --using_model both")],
    "inference.py": [
        ("", "--ckpt_path, --all: expected one of them"),
        ("--all zoo --ckpt_path x.ckpt", "--ckpt_path, --all: expected one of them"),
        ("--all zoo --test_1920", "--test_1920: --all scores each experiment with the split"),
        ("--ckpt_path x.ckpt --test_sessions 3", "--test_sessions 3: needs --test_1920"),
    ],
    "feature_extractor_cogmen_format.py --model_save_path x.ckpt": [
        ("--shard 0/4", "--shard 0/4: expected K/N"),
        ("--shard 5/4", "--shard 5/4: expected K/N"),
        ("--shard 2", "--shard 2: expected K/N"),
        ("--shard 1/2 --merge", "--shard: makes parts, --merge joins them"),
        ("--batch_seconds 0", "--batch_seconds 0: expected more than 0"),
    ],
    "make_sample_corpus.py --out x": [
        ("--sessions 100", "--sessions 100: expected 1 to 99"),
        ("--turns 5 4", "--turns 5 4: expected two numbers"),
        ("--sessions 2 --test_sessions 3", "--test_sessions [3]: the sessions are 1 to 2"),
        ("--sessions 2 --test_sessions 1 2", "--test_sessions: leaves no session for training"),
    ],
}


@pytest.mark.parametrize(
    ("command", "wrong", "message"), [(command, *case) for command, cases in WRONG.items() for case in cases]
)
def test_flags_that_make_no_sense(run_script, capsys, command, wrong, message):
    script, *arguments = f"MIRAI/{command} {wrong}".split()
    with pytest.raises(SystemExit) as stop:
        run_script(script, *arguments)
    assert stop.value.code == 2 and message in capsys.readouterr().err


def test_training_prints_what_it_used_and_its_best_epoch(train, data, real_pictures, tmp_path, capsys):
    folder = train(data / "annotation_speaker_only.csv", tmp_path, "--clip_length", 1.05, "--dev_sessions", 2)
    shown = capsys.readouterr().out
    assert "left out, longer than 1.05 s: 2 of training, 2 of validation" in shown
    assert "11 utterances train, 12 validate, 28 are held out" in shown
    assert "to train on: neutral " in shown and "best epoch" in shown
    assert f"next: python MIRAI/inference.py --ckpt_path {folder / 'best.ckpt'} --test_1920=True" in shown
    logs = tmp_path / "tensorboard" / "run" / "version_0"
    assert "val_weighted_f1" in (logs / "metrics.csv").read_text()
    assert list(logs.glob("events.out.tfevents.*"))
    assert "val weighted f1" in (folder / "learning_curves.svg").read_text()
    assert (folder / "learning_curves.png").stat().st_size > 10_000
    trained_on = torch.load(folder / "best.ckpt", weights_only=True)["hyper_parameters"]["trained_on"]
    assert len(trained_on) == 11 and {name[:6] for name in trained_on} == {"Sess01"}


def test_same_seed_same_weights_whatever_the_order_of_the_table(train, data, trained, tmp_path):
    """And whatever the files of the test sessions hold: they are not read."""
    poisoned = shutil.copytree(data / "txt_wav", tmp_path / "poisoned", symlinks=True)
    for path in poisoned.glob("Sess[12][90]*"):
        path.unlink()
        path.write_bytes(b"\xff\xff\xff no file of any kind")
    again = train(shuffled_copy(data, tmp_path / "shuffled"), tmp_path, "--txt_wav", poisoned)
    for name in ("best.ckpt", "last.ckpt"):
        assert same(weights(trained / name), weights(again / name))


def test_an_experiment_that_ends_meanwhile_is_kept(train, data, tmp_path, monkeypatch):
    """Another run of this name ends while this one reads its encoders."""
    read, best = Extractor.from_pretrained, tmp_path / "checkpoint/run/best.ckpt"

    def late(*arguments, **options):
        best.parent.mkdir(parents=True)
        best.write_text("the other run's")
        return read(*arguments, **options)

    monkeypatch.setattr(Extractor, "from_pretrained", late)
    with pytest.raises(UserError, match=r"already holds best\.ckpt; give --resume"):
        train(data / "annotation_speaker_only.csv", tmp_path, epochs=1)
    assert best.read_text() == "the other run's"


def test_existing_experiment_is_kept_unless_asked(train, data, trained, tmp_path):
    table = data / "annotation_speaker_only.csv"
    shutil.copytree(trained, tmp_path / "checkpoint" / "run")
    with pytest.raises(UserError, match=r"already holds best\.ckpt and last\.ckpt; give --resume .* --overwrite"):
        train(table, tmp_path)
    with pytest.raises(UserError, match=r"--resume: the run was begun with other options: --lr 0\.1 \(it was 0\.003\)"):
        train(table, tmp_path, "--resume", "--lr", 0.1)
    with pytest.raises(UserError, match="--resume: there is no"):
        train(table, tmp_path, "--resume", name="another")
    folder = train(table, tmp_path, "--overwrite", epochs=1)
    assert torch.load(folder / "last.ckpt", weights_only=True)["epoch"] == 0


def test_formatting(formatted):
    file = read_dialogues(formatted, KEMDY19)
    assert len(file.dialogues) == 8 and sum(map(len, file.dialogues)) == 55
    assert file.test_ids == [f"Sess{s}_{kind}" for s in (19, 20) for kind in ("impro01", "script01")]
    assert not any(dialogue.features for dialogue in file.dialogues)
    assert not any("/" in said or "(" in said for dialogue in file.dialogues for said in dialogue.sentences)


def test_extraction_twice_and_with_shuffled_rows_gives_the_same_file(extract, formatted, data, tmp_path):
    before = formatted.read_bytes()
    digests = []
    for table in (data / "annotation_speaker_only.csv",) * 2 + (shuffled_copy(data, tmp_path / "shuffled"),):
        features = extract(table, formatted)
        digests.append(hashlib.sha256(features.read_bytes()).hexdigest())
        features.unlink()
    assert len(set(digests)) == 1 and formatted.read_bytes() == before


@pytest.mark.parametrize("variant", ["both", "both+mmer", "audio"])
def test_every_turn_gets_its_own_embedding(extract, formatted, data, experiments, variant):
    """That of its checkpoint for the utterance alone, in each modality that is in use."""
    checkpoint = experiments / variant / "best.ckpt"
    path = extract(data / "annotation_speaker_only.csv", formatted, checkpoint=checkpoint)
    dialogues = read_dialogues(path, KEMDY19).dialogues
    extractor, _ = load_extractor(checkpoint)
    utterances = {row.segment_id: row for row in read_annotations(data / "annotation_speaker_only.csv")}
    for dialogue in dialogues[::3]:
        for turn, name in enumerate(dialogue.segment_ids):
            dataset = UtteranceDataset([utterances[name]], data / "txt_wav", **extractor.dataset_settings())
            with torch.no_grad():
                expected = extractor.embed(dataset.collate([dataset[0]]))
            found = {{"t": "text", "a": "audio"}[key]: rows[turn] for key, rows in dialogue.features.items()}
            assert found.keys() == expected.keys()
            for modality, vectors in expected.items():
                np.testing.assert_allclose(found[modality], vectors[0], atol=1e-5)


def test_an_extractor_that_was_trained_on_test_dialogues_is_refused(extract, run_script, data, tmp_path):
    """Its embeddings would carry the labels of the test dialogues into the graph network's scores."""
    table, dialogues = data / "annotation_speaker_only.csv", tmp_path / "f.pkl"
    run_script("COGMEN_code/cogmen_formatting.py", "--csv_path", table, "--out", dialogues, "--test_sessions", 2, 19)
    with pytest.raises(
        UserError, match=r"best\.ckpt: was trained on \d+ of the 28 .*session 2\)\. Take a checkpoint of"
    ):
        extract(table, dialogues)
    assert [path.name for path in tmp_path.iterdir()] == ["f.pkl"]


def test_table_and_dialogue_file_must_hold_the_same_utterances(extract, formatted, data):
    with pytest.raises(
        UserError, match=r"1 utterances of the table are not in the dialogue file \(Sess01_impro01_F001"
    ):
        extract(data / "annotation.csv", formatted)
