"""Recordings of any form: libsndfile reads most of them, PyAV what is left, such as m4a and the sound of a video.

PyAV is an extra: pip install av. Of a long recording only the piece that is asked for is read.
"""

import math
from dataclasses import dataclass

import numpy as np

from erc.options import UserError
from mirai.speech import is_plain, probe, read_piece, resample

# FFmpeg's names; others, such as playlists, would have it open further files.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,avi,asf,mpegts,mpeg,flv,amr,ac3"
_LEAD = 1.0  # seconds that are read before a piece, since a container is entered only at some of its packets
_CUT_OFF = 0.5  # seconds; sound that ends this much before its container says is cut off


@dataclass(frozen=True)
class Recording:
    """What a recording holds.

    Attributes:
        plain: it is a file as txt_wav/ has it: 16 kHz mono 16-bit wav.
        av: only PyAV reads it.
    """

    seconds: float
    channels: int
    plain: bool
    av: bool = False


def probe_recording(path):
    """The `Recording` that a file is.

    Raises:
        UserError: it is missing, damaged, cut off, or nothing that can be read; or PyAV is needed and not installed.
    """
    try:
        info = probe(path)
        return Recording(info.frames / info.samplerate, info.channels, is_plain(info))
    except UserError as error:
        if "not a sound file" not in str(error):
            raise
        reason = str(error)
    try:
        import av
    except ImportError:
        advice = "m4a and video need PyAV: pip install av; or make it a WAV, FLAC, MP3 or Ogg file"
        raise UserError(f"{reason}; {advice}") from None
    try:
        with _opened(path) as container:
            stream, rate = container.streams.audio[0], container.streams.audio[0].rate
            length = (container.duration or 0) / av.time_base
            channels = stream.channels
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise UserError(f"{path}: neither a sound file nor a video with sound that can be read: {error}") from None
    if not length:  # streamed: nothing says how long it is
        length = sum(piece.shape[1] for piece in _pieces(path, 0.0, math.inf)[0]) / rate
    if not length:
        raise UserError(f"{path}: no sound in it")
    return Recording(length, channels, False, av=True)


def read_cut(cut, recording):
    """The sound of a `Cut` as it was recorded, not resampled.

    Args:
        recording: what `probe_recording` said of its file.
    Returns:
        ((samples,) float32, full scale = 1; the rate in Hz)
    Raises:
        UserError: it is damaged or cut off, or there is no such piece or channel.
    """
    if not recording.av:
        return read_piece(cut.path, cut.start, cut.end, cut.channel)
    end = recording.seconds if cut.end is None else min(cut.end, recording.seconds)
    pieces, rate, first = _pieces(cut.path, cut.start, end)
    sound = np.concatenate(pieces, axis=1) if pieces else np.zeros((1, 0), np.float32)  # (channels, samples)
    before = max(round((cut.start - first) * rate), -int(_CUT_OFF * rate))  # below 0: the first ones are not stored
    sound = np.pad(sound, ((0, 0), (max(0, -before), 0)))[:, max(0, before) :][:, : round((end - cut.start) * rate)]
    found, length = sound.shape[1] / rate, end - cut.start
    if found < max(length - _CUT_OFF, length / 2):
        raise UserError(f"{cut.path}: cut off or damaged: {found:g} s of sound from {cut.start:g} s on")
    if not np.isfinite(sound).all():
        raise UserError(f"{cut.path}: holds samples that are not numbers; export it again")
    return sound.mean(axis=0) if cut.channel is None else sound[cut.channel - 1], rate


def speech_of(cut):
    """(samples,) float32 at 16 kHz of a `Cut`."""
    return resample(*read_cut(cut, probe_recording(cut.path)))


def _opened(path):
    import av

    return av.open(str(path), options={"protocol_whitelist": "file", "format_whitelist": _CONTAINERS})


def _pieces(path, start, end):
    """The decoded (channels, samples) float32 of a container from somewhere before `start` to `end` (seconds), the rate
    in Hz, and where they begin (seconds)."""
    import av

    pieces, count, first = [], 0, None
    try:
        with _opened(path) as container:
            stream = container.streams.audio[0]
            converter = av.AudioResampler(format="fltp")
            if start > _LEAD:
                container.seek(int((start - _LEAD) / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                first = (frame.time or 0.0) if first is None else first
                if count >= (end - first) * stream.rate:  # by samples, as the times of frames are rounded
                    break
                pieces += [part.to_ndarray() for part in converter.resample(frame)]
                count += frame.samples
            return pieces, stream.rate, first or 0.0
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise UserError(f"{path}: cannot be read, damaged: {error}") from None
