from dataclasses import replace

import numpy as np
import pytest

from erc.corpus.corpora import CORPORA, KEMDY19, SegmentId, session_of
from erc.corpus.dialogues import check_dialogues, read_dialogues, write_dialogues
from erc.files import write_pickle
from erc.options import UserError
from erc.untrusted import read_pickle


def test_the_file_is_the_published_ten_item_list(dialogues, tmp_path):
    write_dialogues(tmp_path / "d.pkl", dialogues)
    items = read_pickle(tmp_path / "d.pkl")
    assert len(items) == 10
    ids, speakers, labels, text, audio, visual, _, train_ids, test_ids, segment_ids = items
    assert sorted(train_ids + test_ids) == sorted(ids)
    first = ids[0]
    assert len(speakers[first]) == len(labels[first]) == len(text[first]) == len(audio[first])
    assert visual[first] == [] and segment_ids[first][0].startswith(first)


def test_round_trip(dialogues, tmp_path):
    write_dialogues(tmp_path / "d.pkl", dialogues)
    again = read_dialogues(tmp_path / "d.pkl", KEMDY19)
    assert again.ids == dialogues.ids and again.labels == dialogues.labels
    for dialogue in dialogues.ids:
        np.testing.assert_array_equal(again.text[dialogue], dialogues.text[dialogue])
        assert type(again.text[dialogue][0]) is np.ndarray and again.text[dialogue][0].dtype == np.float32


def test_the_same_dialogues_give_the_same_bytes(dialogues, tmp_path):
    write_dialogues(tmp_path / "1.pkl", dialogues)
    write_dialogues(tmp_path / "2.pkl", read_dialogues(tmp_path / "1.pkl", KEMDY19))
    write_dialogues(tmp_path / "3.pkl", read_dialogues(tmp_path / "2.pkl", KEMDY19))
    assert (tmp_path / "2.pkl").read_bytes() == (tmp_path / "3.pkl").read_bytes()


def set_row(dialogues, row):
    dialogues.text["Sess02_script01"][1] = row


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: d.labels["Sess02_script01"].__setitem__(1, 7), "dialogue Sess02_script01, turn 1: label 7"),
        (lambda d: d.speakers["Sess02_script01"].__setitem__(1, "X"), "dialogue Sess02_script01, turn 1: speaker 'X'"),
        (lambda d: d.sentences["Sess02_script01"].pop(), "dialogue Sess02_script01 has .* sentences"),
        (lambda d: d.text["Sess02_script01"].pop(), "dialogue Sess02_script01 has .* text embeddings"),
        (
            lambda d: set_row(d, np.full(16, np.nan, np.float32)),
            "Sess02_script01, turn 1: text embedding .* not finite",
        ),
        (lambda d: set_row(d, np.zeros(15, np.float32)), "Sess02_script01, turn 1: text embedding has 15 values"),
        (lambda d: set_row(d, "word"), "Sess02_script01, turn 1: text embedding is not a vector"),
        (
            lambda d: set_row(d, np.zeros((2, 8), np.float32)),
            r"script01, turn 1: text embedding has shape \(2, 8\)",
        ),
        (lambda d: d.speakers.pop("Sess02_script01"), "dialogue Sess02_script01 has no list in `speakers`"),
        (lambda d: d.test_ids.append("Sess01_impro01"), "Sess01_impro01 is in both the training and the test set"),
        (
            lambda d: d.test_ids.append(d.train_ids.pop(d.train_ids.index("Sess02_script01"))),
            r"session 2 is in both the training set \(Sess02_impro01\) and the test set \(Sess02_script01\); KEMDy19 h",
        ),
        (lambda d: d.train_ids.append("Sess77_impro01"), "Sess77_impro01 is in the training or test set but not among"),
        (lambda d: d.ids.append("Sess01_impro01"), "`ids` names the dialogue Sess01_impro01 twice"),
        (lambda d: d.labels["Sess02_script01"].clear(), "dialogue Sess02_script01 has no turns"),
        (
            lambda d: d.labels["Sess02_script01"].__setitem__(1, "2"),
            "Sess02_script01, turn 1: label '2', exp",
        ),
        (lambda d: d.labels["Sess02_script01"].__setitem__(1, np.float32(2)), "Sess02_script01, turn 1: label "),
        (lambda d: d.labels["Sess02_script01"].__setitem__(1, True), "Sess02_script01, turn 1: label True"),
        (lambda d: d.labels["Sess02_script01"].__setitem__(1, [[2] * 99] * 99), r"turn 1: label \[\[2, .{,120}$"),
        (lambda d: d.labels.update(Sess02_script01=np.array(3)), "dialogue Sess02_script01 has no list in `labels`"),
        (lambda d: d.speakers["Sess02_script01"].__setitem__(1, np.zeros(2)), "Sess02_script01, turn 1: speaker array"),
        (lambda d: d.sentences["Sess02_script01"].__setitem__(1, None), "Sess02_script01, turn 1: sentence None"),
        (lambda d: d.segment_ids["Sess02_script01"].__setitem__(1, ""), "Sess02_script01, turn 1: segment id ''"),
        (
            lambda d: d.segment_ids["Sess02_script01"].__setitem__(1, d.segment_ids["Sess02_script01"][0]),
            "Sess02_script01, turn 1: segment id Sess02_script01_.001 is that of a turn before it",
        ),
        (lambda d: d.labels.update(other=[1]), "dialogue 'other' is in `labels` but not among the ids"),
        (lambda d: d.ids.append("new"), "dialogue new has no list in `speakers`"),
        (lambda d: d.ids.append("\x1b[31m"), r"`ids` holds '\\x1b\[31m', expected dialogue ids"),
        (lambda d: setattr(d, "ids", []), "`ids` is empty"),
        (lambda d: setattr(d, "train_ids", "Sess01_impro01"), "`train_ids` is a str, expected a list"),
        (lambda d: setattr(d, "audio", []), "`audio` is a list, expected a dict"),
        (lambda d: set_row(d, np.full(16, 1e300)), "Sess02_script01, turn 1: text embedding .* not finite"),
        (lambda d: set_row(d, []), r"turn 1: text embedding has shape \(0,\)"),
        (lambda d: set_row(d, None), r"turn 1: text embedding has shape \(\)"),
        (lambda d: set_row(d, [[1], [1, 2]]), "turn 1: text embedding is not a vector"),
        (lambda d: set_row(d, {}), "turn 1: text embedding is not a vector"),
        (lambda d: d.visual.update(Sess02_script01=[np.ones(3)]), "Sess01_impro01 has . labels but 0 visual embed"),
    ],
)
def test_what_is_wrong_is_named(dialogues, damage, message):
    damage(dialogues)
    with pytest.raises(UserError, match=message):
        check_dialogues(dialogues, KEMDY19)


def test_nine_items_are_not_a_dialogue_file(tmp_path):
    write_pickle(tmp_path / "d.pkl", [[]] * 9)
    with pytest.raises(UserError, match=r"d\.pkl: expected .* 10 items; found 9"):
        read_dialogues(tmp_path / "d.pkl", KEMDY19)


def test_segment_ids():
    assert SegmentId.parse("Sess19_impro02_M014") == SegmentId(19, "Sess19_impro02", "M", 14)
    assert session_of("Sess19_impro02") == 19
    other_digits = ("Sess١٩_impro02_M014", "Sess19_impro٠٢_M014", "Sess19_impro02_M０14")
    malformed = ("Sess19_impro02_X014", "Session19_impro02_M014", "Sess19_impro02_M14", "Sess19_impro02_M014 ")
    for wrong in (*malformed, *other_digits):
        with pytest.raises(UserError, match="malformed segment id"):
            SegmentId.parse(wrong)
    with pytest.raises(UserError, match="malformed dialogue id"):
        session_of("Sess١٩_impro02")


def test_sessions_matter_only_where_the_corpus_holds_them_out(dialogues):
    """IEMOCAP's files as they are published do not; the ids of one's own conversations may name no session."""
    moved = dialogues.train_ids.pop()
    dialogues.test_ids.append(moved)
    with pytest.raises(UserError, match="session 5 is in both"):
        check_dialogues(dialogues, KEMDY19)
    check_dialogues(dialogues, replace(KEMDY19, test_sessions=()))
    for name in ("ids", "train_ids", "test_ids"):
        setattr(dialogues, name, [dialogue.replace("Sess", "talk") for dialogue in getattr(dialogues, name)])
    for name in ("speakers", "labels", "text", "audio", "visual", "sentences", "segment_ids"):
        table = getattr(dialogues, name)
        setattr(dialogues, name, {dialogue.replace("Sess", "talk"): rows for dialogue, rows in table.items()})
    check_dialogues(dialogues, KEMDY19)


def test_cogmens_own_corpora_have_nine_items(dialogues, tmp_path):
    iemocap = CORPORA["iemocap"]
    for labels in dialogues.labels.values():
        labels[:] = [label % len(iemocap.emotions) for label in labels]
    write_dialogues(tmp_path / "ten.pkl", dialogues)
    write_pickle(tmp_path / "nine.pkl", tuple(read_pickle(tmp_path / "ten.pkl")[:9]))
    read = read_dialogues(tmp_path / "nine.pkl", iemocap)
    assert read.labels == dialogues.labels
    assert read.segment_ids["Sess01_impro01"][:2] == ["Sess01_impro01_000", "Sess01_impro01_001"]
    with pytest.raises(UserError, match="of iemocap, a list of 9 items; found 10"):
        read_dialogues(tmp_path / "ten.pkl", iemocap)
    with pytest.raises(UserError, match="of KEMDy19, a list of 10 items; found 9"):
        read_dialogues(tmp_path / "nine.pkl", KEMDY19)
    with pytest.raises(UserError, match="label [45], expected a whole number, 0 to 3 for iemocap_4"):
        read_dialogues(tmp_path / "nine.pkl", CORPORA["iemocap_4"])


def test_a_third_speaker_works_where_the_corpus_has_one(dialogues):
    dialogues.speakers["Sess02_script01"][1] = "C"
    with pytest.raises(UserError, match="Sess02_script01, turn 1: speaker 'C'; KEMDy19 has M, F"):
        check_dialogues(dialogues, KEMDY19)
    check_dialogues(dialogues, replace(KEMDY19, speakers=("M", "F", "C")))
