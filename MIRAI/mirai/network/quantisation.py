"""Encoders whose linear layers compute in 8-bit integers, on a CPU: faster, smaller, and less exact."""

import warnings

import torch
from torch import nn

from erc.options import UserError


def quantise(extractor, device):
    """Put 8-bit linear layers in the place of those of an extractor's encoders; all else stays as it is.

    A layer's weights are rounded once, a row at a time; its input is rounded each time it comes, by the range of the
    whole batch. So utterances should come one by one: in a batch, an embedding would depend on what else is in it.

    Args:
        extractor: `mirai.network.extractor.Extractor`, changed in place, in evaluation mode afterwards.
    Raises:
        UserError: the device is no CPU, or this torch cannot do it.
    """
    if device.type != "cpu":
        raise UserError(f"--int8: computes on the CPU, found {device}; add --device cpu, or leave it out on a GPU")
    try:
        from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic
    except ImportError:  # announced to go, to a package of its own; nothing else runs without that package yet
        raise UserError(f"--int8: torch {torch.__version__} has no dynamic quantisation; use one up to 2.13") from None
    if torch.backends.quantized.engine == "none":
        raise UserError("--int8: this torch has no 8-bit arithmetic for this processor; leave it out")
    extractor.eval()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*quantize")
        for name in extractor.modalities:
            encoder = quantize_dynamic(getattr(extractor, name), {nn.Linear: per_channel_dynamic_qconfig})
            setattr(extractor, name, encoder)
