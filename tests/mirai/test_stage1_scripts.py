"""Training, formatting and extraction as their users call them."""

import hashlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from erc.corpus.annotations import read_annotations
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import read_dialogues
from erc.options import REPOSITORY, UserError
from mirai.checkpoint import load_extractor
from mirai.dataset import UtteranceDataset

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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch_size", "0"], "--batch_size 0: expected more than 0"),
        (["--test_1920=True", "--dev_sessions", "18", "19"], "--dev_sessions 19: also in --test_sessions"),
        (["--dev_sessions", "18"], "--dev_sessions: needs --test_1920"),
        (["--test_sessions", "3"], "--test_sessions 3: needs --test_1920"),
        (["--resume", "--overwrite"], "--resume: goes on"),
        (["--using_model", "video"], "invalid choice: 'video'"),
        (["--test_1920=maybe"], "expected True or False, found 'maybe'"),
        (["--max_batch_seconds", "0"], "--max_batch_seconds 0.0: expected more than 0"),
        (["--using_model", "text", "--max_batch_seconds", "9"], "--max_batch_seconds: needs speech"),
        (["--using_model", "text", "--freeze_feature_encoder"], "--freeze_feature_encoder: needs speech"),
        (["--device", "cuda:1", "--num_nodes", "2"], "--num_nodes 2: --device cuda:1 names one GPU"),
        (["--precision", "64-true"], "invalid choice: '64-true'"),
        (["--exp_name", "a/b"], "--exp_name: expected a name of at most 100 bytes without slashes, found 'a/b'"),
    ],
)
def test_training_flags_that_make_no_sense(run_script, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        run_script("MIRAI/trainer_hf.py", "--exp_name", "x", *arguments)
    assert stop.value.code == 2 and message in capsys.readouterr().err


def test_the_cross_modal_trainer_has_no_choice_of_modalities(run_script, capsys):
    with pytest.raises(SystemExit) as stop:
        run_script("MIRAI/trainer_hf_MMER.py", "--exp_name", "x", "--using_model", "both")
    assert stop.value.code == 2 and "--using_model" in capsys.readouterr().err


def test_importing_or_asking_for_help_loads_no_heavy_library():
    code = "import sys, mirai, erc.corpus.annotations, mirai.readers.kemdy19, erc.corpus.splits, mirai.options\n"
    code += "heavy = {'torch', 'transformers', 'soundfile', 'librosa', 'pandas', 'pytorch_lightning'}\n"
    code += "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_mistake_is_told_in_one_line(tmp_path):
    command = [sys.executable, REPOSITORY / "MIRAI/preprocess.py", "--root_path", tmp_path, "--save_path", tmp_path]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 1 and result.stderr.startswith("error: --root_path") and not result.stdout
    assert len(result.stderr.splitlines()) == 1


def test_training_prints_what_it_used_and_its_best_epoch(train, data, tmp_path, capsys):
    folder = train(data / "annotation_speaker_only.csv", tmp_path, "--clip_length", 1.05, "--dev_sessions", 2)
    shown = capsys.readouterr().out
    assert "left out, longer than 1.05 s: 2 of training, 2 of validation" in shown
    assert "11 utterances train, 12 validate, 28 are held out" in shown
    assert "to train on: neutral " in shown and "best epoch" in shown
    assert f"next: python MIRAI/inference.py --ckpt_path {folder / 'best.ckpt'} --test_1920=True" in shown
    logs = tmp_path / "tensorboard" / "run" / "version_0"
    assert "val_weighted_f1" in (logs / "metrics.csv").read_text()
    assert list(logs.glob("events.out.tfevents.*"))
    trained_on = torch.load(folder / "best.ckpt", weights_only=True)["hyper_parameters"]["trained_on"]
    assert len(trained_on) == 11 and {name[:6] for name in trained_on} == {"Sess01"}


def test_same_seed_same_weights_whatever_the_order_of_the_table(train, data, trained, tmp_path):
    again = train(shuffled_copy(data, tmp_path / "shuffled"), tmp_path)
    for name in ("best.ckpt", "last.ckpt"):
        assert same(weights(trained / name), weights(again / name))


def test_no_test_session_utterance_is_read_in_training(train, data, trained, tmp_path):
    poisoned = tmp_path / "poisoned"
    poisoned.mkdir()
    for path in (data / "txt_wav").iterdir():
        if path.name.startswith(("Sess19", "Sess20")):
            (poisoned / path.name).write_bytes(b"\xff\xff\xff no file of any kind")
        else:
            (poisoned / path.name).symlink_to(path.resolve())
    again = train(data / "annotation_speaker_only.csv", tmp_path, "--txt_wav", poisoned)
    assert same(weights(trained / "best.ckpt"), weights(again / "best.ckpt"))


def test_resumed_training_ends_where_an_uninterrupted_one_does(train, data, trained, tmp_path, capsys):
    table = data / "annotation_speaker_only.csv"
    train(table, tmp_path, epochs=1)
    folder = train(table, tmp_path, "--resume", epochs=2)
    assert f"resumed from {folder / 'last.ckpt'}" in capsys.readouterr().out
    for name in ("best.ckpt", "last.ckpt"):
        assert same(weights(trained / name), weights(folder / name))


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


def test_damaged_wav_in_training_is_named(train, data, tmp_path):
    broken = shutil.copytree(data / "txt_wav", tmp_path / "txt_wav", symlinks=False)
    for path in broken.glob("Sess01*.wav"):
        path.write_bytes(path.read_bytes()[:999])
    with pytest.raises(UserError, match=r"Sess01_\w+\.wav: truncated"):
        train(data / "annotation_speaker_only.csv", tmp_path, "--txt_wav", broken)


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
