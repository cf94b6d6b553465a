import re

import pytest

from cogmen.options import UserError
from cogmen.safe_files import write_json


def write_scores(path, accuracy, weighted_f1, macro_f1):
    write_json(path / "metrics.json", {"accuracy": accuracy, "weighted_f1": weighted_f1, "macro_f1": macro_f1})


def test_table(tmp_path, run_script, capsys):
    write_scores(tmp_path / "extractor/a", 0.5, 0.4, 0.3)
    write_scores(tmp_path / "extractor/at", 0.61234, 0.6, 0.5)
    write_scores(tmp_path / "cgnn/at/seed24", 0.7, 0.6, 0.5)
    write_scores(tmp_path / "cgnn/at/seed25", 0.8, 0.6, 0.4)
    run_script("COGMEN_code/results_table.py", "--results_dir", tmp_path, "--out", tmp_path / "table.md")
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "table.md").read_text()
    lines = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in printed.splitlines()]
    assert lines[0][1:] == ["a", "at"]
    assert lines[2] == ["(1) extractor alone", "50.00 / 40.00 / 30.00", "61.23 / 60.00 / 50.00"]
    assert lines[3][0] == "(3) CGNN on extractor features, 2 seeds"
    assert lines[3][1:] == ["-", "75.00 ± 7.07 / 60.00 ± 0.00 / 45.00 ± 7.07"]
    assert len({len(line) for line in printed.splitlines()}) == 1


def test_published_numbers_stand_beside(tmp_path, run_script, capsys):
    write_scores(tmp_path / "extractor/at", 0.6, 0.6, 0.5)
    run_script("COGMEN_code/results_table.py", "--results_dir", tmp_path, "--published")
    assert re.search(r"published, KEMDy19 +\| 68.99 / 68.05 / - ", capsys.readouterr().out)


def test_no_results(tmp_path, run_script):
    with pytest.raises(UserError, match="no <method>/<modalities>/metrics"):
        run_script("COGMEN_code/results_table.py", "--results_dir", tmp_path)
