"""What an extractor is to learn of an utterance beside its label: `--soft_labels`, `--valence_arousal`."""

import numpy as np
import torch

from erc.corpus.feelings import FEELINGS, check_rated, to_network
from erc.corpus.ratings import ratings_path, read_ratings, soft_targets
from erc.options import UserError
from mirai.dataset import UtteranceDataset


class TrainingDataset(UtteranceDataset):
    """Utterances with what is to be learnt of them beside their labels.

    Args:
        targets: (N, C) float32, soft targets, rows as the utterances; None: the labels are learnt.
        feelings: (N, 2) float32, valence and arousal on the networks' scale; None: they are not learnt.
        arguments, settings: as `UtteranceDataset` has them.
    """

    def __init__(self, *arguments, targets=None, feelings=None, **settings):
        super().__init__(*arguments, **settings)
        self.targets = None if targets is None else torch.from_numpy(targets)
        self.feelings = None if feelings is None else torch.from_numpy(feelings)

    def __getitem__(self, index):
        return index, super().__getitem__(index)

    def collate(self, items):
        places, items = zip(*items, strict=True)
        batch = super().collate(items)
        if self.targets is not None:
            batch.targets = self.targets[list(places)]
        if self.feelings is not None:
            batch.feelings = self.feelings[list(places)]
        return batch


def read_votes(table, corpus):
    """{segment id: (C,) votes of the raters} of an annotation table, of the utterances that have any.

    Raises:
        UserError: it has none.
    """
    votes = {name: counts for name, counts in read_ratings(table, corpus).items() if counts.any()}
    if not votes:
        raise UserError(
            f"--soft_labels: there are no votes of the raters, {ratings_path(table)}; MIRAI/preprocess.py writes them "
            "where the corpus has them, as KEMDy19 and KEMDy20 do; make the table again with it, or leave the flag out"
        )
    return votes


def targets_of(utterances, votes, corpus):
    """(N, C) float32 the soft targets of utterances, as `erc.corpus.ratings.soft_targets` has them."""
    none = np.zeros(len(corpus.emotions), dtype=np.float32)
    counts = [votes.get(utterance.segment_id, none) for utterance in utterances]
    return soft_targets(np.stack(counts), [utterance.label for utterance in utterances])


def feelings_of(utterances, table):
    """(N, 2) float32 valence and arousal of utterances on the networks' scale; not a number where there is none.

    Raises:
        UserError: no utterance of the annotation table `table` has them.
    """
    ratings = ratings_of(utterances)
    check_rated(ratings, table)
    return to_network(ratings)


def ratings_of(utterances):
    """The same as the raters gave them, of 1 to 5."""
    values = [[getattr(utterance, name) for name in FEELINGS] for utterance in utterances]
    return np.array(values, dtype=np.float32)  # None becomes not a number
