"""What is read from files of predictions, and what is said of those that are wrong."""

import numpy as np
import pytest

from erc.options import UserError
from erc.scoring.predictions import ensemble, read_evaluation
from tests.erc.scoring.conftest import EMOTIONS, make_rows, write_rows

HEADER = "segment_id,label,prediction"


def write(path, *rows, header=HEADER):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_three_columns_of_anyone_are_enough(tmp_path):
    file = write(tmp_path / "x.csv", "1,sad,sad", "2,glad,sad")
    evaluation = read_evaluation([file])
    assert evaluation.emotions == ("glad", "sad") and evaluation.corpus is None
    assert evaluation.turns.labels.tolist() == [1, 0] and not evaluation.turns.dialogues_known
    (run,) = evaluation.methods[0].runs
    assert run.predictions.tolist() == [1, 1] and run.probabilities is None
    assert read_evaluation([file], emotions=["sad", "mad", "glad"]).turns.labels.tolist() == [0, 2]


def test_segment_ids_tell_corpus_dialogue_and_speaker(tmp_path):
    file = write(tmp_path / "x.csv", "Sess19_impro02_M014,sad,disqust", "Sess20_script01_F001,fear,fear")
    evaluation = read_evaluation([file])
    turns = evaluation.turns
    assert evaluation.corpus.name == "KEMDy19" and evaluation.emotions == EMOTIONS
    assert (turns.dialogues, turns.speakers) == (["Sess19_impro02", "Sess20_script01"], ["M", "F"])
    assert evaluation.methods[0].runs[0].predictions.tolist() == [6, 5]  # the alias's emotion is disgust
    file = write(tmp_path / "x.csv", "Ses05M_script01_1b_M012,sad,sad", "Ses05F_impro02_001,happy,sad")  # as ours are
    evaluation = read_evaluation([file])
    assert evaluation.corpus.name == "iemocap"
    assert (evaluation.turns.dialogues, evaluation.turns.speakers) == (
        ["Ses05M_script01_1b", "Ses05F_impro02"],
        ["M", ""],
    )


def test_other_names_of_the_emotions_than_the_corpuss(tmp_path):
    """Those of the columns, or those given; the ids tell the dialogues all the same."""
    ids, header = "Sess19_impro02_M014", f"{HEADER},p_rage,p_joy"
    for evaluation in (
        read_evaluation([write(tmp_path / "x.csv", f"{ids},joy,rage,0.9,0.1", header=header)]),
        read_evaluation([write(tmp_path / "x.csv", f"{ids},joy,rage")], emotions=["rage", "joy"]),
    ):
        assert evaluation.emotions == ("rage", "joy") and evaluation.turns.dialogues == ["Sess19_impro02"]
        assert evaluation.turns.labels.tolist() == [1] and evaluation.corpus.name == "KEMDy19"
    columns = [f"p_{emotion}" for emotion in ("angry", "neutral", "sad", "happy")]  # in any order
    file = write(tmp_path / "x.csv", "Ses05F_impro02_F001,sad,sad,0,0,1,0", header=",".join([HEADER, *columns]))
    evaluation = read_evaluation([file])
    assert (evaluation.corpus.name, evaluation.emotions) == ("iemocap_4", ("happy", "sad", "neutral", "angry"))
    assert evaluation.methods[0].runs[0].probabilities.tolist() == [[0, 1, 0, 0]]


def test_numbers_with_and_without_a_point_are_the_same(tmp_path):
    """As pandas writes whole numbers with one missing."""
    file = write(tmp_path / "x.csv", "a,0.0,0", "b,1.0,1", "c,,1", "d,10.0,10")
    evaluation = read_evaluation([file, write(tmp_path / "y.csv", "a,0,0.0", "b,1,0.0", "d,10,1.0")])
    assert evaluation.emotions == ("0", "1", "10") and evaluation.turns.labels.tolist() == [0, 1, 2]
    assert [method.runs[0].predictions.tolist() for method in evaluation.methods] == [[0, 1, 2], [0, 0, 1]]
    signed = write(tmp_path / "z.csv", "a,-1,1", "b,1,1")
    assert read_evaluation([signed], emotions=["-1", "1"]).turns.labels.tolist() == [0, 1]  # where it is said


def test_all_wrong_is_scored_where_the_names_are_known(tmp_path):
    file = write(tmp_path / "x.csv", "a,sad,joy", "b,sad,joy")
    (run,) = read_evaluation([file], emotions=["joy", "sad"]).methods[0].runs
    assert run.predictions.tolist() == [0, 0]


def test_ids_that_do_not_fit_the_given_corpus(tmp_path):
    file = write(tmp_path / "x.csv", "Sess19_impro02_M014,sad,sad", "other,sad,sad")
    with pytest.raises(
        UserError, match=r"x\.csv, row 3 \(other\): no turn of KEMDy19 is named like this; a column dial"
    ):
        read_evaluation([file], dataset="KEMDy19")
    assert read_evaluation([file], dataset="KEMDy19", dialogue_pattern="^.").turns.dialogues == ["S", "o"]


def test_patterns_come_before_segment_ids_and_these_before_columns(tmp_path):
    header = f"{HEADER},dialogue,speaker"
    file = write(tmp_path / "x.csv", "Sess19_impro02_M014,sad,sad,talk,Min", header=header)
    turns = read_evaluation([file]).turns
    assert (turns.dialogues, turns.speakers) == (["Sess19_impro02"], ["M"])
    assert read_evaluation([file], dialogue_pattern="^(.+?)_").turns.dialogues == ["Sess19"]
    assert read_evaluation([file], dialogue_pattern="impro..").turns.dialogues == ["impro02"]
    with pytest.raises(UserError, match=r"x\.csv, row 2 \(Sess19.*\): --dialogue_pattern ::: finds no dialogue in it"):
        read_evaluation([file], dialogue_pattern=":::")


@pytest.mark.parametrize(
    ("dialogues", "message"),
    [
        (["a", "b", "b"], r"row 3 \(Sess19_impro01_M001\): dialogue 'b', but 'a' in other rows of Sess19_impro01;"),
        (["a", "a", "a"], r"row 4 \(Sess19_impro02_M001\): dialogue 'a', but turns of Sess19_impro01 are in it too;"),
    ],
)
def test_dialogues_against_the_segment_ids_are_refused(tmp_path, dialogues, message):
    """In any of the files; only --dialogue_pattern says otherwise."""
    ids = ("Sess19_impro01_F001", "Sess19_impro01_M001", "Sess19_impro02_M001")
    alike = write(tmp_path / "x.csv", *(f"{name},sad,sad" for name in ids))
    rows = (f"{name},sad,sad,{one}" for name, one in zip(ids, dialogues, strict=True))
    file = write(tmp_path / "y.csv", *rows, header=f"{HEADER},dialogue")
    for files in ([file], [alike, file], [file, alike]):
        with pytest.raises(UserError, match=r"y\.csv, " + message):
            read_evaluation(files)
    assert read_evaluation([file], dialogue_pattern="Sess..").turns.dialogues == ["Sess19"] * 3


def test_dialogues_and_speakers_are_in_any_of_the_files(tmp_path):
    rows = ["1,sad,sad,d,Min", "2,sad,sad,d,Jo", "3,sad,sad,e,Min"]
    bare = write(tmp_path / "x.csv", *(row[:9] for row in rows[::-1]))
    full = write(tmp_path / "y.csv", *rows, header=f"{HEADER},dialogue,speaker")
    for files, order in (([full, bare], slice(None)), ([bare, full], slice(None, None, -1))):
        turns = read_evaluation(files).turns
        assert turns.dialogues_known
        assert (turns.dialogues, turns.speakers) == (["d", "d", "e"][order], ["Min", "Jo", "Min"][order])
    for column, cells in (("dialogue", "d,d,d"), ("speaker", "Min,Jo,Jo")):
        other = (f"{row[:9]},{cell}" for row, cell in zip(rows, cells.split(","), strict=True))
        other = write(tmp_path / "z.csv", *other, header=f"{HEADER},{column}")
        with pytest.raises(UserError, match=rf"z\.csv, row 4 \(3\): {column} .*, but '.*' in row 4 of .*y\.csv; exp"):
            read_evaluation([bare, full, other])


def test_files_in_any_order_are_joined_by_segment_id(predictions, tmp_path):
    rows = make_rows(1)
    first = write_rows(tmp_path / "first.csv", rows)
    other = write_rows(tmp_path / "other.csv", rows[::-1])
    evaluation = read_evaluation([first, other])
    assert [method.name for method in evaluation.methods] == ["first", "other"]
    ours, theirs = (method.runs[0] for method in evaluation.methods)
    np.testing.assert_array_equal(ours.predictions, theirs.predictions)
    np.testing.assert_array_equal(ours.probabilities, theirs.probabilities)


def test_turns_without_a_label_are_counted_and_not_scored(tmp_path):
    rows = ["d_1,sad,sad", "d_2,,sad", "d_3,,", "d_4,glad,sad"]
    turns = read_evaluation([write(tmp_path / "x.csv", *rows), write(tmp_path / "y.csv", rows[0], rows[3])]).turns
    assert (turns.ids, turns.unlabelled) == (["d_1", "d_4"], 2)
    with pytest.raises(UserError, match=r"x\.csv: no row has a label"):
        read_evaluation([write(tmp_path / "x.csv", "d_1,,sad")])


def test_what_a_spreadsheet_is_kept_from_is_read_as_it_was(tmp_path):
    rows = [["-3g5_0", "sad", "sad"], ["=x", "sad", "sad"]]
    file = write_rows(tmp_path / "x.csv", rows, HEADER.split(","))
    assert "'-3g5_0" in file.read_text()
    assert read_evaluation([file]).turns.ids == ["-3g5_0", "=x"]


def test_a_folder_is_the_runs_of_a_method(tmp_path):
    runs = [make_rows(seed) for seed in (1, 2, 3)]
    for k, rows in enumerate(runs):
        write_rows(tmp_path / f"cgnn/at/seed{k}/predictions.csv", rows)
        write_rows(tmp_path / f"flat/{k}.csv", rows)
    write_rows(tmp_path / "extractor/at/predictions.csv", runs[0])
    paths = [tmp_path / name for name in ("extractor/at", "cgnn/at", "flat")]
    evaluation = read_evaluation(paths)
    assert [method.name for method in evaluation.methods] == ["extractor/at", "cgnn/at", "flat"]
    alone, several, flat = evaluation.methods
    assert [len(method.runs) for method in evaluation.methods] == [1, 3, 3] and ensemble(alone) is None
    mean = np.mean([[row[3:] for row in rows] for rows in runs], axis=0)
    for method in (several, flat):
        (run,) = ensemble(method).runs
        np.testing.assert_allclose(run.probabilities, mean)
        np.testing.assert_array_equal(run.predictions, mean.argmax(axis=1))
    with pytest.raises(UserError, match=r"results: no predictions\.csv, <run>/predictions\.csv or other \.csv"):
        (tmp_path / "results").mkdir()
        read_evaluation([tmp_path / "results"])
    with pytest.raises(UserError, match="is given twice, or named as another method; give --names"):
        read_evaluation([paths[0], paths[0]])


GOOD = "a_1,sad,glad"


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (HEADER, [], r"no rows, only a header"),
        ("segment_id,label", ["a_1,sad"], r"no column prediction; found segment_id, label"),
        ("id,emotion", ["1,sad"], r"no column segment_id; found id, emotion"),
        (f"{HEADER},label", [f"{GOOD},sad"], r"two columns label"),
        (HEADER, [GOOD, "", "a_2,sad,glad,more"], r"row 4: 4 cells, expected 3"),
        (HEADER, [GOOD, "a_2,sad,glad", GOOD], r"row 4 \(a_1\): is already in row 2"),
        (
            "segment_id;label;prediction",
            ["a_1;sad;sad"],
            "no column segment_id; its columns seem .* by semicolons, not comm",
        ),
        ("segment_id\tlabel\tprediction", ["a_1\tsad\tsad"], "its columns seem to be separated by tabs, not commas"),
        (
            HEADER,
            ["1,0,0", "2,-1.0,0"],
            r"row 3 \(2\): label is '-1'; leave the cell of a .* empty; expected one of 0;",
        ),
        (
            HEADER,
            ["a,sad,sad", "b,nan,sad"],
            r"row 3 \(b\): label is 'nan'; leave the cell of a turn without a label em",
        ),
        (HEADER, ["a,sad,sad", "b,None,sad"], r"row 3 \(b\): label is 'None'; leave the cell"),
        (HEADER, ["a,sad,sad", "b,sad,nan"], r"row 3 \(b\): prediction is 'nan'; expected one of sad;"),
        (HEADER, ["a,sad,0", "b,joy,1"], r"the labels \(joy, sad\) and the predictions \(0, 1\) have no name in com"),
        (
            HEADER,
            [f"{k},text {k},sad" for k in range(100)],
            r"101 emotions \(sad, text 0, text 1, ...\); expected at most 1",
        ),
        (
            f"{HEADER},p_value_note",
            ["a,sad,sad,hi"],
            r"label is 'sad'; expected one of value_note; the columns p_<emotio",
        ),
        (HEADER, [GOOD, ",sad,glad"], r"row 3: no segment_id"),
        (HEADER, [GOOD, "a_2,sad,"], r"row 3 \(a_2\): no prediction; expected one of glad, sad$"),
        (f"{HEADER},dialogue", [f"{GOOD},d", "a_2,sad,glad,"], r"row 3 \(a_2\): no dialogue"),
        (HEADER, ["Sess19_impro02_M014,hapy,sad"], r"row 2 .*: label is 'hapy'; expected one of neutral, .*--emotions"),
        (HEADER, ["Sess19_impro02_M014,sad,joy"], r"row 2 .*: prediction is 'joy'; expected one of neutral"),
        (f"{HEADER},p_sad,p_glad", [f"{GOOD},0.5,0.5", "a_2,mad,sad,1,0"], r"row 3 \(a_2\): label is 'mad'"),
        (f"{HEADER},p_sad,p_glad", [f"{GOOD},0.5,0.4"], r"row 2 \(a_1\): its probabilities sum to 0.9000; expected 1"),
        (f"{HEADER},p_sad,p_glad", [f"{GOOD},1.5,-0.5"], r"p_sad is '1.5'; expected a number from 0 to 1"),
        (f"{HEADER},p_sad,p_glad", [f"{GOOD},nan,1"], r"p_sad is 'nan'; expected a number"),
        (f"{HEADER},p_sad,p_glad", [f"{GOOD},,1"], r"p_sad is ''; expected a number"),
    ],
)
def test_wrong_files_are_named_with_the_row(tmp_path, header, rows, message):
    with pytest.raises(UserError, match=r"x\.csv.*" + message):
        read_evaluation([write(tmp_path / "x.csv", *rows, header=header)])


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UserError, match=r"none\.csv: no such file; expected predictions, a CSV table with the columns"):
        read_evaluation([tmp_path / "none.csv"])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a_1,sad,sad"], r"y\.csv: lacks 2 labelled turns of .*x\.csv \(a_2, a_3; row 3 there\)"),
        (
            ["a_1,sad,sad", "a_2,sad,sad", "a_3,,sad"],
            r"y\.csv: lacks 1 labelled turns of .*x\.csv \(a_3; row 4 there\)",
        ),
        (
            [f"a_{k},sad,sad" for k in range(1, 9)],
            r"x\.csv: lacks 5 .* of .*y\.csv \(a_4, a_5, a_6, \.\.\.; row 5 there\)",
        ),
        (["a_3,glad,sad", "a_2,sad,sad", "a_1,sad,sad"], r"y\.csv, row 2 \(a_3\): label 'glad', but 'sad' in row 4 of"),
    ],
)
def test_files_of_other_turns_or_labels_are_refused(tmp_path, rows, message):
    first = write(tmp_path / "x.csv", *(f"a_{k},sad,glad" for k in (1, 2, 3)))
    with pytest.raises(UserError, match=message):
        read_evaluation([first, write(tmp_path / "y.csv", *rows)])


def test_other_probabilities_than_the_emotions_are_told(tmp_path):
    file = write(tmp_path / "x.csv", f"{GOOD},1", header=f"{HEADER},p_mad")
    with pytest.raises(
        UserError, match=r"x\.csv: the columns p_mad; expected p_sad, p_glad, or none that begins with p_"
    ):
        read_evaluation([file], emotions=["sad", "glad"])
