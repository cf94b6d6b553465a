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
from mirai.audio_cache import Recordings
from mirai.speech import SAMPLE_RATE

MAX_WINDOW = 60 * SAMPLE_RATE  # samples; longer speech is cut into equal windows
RECEPTIVE_FIELD = 400  # samples of one frame of a Wav2Vec2; shorter speech is padded with zeros to it


@dataclass
class UtteranceBatch:
    """A batch of utterances; the fields of a modality that is not in use are None.

    Attributes:
        index: (B,) the utterances' places in the dataset.
        labels: (B,) emotion numbers.
        tokens, token_mask: (B, T) token numbers, and True where there is one.
        windows: (W, S) normalised speech, zeros where there is none.
        samples: (W,) the length of each window.
        owner: (W,) the utterance (0 .. B-1) that each window belongs to.
    """

    index: torch.Tensor
    labels: torch.Tensor
    tokens: torch.Tensor | None = None
    token_mask: torch.Tensor | None = None
    windows: torch.Tensor | None = None
    samples: torch.Tensor | None = None
    owner: torch.Tensor | None = None

    def __len__(self):
        return len(self.labels)

    def to(self, device, non_blocking=False):
        return self._each(lambda values: values.to(device, non_blocking=non_blocking))

    def pin_memory(self):
        return self._each(torch.Tensor.pin_memory)

    def _each(self, change):
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return UtteranceBatch(**{name: value if value is None else change(value) for name, value in values.items()})


class UtteranceDataset(Dataset):
    """The utterances of a split. Only the files of the modalities in use are opened.

    Args:
        utterances: list of `Utterance`.
        folder: where `<segment_id>.wav` and `<segment_id>.txt` are.
        tokenize: function from sentences to lists of token numbers; None: text is not used.
        normalize: function from a waveform to what the audio encoder takes; None: speech is not used.
        pad_token: the token number that fills a batch up.
        cache: folder of decoded speech, see `Recordings`; None: speech is decoded whenever it is read.
    """

    def __init__(self, utterances, folder, tokenize=None, normalize=None, pad_token=0, cache=None):
        self.utterances = utterances
        self.normalize = normalize
        self.recordings = None
        if normalize:
            paths = [Path(folder) / f"{utterance.segment_id}.wav" for utterance in utterances]
            self.recordings = Recordings(paths, cache)
        self.pad_token = pad_token
        self.tokens = tokenize(read_sentences(utterances, folder)) if tokenize else None

    def __len__(self):
        return len(self.utterances)

    def __getitem__(self, index):
        utterance = self.utterances[index]
        tokens = torch.tensor(self.tokens[index]) if self.tokens is not None else None
        windows = None
        if self.normalize is not None:
            windows = split_windows(self.normalize(self.recordings.read(index)))
        return index, utterance.label, tokens, windows

    def identity(self, index):
        """What an utterance's embeddings depend on, besides the network, as plain values."""
        tokens = self.tokens[index] if self.tokens is not None else None
        return [self.utterances[index].segment_id, tokens, self.recordings.keys[index] if self.recordings else None]

    @property
    def lengths(self):
        """How long each utterance is, to put alike ones into a batch: seconds, or tokens without speech."""
        return [self.length(index) for index in range(len(self))]

    def length(self, index):
        return self.utterances[index].seconds if self.normalize is not None else len(self.tokens[index])

    def collate(self, items):
        """A `UtteranceBatch` of items."""
        index, labels, tokens, windows = zip(*items, strict=True)
        batch = UtteranceBatch(torch.tensor(index), torch.tensor(labels))
        if self.tokens is not None:
            batch.tokens, lengths = _pad(tokens, self.pad_token)
            batch.token_mask = torch.arange(batch.tokens.shape[1]) < lengths[:, None]  # (B, T)
        if self.normalize is not None:
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
    windows = [torch.from_numpy(np.ascontiguousarray(part)) for part in np.array_split(wave, count)]
    short = RECEPTIVE_FIELD - len(windows[-1])
    return [torch.nn.functional.pad(window, (0, short)) for window in windows] if short > 0 else windows


def _pad(rows, value):
    """Rows of different lengths as one tensor filled up with `value`, and the lengths."""
    padded = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)
    return padded, torch.tensor([len(row) for row in rows])
