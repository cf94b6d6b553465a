"""tools/score.py as a user runs it."""

import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from erc.corpus.corpora import KEMDY19, SCORES
from erc.options import UserError
from erc.scoring.evaluation import write_evaluation
from tests.erc.scoring.conftest import EMOTIONS, make_rows, write_rows
from tests.tables import read_rows

SCRIPT = "tools/score.py"
FAST = ("--resamples", 199)
FILES = ["scores.csv", "scores.json", "scores.md", "scores.png", "scores.svg", "scores.tex"]


def cells(text, start):
    """The cells of the first line of a Markdown table that begins with a text."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("| ").split(" | ")]


def test_a_file_of_this_project(tmp_path, run_script, capsys):
    """The scores are those of `metrics.json`, and lie in their intervals."""
    rows = make_rows(1)
    turns = [(row[0], row[0][:-5], row[0][-4], KEMDY19.label(row[1])) for row in rows]
    metrics = write_evaluation(tmp_path / "run", turns, np.array([row[3:] for row in rows]), EMOTIONS)
    capsys.readouterr()
    run_script(SCRIPT, tmp_path / "run/predictions.csv", *FAST, "--out_dir", tmp_path / "out")
    printed = capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.name[0] != ".") == FILES
    assert (tmp_path / "out/scores.md").read_text() in printed
    assert "54 labelled turns of 6 dialogues. 95% intervals: 199 resamples of the dialogues" in printed
    assert "was not checked; --table does it" in printed and "only 6 dialogues: the intervals are rough" in printed
    report = json.loads((tmp_path / "out/scores.json").read_text())
    (method,) = report["methods"]
    for score in SCORES:
        entry = method["scores"][score]
        assert entry["value"] == pytest.approx(metrics[score]) and entry["sd"] is None
        assert entry["low"] < entry["value"] < entry["high"]
    shown = cells(printed, "run ")
    accuracy = method["scores"]["accuracy"]
    low, high = (f"{100 * accuracy[end]:.1f}" for end in ("low", "high"))
    assert shown[1] == f"{100 * metrics['accuracy']:.2f} [{low}, {high}]"
    for emotion, entry in metrics["per_class"].items():
        ours = method["per_emotion"][emotion]
        assert (ours["support"], ours["precision"], ours["recall"]) == tuple(
            pytest.approx(entry[name]) for name in ("support", "precision", "recall")
        )
        if entry["support"]:
            assert ours["f1"]["value"] == pytest.approx(entry["f1"])
        dialogues = {row[0][:-5] for row in rows if row[1] == emotion}
        assert ours["dialogues"] == len(dialogues) and (ours["f1"]["low"] is None) == (len(dialogues) < 5)
    assert [group["name"] for group in method["groups"]] == ["improvised", "scripted", "F", "M"]
    assert sum(group["turns"] for group in method["groups"][:2]) == 54
    assert report["difference"] is None


def test_two_methods_are_compared_turn_by_turn(tmp_path, run_script, capsys, predictions):
    dialogues = [f"script{k:02}" for k in range(1, 9)]
    poor, good = (predictions(f"{k}.csv", k, dialogues, right=right) for k, right in ((1, 0.3), (2, 0.9)))
    run_script(SCRIPT, poor, good, *FAST, "--names", "=poor_$1", "good & fast", "--out_dir", tmp_path / "out")
    report = json.loads((tmp_path / "out/scores.json").read_text())
    first, second = (method["scores"]["accuracy"]["value"] for method in report["methods"])
    entry = report["difference"]["scores"]["accuracy"]
    assert entry["value"] == pytest.approx(second - first) and 0 < entry["low"] < entry["value"] < entry["high"]
    assert entry["p"] == pytest.approx(2 * (1 + 0) / (199 + 1), abs=0.02)
    printed = capsys.readouterr().out
    assert "good & fast minus =poor_$1, points; 95% intervals over dialogues, permutation test" in printed
    assert re.search(r"^\| \+\d\d\.\d\d \[\d+\.\d, \d+\.\d\], p 0\.0\d\d ", printed, re.MULTILINE)
    latex = (tmp_path / "out/scores.tex").read_text()
    assert r"\caption{good \& fast minus =poor\_\$1, points; 95\% intervals" in latex
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{table}") == latex.count(r"\toprule") > 4
    for table in latex.split(r"\begin{tabular}{")[1:]:
        columns = len(table.partition("}")[0])
        rows = [line for line in table.splitlines() if line.endswith(r"\\")]
        assert rows and {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {columns}
    rows = read_rows(tmp_path / "out/scores.csv")
    assert {row["method"] for row in rows} == {"'=poor_$1", "good & fast", "good & fast minus =poor_$1"}  # no formula
    (row,) = (row for row in rows if (row["method"], row["turns_of"], row["score"]) == ("good & fast", "all", "uar"))
    assert float(row["value"]) == report["methods"][1]["scores"]["uar"]["value"]
    for emotion, entry in report["difference"]["f1"].items():
        before, after = (method["per_emotion"][emotion]["f1"]["value"] for method in report["methods"])
        (row,) = (row for row in rows if " minus " in row["method"] and row["turns_of"] == f"emotion: {emotion}")
        assert float(row["value"]) == entry["value"] == pytest.approx(after - before)


def test_the_order_of_the_rows_does_not_matter(tmp_path, run_script, capsys):
    rows = make_rows(1)
    for order in (rows, rows[::-1], sorted(rows, key=lambda row: row[0][::-1])):
        run_script(SCRIPT, write_rows(tmp_path / "x.csv", order), *FAST)
    first, *others = capsys.readouterr().out.split("54 labelled")[1:]
    assert others == [first, first]


def test_names_are_safe_in_latex(tmp_path, run_script, predictions):
    names = ["[o] <a|b>", '* "x"']
    run_script(
        SCRIPT, predictions("a.csv", 1), predictions("b.csv", 2), *FAST, "--names", *names, "--out_dir", tmp_path
    )
    latex = (tmp_path / "scores.tex").read_text()
    assert r"{}[o] $<$a\textbar{}b$>$ & " in latex and "{}* ''x'' & " in latex
    assert not re.search(r'(\\\\|rule)\s*[\[*]|[|"]|[^$][<>]|[<>][^$]', latex)


def test_the_plot_shows_every_method_and_is_the_same_again(tmp_path, run_script, predictions):
    files = [predictions(f"method{k}.csv", k) for k in (1, 2)]
    for folder in ("out", "again"):
        run_script(SCRIPT, *files, *FAST, "--out_dir", tmp_path / folder)
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    from matplotlib.image import imread

    picture = imread(tmp_path / "out/scores.png")[..., :3]
    for colour in ((0, 0x72, 0xB2), (0xD5, 0x5E, 0), (0x33, 0x33, 0x33)):  # the two methods and their difference
        of_colour = np.abs(picture - np.array(colour) / 255).max(axis=2) < 0.02
        assert of_colour.sum(axis=1).max() > 50  # an interval, which is wider than a dot
    assert ElementTree.parse(tmp_path / "out/scores.svg").getroot().tag.endswith("svg")


def test_runs_have_a_spread_and_an_ensemble(tmp_path, run_script, capsys):
    for seed in (1, 2, 3):
        write_rows(tmp_path / f"cgnn/seed{seed}/predictions.csv", make_rows(seed))
        write_rows(tmp_path / f"other/seed{seed}/predictions.csv", make_rows(seed + 10))
    write_rows(tmp_path / "alone.csv", make_rows(9))
    run_script(SCRIPT, tmp_path / "cgnn", tmp_path / "other", *FAST, "--out_dir", tmp_path / "out")
    printed = capsys.readouterr().out
    assert re.fullmatch(r"\d\d\.\d\d ± \d+\.\d\d \[\d+\.\d, \d+\.\d\]", cells(printed, "cgnn, 3 runs")[1])
    assert re.fullmatch(r"\d\d\.\d\d \[\d+\.\d, \d+\.\d\]", cells(printed, "cgnn, ensemble of 3")[1])
    report = json.loads((tmp_path / "out/scores.json").read_text())
    names = ["cgnn", "cgnn, ensemble of 3", "other", "other, ensemble of 3"]
    assert [method["name"] for method in report["methods"]] == names
    values = []
    for seed in (1, 2, 3):
        run_script(SCRIPT, tmp_path / f"cgnn/seed{seed}", *FAST, "--out_dir", tmp_path / f"out{seed}")
        values.append(json.loads((tmp_path / f"out{seed}/scores.json").read_text())["methods"][0])
    for score in SCORES:
        each = [one["scores"][score]["value"] for one in values]
        entry = report["methods"][0]["scores"][score]
        assert (entry["value"], entry["sd"]) == (pytest.approx(np.mean(each)), pytest.approx(np.std(each, ddof=1)))
    nll = report["methods"][0]["calibration"]["nll"]
    assert nll == pytest.approx(np.mean([one["calibration"]["nll"] for one in values]))
    assert report["difference"]["scores"]["accuracy"]["p"] is not None
    capsys.readouterr()
    run_script(SCRIPT, tmp_path / "alone.csv", tmp_path / "cgnn", *FAST)
    printed = capsys.readouterr().out
    assert "No permutation test: 1 and 3 runs cannot be exchanged." in printed and ", p " not in printed


def test_a_file_of_anyone(tmp_path, run_script, capsys):
    """Three columns, no dialogues, no probabilities: said, and scored all the same."""
    write_rows(
        tmp_path / "x.csv",
        [[k, "sad" if k % 3 else "glad", "sad"] for k in range(30)],
        ("segment_id", "label", "prediction"),
    )
    run_script(SCRIPT, tmp_path / "x.csv", *FAST)
    printed = capsys.readouterr().out
    assert (
        "single turns were resampled: the intervals are too narrow" in printed and "resamples of the turns" in printed
    )
    assert cells(printed, "x ")[1].startswith("66.67 [") and "Calibration" not in printed and "group" not in printed
    run_script(SCRIPT, tmp_path / "x.csv", *FAST, "--dialogue_pattern", "^.")
    assert "30 labelled turns of 10 dialogues." in capsys.readouterr().out  # by their first digit


def test_few_dialogues_give_scores_without_intervals(run_script, capsys, predictions):
    run_script(SCRIPT, predictions("x.csv", 1, ["impro01", "impro02"]), *FAST)
    printed = capsys.readouterr().out
    assert re.fullmatch(r"\d\d\.\d\d", cells(printed, "x ")[1])
    assert "There are fewer than 5 dialogues, so there are no intervals." in printed and "rough" not in printed


def test_what_is_not_known_is_no_zero(tmp_path, run_script, capsys):
    """The recall of an emotion that no turn is labelled with."""
    rows = [[k, "sad", "sad" if k else "glad"] for k in range(9)]
    file = write_rows(tmp_path / "x.csv", rows, ("segment_id", "label", "prediction"))
    run_script(SCRIPT, file, *FAST, "--out_dir", tmp_path / "out")
    assert cells(capsys.readouterr().out, "glad")[3:] == ["0.00", "-", "-"]
    (method,) = json.loads((tmp_path / "out/scores.json").read_text())["methods"]
    assert method["per_emotion"]["glad"]["recall"] is None


def test_the_same_number_is_shown_alike_everywhere(tmp_path, run_script, capsys):
    """Accuracy 46.625%, whose last digits depend on the order of the sum."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 800).tolist()
    confidence = np.round(random.uniform(0.5, 1, 800), 1).tolist()
    rows = [
        [k, ("sad", "glad")[label], "sad", p, round(1 - p, 1)]
        for k, (label, p) in enumerate(zip(labels, confidence, strict=True))
    ]
    file = write_rows(tmp_path / "x.csv", rows, ("segment_id", "label", "prediction", "p_sad", "p_glad"))
    run_script(SCRIPT, file, *FAST)
    shown = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| x ")]
    assert [cell[:5] for row in shown for cell in row if cell.startswith("46.6")] == [shown[0][1][:5]] * 3


def test_a_second_run_into_the_folder_that_is_read(tmp_path, run_script, capsys):
    for seed in (1, 2):
        write_rows(tmp_path / f"runs/{seed}.csv", make_rows(seed))
    for _ in range(2):
        run_script(SCRIPT, tmp_path / "runs", *FAST, "--out_dir", tmp_path / "runs")
    first, again = capsys.readouterr().out.split("54 labelled")[1:]
    assert first == again and "runs, 2 runs" in again


def test_a_prediction_that_is_not_the_likeliest_is_told(tmp_path, run_script, capsys):
    rows = make_rows(1)
    rows[0][2] = EMOTIONS[int(np.argmin(rows[0][3:]))]
    run_script(SCRIPT, write_rows(tmp_path / "x.csv", rows), *FAST)
    assert "x: 1 predictions are not the emotion with the highest probability" in capsys.readouterr().out


def test_the_split_is_checked_and_said(tmp_path, run_script, capsys):
    rows = [f"{dialogue}_F{k:03},sad,sad" for k in range(60) for dialogue in KEMDY19.test_dialogues]
    for count in (978, 977):
        (tmp_path / f"{count}.csv").write_text("\n".join(["segment_id,label,prediction", *rows[:count]]) + "\n")
    run_script(SCRIPT, tmp_path / "978.csv", *FAST)
    printed = capsys.readouterr().out
    assert "978 labelled turns of 20 dialogues: KEMDy19's published test split, by its counts." in printed
    assert "not checked" not in printed
    with pytest.raises(UserError, match=r"977\.csv: 977 labelled turns; KEMDy19's published test split has 978"):
        run_script(SCRIPT, tmp_path / "977.csv", *FAST, "--out_dir", tmp_path / "out")
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: PREDICTIONS"),
        (["x", "--names", "a", "b"], "--names: 2 names for 1 methods"),
        (["x", "y", "--names", "a", "a"], "--names: the same name twice"),
        (["x", "--resamples", "10"], "--resamples: 10; expected at least 99"),
        (["x", "--dialogue_pattern", "("], "--dialogue_pattern: missing )"),
        (["x", "--test_sessions", "1"], "--test_sessions: goes with --table"),
        (["x", "--split", "iemocap"], "invalid choice: 'iemocap'"),
    ],
)
def test_wrong_arguments(run_script, capsys, arguments, message):
    with pytest.raises(SystemExit) as end:
        run_script(SCRIPT, *arguments)
    assert end.value.code == 2 and message in capsys.readouterr().err
