"""Graphs by array arithmetic against the plain loops, and by hand."""

import numpy as np
import pytest

from cogmen.network.graph import RELATIONS, dialogue_graph, num_relations, usual_relations
from tests.oracles import naive_graph


@pytest.mark.parametrize("wp", [-1, 0, 2, 5])
@pytest.mark.parametrize("wf", [-1, 0, 1, 5])
@pytest.mark.parametrize("num_speakers", [1, 2, 3])
@pytest.mark.parametrize("kind", RELATIONS)
def test_equals_the_loops(wp, wf, num_speakers, kind):
    lengths = [1, 7, 2, 13, 1]
    speakers = np.random.default_rng(0).integers(num_speakers, size=sum(lengths))
    edge_index, edge_type = dialogue_graph(np.array(lengths), speakers, wp, wf, num_speakers, kind)
    edges, relations = naive_graph(lengths, speakers.tolist(), wp, wf, num_speakers, kind)
    assert list(map(tuple, edge_index.T.tolist())) == edges
    assert edge_type.tolist() == relations
    assert edge_type.max() < num_relations(num_speakers, kind)


def test_wp_is_the_past_and_wf_the_future():
    edge_index, _ = dialogue_graph(np.array([4]), np.zeros(4, dtype=int), wp=1, wf=0, num_speakers=1)
    assert edge_index.T.tolist() == [[0, 0], [0, 1], [1, 1], [1, 2], [2, 2], [2, 3], [3, 3]]


def test_relation_by_hand():
    # turn 0 is spoken by M (0), turn 1 by F (1): M -> F forward is 2 (2 * 0 + 1), F -> M backward 2 (2 * 1 + 0) + 1.
    edge_index, edge_type = dialogue_graph(np.array([2]), np.array([0, 1]), wp=1, wf=1, num_speakers=2)
    relation = dict(zip(map(tuple, edge_index.T.tolist()), edge_type.tolist(), strict=True))
    assert relation == {(0, 0): 1, (1, 0): 5, (0, 1): 2, (1, 1): 7}


def test_same_or_other_speaker_by_hand():
    # turns of Ross, Monica, Ross: 0 and 1 from another speaker before and after, 2 and 3 from the same
    edge_index, edge_type = dialogue_graph(np.array([3]), np.array([0, 1, 0]), -1, -1, 2, "same_other")
    relation = dict(zip(map(tuple, edge_index.T.tolist()), edge_type.tolist(), strict=True))
    others = {(0, 1): 0, (1, 2): 0, (1, 0): 1, (2, 1): 1}
    assert relation == {**others, (0, 2): 2, (2, 0): 3, (0, 0): 3, (1, 1): 3, (2, 2): 3}


def test_who_the_speakers_are_does_not_matter_then():
    turns = np.array([0, 4, 1, 0, 8, 4])
    renamed = np.array([7, 2, 0, 7, 3, 2])
    graphs = [dialogue_graph(np.array([6]), speakers, 5, 5, 1, "same_other")[1] for speakers in (turns, renamed)]
    assert graphs[0].tolist() == graphs[1].tolist() and set(graphs[0]) == {0, 1, 2, 3}


def test_more_than_two_speakers_are_not_told_apart_unless_asked():
    assert [usual_relations(number) for number in (1, 2, 3, 9)] == ["speakers"] * 2 + ["same_other"] * 2
