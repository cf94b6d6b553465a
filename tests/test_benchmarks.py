"""The benchmarks run and print their tables, at sizes whose figures mean nothing."""

import json
import re
import runpy

import numpy as np
import pytest
import soundfile

from cogmen.checkpoints import Checkpoint, save_checkpoint
from cogmen.network.model import CGNN, Architecture
from erc.corpus.annotations import read_annotations
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import write_preprocessed
from erc.corpus.splits import divide
from erc.files import write_table
from erc.options import REPOSITORY, UserError
from mirai.speech import SAMPLE_RATE, read_speech
from tests.cogmen.conftest import make_dialogues
from tests.conftest import load_script
from tests.mirai.conftest import corpus_made, data, encoders, train, trained  # noqa: F401 (fixtures)


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
    source = ("--preprocessed_feature", tmp_path / "p.pkl", "--dataset", "KEMDy19", "--modalities", "at")
    run_script("benchmarks/padding.py", *source, "--seeds", 0, "--epochs", 30)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("| masked", "| unmasked"))]
    masked, unmasked = ([float(cell) for cell in line.strip("| ").split("|")[2:]] for line in lines)
    assert masked[0] == masked[1] and masked[2] == masked[3]  # with the mask, padding changes nothing
    assert masked != unmasked


def test_intervals(run_script, capsys, monkeypatch):
    monkeypatch.setattr(load_script("benchmarks/intervals.py"), "LARGE", 500)
    run_script("benchmarks/intervals.py", "--dialogues", 6, "--draws", 40, "--resamples", 99)
    figures = table(capsys.readouterr().out)
    assert 80 <= float(figures["6 dialogues: interval holds the truth"]) <= 100
    assert float(figures["6 dialogues: p of at most 0.05"]) < 20


def test_extractor(run_script, tmp_path, capsys):
    settings = ("--steps", 1, "--warmup", 1, "--max_batch_seconds", 25, "--device", "cpu")
    run_script("benchmarks/extractor.py", *settings, "--out", tmp_path / "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["padding"] < 0.05 < 0.25 < figures["padding_published"]
    assert 0 < figures["share_of_matmul"] < 1 and 0 <= figures["data_wait"] < 1
    assert 0.05e9 < figures["flop_per_second"] < 0.5e9  # two small layers and seven small convolutions
    rows = table(capsys.readouterr().out)
    assert len(rows) == 10 and float(rows["seconds of speech trained on in a second"]) > 0


def test_gpu_at_a_tiny_size(run_script, capsys):
    """All that a GPU will be measured by; on a CPU what is resumed or computed there differs by nothing."""
    run_script("benchmarks/gpu.py", "--device", "cpu")
    figures = table(capsys.readouterr().out)
    assert not [what for what, figure in figures.items() if "failed" in figure or "not measured" in figure]
    (resumed,) = [figure for what, figure in figures.items() if "stopped and resumed" in what]
    assert resumed == "0.0e+00; 0.0e+00"
    equal = [float(figure) for what, figure in figures.items() if "difference" in what and "the CPU's" in what]
    assert len(equal) == 4 and equal[:3] == [0, 0, 0] and 0 < equal[3] < 0.05
    assert float(figures["extractor: seconds of speech trained on in a second"]) > 0
    assert re.fullmatch(r"[\d.]+ s", figures["stage 3: 2 epochs with dev scoring, float32"])


def test_gpu_shows_what_failed(run_script, capsys, monkeypatch):
    module = load_script("benchmarks/gpu.py")
    for name in ("stage3_resumed", "stage3_equality", "extracting", "embeddings"):
        monkeypatch.setattr(module, name, named(name, lambda sizes, device: [("a part", "1 s", "")]))
    monkeypatch.setattr(module, "stage3", named("stage3", lambda sizes, device: {}["absent"]))
    monkeypatch.setattr(module, "training", named("training", lambda sizes, device: [("another", "2 s", "")]))
    with pytest.raises(UserError, match="1 parts failed"):
        run_script("benchmarks/gpu.py", "--device", "cpu")
    figures = table(capsys.readouterr().out)
    assert figures["stage3"] == "failed: KeyError: 'absent'" and figures["another"] == "2 s"


def named(name, function):
    function.__name__ = name
    return function


def test_speech_without_soundfile(tmp_path):
    samples = np.arange(-500, 500, dtype=np.int16)
    soundfile.write(tmp_path / "a.wav", samples, SAMPLE_RATE)
    ours = load_script("benchmarks/gpu.py").read_wave(tmp_path / "a.wav")
    assert ours.dtype == np.float32 and np.array_equal(ours, read_speech(tmp_path / "a.wav"))


def test_reasons(run_script, data, trained, tmp_path, capsys, monkeypatch):  # noqa: F811
    """The table counts what the occlusion finds; here the loss of the words is made the greatest of every turn."""
    utterances = read_annotations(data / "annotation_speaker_only.csv")
    rows = [(one.segment_id, one.emotion, "voice" if k % 5 == 0 else "words") for k, one in enumerate(utterances)]
    write_table(tmp_path / "planted.csv", ("segment_id", "emotion", "shown"), rows)
    checkpoint = Checkpoint(
        CGNN(Architecture(48, 7, 2, hidden_size=16)),
        *("KEMDy19", "at", list(KEMDY19.emotions), {"a": 24, "t": 24}, {"wp": 5, "wf": 5}, {}, 1, 0.5),
    )
    save_checkpoint(tmp_path / "at.pt", checkpoint)
    module = load_script("benchmarks/reasons.py")
    found = {"voice": 0.1, "words": 0.5, "conversation": -0.1}
    monkeypatch.setattr(
        module, "explain", lambda dialogue, *_: {name: np.full(len(dialogue), one) for name, one in found.items()}
    )
    files = ("--csv_path", data / "annotation_speaker_only.csv", "--planted", tmp_path / "planted.csv")
    run_script("benchmarks/reasons.py", *files, "--extractor", trained / "best.ckpt", "--cgnn", tmp_path / "at.pt")
    printed = capsys.readouterr().out
    counted = {row[0]: row[1:] for row in (line.strip("| ").split(" | ") for line in printed.splitlines()[4:7])}
    turns, *_, right = counted["words"]
    assert int(turns) > 0 and right == "100.0%" and counted["words"][2] == turns
    assert all(counted[cause][2] == counted[cause][0] for cause in ("voice", "conversation"))
    total = sum(int(row[0]) for row in counted.values())
    assert f"the planted cause in {turns} of {total} turns: {int(turns) / total:.1%}" in printed


def test_report(run_script, capsys, monkeypatch):
    """Its reports are stood in for: three starts of Python would take long. The encoders are tiny ones."""
    module = load_script("benchmarks/report.py")

    def report(script, recording, *arguments):
        assert script == "app/predict.py" and recording.stat().st_size > 0
        emotions = ["sad", "happy" if "--int8" in arguments else "sad"]
        turns = [{"emotion": emotion, "probabilities": [0.75, 0.25]} for emotion in emotions]
        if "--int8" in arguments:
            turns[1]["probabilities"] = [0.25, 0.75]
        out = arguments[arguments.index("--out") + 1]
        out.mkdir()
        (out / "turns.json").write_text(json.dumps({"turns": turns}))
        return {"seconds": 2.0, "cpu": 1.5, "bytes": 3 << 20}, {}

    monkeypatch.setattr(module, "run_measured", report)
    run_script("benchmarks/report.py", "--minutes", 0.1, "--size", "tiny", "--seconds", 10)
    figures = table(capsys.readouterr().out)
    assert figures["report, turns and text given"] == "2.0 s, 1.5 CPU s"
    assert figures["--int8: turns of the same emotion"] == "50.0% of 2"
    assert figures["&nbsp; change of a probability, mean, largest"] == "0.2500, 0.500"
    for modality in ("text", "audio"):
        mean, least = map(float, figures[f"--int8: cosine of {modality} embeddings, mean, least"].split(", "))
        assert 0.99 < least <= mean <= 1
    assert float(figures["encoders, tiny: seconds for a second of speech"]) > 0


def test_speakers(run_script, data, capsys, monkeypatch):  # noqa: F811
    """Whoever is found right is counted by the better naming of two voices; silence counts for nothing."""
    module, wave = load_script("benchmarks/speakers.py"), np.ones(16_000, np.float32)
    found = [(0.0, 1.5, 1), (2.0, 2.5, 0)]
    monkeypatch.setattr(module, "find_speech", lambda channels, *_: [[(0.0, len(channels[0]) / 16_000)]])
    monkeypatch.setattr(module, "guess_speakers", lambda *_: found)
    assert np.allclose(module.score([(0.5, "M", wave), (2.0, "F", wave)]), (1.5, 2.0))
    found[:] = [(0.0, 9.0, 0)]
    assert np.allclose(module.score([(0.5, "M", wave), (2.0, "F", wave), (3.1, "M", wave)]), (2.0, 3.0))
    turns = module.alternating([wave] * 3, [wave] * 2)
    assert [speaker for _, speaker, _ in turns] == ["A", "B", "A", "B"]
    pauses = np.diff([start for start, _, _ in turns]) - 1
    assert (pauses >= 0.1).all() and (pauses <= 0.5).all()
    run_script("benchmarks/speakers.py", "--csv_path", data / "annotation_speaker_only.csv")
    rows = [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines()[2:]]
    assert rows == ["a woman and a man", "two of one sex"]
