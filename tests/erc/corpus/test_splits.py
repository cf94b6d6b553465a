from dataclasses import replace

import pytest
from sklearn.model_selection import train_test_split

from erc.corpus.corpora import CORPORA, KEMDY19, UNLABELLED
from erc.corpus.splits import check_unseen, clip, divide, has_split, held_out, split
from erc.options import UserError
from tests.cogmen.conftest import make_dialogues


def ids(rows):
    return [row.segment_id for row in rows]


def names(part):
    return [dialogue.id for dialogue in part]


def test_held_out_set_is_cut_by_session(utterances):
    parts = split(utterances, True, [19, 20])
    assert {row.session for row in parts.test} == {19, 20} and len(parts.test) == 28
    assert {row.session for row in parts.train + parts.dev} == {1, 2}
    assert sorted(ids(parts.train + parts.dev + parts.test)) == sorted(ids(utterances))


def test_published_random_splits(utterances):
    every = sorted(ids(utterances))
    rest, test = train_test_split(every, test_size=0.2, random_state=1004)
    _, dev = train_test_split(sorted(rest), test_size=0.1, random_state=1004)
    parts = split(utterances, False, [])
    assert ids(parts.test) == sorted(test) and ids(parts.dev) == sorted(dev)


def test_dev_sessions_are_not_trained_on(utterances):
    parts = split(utterances, True, [19, 20], [2])
    assert {row.session for row in parts.dev} == {2} and {row.session for row in parts.train} == {1}


def test_sessions_that_are_not_there(utterances):
    with pytest.raises(UserError, match="--test_sessions: the table has no session 7; it has 1 2 19 20"):
        held_out(utterances, [7, 19])
    with pytest.raises(UserError, match="--dev_sessions: the table has no session 5 7;"):
        split(utterances, True, [19], [7, 5])


def test_something_is_left_to_train_on_and_to_validate(utterances):
    for sessions in ([1, 2, 19, 20], []), ([19, 20], [1, 2]):
        with pytest.raises(UserError, match="0 utterances to train on and (0|28) to validate; hold out fewer sessions"):
            split(utterances, True, *sessions)
    held = [row for row in utterances if row.session == 19]
    with pytest.raises(UserError, match="1 utterances to train on and 0 to validate"):
        split(utterances[:1] + held, True, [19])
    parts = split(utterances[:2] + held, True, [19])
    assert (len(parts.train), len(parts.dev), parts.test) == (1, 1, held)


def with_split(utterances, **names):
    """The table with a column `split`, by session."""
    return [replace(row, split=names[f"s{row.session}"]) for row in utterances]


def test_a_column_split_says_who_is_where(utterances):
    rows = with_split(utterances, s1="train", s2="dev", s19="test", s20="test")
    for test_1920 in (True, False):
        parts = split(rows, test_1920, [1])
        assert [{row.session for row in part} for part in (parts.train, parts.dev, parts.test)] == [{1}, {2}, {19, 20}]
    assert held_out(rows, [1]) == parts.test
    with pytest.raises(UserError, match="--dev_sessions: the table has a column `split`"):
        split(rows, True, [19], [2])
    parts = split(with_split(utterances, s1="train", s2="train", s19="test", s20="test"), False, [])
    assert (len(parts.train), len(parts.dev), len(parts.test)) == (25, 3, 28)
    assert has_split(rows[:1]) and not has_split(utterances) and not has_split([])


def test_turns_without_a_label_are_in_no_split(utterances):
    rows = [replace(row, emotion="", label=UNLABELLED) if row.speaker == "F" else row for row in utterances]
    parts = split(rows, True, [19, 20])
    expected = [row.segment_id for row in utterances if row.speaker == "M"]
    assert sorted(ids(parts.train + parts.dev + parts.test)) == expected


def test_clip_counts_the_longer_ones(utterances):
    kept, longer = clip(utterances, 1.0)
    assert longer == 8 and len(kept) == len(utterances) - 8
    assert max(row.seconds for row in kept) <= 1.0


def test_seen_utterances_are_not_scored(utterances):
    rows = held_out(utterances, [2, 19])
    with pytest.raises(UserError, match=r"best\.ckpt: was trained on 14 of the 28 .*session 2\)"):
        check_unseen(rows, ids(held_out(utterances, [1, 2])), "best.ckpt", "")
    check_unseen(rows, ids(held_out(utterances, [1])), "best.ckpt", "")


def test_dev_is_the_first_tenth_of_the_training_dialogues(dialogues):
    parts = divide(dialogues, KEMDY19)
    assert list(parts) == ["train", "dev", "test"]
    assert names(parts["dev"]) == dialogues.train_ids[:1] and names(parts["train"]) == dialogues.train_ids[1:]
    assert names(parts["test"]) == dialogues.test_ids


@pytest.mark.parametrize(("sessions", "dev"), [(3, 1), (10, 1), (11, 2)])
def test_a_tenth_is_rounded_down_but_not_to_none(sessions, dev):
    assert len(divide(make_dialogues(sessions), KEMDY19)["dev"]) == dev  # of 4, 18, 20 training dialogues


def test_dev_dialogues_that_the_file_names(dialogues):
    chosen = dialogues.train_ids[3:5]
    named = replace(dialogues, dev_ids=chosen)
    parts = divide(named, KEMDY19)
    assert names(parts["dev"]) == chosen
    assert names(parts["train"]) == [one for one in dialogues.train_ids if one not in chosen]
    assert names(divide(named, KEMDY19, seed=3)["dev"]) == names(divide(dialogues, KEMDY19, seed=3)["dev"])


def test_dev_dialogues_by_session(dialogues):
    parts = divide(dialogues, KEMDY19, dev_sessions=[2, 4])
    assert names(parts["dev"]) == ["Sess02_impro01", "Sess02_script01", "Sess04_impro01", "Sess04_script01"]
    assert not set(names(parts["dev"])) & set(names(parts["train"]))
    for corpus in (KEMDY19, CORPORA["iemocap"]):  # which knows sessions by other names
        with pytest.raises(UserError, match="--dev_sessions: session 6 is not among the training dialogues"):
            divide(dialogues, corpus, dev_sessions=[6])
    with pytest.raises(UserError, match="no dialogue is left for training"):
        divide(dialogues, KEMDY19, dev_sessions=[1, 2, 3, 4, 5])


def test_dev_dialogues_drawn_with_a_seed(dialogues):
    draws = {tuple(names(divide(dialogues, KEMDY19, seed=seed)["dev"])) for seed in range(20)}
    assert len(draws) > 3
    assert names(divide(dialogues, KEMDY19, seed=3)["dev"]) == names(divide(dialogues, KEMDY19, seed=3)["dev"])
