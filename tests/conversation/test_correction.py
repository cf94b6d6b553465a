"""From a corrected report to training: the manifests that pages export, through preprocess.py and a trainer."""

import csv
import io
import json
import shutil
import subprocess

import pytest

from erc.options import REPOSITORY
from tests.conversation.conftest import TURNS, tones, write_manifest, write_sound
from tests.tables import read_rows

COLUMNS = ["file_name", "dialogue", "speaker", "start", "end", "text", "emotion", "channel"]
CALLS = ("call1", "call2", "call3")
CORRECTED = '=고친 말, "따옴표"'


def corrected(data):
    """The turns as the page holds them: the second's label and text, and the third's speaker, were corrected; only the
    first two were checked."""
    turns = [
        {**{name: turn[name] for name in ("start", "end", "speaker", "text", "emotion")}, "checked": False}
        for turn in data["turns"]
    ]
    turns[0]["checked"] = True
    wrong = turns[1]["emotion"]
    turns[1] |= {"emotion": "sad" if wrong != "sad" else "fear", "text": CORRECTED, "checked": True}
    turns[2] |= {"speaker": "F"}
    return turns


def export(data, turns, only_checked):
    """The manifest that exports.js makes of a conversation's turns, none of them joined or split."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for turn, first in zip(turns, data["turns"], strict=True):
        said = f"'{turn['text']}" if turn["text"].startswith(("=", "+", "-", "@")) else turn["text"]
        emotion = turn["emotion"] if turn["checked"] or not only_checked else ""
        times = (f"{turn[name]:g}" for name in ("start", "end"))
        writer.writerow(
            [first["file_name"], data["dialogue"], turn["speaker"], *times, said, emotion, first["channel"]]
        )
    return text.getvalue()


@pytest.fixture
def calls(run_script, models, tmp_path):
    """The turns.json of three conversations."""
    found = []
    for k, name in enumerate(CALLS):
        sound = write_sound(tmp_path / f"{name}.wav", (0.5 + 0.2 * k) * tones())
        rows = [(f"{name}.wav", name, speaker, start, end, text) for start, end, speaker, text, _ in TURNS]
        manifest = write_manifest(tmp_path / f"{name}.csv", rows)
        arguments = (sound, "--turns", manifest, "--channels", "M", "F", "--reasons=False", "--quiet")
        run_script("app/predict.py", *arguments, *models, "--out", tmp_path / f"report {name}")
        found.append(json.loads((tmp_path / f"report {name}/turns.json").read_text()))
    return found


@pytest.mark.parametrize("only_checked", [True, False])
def test_what_is_corrected_is_trained_on(calls, run_script, encoders, tmp_path, only_checked):
    manifest, heads = tmp_path / "all.csv", []
    for data in calls:
        head, _, rows = export(data, corrected(data), only_checked).partition("\n")
        heads.append(head)
        manifest.write_text((manifest.read_text() if manifest.exists() else f"{head}\n") + rows)
    assert len(set(heads)) == 1
    folder = tmp_path / "data"
    run_script("MIRAI/preprocess.py", "--corpus", "manifest", "--root_path", manifest, "--save_path", folder)
    table = read_rows(folder / "annotation.csv")
    expected = {}
    for data in calls:
        for turn in corrected(data):
            label = turn["emotion"] if turn["checked"] or not only_checked else ""
            expected[data["dialogue"], turn["start"]] = turn["speaker"], label
    assert {(row["dialogue"], float(row["wav_start"])): (row["speaker"], row["emotion"]) for row in table} == expected
    for row in table:
        said = (folder / f"txt_wav/{row['segment_id']}.txt").read_text(encoding="utf-8")
        assert said == (CORRECTED if float(row["wav_start"]) == TURNS[1][0] else said)
    assert sum(CORRECTED in path.read_text(encoding="utf-8") for path in folder.glob("txt_wav/*.txt")) == len(CALLS)
    if not only_checked:
        return
    run_script(
        *("MIRAI/trainer_hf.py", "--exp_name", "own", "--csv_path", folder / "annotation.csv", "--device", "cpu"),
        *("--out_dir", tmp_path / "zoo", "--max_epochs", 1, "--batch_size", 2, "--accumulate_grad", 1),
        *("--text_encoder", encoders.text, "--audio_encoder", encoders.audio),
    )
    from mirai.checkpoint import load_extractor

    extractor, _ = load_extractor(tmp_path / "zoo/checkpoint/own/best.ckpt")
    assert extractor.description["emotions"] == sorted({label for _, label in expected.values() if label})


@pytest.mark.skipif(not shutil.which("node"), reason="no node, which runs exports.js")
def test_the_page_exports_so(calls):
    """exports.js itself makes the manifest that the other test makes."""
    script = (REPOSITORY / "app/conversation/report/exports.js").read_text(encoding="utf-8")
    turns = [{**turn, "parts": [{"turn": k}]} for k, turn in enumerate(corrected(calls[0]))]
    for only_checked in (True, False):
        program = (
            f"const DATA = {json.dumps(calls[0])};\n{script}\n"
            f"const labelled = (turn) => ({json.dumps(only_checked)} && !turn.checked ? '' : turn.emotion);\n"
            f"process.stdout.write(manifest({json.dumps(turns)}, labelled));"
        )
        made = subprocess.run(
            ["node", "-"], input=program, capture_output=True, text=True, encoding="utf-8", check=True
        )
        assert made.stdout == export(calls[0], corrected(calls[0]), only_checked)
