"""What training and test share: counted by hand on dialogues that were made to share it."""

import numpy as np
import pytest
import soundfile

from erc.audit import shared, told_by_sentence
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import write_preprocessed
from erc.files import write_table
from erc.options import UserError
from tests.erc.test_controls import ANGRY, HAPPY, SAD, dialogue

SPLITS = {
    "train": [dialogue("Sess01_script01", [ANGRY, ANGRY, SAD], ["가자", "가자", "나는"], [[1, 0], [0, 1], [-1, 0]])],
    "dev": [dialogue("Sess02_script02", [HAPPY], ["가자"], [[0, -1]])],
    "test": [
        dialogue("Sess19_script01", [ANGRY, HAPPY], ["가자", "나는"], [[5, 0.1], [1, 1]]),
        dialogue("Sess19_impro01", [SAD, SAD], ["", "다른"], [[1, 0.2], [0, -3]]),
    ],
}


def test_each_kind_of_sharing(tmp_path):
    for k, name in enumerate(name for part in SPLITS.values() for one in part for name in one.segment_ids):
        (tmp_path / f"{name}.wav").write_bytes(bytes([k % 6]))  # the last two are the first two again
    masks = {kind: mask.tolist() for kind, mask in shared(SPLITS, KEMDY19, tmp_path).items()}
    assert masks == {
        "session": [False] * 4,
        "speaker": [False] * 4,  # F of session 19 is someone else than F of session 1
        "script or scenario": [True, True, False, False],
        "sentence": [True, True, False, False],  # nothing said is nothing shared
        "recording": [False, False, True, True],
        "text alike": [True, False, True, True],
    }
    assert told_by_sentence(SPLITS) == (1, 2)


@pytest.mark.parametrize("order", [[ANGRY, SAD, HAPPY], [SAD, HAPPY, ANGRY], [HAPPY, ANGRY, SAD]])
def test_no_order_decides_between_labels_that_are_as_common(order):
    splits = {
        "train": [dialogue("Sess01_script01", [*order, HAPPY, SAD], ["가자"] * 5)],
        "dev": [],
        "test": [dialogue("Sess19_script01", [SAD, SAD, ANGRY, HAPPY], ["가자"] * 3 + ["나는"])],
    }
    assert told_by_sentence(splits) == (1, 3)  # half of each of the first two


def test_the_script_scores_with_and_without(run_script, tmp_path, capsys):
    write_preprocessed(tmp_path / "p.pkl", SPLITS)
    names = [name for one in SPLITS["test"] for name in one.segment_ids]
    labels, told = ("angry", "happy", "sad", "sad"), ("angry", "happy", "happy", "sad")
    rows = list(zip(names, labels, told, strict=True))
    header = ("segment_id", "label", "prediction")
    write_table(tmp_path / "predictions.csv", header, rows)
    arguments = ("tools/audit.py", "--data_dir", tmp_path / "p.pkl", "--predictions", tmp_path / "predictions.csv")
    run_script(*arguments, "--out", tmp_path / "audit.md")
    lines = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("| s")]
    shown = {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}
    assert shown["script or scenario"] == ["2", "50.0%", "100.00", "66.67"]  # two dialogues are too few for an interval
    assert shown["session"] == ["0", "0.0%", "-", "75.00"]
    assert "of 2 labelled test turns whose sentence is in training, 1.0 have" in (tmp_path / "audit.md").read_text()
    write_table(tmp_path / "predictions.csv", header, [*rows[:3], (names[3], "sad", "joy")])
    with pytest.raises(
        UserError, match=r"predictions\.csv, row 5 .*: prediction is 'joy'; expected one of neutral, angry"
    ):
        run_script(*arguments)
    write_table(tmp_path / "predictions.csv", header, rows[:3])
    with pytest.raises(UserError, match="no prediction for one of the 4 labelled test turns of --data_dir"):
        run_script(*arguments)


def test_the_same_samples_are_the_same_recording_in_any_file(tmp_path):
    names = [name for part in SPLITS.values() for one in part for name in one.segment_ids]
    rng = np.random.default_rng(0)
    sounds = [rng.integers(-9999, 9999, 400).astype(np.int16) for _ in names]
    silence = np.zeros(70, np.int16)
    sounds[4] = np.concatenate([silence, sounds[0], silence])
    sounds[5], sounds[6] = sounds[1] + np.int16(1), sounds[2]
    for name, sound in zip(names, sounds, strict=True):
        kind = "FLAC" if name == names[6] else "WAV"
        soundfile.write(tmp_path / f"{name}.wav", sound, 16_000, format=kind)
    assert shared(SPLITS, KEMDY19, tmp_path)["recording"].tolist() == [True, False, True, False]


def test_features_that_are_nearly_the_same_are_found_among_many():
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(1500, 8)).astype(np.float32) for _ in range(2)]
    rows[1][1200] = 3 * rows[0][7]
    train, test = (dialogue("Sess01_script01", [0] * 1500, None, part) for part in rows)
    found = shared({"train": [train], "dev": [], "test": [test]}, KEMDY19)["text alike"]
    cosines = [max(a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a in rows[0]) for b in rows[1][1190:1210]]
    assert found[1190:1210].tolist() == [cosine > 0.95 for cosine in cosines] and found[1200]
