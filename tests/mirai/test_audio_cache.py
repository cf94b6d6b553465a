"""Decoded speech: the same sound, whatever happens to the cache."""

import copy
import errno
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from erc import files as safe_files
from erc.options import UserError
from mirai import audio_cache
from mirai.audio_cache import Recordings
from mirai.speech import read_wav

from .conftest import write_wav

FORMATS = ("PCM_16", "PCM_U8", "PCM_24", "PCM_32", "FLOAT")


def tone(samples, pitch=440):
    return 0.5 * np.sin(2 * np.pi * pitch * np.arange(samples) / 16_000)


@pytest.fixture
def paths(tmp_path):
    """Plain files of many lengths, and one of each other kind."""
    made = []
    for k, samples in enumerate((1, 31, 399, 8000, 20_001)):
        made.append(tmp_path / "speech" / f"plain{k}.wav")
        write_wav(made[-1], tone(samples, 200 + 50 * k))
    for subtype in FORMATS:
        made.append(tmp_path / "speech" / f"{subtype}.wav")
        soundfile.write(made[-1], np.stack([tone(4410), tone(4410, 300)], axis=1), 44_100, subtype=subtype)
    return made


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def packs(cache):
    return sorted(cache.glob("*.pack"))


def check(recordings, paths):
    for k, path in enumerate(paths):
        sound = recordings.read(k)
        assert sound.dtype == np.float32
        np.testing.assert_array_equal(sound, read_wav(path))


@pytest.mark.parametrize("processes", [1, 3])
def test_the_same_sound_with_and_without(paths, cache, capsys, processes):
    check(Recordings(paths), paths)
    assert not capsys.readouterr().out
    recordings = Recordings(paths, cache, processes)
    assert f"decoding 10 of 10 wav files (0.2 MB) into {cache}" in capsys.readouterr().out
    assert len(packs(cache)) == processes
    check(recordings, paths)
    check(copy.deepcopy(recordings), paths)  # as worker processes get it
    check(Recordings(list(reversed(paths)), cache), list(reversed(paths)))
    assert not capsys.readouterr().out  # nothing was decoded again


def test_plain_files_take_two_bytes_a_sample_and_are_not_opened_again(tmp_path, cache):
    path = tmp_path / "a.wav"
    write_wav(path, tone(100_000))
    expected = read_wav(path)
    recordings = Recordings([path], cache)
    assert packs(cache)[0].stat().st_size < 200_500
    path.unlink()
    np.testing.assert_array_equal(recordings.read(0), expected)


def test_speech_stays_on_disk(tmp_path, cache):
    """Neither the object nor what a worker process gets of it grows with the speech."""
    path = tmp_path / "a.wav"
    write_wav(path, tone(1_000_000))
    recordings = Recordings([path], cache)
    recordings.read(0)
    assert len(pickle.dumps(recordings)) < 5000
    assert str(cache) not in Path("/proc/self/maps").read_text()


def test_a_changed_file_is_decoded_again(paths, cache, capsys):
    Recordings(paths, cache)
    before = paths[3].stat()
    write_wav(paths[3], tone(8000, 999))
    os.utime(paths[3], ns=(before.st_mtime_ns, before.st_mtime_ns + 1))
    capsys.readouterr()
    check(Recordings(paths, cache), paths)
    assert "decoding 1 of 10" in capsys.readouterr().out
    for path in paths:
        os.utime(path)
    check(Recordings(paths, cache), paths)
    assert len(packs(cache)) == 1  # those that nothing is left of are gone


def test_damaged_sound_is_noticed(paths, cache, capsys):
    recordings = Recordings(paths, cache)
    (pack,) = packs(cache)
    data = bytearray(pack.read_bytes())
    data[20_000] ^= 1
    pack.write_bytes(data)
    capsys.readouterr()
    check(recordings, paths)
    message = capsys.readouterr().err
    assert message == f"{pack}: damaged, removed; its speech is read from the wav files\n" and not packs(cache)
    check(Recordings(paths, cache), paths)
    assert "decoding 10 of 10" in capsys.readouterr().out


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[: len(data) // 2], lambda data: b""])
def test_a_truncated_pack_is_made_again(paths, cache, capsys, damage):
    reader = Recordings(paths, cache)
    (pack,) = packs(cache)
    pack.write_bytes(damage(pack.read_bytes()))
    check(reader, paths)
    capsys.readouterr()
    check(Recordings(paths, cache), paths)
    assert "decoding 10 of 10" in capsys.readouterr().out and pack not in packs(cache)


def test_the_cache_may_be_deleted_at_any_time(paths, cache):
    recordings = Recordings(paths, cache)
    shutil.rmtree(cache)
    check(recordings, paths)


@pytest.mark.parametrize("processes", [1, 3])
def test_a_bad_file_is_named_and_the_others_are_kept(paths, cache, capsys, processes):
    data = paths[-1].read_bytes()
    paths[-1].write_bytes(data[:500])
    with pytest.raises(UserError, match=r"FLOAT\.wav: truncated"):
        Recordings(paths, cache, processes)
    assert not multiprocessing.active_children() and not list(cache.glob(".*.part"))
    paths[-1].write_bytes(data)
    capsys.readouterr()
    check(Recordings(paths, cache), paths)
    decoded = int(capsys.readouterr().out.split()[1])
    assert decoded == 1 if processes == 1 else decoded < 10
    with pytest.raises(UserError, match=r"none\.wav: no such file"):
        Recordings([*paths, cache / "none.wav"], cache)


def test_a_full_disk_is_told(paths, cache, monkeypatch):
    usage = SimpleNamespace(free=1000)
    with monkeypatch.context() as patch:
        patch.setattr(audio_cache.shutil, "disk_usage", lambda _: usage)
        with pytest.raises(UserError, match=r"--cache .*cache: .* GB free; free space .* --cache DIR .* --cache none"):
            Recordings(paths, cache)

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:  # by someone else, after that check
        patch.setattr(safe_files.os, "fsync", full)
        with pytest.raises(UserError, match=r"--cache .*cache: No space left on device; free space"):
            Recordings(paths, cache)
    assert not packs(cache) and not list(cache.glob(".*.part"))


def test_a_cache_that_cannot_be_made_is_told(paths, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--cache .*file: .*--cache none"):
        Recordings(paths, tmp_path / "file")


FILL = """
import sys
from pathlib import Path
from mirai import audio_cache
audio_cache.PACK_BYTES = 1
audio_cache.Recordings(sorted(Path(sys.argv[1]).glob("*.wav")), Path(sys.argv[2]), processes=1)
"""


def fill(speech, cache):
    return subprocess.Popen([sys.executable, "-c", FILL, speech, cache], stdout=subprocess.PIPE, text=True)


def test_killed_while_filling(paths, cache, capsys):
    """It is killed while it waits for the last file, which is a pipe that no one writes to."""
    last = max(paths)
    data = last.read_bytes()
    last.unlink()
    os.mkfifo(last)
    process = fill(last.parent, cache)
    while len(packs(cache)) < 9:
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=240)
    last.unlink()
    last.write_bytes(data)
    check(Recordings(sorted(paths), cache), sorted(paths))
    assert "decoding 1 of 10" in capsys.readouterr().out
    assert not list(cache.glob(".*.part"))


def test_two_processes_fill_it_together(paths, cache):
    shown = [process.communicate(timeout=240)[0] for process in [fill(paths[0].parent, cache) for _ in range(2)]]
    assert sum("decoding 10 of 10" in text for text in shown) == 1 and len(packs(cache)) == 10
    check(Recordings(paths, cache), paths)
