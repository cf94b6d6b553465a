import numpy as np
import pytest
import soundfile

from erc.options import UserError
from mirai.speech import probe, read_wav

from .conftest import write_wav

TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16_000)


def test_plain_wav_is_read_exactly(tmp_path):
    write_wav(tmp_path / "a.wav", TONE)
    sound = read_wav(tmp_path / "a.wav")
    assert sound.dtype == np.float32
    np.testing.assert_array_equal(sound, (TONE * 32767).astype("<i2").astype(np.float32) / 32768)
    assert probe(tmp_path / "a.wav").is_plain


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_other_sample_formats(tmp_path, subtype):
    soundfile.write(tmp_path / "a.wav", TONE, 16_000, subtype=subtype)
    assert not probe(tmp_path / "a.wav").is_plain
    np.testing.assert_allclose(read_wav(tmp_path / "a.wav"), TONE, atol=0.01)


def test_stereo_at_44100_hz(tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(22_050) / 44_100)
    soundfile.write(tmp_path / "a.wav", np.stack([tone, tone], axis=1), 44_100)
    sound = read_wav(tmp_path / "a.wav")
    assert sound.shape == (8000,)
    np.testing.assert_allclose(sound[100:-100], TONE[100:-100], atol=0.01)
    header = probe(tmp_path / "a.wav")
    assert (header.rate, header.channels, header.frames) == (44_100, 2, 22_050)


def test_extensible_header_of_float_samples(tmp_path):
    soundfile.write(tmp_path / "a.wav", TONE, 16_000, subtype="FLOAT", format="WAVEX")
    assert probe(tmp_path / "a.wav").is_float


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: b"", "0 bytes"),
        (lambda data: data[:44], "truncated: 8000 samples declared, 0 found"),
        (lambda data: data[:40] + b"\0\0\0\0", "no sound in it"),
        (lambda data: data[:30], "truncated in its header"),
        (lambda data: data[:5000], r"truncated: 8000 samples declared, 2478 found"),
        (lambda data: b"ID3" + data, "not a wav file"),
        (lambda data: data[:24] + bytes(4) + data[28:], "a header that makes no sense: 1 channels, 0 Hz"),
        (lambda data: data[:24] + b"\1\0\0\0" + data[28:], "a header that makes no sense: 1 channels, 1 Hz"),
        (
            lambda data: data[:24] + b"\xff\xff\xff\0" + data[28:],
            "a header that makes no sense: 1 channels, 16777215 Hz",
        ),
    ],
)
def test_damaged_wav_is_named(tmp_path, damage, reason):
    path = tmp_path / "broken.wav"
    write_wav(path, TONE)
    path.write_bytes(damage(path.read_bytes()))
    for read in (probe, read_wav):
        with pytest.raises(UserError, match=rf"broken\.wav: {reason}"):
            read(path)


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e30])
def test_samples_that_are_no_sound(tmp_path, value):
    soundfile.write(tmp_path / "a.wav", [0.5, value, 0.5], 16_000, subtype="FLOAT")
    with pytest.raises(UserError, match=r"a\.wav: holds samples that are not numbers, or far beyond full scale"):
        read_wav(tmp_path / "a.wav")


def test_less_than_one_sample(tmp_path):
    soundfile.write(tmp_path / "a.wav", [0.5, 0.5], 48_000)
    with pytest.raises(UserError, match=r"a\.wav: no sound in it: 2 samples at 48000 Hz are less than one at 16000 Hz"):
        read_wav(tmp_path / "a.wav")


def test_missing_wav_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.wav: no such file"):
        read_wav(tmp_path / "none.wav")
