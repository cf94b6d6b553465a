"""The dialogue graph: which turns see which, and by what relation (COGMEN, arXiv 2205.02455, section 3.3).

N turns in the batch, B dialogues, E edges, S speakers, R relations: 2 S^2 by `speakers`, 4 by `same_other`, 2 by
`time`. All dialogues of a batch are built at once by array arithmetic (on the host, whose numpy is quicker at this size
than either device); `tests/oracles.py` holds the plain loops that it must equal.
"""

import numpy as np

# What the relation of an edge tells: who speaks at both ends, only whether that is the same speaker, or neither.
RELATIONS = ("speakers", "same_other", "time")


def num_relations(num_speakers, relations="speakers"):
    """A relation for each of the two directions of time, and each ordered pair of speakers or same and other."""
    return {"speakers": 2 * (num_speakers or 0) ** 2, "same_other": 4, "time": 2}[relations]


def usual_relations(num_speakers):
    """What is used unless the user says: by more than two speakers they would be many, and most of them rare."""
    return "speakers" if num_speakers <= 2 else "same_other"


def dialogue_graph(lengths, speakers, wp, wf, num_speakers, relations="speakers"):
    """Edges and relations of a batch of dialogues, whose turns stand one after another.

    A turn j receives edges from the turns i of its own dialogue with j - wp <= i <= j + wf, itself included. The
    relation is 2 (S s_i + s_j), plus 1 unless i is before j, where s_i is the speaker of the edge's source; by
    `same_other` it is 2 if s_i and s_j are one speaker, else 0, plus 1 unless i is before j; by `time` that 1 alone.

    Args:
        lengths: (B,) int array, turns in each dialogue.
        speakers: (N,) int array, speaker numbers.
        wp: past turns that a turn sees; -1: all of them.
        wf: future turns that a turn sees; -1: all of them.
        num_speakers: S; it matters by `speakers` only.
        relations: one of `RELATIONS`.
    Returns:
        edge_index: (2, E) source and target, counted over the batch, ordered by target.
        edge_type: (E,) relations.
    """
    end = np.repeat(np.cumsum(lengths), lengths)  # (N,) one past the last turn of the turn's dialogue
    start = end - np.repeat(lengths, lengths)  # (N,)
    turn = np.arange(len(speakers))  # (N,)
    first = start if wp < 0 else np.maximum(turn - wp, start)  # (N,) first source of each target
    last = end - 1 if wf < 0 else np.minimum(turn + wf, end - 1)  # (N,)
    degree = last - first + 1  # (N,)
    target = np.repeat(turn, degree)  # (E,)
    offset = np.cumsum(degree) - degree  # (N,) edges before those of each target
    source = np.arange(len(target)) + (first - offset)[target]  # (E,)
    if relations == "speakers":
        pair = num_speakers * speakers[source] + speakers[target]  # (E,)
    elif relations == "same_other":
        pair = (speakers[source] == speakers[target]).astype(np.int64)
    else:
        pair = np.zeros(len(target), np.int64)
    return np.stack([source, target]), 2 * pair + (source >= target)
