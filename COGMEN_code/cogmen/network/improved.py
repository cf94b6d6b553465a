"""The network of `train.py --recipe improved`: attention with masked heads over a dialogue, several small members.

K members, V views of a turn in training, B dialogues of at most L turns, N turns in the batch, D features of a
modality, W width, H heads, E emotions. The members are small networks of one form and different weights that are
trained side by side, and whose probabilities are averaged (deep ensembles, arXiv 1612.01474; their weights are stacked,
so that one operation serves all).

The ideas, and who has shown them: a layer that normalises before it adds, so that a turn's own features pass by the
attention unchanged (arXiv 2002.04745); heads that see only the speaker's own turns, only the others', the near ones
(as COGMEN's graph does), or all (attention masked by speaker: arXiv 2005.00357, here a head for each kind in one
layer); a bias for each relative distance (arXiv 1803.02155, 1910.10683); modalities left out in training (ModDrop,
arXiv 1501.00102), here all but one, and of every dialogue in every step. A speaker is only told from the others, so
that there may be any number.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from cogmen.network.attention import PackedAttention
from cogmen.network.batching import Layout
from cogmen.network.model import drop, later_turns, on_cpu

HEADS = ("own", "other", "near", "all")  # which turns each head of attention sees
FARTHEST = 10  # turns; the bias of all that are farther is the same


@dataclass(frozen=True)
class ImprovedArchitecture:
    """The options that decide the network's tensors; they are stored in its checkpoint.

    Attributes:
        feature_sizes: by modality, D.
        num_emotions: E.
        hidden_size: W, a multiple of the number of heads.
        seqcontext_nlayer: layers of attention.
        members: K.
        drop_rate, input_drop: dropout of what a layer adds and of the classifier's input; of the features.
        recipe: which network a checkpoint holds.
        online: no head sees a turn that comes later.
        heads: which turns each head of attention sees, words of `HEADS`, as many of them.
        valence_arousal: valence and arousal are further outputs.
    """

    feature_sizes: dict
    num_emotions: int
    hidden_size: int = 64
    seqcontext_nlayer: int = 2
    members: int = 2
    drop_rate: float = 0.4
    input_drop: float = 0.2
    recipe: str = "improved"
    online: bool = False
    heads: str = " ".join(HEADS)
    valence_arousal: bool = False

    def __post_init__(self):
        if len(self.heads.split()) != len(HEADS) or not set(self.heads.split()) <= set(HEADS):
            raise ValueError(f"heads {self.heads!r}: expected {len(HEADS)} words of {', '.join(HEADS)}")
        if self.hidden_size % len(HEADS):
            raise ValueError(f"--hidden_size {self.hidden_size}: expected a multiple of {len(HEADS)}, the heads")

    @property
    def feature_size(self):
        return sum(self.feature_sizes.values())

    num_speakers = relations = None  # any number, and no graph
    multilabel = False

    @classmethod
    def from_options(cls, options, feature_sizes, num_emotions):
        """The architecture that `TrainOptions` ask for."""
        names = ("hidden_size", "seqcontext_nlayer", "drop_rate", "online", "valence_arousal")
        chosen = {name: getattr(options, name) for name in names}
        chosen |= {name: value for name, value in options.ablated.items() if name in cls.__dataclass_fields__}
        return cls(feature_sizes, num_emotions, **chosen)


class MaskedAttentionNetwork(nn.Module):
    """Features to width, layers of masked attention, classifier, over a `cogmen.network.batching.DialogueBatch`.

    A modality whose features are all 0 in a turn is absent from it.

    Shapes: a batch of N turns -> log-probabilities, in training (K V, N, E), of each member for each of V views of the
    turns (all modalities, and where there are several, each alone), else (N, E) of the members' mean.
    With `feelings` these and (K V, N, 2) or (N, 2), valence and arousal on a scale of -1 to 1.
    """

    def __init__(self, architecture):
        super().__init__()
        self.architecture = a = architecture
        self.inputs = nn.ModuleDict(
            {name: StackedLinear(a.members, size, a.hidden_size) for name, size in a.feature_sizes.items()}
        )
        self.layers = nn.ModuleList(AttentionLayer(a) for _ in range(a.seqcontext_nlayer))
        self.norm = StackedNorm(a.members, a.hidden_size)
        self.clf = StackedLinear(a.members, a.hidden_size, a.num_emotions)
        if a.valence_arousal:  # last, so that the other weights are drawn as without it
            self.feelings = StackedLinear(a.members, a.hidden_size, 2)

    def forward(self, batch, feelings=False):
        a, rate = self.architecture, self.architecture.drop_rate if self.training else 0.0
        views = self._views(batch)  # V of them
        turns = drop(torch.cat(views, dim=1), rate)  # (K, V N, W)
        sight = Sight.of(batch, a, packed=on_cpu(turns)).repeat(len(views))
        for layer in self.layers:
            turns = layer(turns, sight)
        turns = drop(self.norm(turns), rate)
        log_probs = self.clf(turns).log_softmax(dim=-1)  # (K, V N, E)
        if not self.training:
            log_probs = log_probs.logsumexp(dim=0) - math.log(a.members)
            return (log_probs, self.feelings(turns).mean(dim=0)) if feelings else log_probs
        outputs = [log_probs, self.feelings(turns)] if feelings else [log_probs]
        outputs = [one.unflatten(1, (len(views), -1)).flatten(0, 1) for one in outputs]  # (K V, N, ...)
        return tuple(outputs) if feelings else outputs[0]

    def _views(self, batch):
        """[(K, N, W), ...] the turns: the mean over the modalities that each has; in training also each of several
        modalities alone, so that the network learns to do without the others."""
        a = self.architecture
        parts = dict(zip(a.feature_sizes, batch.features.split(list(a.feature_sizes.values()), dim=1), strict=True))
        rate, bias = a.input_drop if self.training else 0.0, sum(layer.bias for layer in self.inputs.values())
        projected = []
        for name, part in parts.items():
            part = F.layer_norm(part, part.shape[1:]).expand(a.members, *part.shape)  # 0 stays 0
            projected.append(drop(part, rate) @ self.inputs[name].weight)
        if len(parts) == 1:
            return [projected[0] + bias]
        there = torch.stack([(part != 0).any(dim=1) for part in parts.values()]).sum(dim=0).clamp(min=1)  # (N,)
        views = [sum(projected) / there[:, None], *(projected if self.training else ())]
        return [view + bias for view in views]

    def __repr__(self):
        a = self.architecture
        parameters = sum(p.numel() for p in self.parameters())
        name = f"MaskedAttentionNetwork({a.members} members"
        return f"{name}, {a.feature_size} -> {a.num_emotions}, {parameters:,} parameters)"


@dataclass
class Sight:
    """Which turns of a batch see which, for its layers of attention.

    Attributes:
        layout: of the batch.
        seen: (B, H, L, L) bool; where the layers go through the dialogues one by one, float: 0 where seen, else -1e4.
        steps: (L, L) which bias the column's turn has for the row's, by how far it is ahead.
    """

    layout: Layout
    seen: torch.Tensor
    steps: torch.Tensor

    @classmethod
    def of(cls, batch, architecture, packed):
        """The sight of a `DialogueBatch`; `packed`: the layers go through the dialogues one by one."""
        speakers = batch.layout.pad(batch.speakers[:, None])[..., 0]
        seen = seen_turns(speakers, batch.layout.mask, *batch.windows, architecture.heads.split())
        if architecture.online:
            seen = seen & ~later_turns(seen)
        place = torch.arange(seen.shape[-1], device=seen.device)
        steps = (place[None, :] - place[:, None]).clamp(-FARTHEST, FARTHEST) + FARTHEST
        if packed:
            seen = torch.logical_not(seen, out=torch.empty(seen.shape)).mul_(-1e4)
        return cls(batch.layout, seen, steps)

    def repeat(self, times):
        """The sight of a batch that has the same dialogues so many times over."""
        if times == 1:
            return self
        mask = self.layout.mask.repeat(times, 1)
        place = torch.cat([self.layout.place + k * self.layout.mask.numel() for k in range(times)])
        layout = Layout(self.layout.lengths.repeat(times), place, mask)
        return Sight(layout, self.seen.repeat(times, 1, 1, 1), self.steps)

    @property
    def packed(self):
        return self.seen.is_floating_point()


def seen_turns(speakers, mask, wp, wf, heads=HEADS):
    """Which turns each head sees: its kind of turns, of the same dialogue, and always the turn itself.

    Args:
        speakers: (B, L) speaker numbers.
        mask: (B, L) True where there is a turn.
        wp, wf: past and future turns that `near` sees; -1: all of them.
        heads: the kind of each head, of `HEADS`.
    Returns:
        (B, H, L, L) bool: [b, h, i, j], turn i sees turn j by head h.
    """
    length = mask.shape[1]
    place = torch.arange(length, device=mask.device)
    ahead = place[None, :] - place[:, None]  # (L, L) how far j is after i
    same = speakers[:, :, None] == speakers[:, None, :]  # (B, L, L)
    near = (ahead >= -(wp if wp >= 0 else length)) & (ahead <= (wf if wf >= 0 else length))
    kinds = {"own": same, "other": ~same, "near": near.expand_as(same), "all": torch.ones_like(same)}
    seen = torch.stack([kinds[head] for head in heads], dim=1)
    return (seen & mask[:, None, None, :]) | (ahead == 0)


class AttentionLayer(nn.Module):
    """Masked attention with a bias for each relative distance, then a feed-forward part, both pre-norm.

    Shapes: (K, N, W), a `Sight` of the batch -> (K, N, W).
    """

    def __init__(self, a):
        super().__init__()
        members, width = a.members, a.hidden_size
        self.drop_rate = a.drop_rate
        self.norm1, self.norm2 = StackedNorm(members, width), StackedNorm(members, width)
        self.qkv, self.out = StackedLinear(members, width, 3 * width), StackedLinear(members, width, width)
        self.linear1, self.linear2 = StackedLinear(members, width, 2 * width), StackedLinear(members, 2 * width, width)
        self.distance = nn.Parameter(torch.zeros(members, len(HEADS), 2 * FARTHEST + 1))

    def forward(self, turns, sight):
        rate = self.drop_rate if self.training else 0.0
        attend = self._attend_each if sight.packed else self._attend
        turns = turns + drop(self.out(attend(self.qkv(turns, norm=self.norm1), sight)), rate)
        hidden = drop(F.gelu(self.linear1(turns, norm=self.norm2)), rate)  # (K, N, 2 W)
        return turns + drop(self.linear2(hidden), rate)

    def _attend(self, projected, sight):
        """(K, N, 3 W) queries, keys and values -> (K, N, W), with the dialogues padded."""
        (members, number, width), (rows, length) = projected.shape, sight.layout.mask.shape
        projected = sight.layout.pad(projected.transpose(0, 1).flatten(1))  # (B, L, K 3 W)
        projected = projected.view(rows, length, members, 3, len(HEADS), -1)
        query, key, value = projected.permute(3, 2, 0, 4, 1, 5)  # (K, B, H, L, W/H) each
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)  # (K, B, H, L, L)
        scores = scores + self.distance[:, :, sight.steps][:, None]
        attended = scores.masked_fill(~sight.seen, -1e4).softmax(dim=-1) @ value  # (K, B, H, L, W/H)
        attended = attended.permute(1, 3, 0, 2, 4).reshape(rows, length, members * width // 3)
        return sight.layout.unpad(attended).view(number, members, width // 3).transpose(0, 1)

    def _attend_each(self, projected, sight):
        """The same dialogue by dialogue, quicker on a CPU because nothing is padded."""
        lengths = sight.layout.lengths.tolist()
        return PackedAttention.apply(projected, self.distance, sight.steps, sight.seen, lengths)


class StackedLinear(nn.Module):
    """A linear layer for each member, where asked after a `StackedNorm`: (K, N, in) -> (K, N, out)."""

    def __init__(self, members, width_in, width_out):
        super().__init__()
        bound = width_in**-0.5
        self.weight = nn.Parameter(torch.empty(members, width_in, width_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(members, 1, width_out))

    def forward(self, turns, norm=None):
        if norm is None:
            return torch.baddbmm(self.bias, turns, self.weight)
        # The norm's weights times the layer's, instead of times the turns, of which there are many.
        bias, weight = torch.baddbmm(self.bias, norm.bias, self.weight), norm.weight.transpose(1, 2) * self.weight
        return torch.baddbmm(bias, F.layer_norm(turns, turns.shape[-1:]), weight)


class StackedNorm(nn.Module):
    """Layer normalisation with weights of each member: (K, N, W) -> (K, N, W)."""

    def __init__(self, members, width):
        super().__init__()
        self.weight, self.bias = (
            nn.Parameter(torch.ones(members, 1, width)),
            nn.Parameter(torch.zeros(members, 1, width)),
        )

    def forward(self, turns):
        return torch.addcmul(self.bias, F.layer_norm(turns, turns.shape[-1:]), self.weight)
