import numpy as np
import torch

from mirai.dataset import MAX_WINDOW, RECEPTIVE_FIELD, split_windows


def test_windows_are_equal_parts_that_lose_nothing():
    wave = np.arange(2.5 * MAX_WINDOW, dtype=np.float32)
    windows = split_windows(wave)
    assert [len(window) for window in windows] == [800_000] * 3
    np.testing.assert_array_equal(torch.cat(windows).numpy(), wave)
    assert len(split_windows(wave[:MAX_WINDOW])) == 1 and len(split_windows(wave[: MAX_WINDOW + 1])) == 2


def test_short_speech_is_padded_to_the_receptive_field():
    (window,) = split_windows(np.ones(10, dtype=np.float32))
    assert window.shape == (RECEPTIVE_FIELD,) and window.sum() == 10
