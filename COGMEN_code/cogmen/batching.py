"""Dialogues as tensors, and batches of them.

A batch is packed: the N turns of its B dialogues stand one after another, without padding. What needs one row per
dialogue (attention, recurrent layers) pads for itself with `Layout.pad` and goes back with `Layout.unpad`.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch

from cogmen.graph import dialogue_graph


@dataclass
class Layout:
    """Where the packed turns of a batch stand when each dialogue has a row of its own.

    Attributes:
        lengths: (B,) turns in each dialogue.
        place: (N,) a turn's place in the padded batch, flattened to (B L).
        mask: (B, L) True where there is a turn.
    """

    lengths: torch.Tensor
    place: torch.Tensor
    mask: torch.Tensor

    @classmethod
    def of(cls, lengths):
        """The layout of dialogues with these many turns (a list of ints)."""
        lengths = torch.as_tensor(lengths)
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        return cls(lengths, mask.flatten().nonzero().squeeze(1), mask)

    def pad(self, turns):
        """(N, D) -> (B, L, D), zeros where there is no turn."""
        padded = turns.new_zeros(self.mask.numel(), turns.shape[1]).index_copy(0, self.place, turns)
        return padded.view(*self.mask.shape, turns.shape[1])

    def unpad(self, padded):
        """(B, L, D) -> (N, D)."""
        return padded.flatten(0, 1)[self.place]

    def to(self, device):
        return Layout(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass
class Batch:
    """Some dialogues, packed: `features` (N, D), `labels` (N,), `edge_index` (2, E), `edge_type` (E,), `layout`."""

    features: torch.Tensor
    labels: torch.Tensor
    edge_index: torch.Tensor
    edge_type: torch.Tensor
    layout: Layout

    def to(self, device):
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass
class Dialogue:
    """One dialogue of L turns: `features` (L, D) float32, `speakers` (L,), `labels` (L,), and what its turns are."""

    id: str
    features: torch.Tensor
    speakers: torch.Tensor
    labels: torch.Tensor
    segment_ids: list


def as_tensors(records, modalities):
    """The dialogues of a preprocessed file's split, the chosen modalities joined in the order a, t, v."""
    return [
        Dialogue(
            id=record["id"],
            features=torch.from_numpy(np.concatenate([record[modality] for modality in modalities], axis=1)),
            speakers=torch.from_numpy(record["speakers"]),
            labels=torch.from_numpy(record["labels"]),
            segment_ids=record["segment_ids"],
        )
        for record in records
    ]


def collate(dialogues, wp, wf, num_speakers):
    """A `Batch` of `Dialogue`s, their graph included."""
    lengths = torch.tensor([len(dialogue.labels) for dialogue in dialogues])
    speakers = torch.cat([dialogue.speakers for dialogue in dialogues])
    edge_index, edge_type = dialogue_graph(lengths, speakers, wp, wf, num_speakers)
    return Batch(
        features=torch.cat([dialogue.features for dialogue in dialogues]),
        labels=torch.cat([dialogue.labels for dialogue in dialogues]),
        edge_index=edge_index,
        edge_type=edge_type,
        layout=Layout.of(lengths),
    )


def batches(dialogues, batch_size, collate_options, generator=None):
    """The dialogues in batches: in their order, or shuffled by a `torch.Generator`."""
    order = torch.randperm(len(dialogues), generator=generator).tolist() if generator else range(len(dialogues))
    dialogues = [dialogues[k] for k in order]
    for start in range(0, len(dialogues), batch_size):
        yield collate(dialogues[start : start + batch_size], **collate_options)
