import json


def test_benchmark_trains_and_reports(run_script, tmp_path, capsys):
    settings = ("--steps", 1, "--warmup", 1, "--max_batch_seconds", 25, "--device", "cpu")
    run_script("benchmarks/extractor.py", *settings, "--out", tmp_path / "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["padding"] < 0.05 < 0.25 < figures["padding_published"]
    assert 0 < figures["share_of_matmul"] < 1 and 0 <= figures["data_wait"] < 1
    assert 0.05e9 < figures["flop_per_second"] < 0.5e9  # two small layers and seven small convolutions
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(table) == 12 and table[4].startswith("| seconds of speech trained on in a second ")
