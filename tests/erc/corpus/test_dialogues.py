"""The dialogue file and the preprocessed file: what they hold, and what is said of those that are wrong."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest

from erc.corpus.corpora import CORPORA, KEMDY19, UNLABELLED, Corpus, asked_corpus
from erc.corpus.dialogues import (
    check_dialogues,
    read_dialogues,
    read_preprocessed,
    use_modalities,
    write_dialogues,
    write_preprocessed,
)
from erc.corpus.splits import divide
from erc.files import write_pickle
from erc.options import UserError
from erc.untrusted import read_pickle

KNOWN = ", ".join(sorted(CORPORA))
ITEMS = ("ids", "speakers", "labels", "text", "audio", "visual", "sentences", "train_ids", "test_ids", "segment_ids")


@pytest.fixture
def items(dialogues, tmp_path):
    """The items of a dialogue file by name, to be damaged."""
    write_dialogues(tmp_path / "d.pkl", dialogues)
    return dict(zip(ITEMS, read_pickle(tmp_path / "d.pkl"), strict=True))


@pytest.fixture
def splits(dialogues, tmp_path):
    """The contents of a preprocessed file, to be damaged."""
    write_preprocessed(tmp_path / "p.pkl", divide(dialogues, KEMDY19))
    return deepcopy(read_pickle(tmp_path / "p.pkl"))  # whose arrays can be changed


def assert_same(one, other):
    assert one.id == other.id and one.sentences == other.sentences
    assert list(one.turns()) == list(other.turns())
    assert list(one.features) == list(other.features)
    assert one.labels.dtype == np.int64
    for modality, rows in one.features.items():
        np.testing.assert_array_equal(rows, other.features[modality])
        assert rows.dtype == np.float32 and rows.shape == (len(one), rows.shape[1])


def test_the_dialogue_file_is_the_published_ten_item_list(dialogues, items):
    ids = [dialogue.id for dialogue in dialogues.dialogues]
    assert items["ids"] == ids and sorted(items["train_ids"] + items["test_ids"]) == sorted(ids)
    first = dialogues.dialogues[0]
    assert items["speakers"][first.id] == first.speakers and items["segment_ids"][first.id] == first.segment_ids
    assert items["labels"][first.id] == first.labels.tolist() and items["sentences"][first.id] == first.sentences
    for name, modality in (("text", "t"), ("audio", "a")):
        assert [vector.dtype for vector in items[name][first.id]] == [np.float32] * len(first)
        np.testing.assert_array_equal(items[name][first.id], first.features[modality])
    assert items["visual"] == {dialogue: [] for dialogue in ids}


def test_dialogues_are_read_as_they_were_written(dialogues, tmp_path):
    write_dialogues(tmp_path / "d.pkl", dialogues)
    again = read_dialogues(tmp_path / "d.pkl", KEMDY19)
    assert (again.train_ids, again.test_ids) == (dialogues.train_ids, dialogues.test_ids)
    for one, other in zip(again.dialogues, dialogues.dialogues, strict=True):
        assert_same(one, other)


def test_a_dialogue_file_as_others_may_write_it(dialogues, items, tmp_path):
    """Arrays and tuples in the place of lists, other numbers, one table for two modalities that are absent."""
    for name in ("text", "labels"):
        items[name] = {
            dialogue: np.array(rows, np.float64 if name == "text" else np.uint8)
            for dialogue, rows in items[name].items()
        }
    items["speakers"] = {dialogue: tuple(speakers) for dialogue, speakers in items["speakers"].items()}
    items["audio"] = items["visual"]
    write_pickle(tmp_path / "d.pkl", tuple(items.values()))
    for one, other in zip(read_dialogues(tmp_path / "d.pkl", KEMDY19).dialogues, dialogues.dialogues, strict=True):
        del other.features["a"]
        assert_same(one, other)


def test_arrays_that_must_not_be_written_to_are_taken_as_they_are(dialogues):
    rows = [dialogue.features["t"] for dialogue in dialogues.dialogues]
    for one in rows:
        one.flags.writeable = False
    check_dialogues(dialogues.dialogues, KEMDY19)
    assert all(dialogue.features["t"] is one for dialogue, one in zip(dialogues.dialogues, rows, strict=True))


def rated(dialogues):
    """The dialogues, each turn named 0 to 2 times as each emotion; no rater gave the first turns a valence."""
    for k, dialogue in enumerate(dialogues):
        counts = np.arange(len(dialogue) * 7, dtype=np.float32).reshape(len(dialogue), 7) % 3
        valence = np.arange(len(dialogue), dtype=np.float32) + k
        valence[0] = np.nan
        dialogue.ratings = {"emotions": counts, "valence": valence, "arousal": valence + 1}
    return dialogues


def assert_same_ratings(one, other):
    assert one.ratings.keys() == other.ratings.keys() == {"emotions", "valence", "arousal"}
    for name, rows in one.ratings.items():
        np.testing.assert_array_equal(rows, other.ratings[name])


def test_ratings_dev_ids_and_the_corpus_travel_with_the_dialogues(dialogues, tmp_path):
    own = Corpus("own", tuple(f"e{k}" for k in range(7)))
    rated(dialogues.dialogues)
    for dev_ids in (dialogues.train_ids[:2], dialogues.train_ids, None):
        write_dialogues(tmp_path / "d.pkl", replace(dialogues, corpus=own, dev_ids=dev_ids))
        again = read_dialogues(tmp_path / "d.pkl")
        assert (again.corpus, again.dev_ids) == (own, dev_ids)
        for one, other in zip(again.dialogues, dialogues.dialogues, strict=True):
            assert_same_ratings(one, other)
    write_preprocessed(tmp_path / "p.pkl", splits := divide(dialogues, own), own)
    read, corpus = read_preprocessed(tmp_path / "p.pkl")
    assert corpus == own
    for name, part in read.items():
        for one, other in zip(part, splits[name], strict=True):
            assert_same_ratings(one, other)
    chunks = list(dialogues.dialogues[0].chunks(2))
    valence = np.concatenate([chunk.ratings["valence"] for chunk in chunks])
    np.testing.assert_array_equal(valence, dialogues.dialogues[0].ratings["valence"])
    with pytest.raises(UserError, match=rf"^{tmp_path}/d\.pkl: --dataset KEMDy19: it is of the corpus own; leave"):
        read_dialogues(tmp_path / "d.pkl", KEMDY19)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({}, r"its second pickle is damaged, or not ours \(KeyError: 'corpus'\)$"),
        (3, r"its second pickle is damaged, or not ours \(TypeError: .*\)$"),
        ({"corpus": "KEMDy19", "dev_ids": 3}, r"its second pickle is damaged, .* \(TypeError: dev_ids is a int\)$"),
        ({"corpus": "KEMDy19", "dev_ids": ["\n"]}, r".* \(TypeError: dev_ids holds more than names\)$"),
        ({"corpus": "KEMDy19", "ratings": []}, r".* \(TypeError: ratings is a list\)$"),
        ({"corpus": "other"}, f"of the corpus 'other', expected one of {KNOWN}$"),
        (
            {"corpus": "KEMDy19", "dev_ids": ["Sess06_impro01"]},
            "dev dialogue 'Sess06_impro01' is no training dialogue$",
        ),
    ],
)
def test_what_is_wrong_with_what_travels_is_named(items, tmp_path, more, message):
    write_pickle(tmp_path / "d.pkl", list(items.values()), more)
    with pytest.raises(UserError, match=rf"^{tmp_path}/d\.pkl: {message}"):
        read_dialogues(tmp_path / "d.pkl")


def test_which_corpus_a_file_is_of(dialogues, items, tmp_path):
    own, asked = Corpus("own", tuple(f"e{k}" for k in range(7))), asked_corpus("own")
    write_pickle(tmp_path / "old.pkl", list(items.values()))
    assert read_dialogues(tmp_path / "old.pkl").corpus is KEMDY19
    with pytest.raises(UserError, match=rf"^--dataset own: expected one of {KNOWN}$"):
        read_dialogues(tmp_path / "old.pkl", asked)
    write_pickle(tmp_path / "short.pkl", list(items.values()), {"corpus": own.to_data()})
    for given in (None, asked, own):
        assert read_dialogues(tmp_path / "short.pkl", given).corpus == own
    write_preprocessed(tmp_path / "p.pkl", divide(dialogues, KEMDY19))
    with pytest.raises(UserError, match=rf"^{tmp_path}/p\.pkl: --dataset iemocap: it is of the corpus KEMDy19; leave"):
        read_preprocessed(tmp_path / "p.pkl", CORPORA["iemocap"])


def test_dialogues_of_cogmens_own_corpora_are_written_without_segment_ids(dialogues, tmp_path):
    for dialogue in dialogues.dialogues:
        dialogue.labels %= 6
    write_dialogues(tmp_path / "d.pkl", replace(dialogues, corpus=CORPORA["iemocap"]))
    assert len(read_pickle(tmp_path / "d.pkl")) == 9
    again = read_dialogues(tmp_path / "d.pkl")
    assert again.corpus is CORPORA["iemocap"] and again.dialogues[0].speakers == dialogues.dialogues[0].speakers


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda ratings: None, "ratings None, expected a dict of emotions, valence, arousal"),
        (lambda ratings: {**ratings, "dominance": ratings["valence"]}, "ratings .*, expected a dict of emotions, val"),
        (lambda ratings: {"emotions": ratings["emotions"].tolist()}, r"`emotions` are no array \(., 7\) of float32"),
        (lambda ratings: {"emotions": ratings["emotions"][1:]}, r"`emotions` are no array \(., 7\) of float32"),
        (lambda ratings: {"valence": ratings["emotions"]}, r"`valence` are no array \(.,\) of float32"),
        (lambda ratings: {"arousal": ratings["arousal"].astype(float)}, r"`arousal` are no array \(.,\) of float32"),
        (lambda ratings: {"emotions": ratings["emotions"] - 1}, "`emotions` hold a value that is none"),
        (lambda ratings: {"emotions": ratings["emotions"] * np.float32("nan")}, "`emotions` hold a value that is none"),
        (lambda ratings: {"valence": ratings["valence"] + np.float32("inf")}, "`valence` hold a value that is none"),
    ],
)
def test_what_is_wrong_with_ratings_is_named(dialogues, damage, message):
    (dialogue,) = rated(dialogues.dialogues[1:2])
    check_dialogues([dialogue], KEMDY19)
    dialogue.ratings = damage(dialogue.ratings)
    with pytest.raises(UserError, match=f"^dialogue Sess01_script01: .*{message}"):
        check_dialogues([dialogue], KEMDY19)


def test_labels_of_any_whole_number_and_turns_without_one(dialogues):
    (dialogue,) = dialogues.dialogues[:1]
    labels = [UNLABELLED, *dialogue.labels.tolist()[1:]]
    dialogue.labels = [np.int8(label) for label in labels]
    check_dialogues([dialogue], KEMDY19)
    assert dialogue.labels.tolist() == labels and dialogue.labels.dtype == np.int64


def test_one_modality_alone_is_not_copied(dialogues):
    assert dialogues.dialogues[0].joined("t") is dialogues.dialogues[0].features["t"]


D = "Sess02_script01"


def put(name, value):
    return lambda items: items[name][D].__setitem__(1, value)


@pytest.mark.filterwarnings("error")  # one message, not a warning of numpy before it
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (put("labels", 7), "dialogue Sess02_script01, turn 1: label 7; KEMDy19 has 0 to 6"),
        (put("labels", np.float32(2)), "Sess02_script01, turn 1: label "),
        (put("labels", True), "Sess02_script01, turn 1: label True"),
        (put("labels", [[2] * 99] * 99), r"turn 1: label \[\[2, .{,120}$"),
        (lambda i: i["labels"].update({D: np.array(3)}), "dialogue Sess02_script01 has no list in `labels`"),
        (lambda i: i["labels"][D].clear(), "dialogue Sess02_script01 has no turns"),
        (put("speakers", np.zeros(2)), "Sess02_script01, turn 1: speaker array"),
        (lambda i: i["speakers"].pop(D), "dialogue Sess02_script01 has no list in `speakers`"),
        (put("sentences", 3), "Sess02_script01, turn 1: sentence 3, expected text"),
        (lambda i: i["sentences"][D].pop(), "dialogue Sess02_script01 has . labels but . sentences"),
        (put("segment_ids", ""), "Sess02_script01, turn 1: segment id '', expected a name"),
        (
            lambda i: i["segment_ids"][D].__setitem__(1, i["segment_ids"]["Sess01_impro01"][0]),
            "Sess02_script01, turn 1: segment id Sess01_impro01_.001 is that of a turn before it",
        ),
        (lambda i: i["text"][D].pop(), "dialogue Sess02_script01 has . labels but . text embeddings"),
        (lambda i: i["visual"].update({D: [np.ones(3)]}), "Sess01_impro01 has . labels but 0 visual embeddings"),
        (put("text", np.full(16, np.nan, np.float32)), "Sess02_script01, turn 1: text embedding .* not finite"),
        (put("text", np.full(16, 1e300)), "Sess02_script01, turn 1: text embedding .* not finite"),
        (put("text", np.zeros(15, np.float32)), "turn 1: text embedding has 15 values, the turns before it 16"),
        (put("text", np.zeros((2, 8), np.float32)), r"script01, turn 1: text embedding has shape \(2, 8\)"),
        (put("text", []), r"turn 1: text embedding has shape \(0,\)"),
        (put("text", "word"), "turn 1: text embedding is not a vector"),
        (put("text", {}), "turn 1: text embedding is not a vector"),
        (lambda i: i["labels"].update(other=[1]), "dialogue 'other' is in `labels` but not among the ids"),
        (lambda i: i["ids"].append("new"), "dialogue new has no list in `segment_ids`"),
        (lambda i: i["ids"].append(D), "`ids` names the dialogue Sess02_script01 twice"),
        (lambda i: i["ids"].append("\x1b[31m"), r"`ids` holds '\\x1b\[31m', expected dialogue ids"),
        (lambda i: i.update(ids=[]), "`ids` is empty"),
        (lambda i: i.update(train_ids="Sess01_impro01"), "`train_ids` is a str, expected a list"),
        (lambda i: i.update(audio=[]), "`audio` is a list, expected a dict"),
        (lambda i: i["test_ids"].append("Sess01_impro01"), "Sess01_impro01 is in both the training and the test set"),
        (lambda i: i["train_ids"].append("Sess77_impro01"), "Sess77_impro01 is in the training or test set but not am"),
        (
            lambda i: i["test_ids"].append(i["train_ids"].pop(i["train_ids"].index(D))),
            r"session 2 is in both the training set \(Sess02_impro01\) and the test set \(Sess02_script01\); KEMDy19 h",
        ),
    ],
)
def test_what_is_wrong_with_a_dialogue_file_is_named(items, tmp_path, damage, message):
    damage(items)
    write_pickle(tmp_path / "d.pkl", list(items.values()))
    with pytest.raises(UserError, match=rf"^{tmp_path}/d\.pkl: .*{message}"):
        read_dialogues(tmp_path / "d.pkl", KEMDY19)


def test_nine_items_are_not_a_dialogue_file(tmp_path):
    for content, found in (([[]] * 9, "9 items"), ({}, "dict")):
        write_pickle(tmp_path / "d.pkl", content)
        with pytest.raises(UserError, match=rf"d\.pkl: expected .* of KEMDy19, a list of 10 items; found {found}"):
            read_dialogues(tmp_path / "d.pkl", KEMDY19)


def test_sessions_matter_only_where_the_corpus_holds_them_out(dialogues, tmp_path):
    """IEMOCAP's files as they are published do not; the ids of one's own conversations may name no session."""
    dialogues.test_ids.append(dialogues.train_ids.pop())
    write_dialogues(tmp_path / "d.pkl", dialogues)
    with pytest.raises(UserError, match="session 5 is in both"):
        read_dialogues(tmp_path / "d.pkl", KEMDY19)
    read_dialogues(tmp_path / "d.pkl", replace(KEMDY19, test_sessions=()))
    for dialogue in dialogues.dialogues:
        dialogue.id = dialogue.id.replace("Sess", "talk")
    for ids in (dialogues.train_ids, dialogues.test_ids):
        ids[:] = [dialogue.replace("Sess", "talk") for dialogue in ids]
    write_dialogues(tmp_path / "d.pkl", dialogues)
    read_dialogues(tmp_path / "d.pkl", KEMDY19)


def test_cogmens_own_corpora_have_nine_items(dialogues, tmp_path):
    iemocap = CORPORA["iemocap"]
    for dialogue in dialogues.dialogues:
        dialogue.labels %= len(iemocap.emotions)
    write_dialogues(tmp_path / "ten.pkl", dialogues)
    write_pickle(tmp_path / "nine.pkl", tuple(read_pickle(tmp_path / "ten.pkl")[:9]))
    first = read_dialogues(tmp_path / "nine.pkl", iemocap).dialogues[0]
    assert first.labels.tolist() == dialogues.dialogues[0].labels.tolist()
    assert first.segment_ids[:2] == ["Sess01_impro01_000", "Sess01_impro01_001"]
    with pytest.raises(UserError, match="--dataset iemocap: it is of the corpus KEMDy19; leave the flag out"):
        read_dialogues(tmp_path / "ten.pkl", iemocap)
    write_pickle(tmp_path / "ten.pkl", read_pickle(tmp_path / "ten.pkl"))  # which then says of no corpus
    nine = read_pickle(tmp_path / "nine.pkl")
    nine[2][D] = 3
    write_pickle(tmp_path / "damaged.pkl", nine)
    with pytest.raises(UserError, match="dialogue Sess02_script01 has no list in `labels`"):
        read_dialogues(tmp_path / "damaged.pkl", iemocap)
    with pytest.raises(UserError, match="of iemocap, a list of 9 items; found 10"):
        read_dialogues(tmp_path / "ten.pkl", iemocap)
    with pytest.raises(UserError, match="of KEMDy19, a list of 10 items; found 9"):
        read_dialogues(tmp_path / "nine.pkl", KEMDY19)
    with pytest.raises(UserError, match="label [45]; iemocap_4 has 0 to 3"):
        read_dialogues(tmp_path / "nine.pkl", CORPORA["iemocap_4"])


def test_speakers_are_those_of_the_corpus_or_any(dialogues, tmp_path):
    dialogues.dialogues[3].speakers[1] = "C"
    write_dialogues(tmp_path / "d.pkl", dialogues)
    with pytest.raises(UserError, match="Sess02_script01, turn 1: speaker 'C'; KEMDy19 has M, F"):
        read_dialogues(tmp_path / "d.pkl", KEMDY19)
    for speakers in (("M", "F", "C"), ()):
        read = read_dialogues(tmp_path / "d.pkl", replace(KEMDY19, speakers=speakers))
        assert read.dialogues[3].speakers[1] == "C"
    dialogues.dialogues[3].speakers[1] = "Ross\n"
    write_dialogues(tmp_path / "d.pkl", dialogues)
    with pytest.raises(UserError, match="Sess02_script01, turn 1: speaker 'Ross.n', expected a name: text on one"):
        read_dialogues(tmp_path / "d.pkl", replace(KEMDY19, speakers=()))


def test_preprocessed_dialogues_are_read_as_they_were_written(dialogues, splits, tmp_path):
    expected = divide(dialogues, KEMDY19)
    again, _ = read_preprocessed(tmp_path / "p.pkl", KEMDY19)
    assert list(again) == ["train", "dev", "test"]
    for name in again:
        for one, other in zip(again[name], expected[name], strict=True):
            assert_same(one, other)
    record, first = splits["test"][0], expected["test"][0]
    assert list(record) == ["id", "segment_ids", "speakers", "labels", "sentences", "a", "t"]
    np.testing.assert_array_equal(record["a"], first.features["a"])
    assert record["speakers"] == first.speakers


def test_files_of_earlier_versions_hold_the_numbers_of_the_speakers(dialogues, splits, tmp_path):
    expected = divide(dialogues, KEMDY19)["test"]
    for records in splits.values():
        for record in records:
            record["speakers"] = np.array(["MF".index(speaker) for speaker in record["speakers"]])
    write_pickle(tmp_path / "p.pkl", splits)
    for one, other in zip(read_preprocessed(tmp_path / "p.pkl", KEMDY19)[0]["test"], expected, strict=True):
        assert_same(one, other)
    splits["test"][1]["speakers"][2] = 2
    write_pickle(tmp_path / "p.pkl", splits)
    with pytest.raises(UserError, match="dialogue Sess06_script01, turn 2: speaker 2; KEMDy19 has M, F"):
        read_preprocessed(tmp_path / "p.pkl", KEMDY19)


def update(**parts):
    """Damage to the second test dialogue: each part as a function of what it was."""
    return lambda splits: splits["test"][1].update({name: new(splits["test"][1][name]) for name, new in parts.items()})


def setting(place, value):
    def changed(values):
        values[place] = value
        return values

    return changed


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda s: s.update(dev={}), "dev is a dict, expected a list of dialogues"),
        (lambda s: s["test"].append(3), "test dialogue 2 is not a dict with an id"),
        (lambda s: s["test"][1].pop("id"), "test dialogue 1 is not a dict with an id"),
        (
            lambda s: s["test"].append(s["test"][0]),
            "turn 0: segment id Sess06_impro01_.001 is that of a turn before it",
        ),
        (lambda s: s["test"][1].update(id="Sess01_script01"), "dialogue Sess01_script01 is in both train and test"),
        (
            lambda s: s["dev"].append(s["test"].pop()),
            r"session 6 is in both the training set \(Sess06_script01\) and the",
        ),
        (lambda s: s["test"][1].pop("a"), "Sess06_script01 has . labels but 0 audio embeddings"),
        (lambda s: s["test"][1].pop("labels"), "Sess06_script01 has no list in `labels`"),
        (update(a=lambda rows: rows[:, :5]), "turn 0: audio embedding has 5 values, the turns before it 8"),
        (update(a=lambda rows: rows[:, 0]), r"Sess06_script01, turn 0: audio embedding has shape \(\)"),
        (update(a=lambda rows: rows[:, :0]), r"Sess06_script01, turn 0: audio embedding has shape \(0,\)"),
        (update(a=setting((2, 1), np.inf)), "Sess06_script01, turn 2: audio embedding has a value that is not finite"),
        (update(labels=setting(2, -2)), "Sess06_script01, turn 2: label -2"),
        (update(labels=lambda labels: labels * 1.0), "Sess06_script01, turn 0: label .\\.0"),
        (update(segment_ids=setting(0, "a\nb")), "Sess06_script01, turn 0: segment id 'a.nb'"),
        (update(segment_ids=lambda _: "ab"), "Sess06_script01 has no list in `segment_ids`"),
    ],
)
def test_what_is_wrong_with_a_preprocessed_file_is_named(splits, tmp_path, damage, message):
    damage(splits)
    write_pickle(tmp_path / "p.pkl", splits)
    with pytest.raises(UserError, match=rf"p\.pkl: .*{message}.*; make the file again with preprocess\.py"):
        read_preprocessed(tmp_path / "p.pkl", KEMDY19)


def test_other_files_are_not_preprocessed_ones(tmp_path):
    for value in ([1], {"train": [], "test": []}, {"train": [], "dev": [], "test": [], "more": []}):
        write_pickle(tmp_path / "p.pkl", value)
        with pytest.raises(UserError, match="expected a preprocessed file with train, dev and test"):
            read_preprocessed(tmp_path / "p.pkl", KEMDY19)


def test_only_the_modalities_in_use_are_kept(splits, tmp_path):
    path = tmp_path / "p.pkl"
    read, _ = read_preprocessed(path, KEMDY19)
    with pytest.raises(UserError, match=r"p\.pkl: --modalities atv asks for visual, the file has at"):
        use_modalities(path, read, "atv")
    assert use_modalities(path, read, "at") == {"a": 8, "t": 16}
    assert use_modalities(path, read, "t") == {"t": 16}
    assert all(list(dialogue.features) == ["t"] for dialogues in read.values() for dialogue in dialogues)
    assert use_modalities(path, {**read, "train": read["train"][:1]}, "t") == {"t": 16}
    with pytest.raises(UserError, match=r"p\.pkl: no dev dialogues"):
        use_modalities(path, {**read, "dev": []}, "t")


def test_chunks_of_consecutive_turns(dialogues, tmp_path):
    dialogue = max(dialogues.dialogues, key=len)
    chunks = list(dialogue.chunks(3))
    assert [len(chunk) for chunk in chunks[:-1]] == [3] * (len(chunks) - 1) and 0 < len(chunks[-1]) <= 3
    assert [turn for chunk in chunks for turn in chunk.turns()] == list(dialogue.turns())
    assert [sentence for chunk in chunks for sentence in chunk.sentences] == dialogue.sentences
    np.testing.assert_array_equal(np.concatenate([chunk.joined("at") for chunk in chunks]), dialogue.joined("at"))
    splits = {name: [c for one in part for c in one.chunks(2)] for name, part in divide(dialogues, KEMDY19).items()}
    write_preprocessed(tmp_path / "p.pkl", splits)
    assert len(read_preprocessed(tmp_path / "p.pkl", KEMDY19)[0]["test"]) == len(splits["test"]) > 2
