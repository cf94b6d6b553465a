"""Batches of dialogues, as tensors.

A batch is packed: the N turns of its B dialogues stand one after another, without padding. What needs one row per
dialogue (attention, recurrent layers) pads for itself with `Layout.pad` and goes back with `Layout.unpad`.

Features and labels stay on the device, but for features that are still on the disk (`erc.corpus.shards.StoredRows`):
those are read for each batch. What a batch looks like (which turns, which edges, where padding would be) is arranged
with numpy on the host, which knows every size, so that a training step never waits for the device.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import torch

from cogmen.network.graph import dialogue_graph
from erc.corpus.corpora import UNLABELLED
from erc.corpus.shards import StoredRows
from erc.options import UserError


@dataclass
class Layout:
    """Where the packed turns of a batch stand when each dialogue has a row of its own.

    Attributes:
        lengths: (B,) turns in each dialogue, on the CPU.
        place: (N,) a turn's place in the padded batch, flattened to (B L).
        mask: (B, L) True where there is a turn.
    """

    lengths: torch.Tensor
    place: torch.Tensor
    mask: torch.Tensor

    @classmethod
    def of(cls, lengths, device="cpu"):
        """The layout of dialogues with these many turns (a list of ints)."""
        lengths = np.asarray(lengths, dtype=np.int64)
        mask = np.arange(lengths.max()) < lengths[:, None]
        place = np.flatnonzero(mask)
        return cls(torch.from_numpy(lengths), _send(place, device), _send(mask, device))

    def pad(self, turns):
        """(N, D) -> (B, L, D), zeros where there is no turn."""
        padded = turns.new_zeros(self.mask.numel(), turns.shape[1]).index_copy(0, self.place, turns)
        return padded.view(*self.mask.shape, turns.shape[1])

    def unpad(self, padded):
        """(B, L, D) -> (N, D)."""
        return padded.flatten(0, 1).index_select(0, self.place)


@dataclass
class DialogueBatch:
    """Some dialogues, packed: `features` (N, D), `labels` (N,), or (N, emotions) where a turn may have several,
    `speakers` (N,), `layout`; `windows` (wp, wf). In training with soft labels `targets` (N, emotions), the share of
    each emotion; all 0 where a turn has none. In training of
    valence and arousal `feelings` (N, 2), on the networks' scale.

    Their graph, where the network has one: `edge_index` (2, E), `edge_type` (E,).
    """

    features: torch.Tensor
    labels: torch.Tensor
    edge_index: torch.Tensor | None
    edge_type: torch.Tensor | None
    layout: Layout
    speakers: torch.Tensor | None = None
    windows: tuple[int, int] = (-1, -1)
    targets: torch.Tensor | None = None
    feelings: torch.Tensor | None = None


def add_absent(dialogues, feature_sizes):
    """Give dialogues the features that they lack, all 0, by which `MaskedAttentionNetwork` knows that they are absent.

    Args:
        feature_sizes: by modality, the size of its features.
    """
    for dialogue in dialogues:
        for modality, size in feature_sizes.items():
            if modality not in dialogue.features:
                dialogue.features[modality] = np.zeros((len(dialogue), size), dtype=np.float32)


class DialogueSet:
    """Dialogues ready for batching: labels, and features that are in memory, on the device.

    Args:
        dialogues: list of `erc.corpus.dialogues.Dialogue`.
        modalities: whose features a turn has, such as `at`, joined in this order.
        corpus: `erc.corpus.corpora.Corpus`, which numbers the speakers.
        wp, wf, num_speakers, relations: as `cogmen.network.graph.dialogue_graph` has them; without `num_speakers` there
            may be any number, and batches have no graph.
        device: where the batches are wanted.
    Raises:
        UserError: a dialogue has more speakers than the relations tell apart.
    """

    def __init__(self, dialogues, modalities, corpus, wp, wf, num_speakers, device="cpu", relations="speakers"):
        self.dialogues, self.modalities = dialogues, modalities
        self.device, self.windows, self.num_speakers = torch.device(device), (wp, wf), num_speakers
        self.alike = False  # whether `order`, when it shuffles, puts dialogues of like lengths together
        self.lengths = np.array([len(dialogue) for dialogue in dialogues])
        self.labelled = np.array(
            [(dialogue.labels != UNLABELLED).reshape(len(dialogue), -1).all(axis=1).sum() for dialogue in dialogues]
        )
        # For each modality, the (L, D) features of each dialogue: joined only in a batch, not to be held twice.
        self.features = [[self._on_device(dialogue.features[m]) for dialogue in dialogues] for m in modalities]
        self.labels = [self._on_device(dialogue.labels) for dialogue in dialogues]
        self.targets = self.feelings = None
        self.speakers = [np.array(corpus.speaker_numbers(dialogue.speakers)) for dialogue in dialogues]
        self.relations = relations
        if num_speakers is None or relations != "speakers":
            return
        for dialogue, numbers in zip(dialogues, self.speakers, strict=True):
            if numbers.max() >= num_speakers:
                found = f"dialogue {dialogue.id} has {numbers.max() + 1} speakers"
                raise UserError(f"{found}, the network was made for {num_speakers}; train it on such dialogues")

    def _on_device(self, array):
        if isinstance(array, StoredRows):
            return array
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nothing here writes to it
            return torch.from_numpy(array).to(self.device)

    def train_on(self, targets):
        """Give the batches targets, for each dialogue (L, emotions) float32, by which their losses count turns."""
        self.targets = [self._on_device(rows) for rows in targets]
        self.labelled = np.array([(rows > 0).any(axis=1).sum() for rows in targets])

    def train_feelings(self, feelings):
        """Give the batches valence and arousal, for each dialogue (L, 2) float32."""
        self.feelings = [self._on_device(rows) for rows in feelings]

    def __len__(self):
        return len(self.lengths)

    def order(self, batch_size, generator=None):
        """The dialogues' numbers in batches: in their order, or shuffled by a `torch.Generator`."""
        numbers = torch.randperm(len(self), generator=generator).tolist() if generator else list(range(len(self)))
        if generator and self.alike:  # each length counts as up to about a third more or less, drawn anew each time
            drawn = self.lengths * torch.randn(len(self), generator=generator).mul(0.3).exp().numpy()
            numbers.sort(key=lambda k: drawn[k])
        batches = [numbers[start : start + batch_size] for start in range(0, len(numbers), batch_size)]
        if generator and self.alike:
            batches = [batches[k] for k in torch.randperm(len(batches), generator=generator)]
        return batches

    def batch(self, numbers):
        """The `DialogueBatch` of the dialogues with these numbers, on the device."""
        lengths, speakers = self.lengths[numbers], np.concatenate([self.speakers[k] for k in numbers])
        edge_index = edge_type = None
        if self.num_speakers is not None:
            graph = dialogue_graph(lengths, speakers, *self.windows, self.num_speakers, self.relations)
            edge_index, edge_type = (_send(array, self.device) for array in graph)
        features = [self._joined([rows[k] for k in numbers]) for rows in self.features]
        return DialogueBatch(
            features=features[0] if len(features) == 1 else torch.cat(features, dim=1),
            labels=torch.cat([self.labels[k] for k in numbers]),
            edge_index=edge_index,
            edge_type=edge_type,
            layout=Layout.of(lengths, self.device),
            speakers=_send(speakers, self.device),
            windows=self.windows,
            targets=None if self.targets is None else torch.cat([self.targets[k] for k in numbers]),
            feelings=None if self.feelings is None else torch.cat([self.feelings[k] for k in numbers]),
        )

    def _joined(self, parts):
        """(N, D) the features of one modality of some dialogues, on the device."""
        if all(isinstance(rows, torch.Tensor) for rows in parts):
            return torch.cat(parts)
        return _send(np.concatenate([np.asarray(rows) for rows in parts]), self.device)


def _send(array, device):
    """A numpy array as a tensor on the device, without waiting for the device."""
    tensor = torch.from_numpy(array)
    if torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor
