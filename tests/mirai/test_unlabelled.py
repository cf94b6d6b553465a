"""Turns without a label, and the raters, from KEMDy19's raw files to the scores: preprocess.py --keep_unlabelled."""

import csv
import json
from collections import Counter

import numpy as np
import pytest

from erc.corpus.annotations import read_annotations
from erc.corpus.corpora import KEMDY19, UNLABELLED
from erc.corpus.dialogues import read_dialogues, read_preprocessed
from erc.corpus.ratings import read_ratings
from tests.stages import run_stages
from tests.tables import read_rows

from .conftest import SESSIONS, training

TABLES = ("annotation.csv", "annotation_speaker_only.csv")
TIE = "Sess01_impro01_F001"  # in the F file
BOTH_TIE = "Sess19_impro01_M001"
UNRATED = "Sess20_script01_F002"  # in its own file
CELL = {TIE: "angry;disgust", BOTH_TIE: "sad;fear", UNRATED: ""}


def raw_rows(path):
    """(segment id, label, the raters' emotions) by a naive reading of an annotation file."""
    with path.open(encoding="utf-8", newline="") as file:
        return [(row[9], row[10], row[13::3]) for row in list(csv.reader(file))[2:]]


def write_votes(corpus):
    """Another vote of each rater in every row, some of them empty, and the labels of `CELL`."""
    generator = np.random.default_rng(0)
    for path in corpus.glob("annotation/*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        for row in rows[2:]:
            row[13::3] = generator.choice([*KEMDY19.emotions, "", "disqust"], size=10).tolist()
            if row[9] in CELL and (row[9] == BOTH_TIE or f"_{row[9][-4]}_res" in path.name):
                row[10] = CELL[row[9]]
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    return corpus


@pytest.fixture
def rated(corpus):
    return write_votes(corpus)


def test_what_is_kept_and_that_nothing_else_changes(preprocess, rated, capsys):
    data = preprocess(rated)
    usual = {name: (data / name).read_text().splitlines() for name in TABLES}
    assert "1 x no label: Session20_F_res.csv, row " in capsys.readouterr().out
    preprocess(rated, "--keep_unlabelled")
    shown = capsys.readouterr().out
    steps = [(line[:46].strip(), int(line[46:54])) for line in shown[shown.index("all rows") :].splitlines()[:-1]]
    assert steps == [
        ("all rows", 112),
        ("of these with one label", 108),
        ("first row kept per segment id", 56),
        ("with both wav and txt -> annotation.csv", 56),
        ("of these without a label", 1),
        ("of these at most 25 s", 56),
        ("speaker only -> annotation_speaker_only.csv", 56),
        ("of these without a label", 3),
        ("of these at most 25 s", 56),
    ]
    assert "no label" not in shown
    expected = {"annotation.csv": {BOTH_TIE}, "annotation_speaker_only.csv": {TIE, BOTH_TIE, UNRATED}}
    for name in TABLES:
        lines, rows = (data / name).read_text().splitlines(), read_rows(data / name)
        assert {row["segment_id"] for row in rows if not row["emotion"]} == expected[name]
        assert [line for line in lines if line.split(",")[1]] == usual[name]
        order = [(row["segment_id"].rsplit("_", 1)[0], float(row["wav_start"])) for row in rows]
        assert order == sorted(order)
    preprocess(rated)
    assert all((data / name).read_text().splitlines() == usual[name] for name in TABLES)


def test_an_unrated_row_takes_no_rated_ones_place(preprocess, rated):
    """Both in one file, the unrated one first."""
    path = rated / "annotation/Session20_F_res.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    unrated = next(line for line in lines if UNRATED in line)
    path.write_text("\n".join([*lines, unrated.replace(f"{UNRATED},,", f"{UNRATED},happy,")]), encoding="utf-8")
    usual = read_rows(preprocess(rated) / TABLES[1])
    kept = read_rows(preprocess(rated, "--keep_unlabelled") / TABLES[1])
    assert [row for row in kept if row["emotion"]] == usual
    assert [row["emotion"] for row in kept if row["segment_id"] == UNRATED] == ["happy"]


@pytest.mark.parametrize("flags", [(), ("--keep_unlabelled",)])
def test_the_raters_are_those_of_the_row_that_gave_the_label(preprocess, rated, flags):
    data = preprocess(rated, *flags)
    rows = {
        (subject, name): (label, Counter("disgust" if vote == "disqust" else vote for vote in votes))
        for session in SESSIONS
        for subject in "FM"
        for name, label, votes in raw_rows(rated / f"annotation/Session{session:02}_{subject}_res.csv")
    }
    for path in (data / name for name in TABLES):
        counts = read_ratings(path, KEMDY19)
        assert list(counts) == [row["segment_id"] for row in read_rows(path)]
        for name, found in counts.items():
            subjects = name[-4] if "speaker_only" in path.name else "FM"
            labelled = [subject for subject in subjects if rows[subject, name][0] in KEMDY19.emotions]
            _, votes = rows[[*labelled, subjects[0]][0], name]
            assert found.tolist() == [votes[emotion] for emotion in KEMDY19.emotions]


def test_a_vote_for_nothing_known_is_noted_and_an_empty_one_is_not(preprocess, corpus, capsys):
    path = corpus / "annotation/Session01_F_res.csv"
    lines = path.read_text().splitlines()
    lines[3] = lines[3].replace(",neutral,3,3", ",,,", 3).replace(",neutral,3,3", ",bored,3,3", 2)
    path.write_text("\n".join(lines))
    name = lines[3].split(",")[9]
    data = preprocess(corpus)
    shown = capsys.readouterr().out
    where = f"Session01_F_res.csv, row 4 ({name}), column "
    assert f"2 x rater's emotion that is unknown; not counted: {where}23: 'bored'; {where}26: 'bored'\n" in shown
    assert read_ratings(data / "annotation.csv", KEMDY19)[name].tolist() == [5, *[0] * 6]


def test_raters_in_other_columns_are_not_counted(preprocess, corpus, capsys):
    """One file has three columns less: which of them were lost cannot be known."""
    path = corpus / "annotation/Session01_F_res.csv"
    path.write_text("\n".join(",".join(line.split(",")[:40]) for line in path.read_text().splitlines()))
    data = preprocess(corpus)
    assert "without KEMDy19's 43 columns; the first 13 are used: Session01_F_res.csv: 40" in capsys.readouterr().out
    counts = read_ratings(data / "annotation_speaker_only.csv", KEMDY19)
    assert {name: found.sum() for name, found in counts.items()} == {
        name: 0 if name.startswith("Sess01") and "_F" in name else 10 for name in counts
    }
    for path in corpus.glob("annotation/*.csv"):  # and where nobody's are known, there is no table of them
        path.write_text("\n".join(",".join(line.split(",")[:13]) for line in path.read_text().splitlines()))
    preprocess(corpus)
    assert not list(data.glob("*_ratings.csv"))


def test_through_all_stages(preprocess, rated, run_script, encoders, tmp_path):
    data = preprocess(rated, "--keep_unlabelled")
    csv_path = data / TABLES[1]
    utterances = {row.segment_id: row for row in read_annotations(csv_path)}
    assert {name for name, row in utterances.items() if row.label == UNLABELLED} == set(CELL)
    run_script("MIRAI/trainer_hf.py", *training(encoders, csv_path, tmp_path, epochs=1))
    checkpoint = tmp_path / "checkpoint/run/best.ckpt"
    held_out, features = ("--test_sessions", 19, 20), tmp_path / "d_feat.pkl"
    run_stages(run_script, csv_path, checkpoint, tmp_path, held_out=held_out, train=("--class_weight",))
    for method in ("extractor", "cgnn"):
        check_scores(tmp_path / f"results/{method}/at", utterances)
    file, counts = read_dialogues(features), read_ratings(csv_path, KEMDY19)
    for dialogue in file.dialogues:
        assert dialogue.labels.tolist() == [utterances[name].label for name in dialogue.segment_ids]
        assert (dialogue.ratings["emotions"] == [counts[name] for name in dialogue.segment_ids]).all()
        assert dialogue.ratings["valence"].tolist() == pytest.approx([3.1] * len(dialogue))
        assert dialogue.ratings["arousal"].tolist() == pytest.approx([2.9] * len(dialogue))
    assert sum(map(len, file.dialogues)) == 56 and file.dialogues[0].features["t"].shape == (7, 24)

    preprocessed = tmp_path / "p.pkl"
    run_script("COGMEN_code/preprocess.py", "--feat_dir", features, "--res_dir", preprocessed, "--split_utterances", 3)
    splits, _ = read_preprocessed(preprocessed)
    chunks = [dialogue for split in splits.values() for dialogue in split]
    assert {len(chunk) for chunk in chunks} == {3, 1}
    for chunk in chunks:
        assert (chunk.ratings["emotions"] == [counts[name] for name in chunk.segment_ids]).all()


def check_scores(folder, utterances):
    """A row for every held-out turn, of which the labelled ones are counted."""
    rows = read_rows(folder / "predictions.csv")
    held_out = {name: row.emotion for name, row in utterances.items() if row.session in (19, 20)}
    assert {row["segment_id"]: row["label"] for row in rows} == held_out and len(rows) == 28
    assert {name for name, emotion in held_out.items() if not emotion} == {BOTH_TIE, UNRATED}
    assert all(row["prediction"] in KEMDY19.emotions for row in rows)
    metrics = json.loads((folder / "metrics.json").read_text())
    right = sum(row["label"] == row["prediction"] for row in rows)
    assert metrics["n"] == np.sum(metrics["confusion"]) == 26
    assert metrics["accuracy"] == pytest.approx(right / 26)
