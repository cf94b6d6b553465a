import numpy as np
import torch

from mirai.dataset import MAX_WINDOW, RECEPTIVE_FIELD, EpochSampler, split_windows


def test_windows_are_equal_parts_that_lose_nothing():
    wave = np.arange(2.5 * MAX_WINDOW, dtype=np.float32)
    windows = split_windows(wave)
    assert [len(window) for window in windows] == [800_000] * 3
    np.testing.assert_array_equal(torch.cat(windows).numpy(), wave)
    assert len(split_windows(wave[:MAX_WINDOW])) == 1 and len(split_windows(wave[: MAX_WINDOW + 1])) == 2


def test_short_speech_is_padded_to_the_receptive_field():
    (window,) = split_windows(np.ones(10, dtype=np.float32))
    assert window.shape == (RECEPTIVE_FIELD,) and window.sum() == 10


def order(seed=0, epoch=0, count=103, **settings):
    lengths = np.random.default_rng(5).random(count).tolist()
    sampler = EpochSampler(lengths, 4, 16, seed, **settings)
    sampler.set_epoch(epoch)
    return list(sampler), lengths


def test_every_utterance_once_in_an_order_of_seed_and_epoch():
    first, _ = order()
    assert sorted(first) == list(range(103))
    assert first == order()[0] and first != order(epoch=1)[0] and first != order(seed=1)[0]


def test_batches_hold_alike_lengths():
    places, lengths = order(count=400)
    values = np.array(lengths)[places].reshape(-1, 4)
    assert np.ptp(values, axis=1).mean() < 0.3  # of random batches: 0.6


def test_processes_share_an_epoch():
    shares = [order(rank=rank, world_size=2)[0] for rank in range(2)]
    assert len(shares[0]) == len(shares[1]) == 52
    assert set(shares[0]) | set(shares[1]) == set(range(103))
