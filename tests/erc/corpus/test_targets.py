"""The tasks of CMU-MOSEI: thresholds at their edges against a naive table, and numbers that fit no task."""

import numpy as np
import pytest

from erc.corpus.corpora import CORPORA, KEMDY19, TASKS
from erc.corpus.dialogues import Dialogue
from erc.corpus.targets import take_task
from erc.options import UserError

MOSEI = CORPORA["mosei"]
EMOTIONS = ["happiness", "sadness", "anger", "surprise", "disgust", "fear"]
EDGES = [sign * (whole + step) for whole in range(3) for step in (-1e-9, 0, 1e-9) for sign in (-1, 1)]
SENTIMENTS = [-3, *EDGES, 1 / 3, -2.5, 2.5, 3]


def naive_seven(a):
    if a < -2:
        return "highly negative"
    if a < -1:
        return "negative"
    if a < 0:
        return "weakly negative"
    if a == 0:
        return "neutral"
    if a <= 1:
        return "weakly positive"
    if a <= 2:
        return "positive"
    return "highly positive"


def naive_two(a):
    return "positive" if a >= 0 else "negative"


def splits_of(*labels):
    """A training dialogue for each list of labels."""
    dialogues = []
    for k, own in enumerate(labels):
        names = [f"d{k}_{turn}" for turn in range(len(own))]
        array = np.array(own, dtype=np.float64)
        dialogues.append(Dialogue(f"d{k}", names, ["M"] * len(own), array, [""] * len(own)))
    return {"train": dialogues, "dev": [], "test": []}


@pytest.mark.parametrize(("task", "naive"), [("2class", naive_two), ("7class", naive_seven)])
def test_sentiments_at_their_edges(task, naive):
    splits = splits_of(SENTIMENTS)
    corpus = take_task("p.pkl", splits, MOSEI, task)
    found = splits["train"][0].labels
    assert found.dtype == np.int64 and not corpus.multilabel
    assert [corpus.emotions[k] for k in found] == [naive(a) for a in SENTIMENTS]
    assert set(corpus.emotions) == {naive(a) for a in SENTIMENTS}


def test_an_emotion_is_there_if_its_number_is_above_0():
    numbers = [0, 1e-9, 1, 1 / 3, 3, 0]
    splits = splits_of(numbers)
    corpus = take_task("p.pkl", splits, MOSEI, "fear")
    assert [corpus.emotions[k] for k in splits["train"][0].labels] == ["fear" if n > 0 else "no fear" for n in numbers]


def test_emotions_of_a_vector():
    rows = np.random.default_rng(0).choice([0, 0, 1 / 3, 1, 3], size=(9, 6))
    for place, emotion in enumerate(EMOTIONS):
        splits = splits_of(rows)
        corpus = take_task("p.pkl", splits, MOSEI, emotion)
        assert corpus.emotions == (f"no {emotion}", emotion)
        assert splits["train"][0].labels.tolist() == [int(row[place] > 0) for row in rows]
    splits = splits_of(rows)
    corpus = take_task("p.pkl", splits, MOSEI, "multilabel")
    assert corpus.multilabel and list(corpus.emotions) == EMOTIONS
    assert splits["train"][0].labels.tolist() == [[int(number > 0) for number in row] for row in rows]


@pytest.mark.parametrize(
    ("labels", "task", "message"),
    [
        ([1.5, -1], None, r"p\.pkl: mosei has a choice: 2class, 7class, happiness, .*, multilabel; give --emotion"),
        ([1.5, -1], "joy", "--emotion joy: mosei has a choice: 2class"),
        ([1.5, -1], "multilabel", r"p\.pkl: --emotion multilabel: takes 6 numbers .* the file has one \(dialogue d0\)"),
        ([[0, 0, 1, 0, 0, 0]], "7class", r"--emotion 7class: takes a number .* the file has 6 numbers"),
        ([0, 3.1], "2class", r"--emotion 2class: dialogue d0, turn 1: label 3\.1, expected -3 to 3"),
        ([0, 2, -0.5], "anger", r"--emotion anger: dialogue d0, turn 2: label -0\.5, expected 0 to inf"),
        ([[0] * 6, [1, 0, 0, 0, 0, -1]], "multilabel", r"dialogue d0, turn 1: label \[1\.0, .*expected 0 to inf"),
        ([[0] * 6, [1, 0, 0, 0, 0, -1]], "fear", r"dialogue d0, turn 1: label -1\.0, expected 0 to inf"),
        ([0, 1, 1, 0], "2class", "every training turn is positive; are these labels the numbers of another task"),
        ([0, 0], "anger", "every training turn is no anger; are these"),
        ([[0] * 6], "multilabel", "every training turn is of no emotion; are these"),
    ],
)
def test_numbers_that_fit_no_task(labels, task, message):
    with pytest.raises(UserError, match=message):
        take_task("p.pkl", splits_of(labels), MOSEI, task)


def test_other_corpora_have_no_choice():
    splits = splits_of([0, 1])
    assert take_task("p.pkl", splits, KEMDY19, None) is KEMDY19 and splits["train"][0].labels.tolist() == [0, 1]
    with pytest.raises(UserError, match="--emotion 2class: KEMDy19 has only its emotions"):
        take_task("p.pkl", splits, KEMDY19, "2class")


def test_a_task_is_known_by_its_classes():
    assert TASKS == ("2class", "7class", *EMOTIONS, "multilabel") == tuple(MOSEI.tasks)
    for name in TASKS:
        assert MOSEI.task_of(list(MOSEI.of_task(name).emotions)) == name
    assert MOSEI.task_of(["sad"]) is None and KEMDY19.task_of(list(KEMDY19.emotions)) is None
