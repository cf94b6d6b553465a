"""A sample corpus in KEMDy20's shape, and all stages on it."""

import csv
import json
import re
from random import Random

import numpy as np
import pytest

from erc.corpus.annotations import read_annotations
from erc.corpus.corpora import CORPORA
from erc.corpus.dialogues import read_preprocessed
from erc.corpus.ratings import read_ratings
from mirai.sample.annotation import kemdy20_csv
from mirai.sample.conversation import plan_corpus
from tests.stages import run_stages
from tests.tables import read_rows

from .conftest import training

CORPUS = CORPORA["KEMDy20"]
SIZE = ("--sessions", 4, "--turns", 4, 5, "--scripts", 1, "--impros", 1, "--workers", 1)


@pytest.fixture(scope="module")
def sample(run_script, tmp_path_factory):
    out = tmp_path_factory.mktemp("sample") / "corpus"
    run_script("MIRAI/make_sample_corpus.py", "--out", out, "--shape", "KEMDy20", *SIZE)
    return out


def cells(path):
    """The cells of an annotation file, as they stand."""
    return list(csv.reader(path.read_bytes().decode("cp949").splitlines()))


def planted(sample):
    return {row["segment_id"]: row["emotion"] for row in read_rows(sample / "planted.csv")}


def test_the_sample_has_kemdy20s_form(sample):
    assert "--shape KEMDy20" in (sample / "README.md").read_text()
    assert sorted(path.name for path in sample.iterdir()) == [
        "README.md",
        "annotation",
        "encoders",
        "planted.csv",
        "wav",
    ]
    emotions, seen = planted(sample), set()
    for session in (1, 2, 3, 4):
        top, below, *rows = cells(sample / f"annotation/Sess{session:02}_eval.csv")
        assert top[:7] == ["Numb", "Wav", " ", "Segment ID", "Total Evaluation", " ", " "]
        assert below[4:] == ["Emotion", "Valence", "Arousal"] * 11 and {len(row) for row in rows} == {37}
        users = {f"User{2 * session - 1:03}F", f"User{2 * session:03}M"}
        for row in rows:
            assert re.fullmatch(rf"Sess{session:02}_script0[12]_(User[0-9]{{3}}[FM])_[0-9]{{3}}", row[3])[1] in users
            votes = [vote.replace("disqust", "disgust") for vote in row[7::3]]
            most = {vote for vote in votes if votes.count(vote) == max(map(votes.count, votes))}
            assert len(votes) == 10 and set(row[4].replace("disqust", "disgust").split(";")) == most
            assert emotions[row[3]] in most
            wav = sample / f"wav/Session{session:02}/{row[3]}.wav"
            assert wav.is_file() and re.search("[가-힣]|^$|/", wav.with_suffix(".txt").read_text(encoding="cp949"))
        seen |= {row[3] for row in rows}
        assert rows != sorted(rows, key=lambda row: float(row[1]))  # a user's turns stand together
    assert seen == set(emotions)


def test_both_spellings_and_ties_come_up(run_script, tmp_path):
    """In as many rows as a quick plan without sound gives."""
    clocks = {
        f"{session} {name}": [(f"{name} {n}", turn, n, n + 1) for n, turn in enumerate(turns)]
        for session, dialogues in plan_corpus(20, seed=1).items()
        for name, turns in dialogues.items()
    }
    labels = [row[4] for row in csv.reader(kemdy20_csv(clocks, Random(0)).splitlines())][2:]
    ties = sum(";" in label for label in labels) / len(labels)
    assert 0.04 < ties < 0.08 and {"disgust", "disqust"} <= set(labels)


def test_all_stages(sample, run_script, encoders, tmp_path, capsys):
    data, csv_path = tmp_path / "data", tmp_path / "data/annotation.csv"
    command = ("--corpus", "KEMDy20", "--root_path", sample, "--save_path", data, "--keep_unlabelled")
    run_script("MIRAI/preprocess.py", *command)
    utterances = read_annotations(csv_path)
    assert {row.segment_id for row in utterances} == set(planted(sample))
    for row in utterances:
        counts = read_ratings(csv_path, CORPUS)[row.segment_id]
        assert counts.sum() == 10 and (row.emotion == "" or counts[row.label] == counts.max())
    held_out = ("--test_sessions", 4)
    run_script("MIRAI/trainer_hf.py", *training(encoders, csv_path, tmp_path, epochs=1), *held_out)
    checkpoint = tmp_path / "checkpoint/run/best.ckpt"
    made = run_stages(run_script, csv_path, checkpoint, tmp_path, held_out=held_out)
    assert made.network.name == "KEMDy20_best_dev_f1_model_at_tmp.pt"
    splits, corpus = read_preprocessed(made.preprocessed)
    assert corpus is CORPUS and {d.id[:6] for d in splits["test"]} == {"Sess04"}
    assert set(splits["test"][0].speakers) <= {"User007F", "User008M"}
    shown = capsys.readouterr().out
    assert len(re.findall(r"^(?:both: |test: |)macro F1 [0-9.]+, accuracy [0-9.]+, weighted F1", shown, re.M)) == 3
    n = sum(np.sum(dialogue.labels >= 0) for dialogue in splits["test"])
    for method in ("extractor", "cgnn"):
        assert json.loads((tmp_path / f"results/{method}/at/metrics.json").read_text())["n"] == n
    run_script("tools/results_table.py", "--results_dir", tmp_path / "results", "--corpus", "KEMDy20")
    assert "| macro F1 / accuracy / weighted F1 |" in capsys.readouterr().out
