"""Valence and arousal of turns, outputs of a network beside its emotions: `train.py --valence_arousal`."""

import numpy as np
import torch

from erc.corpus.feelings import FEELINGS, check_rated, from_network, to_network


def ratings_of(dialogues):
    """For each dialogue (L, 2) float32 of 1 to 5, valence and arousal; not a number where there is none."""
    return [
        np.stack([dialogue.ratings.get(name, np.full(len(dialogue), np.nan, np.float32)) for name in FEELINGS], axis=1)
        for dialogue in dialogues
    ]


def targets_of(dialogues, path):
    """The same on the networks' scale.

    Raises:
        UserError: there are none; `path` is the file that the message names.
    """
    ratings = ratings_of(dialogues)
    check_rated(np.concatenate(ratings), path)
    return [to_network(rows) for rows in ratings]


@torch.no_grad()
def predict_feelings(network, dialogues, batch_size):
    """(N, 2) valence and arousal, of 1 to 5, of all turns of a `DialogueSet`, in its order."""
    network.eval()
    batches = (dialogues.batch(numbers) for numbers in dialogues.order(batch_size))
    return from_network(torch.cat([network(batch, feelings=True)[1] for batch in batches]).cpu().numpy())
