"""Every script that writes, and an output that it cannot have: told before the work, and nothing is changed."""

import errno
import os
import shutil
from types import SimpleNamespace

import pytest

from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import write_dialogues, write_preprocessed
from erc.corpus.splits import divide
from erc.files import claim
from erc.options import REPOSITORY, UserError
from erc.split_zip import pack
from tests.cogmen.conftest import make_dialogues
from tests.conftest import load_script
from tests.mirai.conftest import corpus_made, data, encoders, train, trained, tree  # noqa: F401 (fixtures)

FOLDERS = {"MIRAI/preprocess.py", "MIRAI/trainer_hf.py", "MIRAI/trainer_hf_MMER.py", "MIRAI/inference.py"}
FOLDERS |= {"tools/score.py", "tools/controls.py", "app/predict.py", "MIRAI/make_sample_corpus.py"}
FOLDERS |= {"COGMEN_code/eval.py", "COGMEN_code/archive.py unpack", "tools/export.py"}
SCRIPTS = [
    *("MIRAI/preprocess.py", "MIRAI/trainer_hf.py", "MIRAI/trainer_hf_MMER.py", "MIRAI/inference.py"),
    *("MIRAI/feature_extractor_cogmen_format.py", "MIRAI/make_sample_corpus.py"),
    "tools/make_example.py",
    *("COGMEN_code/cogmen_formatting.py", "COGMEN_code/preprocess.py", "COGMEN_code/train.py", "COGMEN_code/eval.py"),
    *("COGMEN_code/convert_checkpoint.py", "COGMEN_code/archive.py pack", "COGMEN_code/archive.py unpack"),
    *("tools/score.py", "tools/controls.py", "tools/audit.py", "tools/results_table.py", "tools/release_sample.py"),
    *("tools/ablations.py", "tools/export.py", "app/predict.py"),
]
SHARED = {
    "COGMEN_code/tune.py",
    "app/demo.py",
}  # processes that are to work on one study; a server, which has no output


def test_every_script_is_here():
    folders = ("MIRAI", "COGMEN_code", "tools", "app")
    scripts = {f"{folder}/{path.name}" for folder in folders for path in (REPOSITORY / folder).glob("*.py")}
    assert {name.split()[0] for name in SCRIPTS} | SHARED == scripts


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, data, trained, run_script):  # noqa: F811
    """What the scripts look at before they claim their output."""
    folder = tmp_path_factory.mktemp("inputs")
    table, dialogues = data / "annotation_speaker_only.csv", make_dialogues(sessions=4)
    run_script("COGMEN_code/cogmen_formatting.py", "--csv_path", table, "--out", folder / "dialogues.pkl")
    write_dialogues(folder / "features.pkl", dialogues)
    write_preprocessed(folder / "preprocessed.pkl", divide(dialogues, KEMDY19))
    pack(folder / "a.zip", [folder / "features.pkl"], 1 << 20)
    names = ("dialogues", "features", "preprocessed")
    paths = {name: folder / f"{name}.pkl" for name in names}
    return SimpleNamespace(**paths, archive=folder / "a.zip", table=table, checkpoint=trained / "best.ckpt")


@pytest.fixture(params=SCRIPTS)
def script(request, inputs, corpus_made, encoders, tmp_path, run_script, monkeypatch):  # noqa: F811
    """A script with arguments, and its output.

    If it went to work before it looked at its output, that would show: it would find that the file to read is not
    there, leave something in its folder, or train for hours.
    """
    name, place, none = request.param, tmp_path / "made", tmp_path / "none"
    place.mkdir()
    path, *command = name.split()
    shutil.copy(inputs.dialogues, place / "d.pkl")
    training = ("--exp_name", "run", "--csv_path", inputs.table, "--out_dir", place, "--test_1920=True")
    training += ("--text_encoder", encoders.text, "--audio_encoder", encoders.audio, "--device", "cpu")
    training += ("--max_epochs", 10**6)
    extraction = ("--model_save_path", inputs.checkpoint, "--csv_path", inputs.table)
    arguments, output = {
        "MIRAI/preprocess.py": (("--root_path", corpus_made, "--save_path", place), "txt_wav"),
        "MIRAI/trainer_hf.py": (training, "checkpoint/run"),
        "MIRAI/trainer_hf_MMER.py": (training, "checkpoint/run"),
        "MIRAI/inference.py": (("--ckpt_path", none, "--out_dir", place / "out"), "out"),
        "MIRAI/feature_extractor_cogmen_format.py": (
            (*extraction, "--features_format_path", place / "d.pkl"),
            "d_feat.pkl",
        ),
        "tools/make_example.py": (("--csv_path", none, "--dialogue", "a", "--out", place), "call.flac"),
        "MIRAI/make_sample_corpus.py": (("--out", place / "out", "--sessions", 2), "out"),
        "COGMEN_code/cogmen_formatting.py": (("--csv_path", none, "--out", place / "out"), "out"),
        "COGMEN_code/preprocess.py": (("--feat_dir", none, "--res_dir", place / "out"), "out"),
        "COGMEN_code/train.py": (
            ("--preprocessed_feature", inputs.preprocessed, "--out_dir", place, "--from_begin", "--epochs", 10**6),
            "model_checkpoints/KEMDy19_best_dev_f1_model_at_tmp.pt",
        ),
        "COGMEN_code/eval.py": (("--pt_dir", none, "--out_dir", place / "out"), "out"),
        "COGMEN_code/convert_checkpoint.py": ((none, place / "out"), "out"),
        "COGMEN_code/archive.py pack": (("--out", place / "out.zip", "--files", inputs.features), "out.zip"),
        "COGMEN_code/archive.py unpack": (("--archive", inputs.archive, "--out_dir", place / "out"), "out"),
        "tools/score.py": ((none, "--out_dir", place / "out"), "out"),
        "tools/controls.py": (("--data_dir", none, "--out_dir", place / "out"), "out"),
        "tools/audit.py": (("--data_dir", none, "--out", place / "out"), "out"),
        "tools/ablations.py": (("--results_dir", none, "--out", place / "out"), "out"),
        "tools/results_table.py": (("--results_dir", none, "--out", place / "out"), "out"),
        "tools/release_sample.py": (("--data", none, "--zoo", none), "out"),
        "tools/export.py": (("--extractor", none, "--cgnn", none, "--out", place / "out"), "out"),
        "app/predict.py": (("--text", none, "--out", place / "out"), "out"),
    }[name]
    if name == "tools/release_sample.py":  # which writes into the repository
        monkeypatch.setattr(load_script(path), "TABLE", place / "out")
    return SimpleNamespace(
        name=name,
        folder=name in FOLDERS,
        output=place / output,
        place=place,
        run=lambda: run_script(path, *command, *arguments),
    )


def refused(script, message):
    before = tree(script.place)
    with pytest.raises(UserError, match=message):
        script.run()
    after = tree(script.place)
    assert {path: content for path, content in after.items() if content is not False} == {
        path: content for path, content in before.items() if content is not False
    }  # but for empty folders


def test_a_second_writer_is_refused(script):
    claimed = script.output
    if script.name == "COGMEN_code/archive.py unpack":
        claimed = script.place / ".unpack.out"  # where it is unpacked first
    with claim(claimed, folder=script.folder):
        refused(script, f"{claimed.name}: another run is writing it; wait for that one, or give another output")


def test_something_else_in_the_outputs_place(script):
    script.output.parent.mkdir(parents=True, exist_ok=True)
    if script.folder:
        script.output.write_text("mine")
        refused(script, rf"{script.output.name}:? (is a file, exp|is not a dir|exists and is not em|is in the way)")
    else:
        script.output.mkdir()
        refused(script, f"{script.output.name}: is a directory, expected a file or nothing; give another output")


def test_a_file_system_that_is_read_only(script, monkeypatch):
    def open_for_reading(path, flags, *more, **keywords):
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return opened(path, flags, *more, **keywords)

    opened = os.open
    monkeypatch.setattr(os, "open", open_for_reading)
    refused(script, f"{script.place}.*: cannot be written: Read-only file system")


def test_a_full_disk(script, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    refused(script, "are needed, 0 MB are free on the disk; make room|needs [0-9]+ bytes, but the disk has 0 free")
