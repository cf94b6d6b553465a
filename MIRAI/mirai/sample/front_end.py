"""A useful start for a small Wav2Vec2 front end, so that a few hundred utterances are enough to train it.

A random front end of this size learns nothing from 1,300 utterances in ten epochs: pitch and rhythm are many layers
away from the waveform. So its seven layers start as a filter bank, by hand, and are trained from there:

- layers 0 to 2 lower the waveform to 800 Hz, and beside it keep three envelopes (voicing, two formant bands);
- layers 3 to 5 are delay lines, which hand 19 consecutive 800 Hz samples (24 ms) to layer 6;
- layer 6 measures the strength of nine pitches between 75 and 350 Hz, the envelopes, and how fast they change.

A signal x travels as the channels relu(x) and relu(-x): their difference is x, their sum is |x|. Two constant channels
keep the layer norm between the layers from wiping out the level. The remaining channels start at random.
"""

import numpy as np
import torch

CHANNELS = (12, 10, 10, 14, 22, 30, 64)

_RATE = 16000  # Hz
_BANDS = (900, 2400)  # Hz
_PITCHES = (75, 100, 125, 150, 185, 220, 260, 300, 350)  # Hz
_ENVELOPES = 1 + len(_BANDS)
_LINEAR = np.array([[1, -1], [-1, 1]])
_ABSOLUTE = np.array([[1, 1], [-1, -1]])
_SMOOTH = np.array([0.25, 0.5, 0.25])


def initialise_front_end(feature_extractor):
    """Set the weights of a `Wav2Vec2FeatureEncoder` with `CHANNELS`, bias, layer norm and ReLU, in place."""
    with torch.no_grad():
        for layer, weights in zip(feature_extractor.conv_layers, _layers(), strict=True):
            outputs, inputs, _ = weights.shape
            convolution = layer.conv
            channels = convolution.weight.shape[0]
            convolution.weight[outputs + 2 :] *= 0.5
            convolution.weight[: outputs + 2] = 0
            convolution.weight[:outputs, :inputs] = torch.from_numpy(weights)
            convolution.bias.zero_()
            level = (channels / 2) ** 0.5  # the norm's divisor is about 1 where nothing else is loud
            convolution.bias[outputs], convolution.bias[outputs + 1] = level, -level


def _layers():
    """Weights (channels out, channels in, taps) of the channels that carry signals, layer by layer."""
    taps = np.arange(10)
    first = [np.full(10, 0.15)]
    for band in _BANDS:
        for phase in (0, np.pi / 2):
            wave = np.hanning(12)[1:-1] * np.cos(2 * np.pi * band * (taps - 4.5) / _RATE + phase)
            first.append(2 * wave / np.abs(wave).sum())
    first = np.stack(first)[:, None]  # (signals, 1, taps)
    yield np.concatenate([first, -first], axis=1).reshape(-1, 1, 10)

    low, envelopes = np.zeros((1 + _ENVELOPES, len(first), 3)), np.zeros((1 + _ENVELOPES, len(first), 3))
    low[0, 0] = _SMOOTH
    envelopes[1, 0] = _SMOOTH
    for n in range(len(_BANDS)):
        envelopes[2 + n, 1 + 2 * n] = envelopes[2 + n, 2 + 2 * n] = 0.7 * _SMOOTH
    yield _pairs(low, _LINEAR) + _pairs(envelopes, _ABSOLUTE)

    yield _pairs(np.eye(1 + _ENVELOPES)[:, :, None] * _SMOOTH, _LINEAR)

    # delay lines: (samples in, samples between frames, samples out, taps)
    for held, step, kept, taps, smooth in (
        (1, 1, 3, 3, _SMOOTH),
        (3, 2, 7, 3, _SMOOTH),
        (7, 4, 11, 2, np.array([0.5, 0.5])),
    ):
        weights = np.zeros((kept + _ENVELOPES, held + _ENVELOPES, taps))
        for n in range(kept):
            tap = min(n // step, taps - 1)
            weights[n, n - step * tap, tap] = 1
        for n in range(_ENVELOPES):
            weights[kept + n, held + n] = smooth
        yield _pairs(weights, _LINEAR)

    held, step = 11, 8
    samples = np.arange(held + step)
    strengths = 2 * len(_PITCHES)
    weights = np.zeros((strengths + 2 * _ENVELOPES, held + _ENVELOPES, 2))
    for n, pitch in enumerate(_PITCHES):
        for part, phase in enumerate((0, np.pi / 2)):
            wave = np.hamming(len(samples)) * np.cos(2 * np.pi * pitch * (samples - 9) / 800 - phase)
            wave = 4 * wave / np.abs(wave).sum()
            for sample in samples:
                tap = min(sample // step, 1)
                weights[2 * n + part, sample - step * tap, tap] = wave[sample]
    for n in range(_ENVELOPES):
        weights[strengths + n, held + n] = 0.5, 0.5
        weights[strengths + _ENVELOPES + n, held + n] = -2, 2
    yield _pairs(weights, _LINEAR)


def _pairs(weights, signs):
    """(signals out, signals in, taps) to channels, two for each signal."""
    out, inputs, taps = weights.shape
    return np.einsum("oit,pq->opiqt", weights, signs).reshape(2 * out, 2 * inputs, taps)
