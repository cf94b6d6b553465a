"""Speech files: soundfile says what a file holds, librosa makes it 16 kHz.

Both are imported where they are used: importing librosa takes seconds, which only resampling has to wait for.
"""

import struct
import wave
from pathlib import Path

import numpy as np

from erc.files import atomic_writer
from erc.options import UserError
from erc.untrusted import plain_file

SAMPLE_RATE = 16_000  # Hz
RECEPTIVE_FIELD = 400  # samples of one frame of a Wav2Vec2; shorter speech is padded with zeros to it
SILENT = 1e-3  # peak, full scale = 1: below it (-60 dB) nobody is heard
CLIPPED = 0.999  # a sample this loud is clipped

_RATES = 4_000, 384_000  # Hz; resampling from far below would take any amount of memory
_DENSEST = 100  # samples in a byte of a file; the densest codecs of speech have 64
_FREE = 30 * 60 * 2 * 48_000  # samples of a FLAC file of any density, half an hour of stereo: silence takes no bytes
_ENDLESS = 1 << 62  # samples; libsndfile has more where the header says nothing
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
    if info.frames >= _ENDLESS:
        advice = f"ffmpeg -i {Path(path).name} {Path(path).stem}.wav"
        raise UserError(f"{path}: the length is not in its header, as of a stream; write it again: {advice}")
    most = max(_DENSEST * size, _FREE if info.format == "FLAC" else 0)
    if not _RATES[0] <= info.samplerate <= _RATES[1] or info.frames * info.channels > most:
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
    return resample(*read_piece(path))


def read_channels(path):
    """Read each channel of a speech file: list of what `read_speech` returns of a file of one channel."""
    return [resample(*read_piece(path, channel=channel + 1)) for channel in range(probe(path).channels)]


def read_piece(path, start=0.0, end=None, channel=None):
    """Read a speech file, or a piece of one, of which nothing else is read.

    Args:
        start, end: of the piece, seconds; end None: that of the file.
        channel: 1, 2, ...; None: the mean of all.
    Returns:
        ((samples,) float32, full scale = 1; the rate in Hz)
    Raises:
        UserError: as `probe`; the sound is damaged, or no sound; there is no such piece or channel.
    """
    import soundfile

    info = probe(path)
    first, last = (info.frames if time is None else round(time * info.samplerate) for time in (start, end))
    if not 0 <= first < (last := min(last, info.frames)):
        raise UserError(f"{path}: no sound from {start:g} to {end} s, it has {info.frames / info.samplerate:g} s")
    if channel is not None and not 1 <= channel <= info.channels:
        raise UserError(f"{path}: no channel {channel}, it has {info.channels}")
    dtype = "int16" if info.subtype == "PCM_16" else "float32"
    try:  # (frames, channels)
        sound, rate = soundfile.read(path, last - first, first, dtype=dtype, always_2d=True)
    except soundfile.LibsndfileError as error:
        raise UserError(f"{path}: cannot be read: {error.error_string}") from None
    if len(sound) < last - first:
        raise UserError(f"{path}: truncated: {info.frames} samples declared, {first + len(sound)} found")
    if channel is not None:
        sound = sound[:, channel - 1 : channel]
    if dtype == "int16":
        sound = sound * np.float32(1 / 32768)  # exact, and faster than libsndfile's own floats
    elif not -_LOUDEST < sound.min() <= sound.max() < _LOUDEST:  # not a number is in no range
        raise UserError(f"{path}: holds samples that are not numbers, or far beyond full scale; export it again")
    return sound[:, 0] if sound.shape[1] == 1 else sound.mean(axis=1), rate


def resample(sound, rate):
    """(samples,) at a rate in Hz as (samples,) at 16 kHz."""
    if rate == SAMPLE_RATE:
        return sound
    import librosa

    return librosa.resample(sound, orig_sr=rate, target_sr=SAMPLE_RATE)


def write_speech(path, sound):
    """Write (samples,) float32 at 16 kHz as a mono 16-bit wav file; beyond full scale it is clipped."""
    samples = np.clip(np.rint(sound * 32768), -32768, 32767).astype("<i2")
    with atomic_writer(path) as file, wave.open(file, "wb") as content:
        content.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        content.writeframes(samples.tobytes())


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
