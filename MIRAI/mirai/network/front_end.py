"""Wav2Vec2's convolutional front end, computed with the channels last.

The weights and the result are those of transformers' module. There, every layer turns its (W, C, S) output round for
the layer norm and back, and on a CPU most of a small encoder's training time goes into these copies. With (W, S, C)
throughout, a strided convolution is one matrix product for each `stride` of its taps, on plain views of the input:
about three times as fast. On a GPU the module's own convolutions run.

Shapes: `W` windows, `S` samples or frames, `C` channels in, `O` channels out.
"""

from torch import nn
from torch.nn.functional import linear


class FrontEnd(nn.Module):
    """Takes the place of a `Wav2Vec2FeatureEncoder` with layer norm; holds its layers under the same names.

    Shapes: (W, S) waveforms -> (W, O, frames).
    """

    def __init__(self, encoder):
        super().__init__()
        self.conv_layers = encoder.conv_layers

    def forward(self, waves):
        if waves.is_cuda:
            hidden = waves[:, None]  # (W, 1, S)
            for layer in self.conv_layers:
                hidden = layer(hidden)
            return hidden
        hidden = waves[:, :, None]  # (W, S, 1)
        for layer in self.conv_layers:
            hidden = channels_last_conv(hidden, layer.conv.weight, layer.conv.bias, layer.conv.stride[0])
            hidden = layer.activation(layer.layer_norm(hidden))
        return hidden.transpose(1, 2)


def channels_last_conv(x, weight, bias, stride):
    """An unpadded 1-d convolution of x (W, S, C) with weight (O, C, K); gives (W, (S - K) // stride + 1, O)."""
    windows, samples, channels = x.shape
    out_channels, _, kernel = weight.shape
    frames = (samples - kernel) // stride + 1
    y = None
    for first in range(0, kernel, stride):
        taps = min(stride, kernel - first)
        if taps == stride:  # each frame has its own samples: a view
            part = x[:, first : first + frames * stride]
        else:
            part = x[:, first:].unfold(1, taps, stride)[:, :frames].transpose(2, 3)  # (W, frames, taps, C)
        part = part.reshape(windows, frames, taps * channels)
        part_weight = weight[:, :, first : first + taps].transpose(1, 2).reshape(out_channels, taps * channels)
        y = linear(part, part_weight, bias) if y is None else y + linear(part, part_weight)
    return y
