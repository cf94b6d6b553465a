"""The benchmarks of stage 3 run and print their tables, at sizes whose figures mean nothing."""

import re


def table(printed):
    """By what it is, the figure of each row."""
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in printed.splitlines() if "|" in line]
    return {row[0]: row[1] for row in rows[2:]}


def test_graph_network(run_script, capsys):
    run_script("benchmarks/graph_network.py", "--dialogues", 12, "--width", 32, "--epochs", 1, "--device", "cpu")
    figures = table(capsys.readouterr().out)
    graphs = next(figures[what] for what in figures if what.startswith("graphs of 64 dialogues"))
    assert re.fullmatch(r"[\d.]+ ms; plain loops \d+ ms", graphs)
    assert float(figures["the same with dev scoring"]) > float(figures["a training epoch, over the limit"]) > 0


def test_preprocessing(run_script, capsys):
    run_script("benchmarks/preprocessing.py", "--dialogues", 10, "--sbert_dialogues", 2)
    figures = table(capsys.readouterr().out)
    assert re.fullmatch(r"[\d.]+ s", next(figures[what] for what in figures if what.startswith("preprocess.py")))
    assert float(figures["largest difference of an embedding"]) < 1e-4
