"""What the test turns share with the training turns (dev among them), and what that is worth.

Each kind of sharing is a mask over the N test turns. Whoever is scored on turns that training has seen in one form or
another is scored in part on looking up.
"""

import hashlib
from collections import defaultdict
from pathlib import Path
from statistics import multimode

import numpy as np

from erc.corpus.corpora import MODALITIES, UNLABELLED

ALIKE = 0.95  # cosine of the features of two turns that are nearly the same
_CHUNK = 1024  # turns that are compared at once


def shared(splits, corpus, txt_wav=None):
    """By kind of sharing, which test turns share it with a training turn.

    Args:
        splits: {split: list of `Dialogue`}.
        txt_wav: the folder of the speech, to find recordings that are there twice.
    Returns:
        {kind: (N,) bool}
    """
    train, test = [*splits["train"], *splits["dev"]], splits["test"]
    kinds = {
        "session": lambda dialogue: [corpus.session_of(dialogue.id)] * len(dialogue),
        "speaker": lambda dialogue: _people(dialogue, corpus),
        "script or scenario": lambda dialogue: [corpus.script_of(dialogue.id)] * len(dialogue),
        "sentence": lambda dialogue: [sentence or None for sentence in dialogue.sentences],
    }
    if txt_wav:
        kinds["recording"] = lambda dialogue: [_digest(Path(txt_wav) / f"{name}.wav") for name in dialogue.segment_ids]
    masks = {}
    for kind, keys in kinds.items():
        before = {key for dialogue in train for key in keys(dialogue)} - {None}
        masks[kind] = np.array([key in before for dialogue in test for key in keys(dialogue)])
    for modality in train[0].features:
        rows = [np.concatenate([one.features[modality] for one in part]) for part in (train, test)]
        masks[f"{MODALITIES[modality]} alike"] = _nearest(*rows) > ALIKE
    return masks


def told_by_sentence(splits):
    """Of the test turns whose sentence is in training, how many have the label that is commonest there with it (of
    several that are as common, each is worth a part), and how many there are."""
    labels = defaultdict(list)
    for dialogue in [*splits["train"], *splits["dev"]]:
        for sentence, label in zip(dialogue.sentences, dialogue.labels.tolist(), strict=True):
            if sentence and label != UNLABELLED:
                labels[sentence].append(label)
    commonest = {sentence: multimode(found) for sentence, found in labels.items()}
    right = [
        (label in commonest[sentence]) / len(commonest[sentence])
        for dialogue in splits["test"]
        for sentence, label in zip(dialogue.sentences, dialogue.labels.tolist(), strict=True)
        if sentence in commonest and label != UNLABELLED
    ]
    return sum(right), len(right)


def _people(dialogue, corpus):
    """Who speaks each turn: where a corpus calls its speakers M and F, each session has its own."""
    session = corpus.session_of(dialogue.id) if corpus.speakers else None
    return [(session, speaker) for speaker in dialogue.speakers]


def _digest(path):
    """The same for the same samples: whatever the header says, and however much digital silence is around them."""
    import soundfile

    with path.open("rb") as file:
        try:
            samples = soundfile.read(file, dtype="int16", always_2d=True)[0]
        except (soundfile.LibsndfileError, RuntimeError):
            file.seek(0)  # of another form: its bytes
            return hashlib.file_digest(file, "sha256").hexdigest()
    there = np.flatnonzero(samples.any(axis=1))
    spoken = samples[there[0] : there[-1] + 1] if len(there) else samples
    return hashlib.sha256(spoken.tobytes()).hexdigest()


def _nearest(train, test):
    """(N,) the largest cosine of each test turn's features with a training turn's."""
    train, test = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12) for rows in (train, test))
    return np.concatenate([(test[k : k + _CHUNK] @ train.T).max(axis=1) for k in range(0, len(test), _CHUNK)])
