"""Where someone speaks on a channel, by silero-vad, a small network whose weights come with its package."""

import numpy as np

from conversation.extras import needs
from mirai.speech import SAMPLE_RATE

LONGEST = 25.0  # seconds of a turn; longer speech is cut at its longest pause
_PADDING = 0.1  # seconds before and after


def find_speech(channels, pause, progress):
    """The stretches of speech on each channel.

    Args:
        channels: list of (samples,) float32 at 16 kHz.
        pause: seconds of silence that end a turn.
        progress: a function that wraps a list, such as tqdm.
    Returns:
        list, for each channel, of lists of (start, end) in seconds.
    """
    import torch

    threads = torch.get_num_threads()
    with needs("silero-vad"):
        import silero_vad  # sets the number of threads to 1
    network = silero_vad.load_silero_vad()
    try:
        return [_stretches(silero_vad, network, wave, pause) for wave in progress(channels)]
    finally:
        torch.set_num_threads(threads)


def _stretches(silero_vad, network, wave, pause):
    import torch

    loudest = float(np.abs(wave).max()) or 1.0
    sound = torch.from_numpy(wave * np.float32(0.9 / loudest))  # a quiet channel is a channel all the same
    with torch.inference_mode():
        found = silero_vad.get_speech_timestamps(
            sound,
            network,
            sampling_rate=SAMPLE_RATE,
            min_silence_duration_ms=round(1000 * pause),
            speech_pad_ms=round(1000 * _PADDING),
            max_speech_duration_s=LONGEST,
        )
    return [(one["start"] / SAMPLE_RATE, one["end"] / SAMPLE_RATE) for one in found]
