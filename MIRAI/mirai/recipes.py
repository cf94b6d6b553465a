"""What `trainer_hf.py --recipe` decides: how an extractor pools its encoders, and how it is trained.

A checkpoint names its recipe; what of it is part of the network is built again when the checkpoint is read.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """A form of the extractor and a way of training it.

    Attributes:
        pools_layers: part of the network: each encoder's layers are summed with learnt weights and pooled by learnt
            attention, instead of the text's pooler and the mean of the last layer's frames.
        layer_decay: the learning rate of an encoder's layer is this times that of the layer above it.
        head_rate: the learning rate of what is not pretrained, times `--lr`.
        warm_up: share of all steps in which the learning rates rise; they then fall in a line to 0. 0: constant rates.
        masks: SpecAugment, settings of the audio encoder's configuration; empty: those that it came with.
        feature_mask: its masks over the audio encoder's width, as a share of it; 0: those that it came with.
        speeds: of the speech of a training batch, one of which is drawn.
        modality_drop: how often training leaves out one modality of an utterance that has two.
    """

    pools_layers: bool = False
    layer_decay: float = 1.0
    head_rate: float = 1.0
    warm_up: float = 0.0
    masks: tuple[tuple[str, float], ...] = ()
    feature_mask: float = 0.0
    speeds: tuple[float, ...] = (1.0,)
    modality_drop: float = 0.0


RECIPES = {
    "published": Recipe(),
    "improved": Recipe(
        pools_layers=True,
        layer_decay=0.9,
        head_rate=10.0,
        warm_up=0.1,
        masks=(("mask_time_prob", 0.075), ("mask_time_length", 10), ("mask_feature_prob", 0.1)),
        feature_mask=1 / 16,
        speeds=(0.9, 1.0, 1.1),
        modality_drop=0.2,
    ),
}
