"""One's own conversations through all stages, by the scripts: speech and text, text alone, speech alone."""

import json
import random
import re
import shlex

import numpy as np
import pytest
import soundfile

from erc.corpus.dialogues import read_preprocessed
from erc.options import REPOSITORY
from tests.manifests import SPEAKERS, WORDS, make_turns, record, write_manifest
from tests.mirai.conftest import encoders  # noqa: F401 (a fixture)
from tests.pictures import blank_pictures  # noqa: F401 (a fixture)
from tests.stages import run_stages
from tests.tables import read_rows
from tests.test_commands import commands

NAMES = 'emotions = ["기쁨", "슬픔", "anger"]\n[names]\nen = ["Joy", "Sadness", "Anger"]\nko = ["기쁨", "슬픔", "화"]\n'


@pytest.fixture
def stages(run_script, encoders, tmp_path):  # noqa: F811
    """`stages(manifest, "both", "at")`: from the manifest to the scores of both networks; gives the folder."""

    def call(manifest, using, modalities):
        data, zoo = tmp_path / "data", tmp_path / "zoo"
        table, checkpoint = data / "annotation.csv", zoo / "checkpoint/run/best.ckpt"
        run_script("MIRAI/preprocess.py", "--corpus", "manifest", "--root_path", manifest, "--save_path", data)
        run_script(
            *("MIRAI/trainer_hf.py", "--exp_name", "run", "--using_model", using, "--csv_path", table),
            *("--out_dir", zoo, "--max_epochs", 2, "--lr", 0.003, "--batch_size", 4, "--accumulate_grad", 1),
            *("--text_encoder", encoders.text, "--audio_encoder", encoders.audio, "--device", "cpu"),
        )
        network = run_stages(run_script, table, checkpoint, zoo, modalities, train=("--tag", "own")).network
        name = json.loads((data / "corpus.json").read_text())["name"]
        assert network.name == f"{name}_best_dev_f1_model_{modalities}_own.pt"
        run_script("tools/results_table.py", "--results_dir", zoo / "results", "--out", zoo / "table.md")
        return tmp_path

    return call


def predictions(folder, method, modalities):
    return read_rows(folder / f"zoo/results/{method}/{modalities}/predictions.csv")


def test_three_speakers_and_emotions_of_its_own(stages, tmp_path, capsys):
    rows = make_turns()
    record(tmp_path / "own/recordings", rows)
    random.Random(1).shuffle(rows)  # the times say what follows what
    manifest = write_manifest(tmp_path / "own/calls.csv", rows)
    manifest.with_suffix(".toml").write_text(NAMES, encoding="utf-8")
    folder = stages(manifest, "both", "at")
    assert "left out, without a label: 6" in capsys.readouterr().out
    splits, corpus = read_preprocessed(folder / "zoo/p.pkl")
    assert (corpus.name, corpus.emotions) == ("calls", tuple(WORDS))
    assert corpus.emotion_names["en"] == ("Joy", "Sadness", "Anger")
    assert [len(splits[name]) for name in ("train", "dev", "test")] == [4, 1, 1]
    for dialogue in (dialogue for own in splits.values() for dialogue in own):
        assert dialogue.speakers == [*SPEAKERS, *SPEAKERS]
        assert [sentence[-1] for sentence in dialogue.sentences] == list("012345")
        assert dialogue.labels[2] == -1 and (dialogue.labels[[0, 1, 3, 4, 5]] >= 0).all()
    (test,) = splits["test"]
    utterances, turns = (predictions(folder, method, "at") for method in ("extractor", "cgnn"))
    assert [row["segment_id"] for row in turns] == [f"{test.id}_00{k}" for k in range(1, 7)]
    for rows in (utterances, turns):
        assert len(rows) == 6 and [row["label"] for row in rows].count("") == 1  # context, not scored
    assert [name for name in turns[0] if name.startswith("p_")] == [f"p_{emotion}" for emotion in WORDS]
    for method in ("extractor", "cgnn"):
        assert json.loads((folder / f"zoo/results/{method}/at/metrics.json").read_text())["n"] == 5
    assert "| (3) CGNN on extractor features" in (folder / "zoo/table.md").read_text()


@pytest.mark.parametrize(
    ("using", "modalities", "columns"),
    [("text", "t", ("dialogue", "speaker", "text", "emotion")), ("audio", "a", None)],
)
def test_one_modality_alone(stages, tmp_path, using, modalities, columns):
    rows = make_turns(dialogues=4, turns=4)
    if using == "audio":
        record(tmp_path / "own", rows, rate=8_000)
        for row in rows:
            del row["text"]
    folder = stages(write_manifest(tmp_path / "alone.csv", rows, columns), using, modalities)
    splits, corpus = read_preprocessed(folder / "zoo/p.pkl")
    assert corpus.name == "alone" and all(list(one.features) == [modalities] for one in splits["test"])
    assert len(predictions(folder, "cgnn", modalities)) == 4


PAGE = (REPOSITORY / "docs/own_data.md").read_text(encoding="utf-8")


def test_the_commands_of_the_page(run_script, encoders, tmp_path, monkeypatch, capsys):  # noqa: F811
    """docs/own_data.md, its manifest and its ten commands, with recordings of tones and small encoders."""
    (manifest,) = re.findall(r"```csv\n(.*?)```", PAGE, re.DOTALL)
    (emotions,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "recordings").mkdir()
    (tmp_path / "calls.csv").write_text(manifest, encoding="utf-8")
    (tmp_path / "calls.toml").write_text(emotions, encoding="utf-8")
    for name in ("monday", "tuesday"):
        tone = 0.3 * np.sin(np.arange(6 * 8_000))
        soundfile.write(tmp_path / f"recordings/{name}.wav", np.stack([tone, -tone], axis=1), 8_000)
    more = {
        "MIRAI/trainer_hf.py": ["--text_encoder", encoders.text, "--audio_encoder", encoders.audio, "--max_epochs", 1],
        "COGMEN_code/train.py": ["--epochs", 2],
    }
    monkeypatch.chdir(tmp_path)  # relative paths are relative to where the user is
    found = commands(PAGE)
    assert len(found) == 10
    for command in found:
        _, script, *arguments = shlex.split(command)
        run_script(script, *arguments, *more.get(script, []))
    assert re.search(r"\(3\) CGNN on extractor features +\| [0-9.]+ / ", capsys.readouterr().out)
    _, corpus = read_preprocessed(tmp_path / "data/calls/preprocessed.pkl")
    assert corpus.emotions == ("calm", "happy", "annoyed") and corpus.emotion_names["ko"] == ("평온", "기쁨", "짜증")


def test_the_page_has_every_error_and_no_other():
    listed = re.findall(r"^\| `(.*?)`.*? \| ", PAGE[PAGE.index("| error | ") :], re.MULTILINE)
    modules = [
        REPOSITORY / f"MIRAI/mirai/readers/{name}.py" for name in ("manifest", "manifest_rows", "sounds", "sides")
    ]
    source = "".join(path.read_text(encoding="utf-8") for path in modules)
    assert len(listed) > 20 and all(text in source for text in listed)
    reasons = re.findall(r'errors\[f?"(.*?)"\]|reason = f?"(.*?)"\n|return f?"(.*?)"\n', source)
    texts = [text for group in reasons for text in group if text]
    missing = [text for text in texts if not any(one in text for one in listed)]
    assert len(texts) > 20 and missing in ([], ["{name} {fault}"])
