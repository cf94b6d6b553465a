import re

import pytest

from erc.files import write_json
from erc.options import UserError
from tests.erc.scoring.conftest import make_rows, write_rows


def write_scores(path, accuracy, weighted_f1, macro_f1):
    write_json(path / "metrics.json", {"accuracy": accuracy, "weighted_f1": weighted_f1, "macro_f1": macro_f1})


def test_table(tmp_path, run_script, capsys):
    write_scores(tmp_path / "extractor/a", 0.5, 0.4, 0.3)
    write_scores(tmp_path / "extractor/at", 0.61234, 0.6, 0.5)
    write_scores(tmp_path / "cgnn/at/seed24", 0.7, 0.6, 0.5)
    write_scores(tmp_path / "cgnn/at/seed25", 0.8, 0.6, 0.4)
    run_script("tools/results_table.py", "--results_dir", tmp_path, "--out", tmp_path / "table.md")
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "table.md").read_text()
    lines = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in printed.splitlines()]
    assert lines[0][1:] == ["a", "at"]
    assert lines[2] == ["(1) extractor alone", "50.00 / 40.00 / 30.00", "61.23 / 60.00 / 50.00"]
    assert lines[3][0] == "(3) CGNN on extractor features, 2 seeds"
    assert lines[3][1:] == ["-", "75.00 ± 7.07 / 60.00 ± 0.00 / 45.00 ± 7.07"]
    assert len({len(line) for line in printed.splitlines()}) == 1
    run_script("tools/results_table.py", "--results_dir", tmp_path, "--published")
    assert re.search(r"published, KEMDy19 +\| 65.61 / 64.90 / - +\| 68.99 / 68.05 / - ", capsys.readouterr().out)


def test_intervals_stand_below_a_method_whose_predictions_are_there(tmp_path, run_script, capsys):
    """Those of tools/score.py for the same folder."""
    for seed in (1, 2):
        write_scores(tmp_path / f"cgnn/at/seed{seed}", 0.7, 0.6, 0.5)
        write_rows(tmp_path / f"cgnn/at/seed{seed}/predictions.csv", make_rows(seed))
        write_scores(tmp_path / f"cgnn/t/seed{seed}", 0.7, 0.6, 0.5)
    write_rows(tmp_path / "cgnn/t/seed1/predictions.csv", make_rows(1))  # the other run lacks its own
    write_scores(tmp_path / "extractor/at", 0.5, 0.4, 0.3)
    run_script("tools/results_table.py", "--results_dir", tmp_path, "--published")
    lines = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in capsys.readouterr().out.splitlines()]
    names = ["(1) extractor alone", "published, KEMDy19", "(3) CGNN on extractor features, 2 seeds", "95% interval"]
    names += ["ensemble of 2", "95% interval"]
    assert [line[0] for line in lines[2:]] == [*names, "published, KEMDy19"]
    run_script("tools/score.py", tmp_path / "cgnn/at")
    printed = capsys.readouterr().out.splitlines()
    for name, number in (("| at, 2 runs", 5), ("| at, ensemble of 2 ", 7)):
        row = next(line for line in printed if line.startswith(name))
        intervals = re.findall(r"\[.*?\]", row)[:3]
        assert len(intervals) == 3 and lines[number][1:] == ["-", " / ".join(intervals)]
    assert lines[6][2] == " / ".join(re.findall(r"\d+\.\d\d", row)[:3])
    write_rows(tmp_path / "cgnn/at/seed2/predictions.csv", [["Sess19_impro01_F001", "sad", "none"]])
    with pytest.raises(UserError, match=r"seed2/predictions\.csv"):
        run_script("tools/results_table.py", "--results_dir", tmp_path)


def test_folds_are_scored_together(tmp_path, run_script, capsys):
    """Two extractors, two seeds, three folds: as the same predictions in one file for each of the four runs."""
    dialogues = [("script01", "script02"), ("script03", "impro01"), ("impro02", "impro03")]
    for extractor in (42, 43):
        for seed in (24, 25):
            run, together = f"extractor{extractor}_seed{seed}", []
            for fold, own in enumerate(dialogues, start=1):
                rows = make_rows(100 * extractor + 10 * seed + fold, own)
                write_scores(tmp_path / f"folds/cgnn/at/fold{fold}_{run}", 0.9, 0.9, 0.9)
                write_rows(tmp_path / f"folds/cgnn/at/fold{fold}_{run}/predictions.csv", rows)
                together += rows
            write_rows(tmp_path / f"whole/{run}/predictions.csv", together)
    run_script("tools/results_table.py", "--results_dir", tmp_path / "folds", "--out", tmp_path / "table.md")
    *rows, _, spread, _, folds = (tmp_path / "table.md").read_text().splitlines()
    shown = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in rows[2:]]
    names = ["(3) CGNN on extractor features, 3 folds, 2 extractors, 2 seeds", "95% interval"]
    assert [name for name, _ in shown] == [*names, "ensemble of 4", "95% interval"]
    assert spread.startswith("±: standard deviation over all runs") and folds.startswith(
        "Folds: each turn is predicted"
    )
    capsys.readouterr()
    run_script("tools/score.py", tmp_path / "whole")
    single, ensemble = [
        line.split("|")[2:5] for line in capsys.readouterr().out.splitlines() if line.startswith("| whole, ")
    ][:2]
    for row, expected in ((0, single), (2, ensemble)):
        scores, intervals = (cells[1].split(" / ") for cells in shown[row : row + 2])
        assert [f"{score} {ends}" for score, ends in zip(scores, intervals, strict=True)] == [
            c.strip() for c in expected
        ]


def test_folds_without_predictions_have_no_spread_of_their_own(tmp_path, run_script, capsys):
    """The same seeds differ by less than the folds; under one sign the latter would pass for the former."""
    for fold, score in ((1, 0.5), (2, 0.9)):
        for seed in (24, 25):
            place = tmp_path / f"cgnn/at/fold{fold}_seed{seed}"
            write_scores(place, score, score, score)
            write_rows(place / "predictions.csv", make_rows(10 * fold + seed, (f"script0{fold}",)))
    run_script("tools/results_table.py", "--results_dir", tmp_path)
    assert " ± " in capsys.readouterr().out
    (place / "predictions.csv").unlink()
    run_script("tools/results_table.py", "--results_dir", tmp_path)
    row, note = [line for line in capsys.readouterr().out.splitlines() if "olds" in line]
    assert "| (3) CGNN on extractor features, 2 folds, 2 seeds | 70.00 / 70.00 / 70.00 |" in " ".join(row.split())
    assert note.endswith("else scores are means over folds, without a ±.")


@pytest.mark.parametrize(
    ("seeds", "words"),
    [((2, 2), "2 extractors, 2 seeds"), ((1, 1), "2 extractors"), ((2, 1), "2 extractors, 3 runs"), ((3, 1), "4 runs")],
)
def test_extractors_with_as_many_seeds_or_others(tmp_path, run_script, capsys, seeds, words):
    for extractor, count in zip((42, 43), seeds, strict=True):
        for seed in range(count):
            write_scores(tmp_path / f"cgnn/at/extractor{extractor}_seed{24 + seed}", 0.5, 0.5, 0.5)
    run_script("tools/results_table.py", "--results_dir", tmp_path)
    assert re.search(rf"CGNN on extractor features.*, {words} +\|", capsys.readouterr().out)


def test_a_run_that_lacks_a_fold_or_has_a_turn_twice_is_named(tmp_path, run_script):
    for name, dialogue in (("fold1_seed24", "script01"), ("fold2_seed24", "script02"), ("fold1_seed25", "script01")):
        write_scores(tmp_path / f"cgnn/at/{name}", 0.9, 0.9, 0.9)
        write_rows(tmp_path / f"cgnn/at/{name}/predictions.csv", make_rows(1, (dialogue,)))
    with pytest.raises(
        UserError, match=r"seed25 has the folds \[1\], seed24 \[1, 2\]; expected all folds of every run"
    ):
        run_script("tools/results_table.py", "--results_dir", tmp_path)
    write_scores(tmp_path / "cgnn/at/fold2_seed25", 0.9, 0.9, 0.9)
    write_rows(tmp_path / "cgnn/at/fold2_seed25/predictions.csv", make_rows(1, ("script01",)))
    twice = r"fold2_seed25/predictions\.csv, row 2 \(.*\): is already in .*fold1_seed25/predictions\.csv, row 2; "
    with pytest.raises(UserError, match=twice):
        run_script("tools/results_table.py", "--results_dir", tmp_path)


def test_extractor_table(tmp_path, run_script, capsys):
    """In the published order, whatever that of the file; an unpublished variant comes last."""
    rows = ["model,loss,accuracy,weighted_f1,macro_f1", "other,ce,0.5,0.5,0.5"]
    rows += ["both+mmer,cs_and_ce,0.61234,0.6,0.5", "text,ce,0.5,0.4,0.3"]
    (tmp_path / "result.csv").write_text("\n".join(rows) + "\n")
    arguments = ("--extractor_table", tmp_path / "result.csv", "--out", tmp_path / "table.md")
    run_script("tools/results_table.py", *arguments, "--published")
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "table.md").read_text()
    lines = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in printed.splitlines()]
    assert lines[2:] == [
        ["text", "ce", "50.00 / 40.00 / 30.00", "72.23 / 71.53 / -"],
        ["both+mmer", "cs_and_ce", "61.23 / 60.00 / 50.00", "73.46 / 73.18 / -"],
        ["other", "ce", "50.00 / 50.00 / 50.00", "-"],
    ]
    run_script("tools/results_table.py", *arguments)
    assert "published" not in capsys.readouterr().out


def test_the_corpuss_headline_leads(tmp_path, run_script, capsys):
    write_scores(tmp_path / "extractor/a", 0.5, 0.4, 0.3)
    (tmp_path / "result.csv").write_text("model,loss,accuracy,weighted_f1,macro_f1\ntext,ce,0.5,0.4,0.3\n")
    for source in (("--results_dir", tmp_path), ("--extractor_table", tmp_path / "result.csv")):
        for corpus, heading, values in (
            ("KEMDy20", "macro F1 / accuracy / weighted F1", "30.00 / 50.00 / 40.00"),
            ("my own", "accuracy / weighted F1 / macro F1", "50.00 / 40.00 / 30.00"),
        ):
            run_script("tools/results_table.py", *source, "--corpus", corpus)
            shown = capsys.readouterr().out
            assert heading in shown and f"| {values} " in shown
    with pytest.raises(SystemExit):
        run_script("tools/results_table.py", "--results_dir", tmp_path, "--corpus", "KEMDy20", "--published")
    assert "--published: these numbers are KEMDy19's" in capsys.readouterr().err


def test_extractor_table_of_something_else(tmp_path, run_script, capsys):
    for content, message in (
        (None, r"x\.csv: no such file; expected the result\.csv of MIRAI/inference\.py --all"),
        ("a,b\n1,2\n", "the columns model, loss, accuracy"),
        ("model,loss,accuracy,weighted_f1,macro_f1\n", "expected a row"),
        ("model,loss,accuracy,weighted_f1,macro_f1\ntext,ce,high,1,1\n", "float: 'high'; expected numbers"),
    ):
        if content:
            (tmp_path / "x.csv").write_text(content)
        with pytest.raises(UserError, match=message):
            run_script("tools/results_table.py", "--extractor_table", tmp_path / "x.csv")
    with pytest.raises(SystemExit) as stop:
        run_script("tools/results_table.py", "--extractor_table", "x.csv", "--results_dir", tmp_path)
    assert stop.value.code == 2 and "--extractor_table: takes the place of" in capsys.readouterr().err


def test_no_results(tmp_path, run_script):
    with pytest.raises(UserError, match="no <method>/<modalities>/metrics"):
        run_script("tools/results_table.py", "--results_dir", tmp_path)


@pytest.mark.parametrize("content", ["", '{"accuracy": 1', "[" * 100_000, "[]", '{"accuracy": "much"}', "\x80"])
def test_damaged_results_are_named(tmp_path, run_script, content):
    (tmp_path / "cgnn/at").mkdir(parents=True)
    (tmp_path / "cgnn/at/metrics.json").write_text(content, encoding="latin1")
    with pytest.raises(UserError, match=r"metrics\.json: (not JSON, or damaged|expected accuracy, weighted_f1)"):
        run_script("tools/results_table.py", "--results_dir", tmp_path)
