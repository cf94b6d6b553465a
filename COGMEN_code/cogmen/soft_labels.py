"""Training on what all raters said, not on the emotion that most of them named: `train.py --soft_labels`."""

import numpy as np

from erc.corpus.ratings import soft_targets
from erc.options import UserError


def targets_of(dialogues, num_emotions, path):
    """The soft targets of dialogues, as `erc.corpus.ratings.soft_targets` has them; of one without votes, the labels.

    Args:
        dialogues: list of `erc.corpus.dialogues.Dialogue`.
        path: the file of the dialogues, which the message names.
    Returns:
        list of (L, emotions) float32.
    Raises:
        UserError: no dialogue has votes, or the corpus has another kind of labels.
    """
    if not any("emotions" in dialogue.ratings for dialogue in dialogues):
        raise UserError(
            f"--soft_labels: {path} has no votes of the raters. MIRAI/preprocess.py writes them beside the annotation "
            "table (<table>_ratings.csv) where the corpus has them, as KEMDy19 and KEMDy20 do; make the file again "
            "from there, or leave the flag out"
        )
    if any(dialogue.labels.ndim > 1 for dialogue in dialogues):
        raise UserError(f"--soft_labels: needs one emotion a turn, in {path} a turn may have several; leave it out")
    none = np.zeros((1, num_emotions), dtype=np.float32)
    votes = [dialogue.ratings.get("emotions", none.repeat(len(dialogue), axis=0)) for dialogue in dialogues]
    return [soft_targets(own, dialogue.labels) for own, dialogue in zip(votes, dialogues, strict=True)]


def soft_loss(outputs, targets, weight=None, smoothing=0.0):
    """The cross-entropy with soft targets, the mean over the turns that have one, a scalar.

    With targets t of emotions e and log-probabilities log p:

        t' = (1 - smoothing) t + smoothing / emotions
        loss = - sum over turns and e of w_e t'_e log p_e / sum over turns and e of w_e t_e

    Where each t is 1 for one emotion, it is the loss of hard labels.

    Args:
        outputs: (N, emotions) log-probabilities, or (K, N, emotions) of K members, over which the mean is taken, too.
        targets: (N, emotions), all 0 where a turn has none.
        weight: (emotions,) w; None: 1.
        smoothing: the share of a target that all emotions have alike.
    """
    there = targets.sum(dim=1, keepdim=True)  # (N, 1) of 0 and 1
    smooth = (1 - smoothing) * targets + smoothing / targets.shape[1] * there
    if weight is not None:
        smooth, targets = smooth * weight, targets * weight
    losses = -(smooth * outputs).sum(dim=(-2, -1)) / targets.sum().clamp(min=1e-9)
    return losses.mean()
