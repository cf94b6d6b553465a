"""What a turn's label rests on: what its probability loses when the network no longer has one of three things.

    voice, words    the turn's own embedding of speech or text is replaced by zeros
    conversation    the turn stands alone: nothing before it, nothing after it

A loss is a difference of probabilities of the same label, so it lies between -1 and 1; negative: the label would be
surer without. This is occlusion (Zeiler and Fergus, arXiv 1311.2901, section 4.2), no reading of attention weights.
"""

from dataclasses import replace

import numpy as np

from conversation.prediction import probabilities

REASONS = ("voice", "words", "conversation")
_OF_MODALITY = {"voice": "a", "words": "t"}
_AT_ONCE = 16  # dialogues; each has all turns of the conversation


def explain(dialogue, labels, probability, models, device, progress):
    """What each turn's label loses without each of `REASONS` that the network has.

    Args:
        dialogue: `Dialogue` of L turns with features.
        labels, probability: (L,) of each turn: the predicted emotion's number and its probability.
        progress: a function that wraps a list, such as tqdm.
    Returns:
        dict: by reason, (L,) float32.
    """
    turns = np.arange(len(dialogue))
    losses = {}
    for reason in REASONS:
        modality = _OF_MODALITY.get(reason)
        if modality and (modality not in dialogue.features or len(dialogue.features) == 1):
            continue  # without its only modality, nothing is left to judge by
        left = np.empty(len(dialogue), dtype=np.float32)
        for start in progress(range(0, len(turns), _AT_ONCE), reason):
            chosen = turns[start : start + _AT_ONCE]
            without = [_without(dialogue, turn, modality) for turn in chosen]
            rows = probabilities(without, models, device).reshape(len(chosen), -1, len(models.checkpoint.emotions))
            own = rows[np.arange(len(chosen)), chosen if modality else 0]
            left[chosen] = own[np.arange(len(chosen)), labels[chosen]]
        losses[reason] = probability - left
    return losses


def _without(dialogue, turn, modality):
    """The dialogue in which a turn's features of a modality are zeros; modality None: the turn alone."""
    if modality is None:
        return dialogue.part(slice(turn, turn + 1))
    rows = dialogue.features[modality].copy()
    rows[turn] = 0
    return replace(dialogue, features={**dialogue.features, modality: rows})
