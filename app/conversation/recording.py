"""Recordings: their channels at 16 kHz, and what is said of those that are silent, clipped or too long."""

import numpy as np

from conversation.options import MAX_HOURS
from conversation.turns import Note
from erc.options import UserError
from mirai.speech import CLIPPED, SAMPLE_RATE, SILENT, probe, read_channels

_CLIPPED_SHARE = 0.001  # of the samples: so many are worth a word


def read_recording(path):
    """The channels of a recording: list of (samples,) float32 at 16 kHz.

    Raises:
        UserError: it cannot be read, or is longer than `MAX_HOURS`.
    """
    try:
        info = probe(path)
    except UserError as error:
        if "not a sound file" not in str(error):
            raise
        advice = f"Make it a WAV, FLAC, MP3 or Ogg file first, such as by: ffmpeg -i {path.name} {path.stem}.wav"
        raise UserError(f"{error}. {advice}") from None
    if (hours := info.frames / info.samplerate / 3600) > MAX_HOURS:
        raise UserError(
            f"{path}: {hours:.1f} hours long, expected at most {MAX_HOURS}; cut it into pieces, such as by: "
            f"ffmpeg -i {path.name} -f segment -segment_time 3600 -c copy piece%02d{path.suffix}"
        )
    return read_channels(path)


def is_silent(wave):
    return not len(wave) or float(np.abs(wave).max()) < SILENT


def quality_notes(name, wave):
    """What should be said of the sound of `name`, such as "channel 1 (M)": a list of `Note`."""
    clipped = float((np.abs(wave) >= CLIPPED).mean())
    if clipped <= _CLIPPED_SHARE:
        return []
    return [
        Note(
            f"{name} is clipped: {clipped:.1%} of its samples are at full scale. Loud voices may be misjudged.",
            f"{name}: 샘플의 {clipped:.1%}가 최대 음량에서 잘렸습니다(클리핑). 큰 목소리는 잘못 판단될 수 있습니다.",
        )
    ]


def duration(wave):
    """Seconds."""
    return len(wave) / SAMPLE_RATE
