"""Speed perturbation (Ko et al., Interspeech 2015): speech that is played faster or slower, pitch and all.

Shapes: `W` windows of speech, `S` samples.
"""

from dataclasses import replace

import torch

from mirai.dataset import RECEPTIVE_FIELD


def draw_speed(speeds):
    """One of the speeds, by PyTorch's random numbers, which an epoch's number seeds."""
    return speeds[int(torch.randint(len(speeds), ()))]


def change_speed(batch, speed):
    """The `UtteranceBatch` with its speech at another speed: 1.1 is a tenth faster, and so much shorter.

    A sample lies between its two neighbours in a straight line, which is enough for speeds near 1: it dampens the
    uppermost frequencies. What a window becomes does not depend on its padding.
    """
    if speed == 1.0 or batch.windows is None:
        return batch
    device = batch.windows.device
    samples = (batch.samples / speed).round().long()
    length = max(int(batch.windows.shape[1] / speed) + 1, RECEPTIVE_FIELD)
    place = torch.arange(length, device=device).to(torch.float64) * speed  # of each new sample among the old ones
    last = batch.samples[:, None] - 1  # (W, 1)
    before = torch.minimum(place.long().expand(len(samples), -1), last)  # (W, S)
    after = torch.minimum(before + 1, last)
    share = (place - place.floor()).to(batch.windows.dtype)
    windows = batch.windows.gather(1, before) * (1 - share) + batch.windows.gather(1, after) * share
    windows = windows * (torch.arange(length, device=device) < samples[:, None])
    return replace(batch, windows=windows, samples=samples.clamp(min=RECEPTIVE_FIELD))
