"""From a corrected report to training: the manifests that pages export, through preprocess.py and a trainer."""

import csv
import io
import json
import shutil
import subprocess

import pytest

from erc.options import REPOSITORY
from tests.conversation.conftest import RATE, TURNS, tones, write_manifest, write_sound
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


def page_export(data, turns, only_checked):
    """The manifest that exports.js itself makes."""
    script = (REPOSITORY / "app/conversation/report/exports.js").read_text(encoding="utf-8")
    turns = [{**turn, "parts": [{"turn": k}]} for k, turn in enumerate(turns)]
    program = (
        f"const DATA = {json.dumps(data)};\n{script}\n"
        f"const labelled = (turn) => ({json.dumps(only_checked)} && !turn.checked ? '' : turn.emotion);\n"
        f"process.stdout.write(manifest({json.dumps(turns)}, labelled));"
    )
    made = subprocess.run(["node", "-"], input=program, capture_output=True, text=True, encoding="utf-8", check=True)
    return made.stdout


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
    for only_checked in (True, False):
        turns = corrected(calls[0])
        assert page_export(calls[0], turns, only_checked) == export(calls[0], turns, only_checked)


@pytest.mark.skipif(not shutil.which("node"), reason="no node, which runs exports.js")
@pytest.mark.parametrize("kind", ["corpus", "manifest without times"])
def test_turns_with_files_of_their_own_are_read_again(run_script, models, data, tmp_path, kind):
    """Their times are the conversation's, and in their files they would be elsewhere or nowhere."""

    def predict(*arguments):
        shared = ("--reasons=False", "--overwrite", "--quiet", "--out", tmp_path / "report")
        run_script("app/predict.py", *arguments, *models, *shared)
        return json.loads((tmp_path / "report/turns.json").read_text())

    if kind == "corpus":
        folder = shutil.copytree(data / "txt_wav", tmp_path / "txt_wav")
        first = predict("--csv_path", data / "annotation_speaker_only.csv", "--dialogue", "Sess19_impro01")
    else:
        folder = tmp_path
        rows = [(f"{k}.wav", "call", turn[2], turn[3]) for k, turn in enumerate(TURNS)]
        for k, (start, end, speaker, *_) in enumerate(TURNS):
            sound = tones()[int(start * RATE) : int(end * RATE), "MF".index(speaker)]
            write_sound(folder / f"{k}.wav", sound)
        columns = ("file_name", "dialogue", "speaker", "text")
        first = predict("--turns", write_manifest(folder / "files.csv", rows, columns))
    turns = [{**turn, "checked": True} for turn in first["turns"]]
    manifest = folder / "exported.csv"
    manifest.write_text(page_export(first, turns, True), encoding="utf-8")
    again = predict("--turns", manifest)
    assert [turn["file_name"] for turn in again["turns"]] == [turn["file_name"] for turn in turns]
    assert [turn["probabilities"] for turn in again["turns"]] == [turn["probabilities"] for turn in turns]
    assert [turn["given_emotion"] for turn in again["turns"]] == [turn["emotion"] for turn in turns]
