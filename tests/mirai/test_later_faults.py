"""Faults of the corpus that the later stages meet: each names the file or the row, and keeps what was made before."""

import os
import shutil

import pytest

from erc.options import UserError

from .conftest import tree

NAME = "Sess19_impro01_F001"


@pytest.fixture
def own(data, tmp_path):
    """A folder with the speaker-only table and copies of its files."""
    folder = tmp_path / "own"
    shutil.copytree(data, folder, symlinks=False)
    return folder


@pytest.fixture
def call(run_script, trained, train, tmp_path):
    """`call(script, own)` runs a script on that folder, to write into `tmp_path / "made"`."""

    def one(script, own):
        table, made = own / "annotation_speaker_only.csv", tmp_path / "made"
        if script == "trainer_hf.py":
            return train(table, made, "--test_sessions", 1, epochs=1)
        if script == "inference.py":
            return run_script(
                *("MIRAI/inference.py", "--ckpt_path", trained / "best.ckpt", "--csv_path", table),
                *("--test_1920=True", "--out_dir", made),
            )
        run_script("COGMEN_code/cogmen_formatting.py", "--csv_path", table, "--out", made / "dialogues.pkl")
        if script == "feature_extractor_cogmen_format.py":
            run_script(
                *("MIRAI/feature_extractor_cogmen_format.py", "--model_save_path", trained / "best.ckpt"),
                *("--csv_path", table, "--features_format_path", made / "dialogues.pkl"),
            )
        return made

    return one


WITH_SPEECH = ["trainer_hf.py", "inference.py", "feature_extractor_cogmen_format.py"]


@pytest.mark.parametrize("script", WITH_SPEECH)
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.unlink() or os.mkfifo(path), "is not a plain file"),
        (lambda path: path.write_bytes(b""), "0 bytes"),
        (lambda path: path.write_bytes(path.read_bytes()[:40] + bytes(4)), "no sound in it, only a header"),
        (lambda path: path.write_bytes(path.read_bytes()[:3000]), "truncated"),
    ],
)
def test_a_damaged_wav_is_named(call, own, script, damage, reason):
    damage(own / "txt_wav" / f"{NAME}.wav")
    with pytest.raises(UserError, match=rf"{NAME}\.wav: {reason}"):
        call(script, own)


@pytest.mark.parametrize("script", [*WITH_SPEECH, "cogmen_formatting.py"])
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(b"\xff\xff\xff"), "neither UTF-8"),
        (lambda path: path.write_bytes(b"a\0b\0"), "holds NUL characters"),
    ],
)
def test_a_damaged_transcript_is_named(call, own, script, damage, reason):
    damage(own / "txt_wav" / f"{NAME}.txt")
    with pytest.raises(UserError, match=rf"{NAME}\.txt: {reason}"):
        call(script, own)


@pytest.mark.parametrize("script", [*WITH_SPEECH, "cogmen_formatting.py"])
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (f"{NAME},", f"{NAME[:-1]},", "row {}: malformed segment id"),
        (f"{NAME},", "Sess19_impro01_F002,", r"row .* Sess19_impro01_F002 is already in row \d+; expected it once"),
        ("emotion", "label", "no column emotion; found segment_id, label"),
        ("\n", "\nSess01_impro01_M001,glad,,,0,1,,,,,,,True\n", "row 2 .*: emotion 'glad'; expected one of neutral"),
    ],
)
def test_a_damaged_table_is_named(call, own, script, old, new, message):
    path = own / "annotation_speaker_only.csv"
    text = path.read_text()
    row = text[: text.index(f"\n{NAME},")].count("\n") + 2
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=rf"annotation_speaker_only\.csv.*{message.replace('{}', str(row))}"):
        call(script, own)


def test_a_failure_leaves_what_was_made_before(call, own):
    made = call("feature_extractor_cogmen_format.py", own)
    before = tree(made)
    (own / "txt_wav" / f"{NAME}.wav").write_bytes(b"")
    with pytest.raises(UserError):
        call("feature_extractor_cogmen_format.py", own)
    (own / "txt_wav" / f"{NAME}.txt").unlink()
    with pytest.raises(UserError):
        call("cogmen_formatting.py", own)
    kept = {name: content for name, content in tree(made).items() if "_feat.parts" not in name}  # to go on with
    assert kept == before
