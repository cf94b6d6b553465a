"""The batches of an epoch, of its optimizer steps and of the processes."""

import numpy as np
import pytest
import torch

from mirai.training.sampling import EpochBatches, batches_in_order, padding_share

# Seconds at the percentages of FACTS: KEMDy19's utterances of at most 25 s.
PERCENT = [0, 1, 5, 25, 50, 75, 95, 99, 100]
SECONDS = [0.3, 0.56, 1.07, 2.34, 4.18, 7.33, 14.5, 21.1, 25]


def durations(count, seed=0):
    share = 100 * np.random.default_rng(seed).random(count)
    return np.exp(np.interp(share, PERCENT, np.log(SECONDS)))


def make(seed=0, epoch=0, count=103, batch_size=4, batches_per_step=1, **settings):
    batches = EpochBatches(durations(count), batch_size, batches_per_step, seed, **settings)
    batches.set_epoch(epoch)
    return batches


def steps(accumulate, **settings):
    """The optimizer steps of an epoch, each as a sorted list of all processes' places, and the counted shares."""
    world = settings.get("world_size", 1)
    ranks = [make(batches_per_step=accumulate * world, rank=rank, **settings) for rank in range(world)]
    assert len({len(rank) for rank in ranks}) == 1  # else processes would wait for each other for ever
    found = []
    for first in range(0, len(ranks[0]), accumulate):
        places, totals = [], []
        for rank in ranks:
            for batch, (own, total) in list(zip(rank, rank.shares, strict=True))[first : first + accumulate]:
                assert own in (len(batch), 0)
                places += batch[:own]
                totals.append(total)
        assert set(totals) == {len(places)}
        found.append(sorted(places))
    return found


MODES = {"by number": {}, "by duration": {"batch_size": None, "max_seconds": 40.0}}


@pytest.mark.parametrize("mode", MODES)
def test_every_utterance_once_in_an_order_of_seed_and_epoch(mode):
    def order(**settings):
        return [place for batch in make(**MODES[mode], **settings) for place in batch]

    assert sorted(order()) == list(range(103))
    assert order() == order() and order() != order(epoch=1) and order() != order(seed=1)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("count", [1, 2, 5, 64, 97, 103, 300])
@pytest.mark.parametrize(("accumulate", "world_size"), [(1, 2), (3, 2), (2, 5), (1, 1)])
def test_processes_share_an_epoch_and_double_nothing(mode, count, accumulate, world_size):
    found = steps(accumulate, count=count, world_size=world_size, **MODES[mode])
    assert sorted(place for step in found for place in step) == list(range(count))


@pytest.mark.parametrize("count", [103, 97])
def test_the_division_of_a_step_does_not_matter(count):
    expected = steps(1, batch_size=12, count=count)
    assert len(expected[0]) == 12 and len(expected[-1]) == count % 12
    for batch_size, accumulate, world_size in [(4, 3, 1), (4, 1, 3), (2, 2, 3), (1, 4, 3), (6, 2, 1)]:
        assert steps(accumulate, batch_size=batch_size, world_size=world_size, count=count) == expected
    by_duration = {**MODES["by duration"], "count": count}
    expected = steps(6, **by_duration)
    assert steps(2, world_size=3, **by_duration) == expected == steps(1, world_size=6, **by_duration)


@pytest.mark.parametrize("budget", [30, 40, 80, 160])
def test_batches_of_limited_duration_hold_little_padding(budget):
    """Of an epoch of KEMDy19's size; the published order is random, two by two."""
    lengths = durations(8555)
    assert abs(lengths.mean() - 5.49) < 0.15
    for epoch in range(2):
        batches = make(count=8555, batch_size=None, max_seconds=budget, epoch=epoch)
        for batch in batches:
            assert len(batch) * lengths[batch].max() <= budget
        assert padding_share(lengths, batches) < 0.05
        filled = [len(batch) * lengths[batch].max() / budget for batch in batches]
        assert np.mean(filled) > 0.8
    published = np.random.default_rng(1).permutation(8555)[:8554].reshape(-1, 2).tolist()
    assert 0.25 < padding_share(lengths, published) < 0.35


def test_batches_of_limited_duration_mix_anew_in_every_epoch():
    """How often two utterances of a batch meet again in the next epoch; by chance alone: 0.003."""
    pairs = []
    for epoch in range(2):
        batches = make(count=8555, batch_size=None, max_seconds=160, epoch=epoch)
        pairs.append({pair for batch in batches for pair in zip(sorted(batch), sorted(batch)[1:], strict=False)})
    assert len(pairs[0] & pairs[1]) / len(pairs[0]) < 0.1


def naive_batches(lengths, per_step, seed, epoch, max_seconds, world_size):
    """The steps of limited duration, each as lists of places, written down step by step."""
    generator = torch.Generator().manual_seed(100_003 * seed + epoch)
    order = torch.randperm(len(lengths), generator=generator)
    pools = min(len(order), max(4, round(sum(lengths) / (64 * max_seconds))))
    batches = []
    for pool in order.tensor_split(pools):
        rest, pieces = sorted(pool.tolist(), key=lambda place: lengths[place]), []
        while rest:
            batch = [rest.pop()]
            while rest and (len(batch) + 1) * lengths[batch[0]] <= max_seconds:
                batch.insert(1, rest.pop())
            pieces.append(batch[1:] + batch[:1])
        batches += [pieces[k] for k in torch.randperm(len(pieces), generator=generator)]
    for first in range(0, len(batches), per_step):
        step = batches[first : first + per_step]
        while len(step) % world_size:
            k = max(range(len(step)), key=lambda k: (len(step[k]), -k))  # the first of the largest
            half = (len(step[k]) + 1) // 2
            step[k : k + 1] = [step[k][:half], step[k][half:]]
        yield step


@pytest.mark.parametrize("scale", [0.05, 1.0])
@pytest.mark.parametrize(("count", "world_size"), [(1500, 1), (9000, 1), (95, 3), (101, 3), (7, 5)])
def test_batches_of_limited_duration_are_those_of_a_naive_program(scale, count, world_size):
    lengths = scale * durations(count)
    for epoch in range(2):
        steps = list(naive_batches(lengths.tolist(), 2 * world_size, 3, epoch, 40.0 * scale, world_size))
        for rank in range(world_size):
            settings = {"max_seconds": 40.0 * scale, "rank": rank, "world_size": world_size}
            batches = EpochBatches(lengths, None, 2 * world_size, 3, **settings)
            assert batches.sampler is batches  # where Lightning looks for set_epoch
            if epoch:
                batches.set_epoch(epoch)
            expected = [batch for step in steps for batch in step[rank::world_size]]
            assert list(batches) == [batch or step[0][:1] for step in steps for batch in step[rank::world_size]]
            assert [own for own, _ in batches.shares] == [len(batch) for batch in expected]


def test_a_process_without_an_utterance_gets_one_that_counts_nothing():
    ranks = [EpochBatches([1.0] * 9, 4, 4, 0, rank=rank, world_size=4) for rank in range(4)]
    assert [len(rank) for rank in ranks] == [1, 1, 1, 1]
    ranks = [EpochBatches([1.0] * 18, 4, 4, 0, rank=rank, world_size=4) for rank in range(4)]
    assert [rank.shares[-1] for rank in ranks] == [(1, 2), (1, 2), (0, 2), (0, 2)]
    assert [len(list(rank)[-1]) for rank in ranks] == [1, 1, 1, 1]
    ranks = [EpochBatches([1.0] * 3, None, 5, 0, 9.0, rank=rank, world_size=5) for rank in range(5)]
    assert sorted(rank.shares[-1] for rank in ranks)[:2] == [(0, 3), (0, 3)]
    first = list(ranks[0])[-1]
    assert all(len(list(rank)[-1]) == 1 for rank in ranks) and first


def test_both_limits_hold():
    assert max(map(len, make(batch_size=3, max_seconds=40.0))) == 3
    assert max(map(len, make(batch_size=None, max_seconds=40.0))) > 3


def test_batches_hold_similar_lengths():
    lengths = durations(400)
    batches = list(make(count=400, batches_per_step=4))
    assert padding_share(lengths, batches) < 0.1
    assert padding_share(lengths, np.random.default_rng(0).permutation(400).reshape(-1, 4).tolist()) > 0.3


@pytest.mark.parametrize("max_seconds", [None, 40.0])
def test_validation_batches_are_shared_and_hold_each_utterance_once(max_seconds):
    found = [batches_in_order(durations(31), 4, max_seconds, rank, 3) for rank in range(3)]
    assert sorted(place for rank in found for batch in rank for place in batch) == list(range(31))
    assert max(len(batch) for rank in found for batch in rank) == 4
    alone = batches_in_order(durations(31), 4, max_seconds)
    assert sorted(place for batch in alone for place in batch) == list(range(31))
    if max_seconds:
        assert max(len(batch) * durations(31)[batch].max() for batch in alone) <= max_seconds


def test_padding_share():
    assert padding_share([1.0, 3.0, 2.0], [[0, 1], [2]]) == pytest.approx(2 / 8)
