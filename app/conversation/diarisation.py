"""Who speaks when on one channel: a guess by the sound of the voices.

Stretches of speech are cut into overlapping windows, the windows are clustered by how they sound, a cluster for each
speaker, and what the windows around a moment say is averaged, so that a stretch is cut where the voice changes.
W windows, D numbers of each, F frames of `STEP` seconds, S speakers.
"""

import numpy as np

from mirai.speech import SAMPLE_RATE

STEP = 0.1  # seconds: how finely turns are cut
PAUSE = 0.2  # seconds of silence that end a stretch of speech; two speakers leave no more between them
_WINDOW, _HOP = 1.6, 0.4  # seconds
_CLEAR = 1.0  # seconds: shorter windows take no part in finding the speakers
_ROUNDS = 10  # of moving the speakers' means, at most
_SHORTEST = 0.5  # seconds: a shorter change of voice inside a stretch is taken for an error
_FRAME = 512  # samples
_COEFFICIENTS = 20  # of the cepstrum, of which the first is the loudness


def guess_speakers(wave, stretches, speakers, pause, embed=None):
    """The turns of each speaker.

    Args:
        wave: (samples,) at 16 kHz.
        stretches: list of (start, end) where someone speaks, seconds, in time order.
        speakers: how many there are.
        pause: seconds of silence that end a turn of a speaker.
        embed: a function from W waves to (W, D) of unit length; by default `describe_voices`.
    Returns:
        list of (start, end, number), numbers from 0 on in the order of their first turns.
    """
    owners = [(k, window) for k, stretch in enumerate(stretches) for window in _windows(*stretch)]
    if not owners:
        return []
    vectors = (embed or describe_voices)(
        [wave[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)] for _, (start, end) in owners]
    )
    lengths = np.array([end - start for _, (start, end) in owners])
    scores = vectors @ find_speakers(vectors, lengths, speakers).T  # (W, S)
    pieces = []
    for k, (start, end) in enumerate(stretches):
        own = [number for number, (owner, _) in enumerate(owners) if owner == k]
        pieces += _cut(start, end, [owners[number][1] for number in own], scores[own])
    return _in_order(_joined(pieces, pause))


def describe_voices(waves):
    """(W, 38) of unit length: mean and spread of the cepstrum, over those of all the windows."""
    import librosa

    found = []
    for wave in waves:
        wave = np.pad(wave, (0, max(0, _FRAME - len(wave))))
        values = librosa.feature.mfcc(y=wave, sr=SAMPLE_RATE, n_mfcc=_COEFFICIENTS, n_fft=_FRAME)[1:]
        found.append(np.concatenate([values.mean(axis=1), values.std(axis=1)]))
    found = np.stack(found)
    found = (found - found.mean(axis=0)) / np.maximum(found.std(axis=0), 1e-6)
    return (found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def find_speakers(vectors, lengths, speakers):
    """(S, D), or fewer where there are not as many windows: the mean of each speaker's windows, of unit length.

    Args:
        vectors: (W, D) of unit length; lengths: (W,) of the windows, seconds.
    """
    from sklearn.cluster import AgglomerativeClustering

    clear = vectors[lengths >= _CLEAR]
    clear = clear if len(clear) > speakers else vectors
    if len(clear) <= speakers:
        return clear
    labels = AgglomerativeClustering(speakers, metric="cosine", linkage="average").fit_predict(clear)
    for _ in range(_ROUNDS):
        means = np.stack([clear[labels == k].mean(axis=0) for k in range(speakers)])
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
        moved = (clear @ means.T).argmax(axis=1)
        if len(set(moved)) < speakers or (moved == labels).all():
            break
        labels = moved
    return means


def _windows(start, end):
    """The windows of a stretch, (start, end) each; the last one ends where it does."""
    number = 1 + max(0, int(np.ceil((end - start - _WINDOW) / _HOP)))
    starts = [max(start, min(start + k * _HOP, end - _WINDOW)) for k in range(number)]
    return [(first, min(first + _WINDOW, end)) for first in starts]


def _cut(start, end, windows, scores):
    """The pieces of a stretch, (start, end, speaker) each: every frame is the speaker's whose mean score over the
    windows around it is the highest, those in whose middle it is counting most."""
    frames = start + STEP * (np.arange(max(1, round((end - start) / STEP))) + 0.5)
    middles = np.array([(first + last) / 2 for first, last in windows])
    weights = np.clip(1 - np.abs(frames[:, None] - middles) / (_WINDOW / 2), 1e-3, 1)  # (F, W)
    runs = _without_short((weights @ scores).argmax(axis=1))
    times = [start, *(start + STEP * first for first, _, _ in runs[1:]), end]
    return [(times[k], times[k + 1], speaker) for k, (_, _, speaker) in enumerate(runs)]


def _without_short(labels):
    """(F,) labels as runs, [first, beyond the last, label]; each that is too short, the shortest first, belongs to the
    longer of its neighbours."""
    edges = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    runs = [[edges[k], edges[k + 1], int(labels[edges[k]])] for k in range(len(edges) - 1)]
    while len(runs) > 1:
        k = min(range(len(runs)), key=lambda k: runs[k][1] - runs[k][0])
        if (runs[k][1] - runs[k][0]) * STEP >= _SHORTEST:
            break
        near = [n for n in (k - 1, k + 1) if 0 <= n < len(runs)]
        runs[k][2] = runs[max(near, key=lambda n: runs[n][1] - runs[n][0])][2]
        joined = runs[:1]
        for run in runs[1:]:
            if run[2] == joined[-1][2]:
                joined[-1][1] = run[1]
            else:
                joined.append(run)
        runs = joined
    return runs


def _joined(pieces, pause):
    """Pieces of one speaker, with no more than a pause and nobody else between them, as one turn."""
    turns = []
    for start, end, speaker in pieces:
        if turns and turns[-1][2] == speaker and start - turns[-1][1] < pause:
            turns[-1][1] = end
        else:
            turns.append([start, end, speaker])
    return turns


def _in_order(turns):
    numbers = {}
    return [(start, end, numbers.setdefault(speaker, len(numbers))) for start, end, speaker in turns]
