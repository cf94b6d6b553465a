"""The shipped example, the shipped models, and the tool that makes such recordings."""

import json

import numpy as np
import pytest

from erc.options import REPOSITORY, UserError
from mirai.speech import SAMPLE_RATE, read_channels, read_speech
from tests.mirai.conftest import corpus_made, data  # noqa: F401 (fixtures)
from tests.tables import read_rows


def test_the_readmes_command_makes_a_page(run_script, tmp_path):
    run_script("app/predict.py", "--turns", REPOSITORY / "examples/call.csv", "--out", tmp_path / "report", "--quiet")
    turns = json.loads((tmp_path / "report/turns.json").read_text(encoding="utf-8"))["turns"]
    rows = read_rows(REPOSITORY / "examples/call.csv")
    assert [turn["text"] for turn in turns] == [row["text"] for row in rows]
    # The shipped models have not met it; they named 8 of its 13 emotions when it was made, where chance names 2.
    right = sum(turn["emotion"] == row["emotion"] for turn, row in zip(turns, rows, strict=True))
    assert right >= 5
    assert (tmp_path / "report/report.html").read_text(encoding="utf-8").count("data:audio/mpeg") == len(rows)


def test_a_dialogue_as_a_recording_of_two_channels(run_script, data, tmp_path):  # noqa: F811
    table = data / "annotation_speaker_only.csv"
    dialogue = read_rows(table)[0]["segment_id"].rsplit("_", 1)[0]
    run_script("tools/make_example.py", "--csv_path", table, "--dialogue", dialogue, "--out", tmp_path)
    channels, rows = read_channels(tmp_path / "call.flac"), read_rows(tmp_path / "call.csv")
    originals = sorted(
        (row for row in read_rows(table) if row["segment_id"].startswith(dialogue)), key=lambda r: float(r["wav_start"])
    )
    assert [row["emotion"] for row in rows] == [row["emotion"] for row in originals]
    assert len(channels) == len({row["speaker"] for row in rows}) == 2
    for row, original in zip(rows, originals, strict=True):
        first = round(float(row["start"]) * SAMPLE_RATE)
        wave = read_speech(data / f"txt_wav/{original['segment_id']}.wav")
        heard = channels[int(row["channel"]) - 1][first : first + len(wave)]
        assert np.abs(heard - wave[: len(heard)]).max() < 1e-3 and len(heard) > 0.9 * len(wave)


def test_a_dialogue_that_is_not_there(run_script, data, tmp_path):  # noqa: F811
    with pytest.raises(UserError, match="--dialogue Sess99_impro01: not in"):
        run_script(
            *("tools/make_example.py", "--csv_path", data / "annotation_speaker_only.csv"),
            *("--dialogue", "Sess99_impro01", "--out", tmp_path),
        )
