"""Speech: checking a wav file's header and reading it as 16 kHz mono float32."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from erc.options import UserError

SAMPLE_RATE = 16_000  # Hz

_LOWEST_RATE, _HIGHEST_RATE = 4_000, 384_000  # Hz; resampling from far below would take any amount of memory
_LOUDEST = 1e4  # full scale is 1, which floats may exceed
_TO_THE_END = 0xFFFFFFFF  # what streaming writers put for a length that they do not know


@dataclass(frozen=True)
class WavHeader:
    """What a wav file says of itself. `rate` in Hz, `bits` per sample and channel, `frames` samples per channel,
    `offset` bytes before the first of them, `code` of the format (1: whole numbers, 3: floats)."""

    rate: int
    channels: int
    bits: int
    code: int
    frames: int
    offset: int

    @property
    def is_float(self):
        return self.code == 3

    @property
    def is_plain(self):
        """16 kHz mono 16-bit, as KEMDy19 has it; anything else is converted when it is read."""
        return (self.rate, self.channels, self.bits, self.code) == (SAMPLE_RATE, 1, 16, 1)


def probe(path):
    """The header of a wav file, checked against the length of the file; the sound itself is not read.

    Raises:
        UserError: the file is missing, has 0 bytes, is no wav file, or is shorter than its header says.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            return _probe(file, size)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except _BadWav as problem:
        raise UserError(f"{path}: {problem}") from None


def read_wav(path):
    """A wav file's sound.

    Returns:
        (samples,) float32 at 16 kHz, channels averaged, full scale = 1.
    Raises:
        UserError: the file cannot be read whole.
    """
    return to_float(read_samples(path))


def to_float(samples):
    """16-bit samples as float32, full scale = 1; float32 as it is. Exact."""
    return samples * np.float32(1 / 32768) if samples.dtype == np.int16 else samples


def read_samples(path):
    """A wav file's sound, as exact as the file has it in as few bytes as that takes.

    Returns:
        (samples,) at 16 kHz: int16 of a plain file, float32 of any other, which is converted.
    Raises:
        UserError: the file cannot be read whole.
    """
    header = probe(path)
    if header.is_plain:
        samples = np.fromfile(path, "<i2", header.frames, offset=header.offset)
        return _whole(path, header, samples).astype(np.int16, copy=False)  # the machine's byte order
    import soundfile

    try:
        sound, rate = soundfile.read(path, dtype="float32", always_2d=True)  # (frames, channels)
    except soundfile.LibsndfileError as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    sound = _whole(path, header, sound)
    if not (np.abs(sound) < _LOUDEST).all():  # nor is it a number
        raise UserError(f"{path}: holds samples that are not numbers, or far beyond full scale; export it again")
    sound = sound[:, 0] if sound.shape[1] == 1 else sound.mean(axis=1)
    if rate != SAMPLE_RATE:
        import soxr

        sound = soxr.resample(sound, rate, SAMPLE_RATE)
    return sound


class _BadWav(Exception):
    pass


def _whole(path, header, sound):
    if len(sound) < header.frames:
        raise UserError(f"{path}: truncated: {header.frames} samples declared, {len(sound)} found")
    return sound


def _probe(file, size):
    if size == 0:
        raise _BadWav("0 bytes")
    start = file.read(12)
    if len(start) < 12 or start[:4] not in (b"RIFF", b"RF64") or start[8:] != b"WAVE":
        raise _BadWav("not a wav file")
    kind = None
    while len(head := file.read(8)) == 8:
        name, length = struct.unpack("<4sI", head)
        body = file.tell()
        if name == b"fmt ":
            if length < 16 or body + 16 > size:
                raise _BadWav("truncated in its header")
            kind = struct.unpack("<HHIIHH", file.read(16))
            if kind[0] == 0xFFFE and length >= 26:  # extensible: the format proper follows
                file.seek(body + 24)
                kind = (int.from_bytes(file.read(2), "little"), *kind[1:])
        elif name == b"data":
            return _header(kind, size - body if length == _TO_THE_END else length, size - body, body)
        file.seek(body + length + length % 2)
    raise _BadWav("no sound in it, only a header")


def _header(kind, declared, found, offset):
    if kind is None:
        raise _BadWav("not a wav file: no format before the sound")
    code, channels, rate, _, block, bits = kind
    if not (channels and block and _LOWEST_RATE <= rate <= _HIGHEST_RATE):
        raise _BadWav(
            f"a header that makes no sense: {channels} channels, {rate} Hz, {block} bytes for a sample of all"
        )
    if found < declared:
        raise _BadWav(f"truncated: {declared // block} samples declared, {found // block} found")
    if declared < block:
        raise _BadWav("no sound in it, only a header")
    if declared // block * SAMPLE_RATE < rate:
        raise _BadWav(f"no sound in it: {declared // block} samples at {rate} Hz are less than one at {SAMPLE_RATE} Hz")
    return WavHeader(rate, channels, bits, code, declared // block, offset)
