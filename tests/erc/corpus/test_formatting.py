from dataclasses import replace

import numpy as np
import pytest

from erc.corpus.annotations import Utterance
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import check_dialogues
from erc.corpus.formatting import format_dialogues, join_embeddings
from erc.options import UserError


def row(name, start, end):
    dialogue, speaker = name.rsplit("_", 1)
    return Utterance(name, "sad", 4, int(name[4:6]), dialogue, speaker[0], start, end)


ROWS = [
    row("Sess01_script01_F001", 0.0, 1.0),
    row("Sess01_script01_F002", 5.0, 6.0),
    row("Sess01_script01_M001", 2.0, 4.0),
    row("Sess01_script01_M002", 2.0, 3.0),
    row("Sess01_script01_M003", 5.0, 6.0),
    row("Sess01_script01_M004", 1.0, 9.0),  # begins early and ends last
    row("Sess02_impro01_M001", 0.0, 1.0),
]
NAMES = [one.segment_id for one in ROWS]


@pytest.fixture
def formatted():
    return format_dialogues(ROWS, [f"said in {name}" for name in NAMES], [2])


def test_turns_are_ordered_by_their_start_with_ties_broken(formatted):
    first, second = formatted.dialogues
    assert (first.id, second.id) == ("Sess01_script01", "Sess02_impro01")
    expected = ["F001", "M004", "M002", "M001", "F002", "M003"]
    assert first.segment_ids == [f"Sess01_script01_{turn}" for turn in expected]
    assert first.sentences == [f"said in Sess01_script01_{turn}" for turn in expected]
    assert first.speakers == ["F", "M", "M", "M", "F", "M"] and first.labels.tolist() == [4] * 6
    assert (formatted.train_ids, formatted.test_ids) == (["Sess01_script01"], ["Sess02_impro01"])
    assert not first.features and not second.features
    check_dialogues(formatted.dialogues, KEMDY19)


@pytest.mark.parametrize("places", [range(7), [3, 1, 5, 0, 6, 2, 4]])
def test_embeddings_are_joined_by_segment_id_whatever_their_order(formatted, places):
    rows = np.arange(14, dtype=np.float32).reshape(7, 2)
    names = [NAMES[k] for k in places]
    join_embeddings(formatted.dialogues, names, {"text": rows[list(places)], "audio": -rows[list(places)]})
    for dialogue in formatted.dialogues:
        expected = rows[[NAMES.index(name) for name in dialogue.segment_ids]]
        np.testing.assert_array_equal(dialogue.features["t"], expected)
        np.testing.assert_array_equal(dialogue.features["a"], -expected)
        np.testing.assert_array_equal(dialogue.joined("at"), np.concatenate([-expected, expected], axis=1))


@pytest.mark.parametrize(("extra", "named"), [(5, "F1, F2, F3, F4, F5"), (6, "F1, F2, F3, F4, F5, ...")])
def test_missing_and_superfluous_utterances_are_counted_and_named(formatted, extra, named):
    names = [*NAMES[1:], *(f"F{k + 1}" for k in range(extra))]
    with pytest.raises(UserError) as error:
        join_embeddings(formatted.dialogues, names, {})
    assert str(error.value) == (
        "1 turns of the dialogue file are not in the table (Sess01_script01_F001); "
        f"{extra} utterances of the table are not in the dialogue file ({named}). "
        "make both from one table with COGMEN_code/cogmen_formatting.py"
    )


def test_dialogues_are_ordered_by_the_number_of_their_session():
    rows = [replace(ROWS[0], session=100, dialogue="a"), replace(ROWS[1], session=20, dialogue="b")]
    assert [dialogue.id for dialogue in format_dialogues(rows, ["", ""], [100]).dialogues] == ["b", "a"]


def test_a_column_split_says_which_dialogues_are_held_out_and_dev():
    own, names = replace(KEMDY19, name="own"), {"a": "dev", "b": "train", "c": "test"}
    rows = [replace(ROWS[0], session=None, dialogue=name, split=where) for name, where in names.items()]
    file = format_dialogues(rows, ["", "", ""], [1], own)
    assert (file.train_ids, file.test_ids, file.dev_ids, file.corpus) == (["a", "b"], ["c"], ["a"], own)
    assert format_dialogues(rows[1:], ["", ""], []).dev_ids is None
    with pytest.raises(UserError, match="^the table's column `split` holds out every dialogue; nothing is left to tr"):
        format_dialogues(rows[2:], [""], [])


def test_ratings_follow_their_turns():
    counts = {name: np.full(7, k, np.float32) for k, name in enumerate(NAMES)}
    rows = [replace(one, valence=float(k) if k else None) for k, one in enumerate(ROWS[:-1])] + ROWS[-1:]
    first, second = format_dialogues(rows, NAMES, [2], ratings=counts).dialogues
    places = [NAMES.index(name) for name in first.segment_ids]  # 0 first
    assert first.ratings.keys() == {"emotions", "valence"} and second.ratings.keys() == {"emotions"}
    np.testing.assert_array_equal(first.ratings["emotions"], [[place] * 7 for place in places])
    np.testing.assert_array_equal(first.ratings["valence"], [np.nan, *places[1:]])
    assert first.ratings["valence"].dtype == np.float32
    check_dialogues([first, second], KEMDY19)
    del counts[NAMES[2]]
    with pytest.raises(UserError, match=f"the table of ratings lacks {NAMES[2]}; make it again"):
        format_dialogues(rows, NAMES, [2], ratings=counts)


def test_every_utterance_has_a_sentence():
    with pytest.raises(ValueError, match="shorter"):
        format_dialogues(ROWS, NAMES[:-1], [2])


def test_test_session_without_utterances():
    with pytest.raises(UserError, match="--test_sessions: the table has no session 9"):
        format_dialogues(ROWS, NAMES, [9])
    with pytest.raises(UserError, match="--test_sessions 1 2: these are all sessions of the table; nothing is left"):
        format_dialogues(ROWS, NAMES, [1, 2])
