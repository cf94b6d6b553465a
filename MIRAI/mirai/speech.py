"""Speech files: soundfile says what a file holds, librosa makes it 16 kHz.

Both are imported where they are used: importing librosa takes seconds, which only resampling has to wait for.
"""

import struct

import numpy as np

from erc.options import UserError
from erc.untrusted import plain_file

SAMPLE_RATE = 16_000  # Hz
RECEPTIVE_FIELD = 400  # samples of one frame of a Wav2Vec2; shorter speech is padded with zeros to it

_RATES = 4_000, 384_000  # Hz; resampling from far below would take any amount of memory
_DENSEST = 100  # samples in a byte of a file; the densest codecs of speech have 64
_LOUDEST = 1e4  # full scale is 1, which floats may exceed
_UNKNOWN = 0xFFFFFFFF  # bytes of sound, as streaming writers put it


def probe(path):
    """Check a speech file without reading its sound.

    Returns:
        soundfile's description: `samplerate` (Hz), `channels`, `frames` (samples of a channel), `format`, `subtype`.
    Raises:
        UserError: the file is missing, empty, no sound, or shorter than its header says; or no plain file.
    """
    import soundfile

    size = plain_file(path)
    if size == 0:
        raise UserError(f"{path}: 0 bytes")
    declared, found = _wav_sizes(path)
    if found < declared:
        raise UserError(f"{path}: truncated: {declared} bytes of sound declared, {found} found")
    try:
        info = soundfile.info(path)
    except soundfile.LibsndfileError as error:
        raise UserError(f"{path}: not a sound file that can be read: {error.error_string}") from None
    if not info.frames:
        raise UserError(f"{path}: no sound in it, only a header")
    if not _RATES[0] <= info.samplerate <= _RATES[1] or info.frames * info.channels > _DENSEST * size:
        found = f"{info.frames} samples in {size} bytes, {info.channels} channels, {info.samplerate} Hz"
        raise UserError(f"{path}: a header that makes no sense: {found}")
    return info


def is_plain(info):
    """Whether a file is 16 kHz mono 16-bit, as KEMDy19 has it; any other is converted when it is read."""
    return (info.samplerate, info.channels, info.format[:3], info.subtype) == (SAMPLE_RATE, 1, "WAV", "PCM_16")


def read_speech(path):
    """Read a speech file.

    Returns:
        (samples,) float32 at 16 kHz, the mean of the channels, full scale = 1.
    Raises:
        UserError: as `probe`; the sound is damaged, or no sound.
    """
    sound, rate = _read(path)
    return _resample(sound[:, 0] if sound.shape[1] == 1 else sound.mean(axis=1), rate)


def read_channels(path):
    """Read a sound file, each channel for itself: a list of (samples,) float32 at 16 kHz, as `read_speech` has it.

    Raises:
        UserError: as `read_speech`.
    """
    sound, rate = _read(path)
    return [_resample(np.ascontiguousarray(channel), rate) for channel in sound.T]


def _read(path):
    """(frames, channels) float32 of a sound file, and their rate in Hz."""
    import soundfile

    info = probe(path)
    dtype = "int16" if info.subtype == "PCM_16" else "float32"
    try:
        sound, rate = soundfile.read(path, dtype=dtype, always_2d=True)
    except soundfile.LibsndfileError as error:
        raise UserError(f"{path}: cannot be read: {error.error_string}") from None
    if len(sound) < info.frames:
        raise UserError(f"{path}: truncated: {info.frames} samples declared, {len(sound)} found")
    if dtype == "int16":
        sound = sound * np.float32(1 / 32768)  # exact, and faster than libsndfile's own floats
    elif not -_LOUDEST < sound.min() <= sound.max() < _LOUDEST:  # not a number is in no range
        raise UserError(f"{path}: holds samples that are not numbers, or far beyond full scale; export it again")
    return sound, rate


def _resample(wave, rate):
    if rate == SAMPLE_RATE:
        return wave
    import librosa

    return librosa.resample(wave, orig_sr=rate, target_sr=SAMPLE_RATE)


def _wav_sizes(path):
    """Bytes of sound that a wav file declares, and that it has. libsndfile, which soundfile asks, takes what is there
    without a word where a wav file was cut short. (0, 0): of no wav file, or a length that is not declared."""
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        if file.read(4) == b"RIFF":
            file.seek(12)
            while len(head := file.read(8)) == 8:
                name, length = struct.unpack("<4sI", head)
                if name == b"data" and length != _UNKNOWN:
                    return length, size - file.tell()
                file.seek(length + length % 2, 1)
    return 0, 0
