"""The turns of KEMDy19's published split, and those of an annotation table."""

import pytest

from erc.corpus.annotations import COLUMNS
from erc.corpus.corpora import KEMDY19
from erc.files import write_json, write_table
from erc.options import UserError
from erc.scoring.breakdowns import groups_of
from erc.scoring.completeness import check_complete
from erc.scoring.predictions import read_evaluation


def full_split(turns):
    """Rows of made-up predictions in the published dialogues, as many as asked for."""
    rows = [f"{dialogue}_{'FM'[k % 2]}{k // 2:03},sad,sad" for k in range(60) for dialogue in KEMDY19.test_dialogues]
    return rows[:turns]


def evaluate(path, rows):
    path.write_text("\n".join(["segment_id,label,prediction", *rows]) + "\n")
    return read_evaluation([path])


def test_the_published_split_has_two_counts_and_twenty_dialogues(tmp_path):
    assert len(KEMDY19.test_dialogues) == 20 and KEMDY19.test_dialogues[-1] == "Sess20_script06"
    for turns in (978, 1045):
        _, what = check_complete(evaluate(tmp_path / "x.csv", full_split(turns)), "KEMDy19")
        assert what == "KEMDy19's published test split, by its counts"


def test_the_published_split_is_known_by_its_dialogues(tmp_path, table):
    for turns in (978, 974):
        evaluation = evaluate(tmp_path / "x.csv", full_split(turns))
        assert check_complete(evaluation, "none") == (None, None)
        if turns == 978:
            assert "published" in check_complete(evaluation)[1]
            continue
        with pytest.raises(UserError, match="974 labelled turns; .*--split none if it is another corpus"):
            check_complete(evaluation)
        # The table decides where there is one.
        with pytest.raises(UserError, match="has 962 turns that are not among the held-out ones"):
            check_complete(evaluation, table=table)
    assert check_complete(evaluate(tmp_path / "x.csv", full_split(10))) == (None, None)  # the sample corpus, say


def session(number):
    return [f"Sess{number:02}_{dialogue[7:]}_F000,sad,sad" for dialogue in KEMDY19.test_dialogues[:10]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [row for row in full_split(978) if "Sess19_impro01" not in row],
            "no turn of 1 of the 20 dia.*: Sess19_impro01;",
        ),
        ([*full_split(978), "Sess18_impro01_F001,sad,sad"], "Sess18_impro01 is not in KEMDy19's published test split;"),
        ([*full_split(978), *session(18)[1:]], "Sess18_impro02 is not in KEMDy19's published test split;"),
        # One's own folds: other sessions, one of the two, more than these, all.
        (session(17) + session(18), None),
        (session(19), None),
        (full_split(1045) + session(18), None),
        (full_split(1045) + [row for number in range(1, 19) for row in session(number)], None),
    ],
)
def test_a_part_of_the_published_split_or_a_little_more_is_refused(tmp_path, rows, message):
    evaluation = evaluate(tmp_path / "x.csv", rows)
    assert check_complete(evaluation, "none") == (None, None)
    if message is None:
        assert check_complete(evaluation) == (None, None)
        return
    with pytest.raises(UserError, match=message + r".*--split none if it is another corpus, or another part of it"):
        check_complete(evaluation)


def test_the_ids_tell_whether_the_published_split_is_whole(tmp_path):
    """Whatever a pattern or a column says, and though one id is of no corpus."""
    write = (tmp_path / "x.csv").write_text
    rows = full_split(974)
    write(
        "\n".join(["segment_id,label,prediction,dialogue", *(f"{row},{row[4:].rpartition('_')[0]}" for row in rows)])
        + "\n"
    )
    evaluations = [read_evaluation([tmp_path / "x.csv"])]
    evaluations.append(read_evaluation([tmp_path / "x.csv"], dialogue_pattern="Sess[0-9]+_[a-z]+"))
    for evaluation in evaluations:
        with pytest.raises(UserError, match=r"x\.csv: 974 labelled turns; KEMDy19's published test split has 978"):
            check_complete(evaluation)
    write("\n".join(["segment_id,label,prediction", *full_split(978), "foo,sad,sad"]) + "\n")
    found = (
        r"x\.csv, row 980 \(foo\): no turn of KEMDy19 is named like this, but 978 of 979 are; correct it, or give --da"
    )
    with pytest.raises(UserError, match=found):
        read_evaluation([tmp_path / "x.csv"], dialogue_pattern=".*_|foo")
    with pytest.raises(UserError, match="foo is not in KEMDy19's published test split"):
        check_complete(read_evaluation([tmp_path / "x.csv"], dataset="KEMDy19", dialogue_pattern=".*_|foo"))
    evaluation = read_evaluation([tmp_path / "x.csv"], dataset="none")
    assert evaluation.corpus is None and check_complete(evaluation) == (None, None)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            full_split(974),
            r"x\.csv: 974 labelled turns; .* has 978 \(annotation_speaker_only\.csv\) or 1,045 .*--table",
        ),
        (
            full_split(15),
            r"x\.csv: no turn of 5 of the 20 dialogues .*: Sess20_script02, .*script06; --split none if it is another",
        ),
        ([*full_split(977), "Sess18_impro01_F001,sad,sad"], r"Sess18_impro01 is not in KEMDy19's published test split"),
        ([*full_split(977), "Sess19_impro01_M999,,sad"], "977 labelled turns"),
    ],
)
def test_predictions_that_lack_turns_of_it_are_refused(tmp_path, rows, message):
    with pytest.raises(UserError, match=message):
        check_complete(evaluate(tmp_path / "x.csv", rows), "KEMDy19")


@pytest.fixture
def table(tmp_path):
    """An annotation table of four sessions, three turns in each of two dialogues; sentences beside it."""
    rows = []
    (tmp_path / "txt_wav").mkdir()
    for session in (1, 2, 19, 20):
        for dialogue in ("script01", "impro01"):
            # F002 comes first by its time, and is the longest
            for name, start, end in (("F001", 10, 11), ("M001", 20, 24), ("F002", 1, 9)):
                segment = f"Sess{session:02}_{dialogue}_{name}"
                rows.append([segment, "happy", 3, 3, start, end, *[""] * 6, True])
                scripted = dialogue == "script01" and name != "F002"
                sentence = f"l/ 안녕 {name}" if scripted else f"(처음+{session}) {dialogue} {name}"
                (tmp_path / f"txt_wav/{segment}.txt").write_text(sentence)
    write_table(tmp_path / "annotation_speaker_only.csv", COLUMNS, rows)
    return tmp_path / "annotation_speaker_only.csv"


def held_out(emotion="happy", sessions=(19, 20)):
    names = [f"{d}_{name}" for d in ("script01", "impro01") for name in ("F001", "M001", "F002")]
    return [f"Sess{session:02}_{name},{emotion},sad" for session in sessions for name in names]


def test_a_table_tells_every_turn(tmp_path, table):
    found, what = check_complete(evaluate(tmp_path / "x.csv", held_out()), table=table)
    assert what == "all that annotation_speaker_only.csv holds out"
    assert (len(found.test), len(found.training)) == (12, 12)
    _, what = check_complete(evaluate(tmp_path / "x.csv", held_out(sessions=[2])), table=table, sessions=[2])
    assert what == "all that annotation_speaker_only.csv holds out"
    for rows, message in (
        (
            held_out()[2:],
            r"x\.csv: lacks 2 of the 12 held-out turns of .*: Sess19_script01_F001, Sess19_script01_M001;",
        ),
        (
            [*held_out(), *held_out(sessions=[1])],
            r"has 6 turns that are not among the held-out ones of .*Sess01_impro01",
        ),
        (
            held_out("fear"),
            r"Sess19_script01_F001 is labelled fear, but happy in .* \(12 such turns\); annotation.csv and",
        ),
    ):
        with pytest.raises(UserError, match=message):
            check_complete(evaluate(tmp_path / "x.csv", rows), table=table)
    with pytest.raises(UserError, match="--test_sessions: the table has no session 7; it has 1 2 19 20"):
        check_complete(evaluate(tmp_path / "x.csv", held_out()), table=table, sessions=[7])
    with pytest.raises(UserError, match=r"x\.csv: lacks 12 of the 12 held-out turns"):
        check_complete(evaluate(tmp_path / "x.csv", ["1,sad,sad"]), table=table)
    with pytest.raises(UserError, match="12 labelled turns|no turn of 16 of the 20 dialogues"):
        check_complete(evaluate(tmp_path / "x.csv", held_out()), "KEMDy19", table)


def test_groups(tmp_path, table):
    rows = held_out()[::-1]  # the order of a file never matters
    evaluation = evaluate(tmp_path / "x.csv", rows)
    ids = evaluation.turns.ids

    def members(groups):
        return {f"{one.by}: {one.name}": [ids[k] for k in one.mask.nonzero()[0]] for one in groups}

    found = members(groups_of(evaluation))
    assert list(found) == ["kind of dialogue: improvised", "kind of dialogue: scripted", "speaker: F", "speaker: M"]
    assert all("_script01_" in name for name in found["kind of dialogue: scripted"])
    assert all("_M" in name for name in found["speaker: M"]) and len(found["speaker: F"]) == 8

    found = members(groups_of(evaluation, check_complete(evaluation, table=table)[0]))
    seen = found["text: seen in training"]
    assert len(seen) == 4 and all("script01" in name and "F002" not in name for name in seen)
    assert {name[-4:] for name in found["length: 0 to 2 s"]} == {"F001"}
    assert {name[-4:] for name in found["length: 2 to 5 s"]} == {"M001"}
    assert {name[-4:] for name in found["length: 5 to 10 s"]} == {"F002"}
    assert "place in the dialogue: turns 1 to 5" not in found  # all of them


def test_an_empty_transcript_was_not_seen_in_training(tmp_path, table):
    for name in ("Sess01_script01_F001", "Sess19_script01_F001"):
        (tmp_path / f"txt_wav/{name}.txt").write_text("")
    evaluation = evaluate(tmp_path / "x.csv", held_out())
    groups = {one.name: one.mask.sum() for one in groups_of(evaluation, check_complete(evaluation, table=table)[0])}
    assert (groups["seen in training"], groups["not seen"]) == (3, 9)


def test_the_place_in_the_dialogue_is_by_time(tmp_path, table):
    rows = [[f"Sess19_impro01_F{k:03}", "sad", 3, 3, 100 - k, 101 - k, *[""] * 6, True] for k in range(8)]
    write_table(table, COLUMNS, rows)
    (tmp_path / "txt_wav").rename(tmp_path / "elsewhere")  # without transcripts: no group by text
    evaluation = evaluate(tmp_path / "x.csv", [f"Sess19_impro01_F{k:03},sad,sad" for k in range(8)])
    groups = groups_of(evaluation, check_complete(evaluation, table=table, sessions=[19])[0])
    assert [(one.by, one.name) for one in groups] == [
        ("place in the dialogue", "turns 1 to 5"),
        ("place in the dialogue", "turns 6 to 20"),
    ]
    assert groups[1].mask.tolist() == [True] * 3 + [False] * 5


def test_many_speakers_are_no_groups(tmp_path):
    (tmp_path / "x.csv").write_text(
        "segment_id,label,prediction,speaker\n" + "".join(f"{k},sad,sad,speaker {k}\n" for k in range(5))
    )
    assert groups_of(read_evaluation([tmp_path / "x.csv"])) == []


def test_a_table_of_ones_own_corpus_says_itself_what_is_held_out(tmp_path):
    """Any ids, a column `split`; a turn without a label is not scored, and has its place in the dialogue."""
    write_json(tmp_path / "corpus.json", {"name": "own", "emotions": ["sad", "glad"], "emotion_names": {}})
    rows, scored = [], ["segment_id,dialogue,label,prediction"]
    for dialogue, split in (("one", "train"), ("two", "test")):
        for turn in range(7):
            emotion = "" if turn == 0 else "sad"
            rows.append([f"{dialogue}-{turn}", emotion, 3, 3, turn, turn + 1, *[""] * 6, True, dialogue, "Kim", split])
            scored.append(f"{dialogue}-{turn},{dialogue},{emotion},{'sad' if turn == 6 else 'glad'}")
    write_table(tmp_path / "annotation.csv", [*COLUMNS, "dialogue", "speaker", "split"], rows)
    (tmp_path / "x.csv").write_text("\n".join([scored[0], *scored[8:]]) + "\n")
    evaluation = read_evaluation([tmp_path / "x.csv"])
    found, _ = check_complete(evaluation, table=tmp_path / "annotation.csv")
    assert (len(found.test), len(found.context), len(found.training)) == (6, 7, 6)
    groups = {one.name: one.mask.tolist() for one in groups_of(evaluation, found)}
    assert groups["turns 1 to 5"] == [True] * 4 + [False] * 2
    with pytest.raises(UserError, match=r"x\.csv: has 6 turns that are not among the held-out ones of .*: one-1, "):
        (tmp_path / "x.csv").write_text("\n".join(scored) + "\n")
        check_complete(read_evaluation([tmp_path / "x.csv"]), table=tmp_path / "annotation.csv")
    write_table(tmp_path / "annotation.csv", [*COLUMNS, "dialogue", "speaker"], [row[:-1] for row in rows])
    with pytest.raises(
        UserError, match=r"annotation\.csv: has no column split, and own no test sessions; give --test_s"
    ):
        check_complete(evaluation, table=tmp_path / "annotation.csv")
