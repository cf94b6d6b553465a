import json

import numpy as np
import pytest
from matplotlib.figure import Figure

from erc.corpus.corpora import CORPORA, KEMDY19, UNLABELLED
from erc.corpus.metrics import report, scores, summary
from erc.options import UserError
from erc.scoring.evaluation import write_evaluation, write_multilabel_evaluation
from tests.pictures import blank_pictures, real_pictures  # noqa: F401 (fixtures)
from tests.tables import read_rows

EMOTIONS = ("neutral", "angry", "happy")


@pytest.mark.filterwarnings("error")  # an emotion that does not occur is nothing to warn of
def test_scores_by_hand():
    result = scores([0, 0, 0, 1], [0, 0, 1, 1], EMOTIONS)
    # neutral: precision 1, recall 2/3, F1 0.8; angry: precision 1/2, recall 1, F1 2/3; happy does not occur
    assert result["accuracy"] == 0.75
    assert result["weighted_f1"] == pytest.approx((3 * 0.8 + 2 / 3) / 4)
    assert result["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert result["uar"] == pytest.approx((2 / 3 + 1) / 2)
    assert result["confusion"] == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert result["per_class"]["happy"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    assert result["n"] == 4


@pytest.mark.usefixtures("real_pictures")
def test_files(tmp_path):
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]])
    turns = [("Sess19_impro01_F001", "Sess19_impro01", "F", 0), ("Sess19_impro01_M001", "Sess19_impro01", "M", 1)]
    result = write_evaluation(tmp_path, iter(turns), probabilities, EMOTIONS)
    assert json.loads((tmp_path / "metrics.json").read_text()) == result
    assert set(result) == {"accuracy", "weighted_f1", "macro_f1", "uar", "per_class", "confusion", "n"}
    rows = read_rows(tmp_path / "predictions.csv")
    assert list(rows[0]) == [
        *("segment_id", "dialogue", "speaker", "label", "prediction", "p_neutral", "p_angry", "p_happy")
    ]
    assert [(row["segment_id"], row["dialogue"], row["speaker"]) for row in rows] == [turn[:3] for turn in turns]
    assert [(row["label"], row["prediction"]) for row in rows] == [("neutral", "neutral"), ("angry", "happy")]
    assert float(rows[1]["p_happy"]) == 0.7
    assert (tmp_path / "confusion_matrix.png").stat().st_size > 10_000


def test_turns_without_a_label_are_predicted_and_not_scored(tmp_path):
    turns = [
        ("Sess19_impro01_F001", "Sess19_impro01", "F", UNLABELLED),
        ("Sess19_impro01_M001", "Sess19_impro01", "M", 1),
    ]
    result = write_evaluation(tmp_path, turns, np.eye(3)[[2, 1]], EMOTIONS)
    assert (result["accuracy"], result["n"]) == (1.0, 1)
    rows = (tmp_path / "predictions.csv").read_text().splitlines()[1:]
    assert [row.split(",")[3:5] for row in rows] == [["", "happy"], ["angry", "angry"]]
    with pytest.raises(UserError, match="none of the turns to score has a label"):
        write_evaluation(tmp_path, turns[:1], np.eye(3)[[2]], EMOTIONS)


@pytest.mark.parametrize(
    ("write", "labels"), [(write_evaluation, (0, 1)), (write_multilabel_evaluation, ((0, 1, 0), (1, 0, 1)))]
)
def test_scores_that_are_there_go_with_the_rest(tmp_path, monkeypatch, write, labels):
    turns, scored = [("d_F001", "d", "F", label) for label in labels], tmp_path / "metrics.json"
    write(tmp_path, turns, np.eye(3)[:2], EMOTIONS)
    assert scored.exists()

    def no_space(*_):
        raise OSError("no space left")

    monkeypatch.setattr("erc.scoring.evaluation.draw_confusion", no_space)
    with pytest.raises(OSError, match="no space"):
        write(tmp_path, turns, np.eye(3)[[1, 0]], EMOTIONS)
    assert not scored.exists()


@pytest.mark.usefixtures("real_pictures")
def test_the_drawing_has_a_row_for_each_label(tmp_path, monkeypatch):
    drawn, save = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **how: drawn.append(self) or save(self, *args, **how))
    turns = [(f"Sess19_impro01_F{k:03}", "Sess19_impro01", "F", label) for k, label in enumerate([0, 0, 0, 1])]
    write_evaluation(tmp_path, turns, np.eye(3)[[0, 0, 1, 1]], EMOTIONS)
    axes = drawn[0].axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts}  # (column, row)
    assert [cells[column, 0] for column in range(3)] == ["67%\n2", "33%\n1", "0%\n0"]
    assert [cells[column, 1] for column in range(3)] == ["0%\n0", "100%\n1", "0%\n0"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "labelled")
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [label.get_text() for label in labels] == list(EMOTIONS)


def test_no_cell_is_a_formula(tmp_path):
    """The ids of some corpora begin with a minus sign, those of a file from anyone with whatever he likes."""
    turns = [("-3g5yACwYnA_0", "=HYPERLINK(1)", "@M", 0), ("+x", "a-b", "F=M", 1)]
    write_evaluation(tmp_path, turns, np.eye(3)[:2], EMOTIONS)
    rows = (tmp_path / "predictions.csv").read_text().splitlines()[1:]
    assert [row.split(",")[:3] for row in rows] == [["'-3g5yACwYnA_0", "'=HYPERLINK(1)", "'@M"], ["'+x", "a-b", "F=M"]]


def test_report_is_readable():
    assert report(scores([0, 0, 0, 1], [0, 0, 1, 1], EMOTIONS)).splitlines() == [
        "accuracy 75.00, weighted F1 76.67, macro F1 73.33, UAR 83.33 (4 utterances)",
        "",
        "emotion    precision  recall      F1  support",
        "neutral       100.00   66.67   80.00        3",
        "angry          50.00  100.00   66.67        1",
        "happy           0.00    0.00    0.00        0",
    ]


def test_a_corpuss_headline_leads_the_summary():
    result = {"accuracy": 0.5, "weighted_f1": 0.4, "macro_f1": 0.3, "uar": 0.2, "n": 8, "per_class": {}}
    usual = "accuracy 50.00, weighted F1 40.00, macro F1 30.00, UAR 20.00 (8 utterances)"
    assert summary(result) == summary(result, KEMDY19.headline) == usual
    other = "macro F1 30.00, accuracy 50.00, weighted F1 40.00, UAR 20.00 (8 utterances)"
    assert summary(result, CORPORA["KEMDy20"].headline) == other
    assert report(result, "macro_f1").startswith(f"{other}\n")
