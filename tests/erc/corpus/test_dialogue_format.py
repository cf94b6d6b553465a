import random
from dataclasses import replace

import numpy as np
import pytest

from erc.corpus.annotations import Utterance
from erc.corpus.dialogue_format import format_dialogues, join_embeddings
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
    row("Sess02_impro01_M001", 0.0, 1.0),
]
NAMES = [one.segment_id for one in ROWS]


@pytest.fixture
def dialogues():
    return format_dialogues(ROWS, [one.segment_id for one in ROWS], [2])


def test_turns_are_in_time_order_with_ties_broken(dialogues):
    assert dialogues.ids == ["Sess01_script01", "Sess02_impro01"]
    expected = ["F001", "M002", "M001", "F002", "M003"]
    assert dialogues.segment_ids["Sess01_script01"] == [f"Sess01_script01_{turn}" for turn in expected]
    assert dialogues.sentences == dialogues.segment_ids
    assert dialogues.speakers["Sess01_script01"] == ["F", "M", "M", "F", "M"]
    assert (dialogues.train_ids, dialogues.test_ids) == (["Sess01_script01"], ["Sess02_impro01"])
    assert dialogues.text == {"Sess01_script01": [], "Sess02_impro01": []}


def test_order_of_the_utterances_does_not_matter(dialogues):
    shuffled = random.Random(0).sample(ROWS, len(ROWS))
    assert format_dialogues(shuffled, [one.segment_id for one in shuffled], [2]) == dialogues


def test_embeddings_are_joined_by_segment_id_whatever_their_order(dialogues):
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    for places in (range(6), [3, 1, 5, 0, 2, 4]):
        joined = join_embeddings(dialogues, [NAMES[k] for k in places], {"text": rows[list(places)]})
        for dialogue in joined.ids:
            for name, vector in zip(joined.segment_ids[dialogue], joined.text[dialogue], strict=True):
                np.testing.assert_array_equal(vector, rows[NAMES.index(name)])
    assert joined.audio == dialogues.audio


def test_missing_and_superfluous_utterances_are_counted_and_named(dialogues):
    names = [*NAMES[1:], "Sess03_impro01_F001", "Sess03_impro01_F002"]
    with pytest.raises(UserError) as error:
        join_embeddings(dialogues, names, {})
    assert "1 turns of the dialogue file are not in the table (Sess01_script01_F001)" in str(error.value)
    assert "2 utterances of the table are not in the dialogue file (Sess03_impro01_F001, Sess03_" in str(error.value)


def test_turn_that_occurs_twice_is_named(dialogues):
    twice = replace(dialogues, segment_ids={**dialogues.segment_ids, "Sess02_impro01": [NAMES[0]]})
    with pytest.raises(UserError, match=r"1 turns occur more than once in the dialogue file \(Sess01_script01_F001"):
        join_embeddings(twice, NAMES, {})


def test_test_session_without_utterances(dialogues):
    with pytest.raises(UserError, match="--test_sessions: the table has no session 9"):
        format_dialogues(ROWS, NAMES, [9])
    with pytest.raises(UserError, match="--test_sessions 1 2: these are all sessions of the table; nothing is left"):
        format_dialogues(ROWS, NAMES, [1, 2])


def test_no_session_is_in_both_sets(dialogues):
    assert {name[:6] for name in dialogues.train_ids} & {name[:6] for name in dialogues.test_ids} == set()
