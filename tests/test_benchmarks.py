"""The benchmarks run and print their tables, at sizes whose figures mean nothing."""

import json
import re
import runpy

import numpy as np

from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import write_preprocessed
from erc.corpus.splits import divide
from erc.options import REPOSITORY
from tests.cogmen.conftest import make_dialogues


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
    assert 0 < float(figures["a whole training of it, over the published"]) < 10
    assert 200 < int(figures["a training step starts"].removesuffix(" kernels")) < 400


def test_preprocessing(run_script, capsys):
    run_script("benchmarks/preprocessing.py", "--dialogues", 10, "--sbert_dialogues", 2)
    figures = table(capsys.readouterr().out)
    assert re.fullmatch(r"[\d.]+ s", next(figures[what] for what in figures if what.startswith("preprocess.py")))
    assert float(figures["largest difference of an embedding"]) < 1e-4


def test_memory_of_a_script_is_its_own(tmp_path):
    """However large the process is that measures it."""
    (tmp_path / "script.py").write_text("def main(argv):\n    bytearray(int(argv[0]) << 20).count(1)\n")
    run_measured = runpy.run_path(str(REPOSITORY / "benchmarks/measuring.py"))["run_measured"]
    ballast = np.ones(200 << 20, np.uint8)
    whole, imports = run_measured(tmp_path / "script.py", 60)
    assert 55 << 20 < whole["bytes"] - imports["bytes"] < 70 << 20
    assert ballast.all() and 0 < imports["seconds"] < whole["seconds"]


def test_padding(run_script, tmp_path, capsys):
    dialogues = make_dialogues()
    write_preprocessed(tmp_path / "p.pkl", divide(dialogues, KEMDY19))
    data = ("--preprocessed_feature", tmp_path / "p.pkl", "--dataset", "KEMDy19", "--modalities", "at")
    run_script("benchmarks/padding.py", *data, "--seeds", 0, "--epochs", 30)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("| masked", "| unmasked"))]
    masked, unmasked = ([float(cell) for cell in line.strip("| ").split("|")[2:]] for line in lines)
    assert masked[0] == masked[1] and masked[2] == masked[3]  # with the mask, padding changes nothing
    assert masked != unmasked


def test_extractor(run_script, tmp_path, capsys):
    settings = ("--steps", 1, "--warmup", 1, "--max_batch_seconds", 25, "--device", "cpu")
    run_script("benchmarks/extractor.py", *settings, "--out", tmp_path / "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["padding"] < 0.05 < 0.25 < figures["padding_published"]
    assert 0 < figures["share_of_matmul"] < 1 and 0 <= figures["data_wait"] < 1
    assert 0.05e9 < figures["flop_per_second"] < 0.5e9  # two small layers and seven small convolutions
    rows = table(capsys.readouterr().out)
    assert len(rows) == 10 and float(rows["seconds of speech trained on in a second"]) > 0
