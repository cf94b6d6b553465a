"""The dialogue graph: which turns see which, and by what relation (COGMEN, arXiv 2205.02455, section 3.3).

N turns in the batch, B dialogues, E edges, S speakers, R = 2 S^2 relations. All dialogues of a batch are built at
once by tensor arithmetic; `tests/cogmen/test_graph.py` holds the plain loops that it must equal.
"""

import torch


def num_relations(num_speakers):
    """A relation for each ordered pair of speakers and each of the two directions of time."""
    return 2 * num_speakers**2


def dialogue_graph(lengths, speakers, wp, wf, num_speakers):
    """Edges and relations of a batch of dialogues, whose turns stand one after another.

    A turn j receives edges from the turns i of its own dialogue with j - wp <= i <= j + wf, itself included. The
    relation is 2 (S s_i + s_j), plus 1 unless i is before j, where s_i is the speaker of the edge's source.

    Args:
        lengths: (B,) turns in each dialogue.
        speakers: (N,) speaker numbers.
        wp: past turns that a turn sees; -1: all of them.
        wf: future turns that a turn sees; -1: all of them.
    Returns:
        edge_index: (2, E) source and target, counted over the batch, ordered by target.
        edge_type: (E,) relations.
    """
    end = lengths.cumsum(0).repeat_interleave(lengths)  # (N,) one past the last turn of the turn's dialogue
    start = end - lengths.repeat_interleave(lengths)  # (N,)
    turn = torch.arange(len(speakers), device=speakers.device)  # (N,)
    first = start if wp < 0 else torch.maximum(turn - wp, start)  # (N,) first source of each target
    last = end - 1 if wf < 0 else torch.minimum(turn + wf, end - 1)  # (N,)
    degree = last - first + 1  # (N,)
    target = turn.repeat_interleave(degree)  # (E,)
    offset = degree.cumsum(0) - degree  # (N,) edges before those of each target
    source = torch.arange(len(target), device=speakers.device) + (first - offset)[target]  # (E,)
    relation = 2 * (num_speakers * speakers[source] + speakers[target]) + (source >= target)
    return torch.stack([source, target]), relation
