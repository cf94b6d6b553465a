"""The learning rates of `trainer_hf.py --recipe improved`: by the depth of a layer, and by step.

What is deep in an encoder was learnt from much more data than a corpus has and changes least (discriminative
fine-tuning, arXiv 1801.06146); what is new has everything to learn.
"""

import re
from collections import defaultdict

import torch

_LAYER = re.compile(r"^(text|audio)\.encoder\.(?:layer|layers)\.(\d+)\.")


def parameter_groups(extractor, lr, recipe):
    """The trained weights of an extractor as an optimizer's groups, each with its own learning rate.

    Of an encoder with n layers the layer k (0 at the bottom) has lr x decay^(n - 1 - k), what is below its layers
    lr x decay^n, what is above them or of no layer of the encoder's lr, and what is not pretrained lr x `head_rate`.
    """
    depth = {name: getattr(extractor, name).config.num_hidden_layers for name in extractor.modalities}
    by_rate = defaultdict(list)
    for name, weights in extractor.named_parameters():
        if weights.requires_grad:
            by_rate[lr * _factor(name, depth, recipe)].append(weights)
    return [{"params": weights, "lr": rate} for rate, weights in sorted(by_rate.items())]


def _factor(name, depth, recipe):
    encoder = name.split(".")[0]
    if encoder not in depth:
        return recipe.head_rate
    if found := _LAYER.match(name):
        return recipe.layer_decay ** (depth[encoder] - 1 - int(found[2]))
    return 1.0 if name.startswith("audio.encoder.layer_norm") else recipe.layer_decay ** depth[encoder]


def warm_up_schedule(optimizer, steps, warm_up):
    """The schedule that raises all learning rates in a line during the first `warm_up` of the steps, then lowers them
    in a line, to reach 0 after the last one."""
    rising = max(1, round(warm_up * steps))

    def share(step):
        return min((step + 1) / rising, max(0.0, (steps - step) / max(1, steps - rising)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, share)
