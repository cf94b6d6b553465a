"""The table of ablations: scores as tools/score.py gives them, and the paired difference to the whole network."""

import pytest

from erc.ablations import ablation_table
from erc.options import UserError
from tests.erc.scoring.conftest import make_rows, write_rows


def write_runs(place, right, seeds=(24, 25)):
    for seed in seeds:
        write_rows(place / f"seed{seed}/predictions.csv", make_rows(seed, right=right))


def cells(text):
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in text.splitlines()[2:]]


def test_each_ablation_stands_beside_the_whole_network(tmp_path, run_script, capsys):
    for place, right in (
        ("cgnn/at", 0.9),
        ("cgnn/t", 0.7),
        ("ablations/no_graph/at", 0.2),
        ("ablations/window_0/t", 0.7),
    ):
        write_runs(tmp_path / place, right)
    run_script("tools/ablations.py", "--results_dir", tmp_path, "--out", tmp_path / "ablations.md")
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "ablations.md").read_text()
    names = [row[:2] for row in cells(printed)]
    text = [["t", "whole, 2 runs"], ["t", "a window of the turn alone"]]
    assert names == [*text, ["at", "whole, 2 runs"], ["at", "no graph"], ["at", "text alone"]]
    same, worse = cells(printed)[1], cells(printed)[3]
    assert same[3] == "+0.00 [0.0, 0.0], p 1.000"  # the same predictions
    run_script("tools/score.py", tmp_path / "cgnn/at", tmp_path / "ablations/no_graph/at")
    lines = capsys.readouterr().out.splitlines()
    head = next(k for k, line in enumerate(lines) if line.startswith("| accuracy"))
    difference = lines[head + 2].split("|")[2].strip()
    assert worse[3] == difference and difference.startswith("-")


def test_ablations_of_other_runs_or_none_are_refused(tmp_path):
    write_runs(tmp_path / "cgnn/at", 0.9)
    with pytest.raises(UserError, match="no ablations/<name>/<modalities> beside cgnn"):
        ablation_table(tmp_path)
    write_rows(tmp_path / "ablations/no_graph/at/seed24/predictions.csv", make_rows(24, ("script01",)))
    with pytest.raises(UserError, match=r"lacks \d+ labelled turns"):
        ablation_table(tmp_path)
