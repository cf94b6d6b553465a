"""The speech of turns as MP3, a small file for each: a turn is heard alone even where two speak at once, and from its
very beginning, which seeking in one long MP3 does not give."""

import io

import numpy as np

from mirai.speech import SAMPLE_RATE

_COMPRESSION = 0.8  # soundfile's, 0 to 1: 40 kbit/s, 3 MB for 10 minutes of speech
_FADE = 80  # samples: a cut makes no click


def as_mp3(wave):
    """(samples,) at 16 kHz as the bytes of an MP3 file, at most at full scale."""
    import soundfile

    wave = np.clip(wave, -1, 1).astype(np.float32)
    if len(wave) > 2 * _FADE:
        ramp = np.linspace(0, 1, _FADE, dtype=np.float32)
        wave[:_FADE] *= ramp
        wave[-_FADE:] *= ramp[::-1]
    file = io.BytesIO()
    settings = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT"}
    soundfile.write(file, wave, SAMPLE_RATE, compression_level=_COMPRESSION, **settings)  # noqa: TID251 (into memory)
    return file.getvalue()
