"""Feature extraction by its script: killed, in shards, from speech of every kind."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from erc.corpus.annotations import read_annotations
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import read_dialogues
from erc.files import claim, locked
from erc.options import REPOSITORY, UserError
from mirai.checkpoint import load_extractor
from mirai.dataset import MAX_WINDOW
from mirai.extraction import PART_SECONDS, plan_parts
from mirai.network.extractor import Extractor
from mirai.prediction import plan_batches

from .conftest import write_wav

SCRIPT = "MIRAI/feature_extractor_cogmen_format.py"
UTTERANCES = 55


@pytest.fixture(scope="module")
def long(data, run_script, tmp_path_factory):
    """A table that says that every utterance takes 20 s, so that there are many parts, and its dialogue file."""
    folder = tmp_path_factory.mktemp("long")
    with (data / "annotation_speaker_only.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({**row, "wav_end": float(row["wav_start"]) + 20} for row in rows)
    shutil.copytree(data / "txt_wav", folder / "txt_wav")
    paths = SimpleNamespace(table=folder / "table.csv", dialogues=folder / "d.pkl", speech=folder / "txt_wav")
    run_script("COGMEN_code/cogmen_formatting.py", "--csv_path", paths.table, "--out", paths.dialogues)
    return paths


@pytest.fixture
def place(long, tmp_path):
    """The same in a folder of the test's own."""
    shutil.copytree(long.table.parent, tmp_path / "own")
    own = tmp_path / "own"
    return SimpleNamespace(
        table=own / "table.csv",
        dialogues=own / "d.pkl",
        speech=own / "txt_wav",
        features=own / "d_feat.pkl",
        parts=own / "d_feat.parts",
    )


@pytest.fixture
def command(place, trained):
    """The script's arguments, further ones added; a `checkpoint` other than the usual one."""

    def call(*arguments, checkpoint=trained / "best.ckpt"):
        named = ("--csv_path", place.table, "--features_format_path", place.dialogues, "--device", "cpu")
        return ["--model_save_path", *map(str, (checkpoint, *named, *arguments))]

    return call


@pytest.fixture
def extract(command, place, run_script):
    """Runs the script in this process; gives the bytes of its file."""

    def call(*arguments, **settings):
        place.features.unlink(missing_ok=True)
        run_script(SCRIPT, *command(*arguments, **settings))
        return place.features.read_bytes()

    return call


@pytest.fixture
def start(command):
    def call(*arguments):
        return subprocess.Popen(
            [sys.executable, REPOSITORY / SCRIPT, *command(*arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return call


@pytest.fixture
def parts(place):
    return plan_parts(read_annotations(place.table))


def test_parts_hold_every_utterance_once_and_enough_work(parts, place):
    utterances = read_annotations(place.table)
    assert len(parts) == 19 and [part.number for part in parts] == list(range(1, 20))
    assert sorted(k for part in parts for k in part.places) == list(range(UTTERANCES))
    assert all(sum(utterances[k].seconds for k in part.places) >= PART_SECONDS for part in parts[:-1])


def test_killed_and_started_again(start, extract, place, parts, capsys):
    """It is killed while it waits for speech of its last part, a pipe that no one writes to."""
    expected = extract("--cache", "none")
    place.features.unlink()
    last = sorted(place.speech.glob("*.wav"))[-1]
    held = last.rename(last.with_suffix(".held"))
    os.mkfifo(last)
    process = start("--cache", "none")
    while len(list(place.parts.glob("*.npz"))) < len(parts) - 1:
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=240)
    assert not place.features.exists()
    last.unlink()
    held.rename(last)
    capsys.readouterr()
    assert extract("--cache", "none") == expected
    assert f"{len(parts) - 1} of {len(parts)} parts are there already" in capsys.readouterr().out
    assert not place.parts.exists()


def test_shards_of_two_processes_make_the_same_file(start, extract, command, run_script, place):
    expected = extract()
    place.features.unlink()
    shown = [process.communicate(timeout=240)[0] for process in [start("--shard", f"{k}/2") for k in (1, 2)]]
    assert "shard 1 of 2: its 10 parts of 19 are in" in shown[0] and "shard 2 of 2: its 9 parts of 19" in shown[1]
    assert not place.features.exists()
    run_script(SCRIPT, *command("--merge"))
    assert place.features.read_bytes() == expected and not place.parts.exists()


def test_what_shards_have_not_made_is_counted_and_named(extract, command, run_script, place, parts, capsys):
    expected = extract()
    place.features.unlink()
    run_script(SCRIPT, *command("--shard", "1/19"))
    run_script(SCRIPT, *command("--shard", "3/19"))
    names = sorted(utterance.segment_id for utterance in read_annotations(place.table))
    held = {k for part in (parts[0], parts[2]) for k in part.places}
    first = next(name for k, name in enumerate(names) if k not in held)
    message = rf"d_feat\.parts: 17 of 19 parts are missing, with 49 of 55 utterances \({first}, .*\)\. Start the shards"
    with pytest.raises(UserError, match=message):
        run_script(SCRIPT, *command("--merge"))
    assert not place.features.exists()
    capsys.readouterr()
    assert extract() == expected  # makes the missing ones itself
    assert "2 of 19 parts are there already" in capsys.readouterr().out


def test_parts_of_something_else_are_not_taken(extract, command, run_script, trained, place, tmp_path, capsys):
    first = extract()
    run_script(SCRIPT, *command("--shard", "1/1"))
    assert len(list(place.parts.glob("*.npz"))) == 19
    content = torch.load(trained / "best.ckpt", weights_only=True)
    content["state_dict"]["extractor.audio_width.bias"] += 1
    torch.save(content, tmp_path / "other.ckpt")
    assert extract(checkpoint=tmp_path / "other.ckpt") != first
    run_script(SCRIPT, *command("--shard", "1/1"))
    names = [utterance.segment_id for utterance in read_annotations(place.table)]
    write_wav(place.speech / f"{names[0]}.wav", 0.1 * np.sin(np.arange(9000)))
    (place.speech / f"{names[-1]}.txt").write_text("싫어", encoding="utf-8")
    capsys.readouterr()
    changed = extract()
    assert "17 of 19 parts are there already" in capsys.readouterr().out
    assert changed != first and extract() == changed


def test_a_damaged_part_is_made_again(extract, command, run_script, place, capsys):
    expected = extract()
    run_script(SCRIPT, *command("--shard", "1/1"))
    for path, damage in zip(sorted(place.parts.glob("*.npz")), (100, 0, -1, None), strict=False):
        data = bytearray(path.read_bytes())
        if damage is None:
            data[len(data) // 2] ^= 1
        path.write_bytes(data[:damage])
    capsys.readouterr()
    assert extract() == expected and "15 of 19 parts are there already" in capsys.readouterr().out


def test_a_second_run_of_the_same_refuses(extract, command, run_script, place):
    with claim(place.features), pytest.raises(UserError, match=r"d_feat\.pkl: another run is writing it"):
        extract()
    with locked(place.parts / "shards.lock", shared=True):  # a shard
        run_script(SCRIPT, *command("--shard", "2/19"))
        with pytest.raises(UserError, match=r"d_feat\.pkl: shards of it are being extracted"):
            extract()
    with locked(place.parts / "shards.lock"), pytest.raises(UserError, match="all of it is being extracted"):
        run_script(SCRIPT, *command("--shard", "2/19"))
    with claim(place.parts / "shard-2-of-19"), pytest.raises(UserError, match="another run is writing it"):
        run_script(SCRIPT, *command("--shard", "2/19"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shard", "0/4"], "--shard 0/4: expected K/N"),
        (["--shard", "5/4"], "--shard 5/4: expected K/N"),
        (["--shard", "2"], "--shard 2: expected K/N"),
        (["--shard", "1/2", "--merge"], "--shard: makes parts, --merge joins them"),
        (["--batch_size", "0"], "--batch_size 0: expected 1 or more"),
        (["--batch_seconds", "0"], "--batch_seconds 0: expected more than 0"),
        (["--num_workers", "-1"], "--num_workers -1: expected 0 or more"),
    ],
)
def test_flags_that_make_no_sense(run_script, command, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        run_script(SCRIPT, *command(*arguments))
    assert stop.value.code == 2 and message in capsys.readouterr().err


def vectors(path):
    dialogues = read_dialogues(path, KEMDY19)
    return {
        name: np.concatenate([getattr(dialogues, kind)[dialogue][turn] for kind in ("text", "audio")])
        for dialogue in dialogues.ids
        for turn, name in enumerate(dialogues.segment_ids[dialogue])
    }


def test_batches_change_nothing_but_rounding(extract, place):
    extract("--batch_size", 1)
    alone = vectors(place.features)
    for arguments in (["--batch_seconds", 1000, "--num_workers", 1], ["--batch_seconds", 5], ["--batch_size", 3]):
        extract(*arguments)
        for name, vector in vectors(place.features).items():
            np.testing.assert_allclose(vector, alone[name], atol=1e-5)


def test_half_precision_is_near(extract, place):
    extract()
    full = vectors(place.features)
    extract("--precision", "bf16-mixed")
    half = vectors(place.features)
    difference = [np.abs(half[name] - full[name]).max() for name in full]
    assert 0 < max(difference) < 0.05


def test_speech_of_every_kind(extract, place, capsys):
    """8 to 32 bits, floats, stereo at 44.1 kHz, hardly any, silence, a constant, and longer than a window."""
    names = [utterance.segment_id for utterance in read_annotations(place.table)]
    tone = 0.4 * np.sin(np.arange(22_050) / 30)
    stereo = np.stack([tone, 0.5 * tone], axis=1)
    for name, subtype in zip(names, ("PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"), strict=False):
        soundfile.write(place.speech / f"{name}.wav", stereo, 44_100, subtype=subtype)
    sounds = (tone[:1], tone[:399], np.zeros(8000), np.full(8000, 0.5), np.resize(tone, MAX_WINDOW + 1000))
    for name, sound in zip(names[5:], sounds, strict=False):
        write_wav(place.speech / f"{name}.wav", sound)
    (place.speech / f"{names[10]}.txt").write_text("", encoding="utf-8")
    cached = extract()
    found = vectors(place.features)
    assert len(found) == UTTERANCES and all(np.isfinite(vector).all() for vector in found.values())
    shown = capsys.readouterr().out
    assert "decoding 55 of 55 wav files (" in shown and str(place.speech.parent / "cache") in shown
    assert extract() == cached and "decoding" not in capsys.readouterr().out
    assert extract("--cache", "none") == cached
    for name in names[:3]:  # the same sound in other numbers
        np.testing.assert_allclose(found[name][24:], found[names[3]][24:], atol=0.05)


@pytest.mark.parametrize("cache", ["none", "somewhere"])
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (None, "no such file"),
        (lambda data: b"", "0 bytes"),
        (lambda data: data[:40] + b"\0\0\0\0", "no sound in it, only a header"),
        (lambda data: data[:999], "truncated: "),
    ],
)
def test_speech_that_cannot_be_read_is_named(extract, place, tmp_path, damage, reason, cache):
    path = sorted(place.speech.glob("*.wav"))[7]
    data = path.read_bytes()
    path.unlink()
    if damage:
        path.write_bytes(damage(data))
    with pytest.raises(UserError, match=rf"{path.name}: {reason}"):
        extract("--cache", cache if cache == "none" else tmp_path / cache)
    assert not place.features.exists()


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_out_of_memory_says_which_flags_help(extract, monkeypatch, error):
    def too_much(self, batch):
        raise error

    monkeypatch.setattr(Extractor, "embed", too_much)
    with pytest.raises(UserError, match=r"out of .*memory with \d+ utterances in a batch: .*--batch_seconds"):
        extract()


def test_batches_keep_to_both_limits(place, trained):
    from mirai.dataset import UtteranceDataset

    extractor, _ = load_extractor(trained / "best.ckpt")
    utterances = read_annotations(place.table)[:12]
    dataset = UtteranceDataset(utterances, place.speech, **extractor.dataset_settings())
    seconds = [100.0, 30, 20, 20, 10, 5, 5, 5, 1, 1, 1, 1]
    dataset.length = lambda k: seconds[k]

    def sizes(batch_size, batch_seconds):
        options = SimpleNamespace(batch_size=batch_size, batch_seconds=batch_seconds)
        batches = plan_batches(dataset, range(12), options, torch.device("cpu"))
        assert sorted(k for batch in batches for k in batch) == list(range(12))
        return [[seconds[k] for k in batch] for batch in batches]

    # 100 s are two windows of 50 s
    assert sizes(9, 40) == [[100], [30], [20, 20], [10, 5, 5, 5], [1, 1, 1, 1]]
    assert sizes(3, 150) == [[100, 30], [20, 20, 10], [5, 5, 5], [1, 1, 1], [1]]
    assert sizes(9, 0.1) == [[length] for length in seconds]


def test_the_benchmark_measures_and_finds_equal_results(run_script, tmp_path, capsys):
    out = tmp_path / "figures.json"
    run_script(
        *("benchmarks/extraction.py", "--size", "tiny", "--utterances", 9, "--repeats", 1),
        *("--batch_seconds", 8, "--device", "cpu", "--out", out),
    )
    figures = json.loads(out.read_text())
    assert figures["difference"] < 1e-5 and figures["ratio"] > 0 and figures["goal"] == 2
    assert figures["here"]["padding"] < figures["naive"]["padding"] < 1
    assert figures["here"]["speech_per_second"] > 0 and 0 < figures["here"]["waiting"] < 1
    assert "seconds of speech per second" in capsys.readouterr().out
