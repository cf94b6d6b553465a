"""Feature extraction by its script: killed, in shards, from speech of every kind."""

import csv
import json
import math
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from erc.corpus.annotations import read_annotations
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogue_shards import open_dialogues
from erc.corpus.dialogues import read_dialogues
from erc.files import claim
from erc.options import UserError
from mirai.checkpoint import load_extractor
from mirai.dataset import MAX_WINDOW, UtteranceDataset
from mirai.extraction import PART_SECONDS, plan_parts
from mirai.network.extractor import Extractor
from mirai.prediction import plan_batches
from tests.children import run_together, script_at
from tests.tables import read_rows

from .conftest import run_killed, write_wav

SCRIPT = "MIRAI/feature_extractor_cogmen_format.py"
UTTERANCES, PARTS = 55, 19


@pytest.fixture(scope="module")
def long(data, run_script, tmp_path_factory):
    """A table that says that every utterance takes 20 s, so that there are many parts, and its dialogue file."""
    folder = tmp_path_factory.mktemp("long")
    rows = read_rows(data / "annotation_speaker_only.csv")
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({**row, "wav_end": float(row["wav_start"]) + 20} for row in rows)
    shutil.copytree(data / "txt_wav", folder / "txt_wav")
    run_script("COGMEN_code/cogmen_formatting.py", "--csv_path", folder / "table.csv", "--out", folder / "d.pkl")
    return folder


@pytest.fixture
def place(long, tmp_path):
    """The same in a folder of the test's own."""
    own = shutil.copytree(long, tmp_path / "own")
    utterances = read_annotations(own / "table.csv")
    return SimpleNamespace(
        table=own / "table.csv",
        utterances=utterances,
        names=[utterance.segment_id for utterance in utterances],
        speech=own / "txt_wav",
        features=own / "d_feat.pkl",
        parts=own / "d_feat.parts",
    )


@pytest.fixture
def command(place, trained):
    """The script's arguments, further ones added; a `checkpoint` other than the usual one."""

    def call(*arguments, checkpoint=trained / "best.ckpt"):
        named = ("--csv_path", place.table, "--features_format_path", place.table.with_name("d.pkl"))
        return ["--model_save_path", *map(str, (checkpoint, *named, "--device", "cpu", *arguments))]

    return call


@pytest.fixture
def extract(command, place, run_script):
    """Runs the script in this process; gives the bytes of its file."""

    def call(*arguments, **settings):
        place.features.unlink(missing_ok=True)
        run_script(SCRIPT, *command(*arguments, **settings))
        return place.features.read_bytes()

    return call


def test_parts_hold_every_utterance_once_and_enough_work(place):
    parts = plan_parts(place.utterances)
    assert [part.number for part in parts] == list(range(1, PARTS + 1))
    assert sorted(k for part in parts for k in part.places) == list(range(UTTERANCES))
    assert all(sum(place.utterances[k].seconds for k in part.places) >= PART_SECONDS for part in parts[:-1])


def test_text_alone_is_divided_too(place):
    """It lasts no time, and takes some."""
    silent = [replace(utterance, wav_end=utterance.wav_start) for utterance in place.utterances]
    assert len(plan_parts(silent * 10)) == math.ceil(10 * UTTERANCES / PART_SECONDS) > 1


def test_killed_and_started_again(extract, command, place, capsys):
    expected = extract()
    place.features.unlink()
    run_killed("replace", PARTS, SCRIPT, *command())  # when the last part takes its place
    assert not place.features.exists() and len(list(place.parts.glob("*.npz"))) == PARTS - 1
    capsys.readouterr()
    assert extract() == expected
    assert f"{PARTS - 1} of {PARTS} parts are there already" in capsys.readouterr().out
    assert not place.parts.exists()


def test_shards_of_two_processes_make_the_same_file(extract, command, run_script, place):
    expected = extract()
    place.features.unlink()
    (_, one, _), (_, two, _) = run_together(*(script_at(SCRIPT, *command("--shard", f"{k}/2")) for k in (1, 2)))
    assert "shard 1 of 2: its 10 parts of 19 are in" in one and "shard 2 of 2: its 9 parts of 19" in two
    assert not place.features.exists()
    run_script(SCRIPT, *command("--merge"))
    assert place.features.read_bytes() == expected and not place.parts.exists()


def test_a_dialogue_file_in_shards(extract, command, run_script, place, capsys):
    """A folder of as many, the embeddings as in one file but for rounding; the parts of all are shared out as well."""
    extract()
    whole = vectors(place.features)
    folder, made = place.table.with_name("s"), place.table.with_name("s_feat")
    run_script("COGMEN_code/cogmen_formatting.py", "--csv_path", place.table, "--out", folder, "--shards", 3)
    again = (*command(), "--features_format_path", folder)  # the last one counts
    for k in (1, 2):
        run_script(SCRIPT, *again, "--shard", f"{k}/2")
    assert not made.exists() and "shard 2 of 2" in capsys.readouterr().out
    removed = next(made.with_suffix(".parts").rglob("*.npz"))
    content = removed.read_bytes()
    removed.unlink()
    with pytest.raises(UserError, match="parts: 1 of .* parts are missing"):
        run_script(SCRIPT, *again, "--merge")
    removed.write_bytes(content)
    run_script(SCRIPT, *again, "--merge")
    assert not made.with_suffix(".parts").exists()
    assert f"{UTTERANCES} utterances in" in capsys.readouterr().out
    source = open_dialogues(made)
    found = {}
    for number in (1, 2, 3):
        found |= vectors(made / f"{number:05}-of-00003.pkl")
        assert source.read(number).shard[1:] == (number, 3)
    source.check_complete()
    assert found.keys() == whole.keys()
    for name, vector in found.items():
        np.testing.assert_allclose(vector, whole[name], atol=1e-5)


def test_what_shards_have_not_made_is_counted_and_named(extract, command, run_script, place, capsys):
    expected = extract()
    place.features.unlink()
    run_script(SCRIPT, *command("--shard", "1/19"))
    run_script(SCRIPT, *command("--shard", "3/19"))
    parts = plan_parts(place.utterances)
    held = {place.names[k] for part in (parts[0], parts[2]) for k in part.places}
    first = next(name for name in place.names if name not in held)
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
    assert len(list(place.parts.glob("*.npz"))) == PARTS
    content = torch.load(trained / "best.ckpt", weights_only=True)
    content["state_dict"]["extractor.audio_width.bias"] += 1
    torch.save(content, tmp_path / "other.ckpt")
    assert extract(checkpoint=tmp_path / "other.ckpt") != first
    run_script(SCRIPT, *command("--shard", "1/1", "--precision", "bf16-mixed"))
    run_script(SCRIPT, *command("--shard", "1/1"))
    speech = place.speech / f"{place.names[0]}.wav"
    speech.write_bytes(speech.read_bytes()[:44] + speech.read_bytes()[44:][::-1])  # as long as it was
    (place.speech / f"{place.names[-1]}.txt").write_text("싫어", encoding="utf-8")
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
    with claim(place.parts / "shard-1-of-19"):
        run_script(SCRIPT, *command("--shard", "2/19"))
        with pytest.raises(UserError, match=r"d_feat\.pkl: shards of it are being extracted"):
            extract()
    with claim(place.features), pytest.raises(UserError, match="all of it is being extracted"):
        run_script(SCRIPT, *command("--shard", "2/19"))
    with claim(place.parts / "shard-2-of-19"), pytest.raises(UserError, match="another run is writing it"):
        run_script(SCRIPT, *command("--shard", "2/19"))


def vectors(path):
    dialogues = read_dialogues(path, KEMDY19).dialogues
    return {name: row for one in dialogues for name, row in zip(one.segment_ids, one.joined("ta"), strict=True)}


def test_batches_change_nothing_but_rounding_and_half_precision_little(extract, place):
    extract("--batch_size", 1)
    alone = vectors(place.features)
    for arguments in (["--batch_seconds", 1000, "--num_workers", 1], ["--batch_seconds", 5], ["--batch_size", 3]):
        extract(*arguments)
        for name, vector in vectors(place.features).items():
            np.testing.assert_allclose(vector, alone[name], atol=1e-5)
    extract("--precision", "bf16-mixed")
    assert 0.0001 < max(np.abs(vector - alone[name]).max() for name, vector in vectors(place.features).items()) < 0.05


def test_speech_of_every_kind(extract, place):
    """8 to 32 bits, floats, stereo at 44.1 kHz, hardly any, silence, a constant, and longer than a window."""
    tone = 0.4 * np.sin(np.arange(22_050) / 30)
    stereo = np.stack([tone, 0.5 * tone], axis=1)
    for name, subtype in zip(place.names, ("PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"), strict=False):
        soundfile.write(place.speech / f"{name}.wav", stereo, 44_100, subtype=subtype)
    sounds = (tone[:1], tone[:399], np.zeros(8000), np.full(8000, 0.5), np.resize(tone, MAX_WINDOW + 1000))
    for name, sound in zip(place.names[5:], sounds, strict=False):
        write_wav(place.speech / f"{name}.wav", sound)
    for name, text in zip(place.names[10:], (b"", b"b/", "하나\n둘".encode("utf-16")), strict=False):
        (place.speech / f"{name}.txt").write_bytes(text)
    extract()
    found = vectors(place.features)
    assert len(found) == UTTERANCES and all(np.isfinite(vector).all() for vector in found.values())
    for name in place.names[:3]:  # the same sound in other numbers
        np.testing.assert_allclose(found[name][24:], found[place.names[3]][24:], atol=0.05)


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
    extractor, _ = load_extractor(trained / "best.ckpt")
    seconds = [100.0, 30, 20, 20, 10, 5, 5, 5, 1, 1, 1, 1]
    chosen = zip(place.utterances, seconds, strict=False)
    utterances = [replace(utterance, wav_start=0.0, wav_end=end) for utterance, end in chosen]
    dataset = UtteranceDataset(utterances, place.speech, **extractor.dataset_settings())

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
