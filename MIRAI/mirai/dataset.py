"""Utterances as the extractor's input: normalised waveforms and token numbers, in batches.

Shapes: `B` utterances, `T` tokens, `W` windows of speech (one for each utterance of up to 60 s, else several), `S`
samples.
"""

import math
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from erc.corpus.transcripts import read_sentences
from erc.options import UserError
from mirai.speech import RECEPTIVE_FIELD, SAMPLE_RATE, read_speech

MAX_WINDOW = 60 * SAMPLE_RATE  # samples; longer speech is cut into equal windows


@dataclass
class UtteranceBatch:
    """A batch of utterances; the fields of a modality that is not in use are None."""

    labels: torch.Tensor  # (B,) emotion numbers
    tokens: torch.Tensor | None = None  # (B, T)
    token_mask: torch.Tensor | None = None  # (B, T) True where there is a token
    windows: torch.Tensor | None = None  # (W, S) normalised speech, zeros where there is none
    samples: torch.Tensor | None = None  # (W,) the length of each window
    owner: torch.Tensor | None = None  # (W,) the utterance (0 .. B-1) that each window belongs to
    targets: torch.Tensor | None = None  # (B, C) in training with soft labels: the share of each emotion
    feelings: torch.Tensor | None = None  # (B, 2) in training of valence and arousal, on the networks' scale

    def __len__(self):
        return len(self.labels)

    def to(self, device, non_blocking=False):
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self):
        return self._map(torch.Tensor.pin_memory)

    def _map(self, function):
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return UtteranceBatch(**{name: None if value is None else function(value) for name, value in values.items()})


class UtteranceDataset(Dataset):
    """The utterances of a split. Only the files of the modalities in use are opened.

    Args:
        utterances: list of `Utterance`.
        folder: where `<segment_id>.wav` and `<segment_id>.txt` are.
        tokenize: function from sentences to lists of token numbers; None: text is not used.
        normalize: function from a waveform to what the audio encoder takes; None: speech is not used.
        pad_token: the token number that fills a batch up.
    Raises:
        UserError: a file is missing, or a transcript cannot be decoded.
    """

    def __init__(self, utterances, folder, tokenize=None, normalize=None, pad_token=0):
        self.utterances = utterances
        self.normalize = normalize
        self.pad_token = pad_token
        self.speech = [Path(folder) / f"{utterance.segment_id}.wav" for utterance in utterances] if normalize else None
        self.versions = [_version(path) for path in self.speech] if normalize else None
        self.tokens = tokenize(read_sentences(utterances, folder)) if tokenize else None

    def __len__(self):
        return len(self.utterances)

    def __getitem__(self, index):
        tokens = torch.tensor(self.tokens[index]) if self.tokens else None
        windows = split_windows(self.normalize(self.wave(index))) if self.speech else None
        return self.utterances[index].label, tokens, windows

    def wave(self, index):
        """(samples,) the speech of an utterance."""
        return read_speech(self.speech[index])

    def identity(self, index):
        """Plain values that an utterance's embeddings depend on, besides the network."""
        tokens = self.tokens[index] if self.tokens else None
        return [self.utterances[index].segment_id, tokens, self.versions[index] if self.versions else None]

    @property
    def lengths(self):
        """The length of every utterance, by which batches are made: seconds, or tokens without speech."""
        return [self.length(index) for index in range(len(self))]

    def length(self, index):
        return self.utterances[index].seconds if self.speech else len(self.tokens[index])

    def collate(self, items):
        """An `UtteranceBatch` of items."""
        labels, tokens, windows = zip(*items, strict=True)
        batch = UtteranceBatch(torch.tensor(labels))
        if self.tokens:
            batch.tokens, lengths = _pad(tokens, self.pad_token)
            batch.token_mask = torch.arange(batch.tokens.shape[1]) < lengths[:, None]  # (B, T)
        if self.speech:
            batch.windows, batch.samples = _pad([window for own in windows for window in own], 0.0)
            batch.owner = torch.repeat_interleave(torch.tensor([len(own) for own in windows]))
        return batch


def split_windows(wave):
    """A normalised waveform as equal windows of at most 60 s, each of at least one receptive field.

    Args:
        wave: (samples,) float32.
    Returns:
        list of (S,) float32 tensors; one, unless the waveform is longer than 60 s.
    """
    count = max(1, math.ceil(len(wave) / MAX_WINDOW))
    windows = [torch.from_numpy(np.ascontiguousarray(piece)) for piece in np.array_split(wave, count)]
    short = RECEPTIVE_FIELD - len(windows[-1])
    return [torch.nn.functional.pad(window, (0, short)) for window in windows] if short > 0 else windows


def _version(path):
    """Name, size and modification time of a file, which tell its versions apart."""
    try:
        found = path.stat()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; a corpus of text alone takes --using_model text") from None
    return path.name, found.st_size, found.st_mtime_ns


def _pad(rows, value):
    """Rows of different lengths as one tensor filled up with `value`, and the lengths."""
    padded = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)
    return padded, torch.tensor([len(row) for row in rows])
