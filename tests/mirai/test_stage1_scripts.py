"""Training, scoring, formatting and extraction as their users call them."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import read_dialogues
from erc.options import REPOSITORY, UserError
from mirai.checkpoint import load_extractor

SCRIPTS = {
    "MIRAI/preprocess.py": "--root_path",
    "MIRAI/trainer_hf.py": "--accumulate_grad",
    "MIRAI/trainer_hf_MMER.py": "--accumulate_grad",
    "MIRAI/inference.py": "--all",
    "MIRAI/feature_extractor_cogmen_format.py": "--features_format_path",
    "COGMEN_code/cogmen_formatting.py": "--test_sessions",
}


def weights(folder, name="best.ckpt"):
    return torch.load(folder / name, weights_only=True)["state_dict"]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def shuffled_copy(data, folder):
    """The table with its rows in another order, the speech and transcripts linked."""
    folder.mkdir()
    header, *rows = (data / "annotation_speaker_only.csv").read_text().splitlines()
    random.Random(3).shuffle(rows)
    (folder / "table.csv").write_text("\n".join([header, *rows]) + "\n")
    (folder / "txt_wav").symlink_to(data / "txt_wav")
    return folder / "table.csv"


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


@pytest.fixture
def score(run_script, data, tmp_path):
    def call(checkpoint, *arguments, table=data / "annotation_speaker_only.csv"):
        run_script(
            "MIRAI/inference.py", "--ckpt_path", checkpoint, "--csv_path", table, "--out_dir", tmp_path, *arguments
        )
        return json.loads((tmp_path / "metrics.json").read_text()), (tmp_path / "predictions.csv").read_text()

    return call


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_and_wrong_flags(run_script, capsys, script):
    with pytest.raises(SystemExit) as stop:
        run_script(script, "--help")
    assert stop.value.code == 0 and SCRIPTS[script] in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        run_script(script, "--no_such_flag", "1")
    assert stop.value.code == 2


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
        (["--exp_name", "a/b"], "--exp_name 'a/b': expected a name without slashes"),
    ],
)
def test_training_flags_that_make_no_sense(run_script, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        run_script("MIRAI/trainer_hf.py", "--exp_name", "x", *arguments)
    assert stop.value.code == 2 and message in capsys.readouterr().err


def test_importing_or_asking_for_help_loads_no_heavy_library():
    code = "import sys, mirai, erc.corpus.annotations, mirai.readers.funnel, erc.corpus.splits, mirai.options\n"
    code += "heavy = {'torch', 'transformers', 'soundfile', 'librosa', 'pandas', 'pytorch_lightning'}\n"
    code += "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=240)


def test_a_mistake_is_told_in_one_line(tmp_path):
    command = [sys.executable, REPOSITORY / "MIRAI/preprocess.py", "--root_path", tmp_path, "--save_path", tmp_path]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert result.returncode == 1 and result.stderr.startswith("error: --root_path") and not result.stdout
    assert len(result.stderr.splitlines()) == 1


def test_training_prints_what_it_used_and_what_came_of_it(train, data, tmp_path, capsys):
    folder = train(data / "annotation_speaker_only.csv", tmp_path, "--clip_length", 1.05, "--dev_sessions", 2)
    shown = capsys.readouterr().out
    assert "13 utterances train, 14 validate, 28 are held out" not in shown  # those of at most 1.05 s:
    assert "left out, longer than 1.05 s: 2 of training, 2 of validation" in shown
    assert "11 utterances train, 12 validate, 28 are held out" in shown
    assert "to train on: neutral " in shown and "best epoch" in shown
    assert f"next: python MIRAI/inference.py --ckpt_path {folder / 'best.ckpt'} --test_1920=True" in shown
    logs = tmp_path / "tensorboard" / "run" / "version_0"
    assert "val_weighted_f1" in (logs / "metrics.csv").read_text()
    assert list(logs.glob("events.out.tfevents.*"))
    trained_on = torch.load(folder / "best.ckpt", weights_only=True)["hyper_parameters"]["trained_on"]
    assert len(trained_on) == 11 and {name[:6] for name in trained_on} == {"Sess01"}


def test_same_seed_same_weights_whatever_the_order_of_the_table(train, data, trained, tmp_path, score):
    """And so the same scores."""
    again = train(shuffled_copy(data, tmp_path / "shuffled"), tmp_path)
    assert same(weights(trained), weights(again)) and same(weights(trained, "last.ckpt"), weights(again, "last.ckpt"))
    first, second = (score(folder / "best.ckpt", "--test_1920=True") for folder in (trained, again))
    assert first == second


def test_no_test_session_utterance_is_read_in_training(train, data, trained, tmp_path):
    poisoned = tmp_path / "poisoned"
    poisoned.mkdir()
    for path in (data / "txt_wav").iterdir():
        if path.name.startswith(("Sess19", "Sess20")):
            (poisoned / path.name).write_bytes(b"\xff\xff\xff no file of any kind")
        else:
            (poisoned / path.name).symlink_to(path.resolve())
    again = train(data / "annotation_speaker_only.csv", tmp_path, "--txt_wav", poisoned)
    assert same(weights(trained), weights(again))


def test_training_changes_with_its_data_and_seed(train, data, trained, tmp_path):
    """So that the three equalities around this test mean something."""
    other = train(data / "annotation_speaker_only.csv", tmp_path, "--seed", 43)
    assert not same(weights(trained), weights(other))


def test_resumed_training_ends_where_an_uninterrupted_one_does(train, data, trained, tmp_path, capsys):
    table = data / "annotation_speaker_only.csv"
    train(table, tmp_path, epochs=1)
    folder = train(table, tmp_path, "--resume", epochs=2)
    assert f"resumed from {folder / 'last.ckpt'}" in capsys.readouterr().out
    assert same(weights(trained, "last.ckpt"), weights(folder, "last.ckpt"))
    assert same(weights(trained), weights(folder))


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


def test_a_terminated_training_is_no_success(train, data, tmp_path, monkeypatch):
    def terminate(self):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("mirai.training.module.ExtractorTraining.on_train_epoch_end", terminate)
    with pytest.raises(UserError, match=r"--exp_name run: stopped by SIGTERM; --resume goes on from last\.ckpt"):
        train(data / "annotation_speaker_only.csv", tmp_path, epochs=3)


def test_damaged_wav_in_training_is_named(train, data, tmp_path):
    broken = shutil.copytree(data / "txt_wav", tmp_path / "txt_wav", symlinks=False)
    for path in broken.glob("Sess01*.wav"):
        path.write_bytes(path.read_bytes()[:999])
    with pytest.raises(UserError, match=r"Sess01_\w+\.wav: truncated"):
        train(data / "annotation_speaker_only.csv", tmp_path, "--txt_wav", broken)


def test_no_gpu_is_an_error_when_one_is_asked_for(train, data, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UserError, match="--device cuda"):
        train(data / "annotation_speaker_only.csv", tmp_path, "--device", "cuda")


def test_scores_of_the_held_out_sessions(score, trained, capsys):
    result, predictions = score(trained / "best.ckpt", "--test_1920=True")
    assert result["n"] == 28 and "both: accuracy" in capsys.readouterr().out
    rows = predictions.splitlines()
    assert len(rows) == 29 and all(row[:6] in ("Sess19", "Sess20") for row in rows[1:])


def test_scores_do_not_depend_on_batches_or_row_order(score, trained, data, tmp_path):
    table = shuffled_copy(data, tmp_path / "shuffled")
    one = score(trained / "best.ckpt", "--test_1920", "True", "--test_sessions", 20, "--batch_size", 1)[1]
    other = score(trained / "best.ckpt", "--test_1920=True", "--test_sessions", 20, "--batch_size", 14, table=table)[1]
    rows = [[line.split(",") for line in text.splitlines()[1:]] for text in (one, other)]
    assert [row[:5] for row in rows[0]] == [row[:5] for row in rows[1]]
    values = [np.array([row[5:] for row in part], dtype=float) for part in rows]
    np.testing.assert_allclose(*values, atol=1e-5)


def test_sessions_seen_in_training_are_not_scored(score, trained):
    with pytest.raises(UserError, match=r"best\.ckpt: was trained on .* session 2\)"):
        score(trained / "best.ckpt", "--test_1920=True", "--test_sessions", 2, 19)
    # --test_1920=False is false: the random 20% of the table, of which most were trained on
    with pytest.raises(UserError, match=r"was trained on \d+ of the 11 utterances"):
        score(trained / "best.ckpt", "--test_1920=False")


def test_random_split_is_scored_on_what_it_held_out(train, score, data, tmp_path):
    folder = train(
        *(data / "annotation_speaker_only.csv", tmp_path / "zoo", "--test_1920=False", "--using_model", "text"),
        epochs=1,
    )
    result, _ = score(folder / "best.ckpt", "--test_1920=False")
    assert result["n"] == 11


def test_checkpoint_needs_nothing_else(score, trained, tmp_path, encoders):
    """Stripped to what is shipped, as 16-bit floats, with the encoders' directories out of the way."""
    whole = torch.load(trained / "best.ckpt", weights_only=True)
    kept = {name: whole[name] for name in ("hyper_parameters", "state_dict", "pytorch-lightning_version")}
    kept["state_dict"] = {name: value.half() for name, value in kept["state_dict"].items()}
    torch.save(kept, tmp_path / "small.ckpt")
    hidden = [path.rename(path.with_name(f"hidden_{path.name}")) for path in (encoders.text, encoders.audio)]
    try:
        extractor, hyper_parameters = load_extractor(tmp_path / "small.ckpt")
        full, _ = score(trained / "best.ckpt", "--test_1920=True")
        small, _ = score(tmp_path / "small.ckpt", "--test_1920=True")
    finally:
        for path in hidden:
            path.rename(path.with_name(path.name.removeprefix("hidden_")))
    assert {value.dtype for value in extractor.state_dict().values()} == {torch.float32}
    assert str(encoders.text.parent) not in json.dumps(hyper_parameters)
    assert abs(full["accuracy"] - small["accuracy"]) < 0.1


def test_formatting(formatted, data):
    dialogues = read_dialogues(formatted, KEMDY19)
    assert len(dialogues.ids) == 8 and dialogues.turns() == 55
    assert dialogues.test_ids == [f"Sess{s}_{kind}" for s in (19, 20) for kind in ("impro01", "script01")]
    assert not dialogues.has("a") and not dialogues.has("t")
    assert not any("/" in sentence or "(" in sentence for rows in dialogues.sentences.values() for sentence in rows)


def test_extraction_twice_and_with_shuffled_rows_gives_the_same_file(extract, formatted, data, tmp_path):
    before = formatted.read_bytes()
    digests = []
    for table in (data / "annotation_speaker_only.csv",) * 2 + (shuffled_copy(data, tmp_path / "shuffled"),):
        features = extract(table, formatted)
        digests.append(hashlib.sha256(features.read_bytes()).hexdigest())
        features.unlink()
    assert len(set(digests)) == 1 and formatted.read_bytes() == before


def test_every_turn_gets_its_own_embedding(extract, formatted, data, trained):
    """One utterance at a time, by hand, against the file."""
    from erc.corpus.annotations import read_annotations
    from mirai.dataset import UtteranceDataset

    dialogues = read_dialogues(extract(data / "annotation_speaker_only.csv", formatted), KEMDY19)
    extractor, _ = load_extractor(trained / "best.ckpt")
    utterances = {row.segment_id: row for row in read_annotations(data / "annotation_speaker_only.csv")}
    for dialogue in dialogues.ids[::3]:
        for turn, name in enumerate(dialogues.segment_ids[dialogue]):
            dataset = UtteranceDataset([utterances[name]], data / "txt_wav", **extractor.dataset_settings())
            with torch.no_grad():
                expected = extractor.embed(dataset.collate([dataset[0]]))
            for modality in ("text", "audio"):
                vector = getattr(dialogues, modality)[dialogue][turn]
                assert vector.dtype == np.float32
                np.testing.assert_allclose(vector, expected[modality][0], atol=1e-5)


def test_an_extractor_that_was_trained_on_test_dialogues_is_refused(extract, run_script, data, tmp_path):
    """Its embeddings would carry the labels of the test dialogues into the graph network's scores."""
    table, dialogues = data / "annotation_speaker_only.csv", tmp_path / "f.pkl"
    run_script("COGMEN_code/cogmen_formatting.py", "--csv_path", table, "--out", dialogues, "--test_sessions", 2, 19)
    with pytest.raises(
        UserError, match=r"best\.ckpt: was trained on \d+ of the 28 .*session 2\)\. Take a checkpoint of"
    ):
        extract(table, dialogues)
    assert [path.name for path in tmp_path.iterdir()] == ["f.pkl"]


def test_one_modality_fills_its_own_place(extract, train, formatted, data, tmp_path):
    folder = train(data / "annotation_speaker_only.csv", tmp_path, "--using_model", "audio", epochs=1)
    path = extract(data / "annotation_speaker_only.csv", formatted, checkpoint=folder / "best.ckpt")
    dialogues = read_dialogues(path, KEMDY19)
    assert dialogues.has("a") and not dialogues.has("t")


def test_table_and_dialogue_file_must_hold_the_same_utterances(extract, formatted, data):
    with pytest.raises(
        UserError, match=r"1 utterances of the table are not in the dialogue file \(Sess01_impro01_F001"
    ):
        extract(data / "annotation.csv", formatted)
