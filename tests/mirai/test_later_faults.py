"""Faults of the corpus that the later stages meet: each names the file or the row, and keeps what was made before.

Every script, with a few faults; the tests of speech, transcripts and annotation tables have the others.
"""

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
    [(lambda path: path.unlink(), "no such file"), (lambda path: path.write_bytes(b"\xff\xff\xff"), "neither UTF-8")],
)
def test_a_damaged_transcript_is_named(call, own, script, damage, reason):
    damage(own / "txt_wav" / f"{NAME}.txt")
    with pytest.raises(UserError, match=rf"{NAME}\.txt: {reason}"):
        call(script, own)


@pytest.mark.parametrize("script", [*WITH_SPEECH, "cogmen_formatting.py"])
def test_a_damaged_table_is_named(call, own, script):
    path = own / "annotation_speaker_only.csv"
    before, after = path.read_text().split(f"\n{NAME},")
    path.write_text(f"{before}\n{NAME[:-1]},{after}")
    row = before.count("\n") + 2
    with pytest.raises(UserError, match=rf"annotation_speaker_only\.csv, row {row}: malformed segment id"):
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
