import os
import struct

import numpy as np
import pytest
import soundfile

from erc.options import UserError
from mirai.speech import is_plain, probe, read_speech

from .conftest import write_wav


def tone(rate, pitch=440):
    """Half a second."""
    return 0.5 * np.sin(2 * np.pi * pitch * np.arange(rate // 2) / rate)


TONE = tone(16_000)


def test_a_plain_file_is_read_exactly(tmp_path):
    write_wav(tmp_path / "a.wav", TONE)
    sound = read_speech(tmp_path / "a.wav")
    assert sound.dtype == np.float32
    np.testing.assert_array_equal(sound, (TONE * 32767).astype("<i2").astype(np.float32) / 32768)
    assert is_plain(probe(tmp_path / "a.wav"))


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_another_rate_keeps_pitch_and_duration(tmp_path, rate, subtype):
    soundfile.write(tmp_path / "a.wav", tone(rate), rate, subtype=subtype)
    info, sound = probe(tmp_path / "a.wav"), read_speech(tmp_path / "a.wav")
    assert (info.samplerate, info.channels, info.frames) == (rate, 1, rate // 2) and not is_plain(info)
    assert sound.shape == (8000,) and sound.dtype == np.float32
    np.testing.assert_allclose(sound[200:-200], TONE[200:-200], atol=0.001)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_channels_become_their_mean(tmp_path, rate):
    left, right = tone(rate), 0.5 * tone(rate, 300)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), rate)
    sound = read_speech(tmp_path / "a.wav")
    np.testing.assert_allclose(sound[200:-200], (TONE + 0.5 * tone(16_000, 300))[200:-200] / 2, atol=0.001)
    assert not is_plain(probe(tmp_path / "a.wav"))


@pytest.mark.parametrize(
    ("container", "subtype", "error"),
    [
        *(("WAV", subtype, 0.01) for subtype in ("PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")),
        *(("WAVEX", "FLOAT", 0), ("RF64", "PCM_16", 1e-4), ("FLAC", "PCM_16", 1e-4), ("OGG", "VORBIS", 0.1)),
    ],
)
def test_other_formats(tmp_path, container, subtype, error):
    soundfile.write(tmp_path / "a", TONE, 16_000, format=container, subtype=subtype)
    np.testing.assert_allclose(read_speech(tmp_path / "a"), TONE, atol=error, rtol=1e-6)
    assert not is_plain(probe(tmp_path / "a"))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:36] + b"LIST" + struct.pack("<I", 3) + b"abc\0" + data[36:],
        lambda data: data + b"LIST" + struct.pack("<I", 400) + b"cut",
        lambda data: data[:4] + b"\xff" * 4 + data[8:40] + b"\xff" * 4 + data[44:],  # of a writer that streams
    ],
)
def test_other_parts_of_a_wav_file_do_not_matter(tmp_path, change):
    path = tmp_path / "a.wav"
    write_wav(path, TONE)
    expected = read_speech(path)
    path.write_bytes(change(path.read_bytes()))
    np.testing.assert_array_equal(read_speech(path), expected)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: b"", "0 bytes"),
        (lambda data: data[:44], "truncated: 16000 bytes of sound declared, 0 found"),
        (lambda data: data[:5000], "truncated: 16000 bytes of sound declared, 4956 found"),
        (lambda data: data[:-1], "truncated: 16000 bytes of sound declared, 15999 found"),
        (lambda data: data[:36] + b"LIST\3\0\0\0abc\0" + data[36:-9], "truncated: .* declared, 15991"),
        (lambda data: data[:40] + b"\0\0\0\0", "no sound in it, only a header"),
        (lambda data: data[:30], "not a sound file that can be read: "),
        (lambda data: b"ID3" + data, "not a sound file that can be read: "),
        (lambda data: b"words, not sound", "not a sound file that can be read: "),
        (lambda data: data[:24] + bytes(4) + data[28:], "not a sound file that can be read: "),
        (lambda data: data[:24] + b"\1\0\0\0" + data[28:], "a header that makes no sense: .* 1 channels, 1 Hz"),
        (lambda data: data[:24] + b"\xff\xff\xff\0" + data[28:], "a header that makes no sense: .* 16777215 Hz"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, damage, reason):
    path = tmp_path / "broken.wav"
    write_wav(path, TONE)
    path.write_bytes(damage(path.read_bytes()))
    for read in (probe, read_speech):
        with pytest.raises(UserError, match=rf"broken\.wav: {reason}"):
            read(path)


def test_a_header_that_announces_hours_takes_no_memory(tmp_path):
    path = tmp_path / "long.flac"
    soundfile.write(path, TONE, 16_000)
    data = bytearray(path.read_bytes())
    data[22:26] = b"\xff\xff\xff\xff"  # the number of samples: 75 hours, 17 GB
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"long\.flac: a header that makes no sense: 4294967295 samples in \d+ bytes"):
        read_speech(path)


def _with_length(path, samples):
    """Put a number of samples into the header of a FLAC file."""
    content = bytearray(path.read_bytes())
    content[21] = content[21] & 0xF0 | samples >> 32
    content[22:26] = (samples & 0xFFFFFFFF).to_bytes(4, "big")
    path.write_bytes(content)


def test_silence_as_flac_is_read_and_a_nonsense_length_is_not(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.zeros(16_000 * 300, dtype=np.float32), 16_000)
    assert 150 * path.stat().st_size < 16_000 * 300
    assert len(read_speech(path)) == 16_000 * 300
    _with_length(path, 1 << 33)
    with pytest.raises(UserError, match=r"a\.flac: a header that makes no sense: 8589934592 samples"):
        read_speech(path)


def test_a_flac_file_of_a_stream_is_named(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.zeros(16_000, dtype=np.float32), 16_000)
    _with_length(path, 0)
    message = r"a\.flac: the length is not in its header, as of a stream; write it again: ffmpeg -i a\.flac a\.wav"
    with pytest.raises(UserError, match=message):
        read_speech(path)


def test_a_compressed_file_that_was_cut_short(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, TONE, 16_000)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match=r"a\.flac: (cannot be read|truncated): "):
        read_speech(path)


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e30])
def test_samples_that_are_no_sound(tmp_path, value):
    soundfile.write(tmp_path / "a.wav", [0.5, value, 0.5], 16_000, subtype="FLOAT")
    with pytest.raises(UserError, match=r"a\.wav: holds samples that are not numbers, or far beyond full scale"):
        read_speech(tmp_path / "a.wav")


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "none").symlink_to(tmp_path / "gone")
    for path, reason in (
        ("pipe", "is not a plain file"),
        ("/dev/zero", "is not a plain file"),
        (".", "is a directory"),
    ):
        with pytest.raises(UserError, match=reason):
            read_speech(tmp_path / path)
    with pytest.raises(UserError, match="none: no such file"):
        read_speech(tmp_path / "none")
