"""The graph network of COGMEN (arXiv 2205.02455): context over the dialogue, then a graph of nearby turns.

B dialogues of at most L turns, N turns in the batch, D features per turn, H attention heads, G context width,
E edges, R relations. Parameter names are those of the published network, so that its weights can be loaded.
"""

import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import nn

from cogmen.network.graph import usual_relations

RNN_WIDTH = 100  # of each direction of the recurrent contexts, whatever the hidden size (as published)
FEED_FORWARD_WIDTH = 2048


@dataclass(frozen=True)
class Architecture:
    """The options that decide the network's tensors; they are stored in its checkpoint.

    Attributes:
        feature_size: D, the features of one turn.
        num_emotions, num_speakers: of the corpus; without speakers of its own, the most of any dialogue.
        rnn: the context: `transformer`, `lstm` or `gru` (the recurrent ones run in both directions, unless `online`).
        hidden_size: width of the context transformer's output and of the graph's layers.
        seqcontext_nlayer: layers of the context.
        gnn_nheads: heads of the graph transformer; their outputs are concatenated.
        concat_gin_gout: the classifier sees [context; graph output] instead of the graph output.
        use_highway: a highway layer before the classifier.
        drop_rate: dropout in the context's layers and in the classifier.
        relations: what the relations of the graph's edges tell, one of `cogmen.network.graph.RELATIONS`.
        multilabel: a turn has any number of the emotions: the outputs are a logit of each, no log-probabilities.
        online: a turn's context is the turns before it; with a graph that has no later ones either, no answer depends
            on what is said afterwards.
        graph: False: without the graph (`--ablate no_graph`), a linear layer in its place.
        valence_arousal: valence and arousal are further outputs.
    """

    feature_size: int
    num_emotions: int
    num_speakers: int
    rnn: str = "transformer"
    hidden_size: int = 100
    seqcontext_nlayer: int = 2
    gnn_nheads: int = 1
    concat_gin_gout: bool = False
    use_highway: bool = False
    drop_rate: float = 0.5
    relations: str = "speakers"
    multilabel: bool = False
    online: bool = False
    graph: bool = True
    valence_arousal: bool = False

    @classmethod
    def from_options(cls, options, feature_size, num_emotions, num_speakers, multilabel=False):
        """The architecture that `TrainOptions` ask for."""
        chosen = {f.name: getattr(options, f.name) for f in fields(cls) if hasattr(options, f.name)}
        chosen["relations"] = options.relations or usual_relations(num_speakers)
        chosen |= {name: value for name, value in options.ablated.items() if name in cls.__dataclass_fields__}
        return cls(feature_size, num_emotions, num_speakers, multilabel=multilabel, **chosen)


class CGNN(nn.Module):
    """Context, graph and classifier over a `cogmen.network.batching.DialogueBatch`.

    Shapes: a batch of N turns with features (N, D) -> log-probabilities (N, emotions), or logits where a turn may have
    several emotions (`multilabel`). With `feelings` these and (N, 2), valence and arousal on a scale of -1 to 1.
    """

    def __init__(self, architecture):
        super().__init__()
        self.architecture = a = architecture
        self.rnn = TransformerContext(a) if a.rnn == "transformer" else RecurrentContext(a)
        self.gcn = (graph_layers() if a.graph else NoGraph)(self.rnn.width, a)
        graph_width = a.hidden_size * a.gnn_nheads
        self.clf = Classifier(graph_width + (self.rnn.width if a.concat_gin_gout else 0), a)
        if a.valence_arousal:  # last, so that the other weights are drawn as without it
            self.feelings = nn.Linear(graph_width + (self.rnn.width if a.concat_gin_gout else 0), 2)

    def forward(self, batch, feelings=False):
        context = self.rnn(batch.features, batch.layout)  # (N, G)
        graph_output = self.gcn(context, batch.edge_index, batch.edge_type)  # (N, hidden heads)
        if self.architecture.concat_gin_gout:
            graph_output = torch.cat([context, graph_output], dim=1)
        outputs = self.clf(graph_output)
        return (outputs, self.feelings(graph_output)) if feelings else outputs

    def __repr__(self):
        a = self.architecture
        parameters = sum(p.numel() for p in self.parameters())
        return f"CGNN({a.rnn}, {a.feature_size} -> {a.num_emotions}, {parameters:,} parameters)"


def graph_layers():
    """The class `GraphLayers`; only who needs it waits for PyTorch Geometric, more than a second."""
    from cogmen.network.graph_layers import GraphLayers

    return GraphLayers


class TransformerContext(nn.Module):
    """A post-norm transformer encoder without positions over each dialogue, then a linear layer to `hidden_size`."""

    def __init__(self, a):
        super().__init__()
        self.width = a.hidden_size
        self.transformer_encoder = nn.Module()
        self.transformer_encoder.layers = nn.ModuleList(
            PackedEncoderLayer(a.feature_size, num_heads(a.feature_size), FEED_FORWARD_WIDTH, a.drop_rate, a.online)
            for _ in range(a.seqcontext_nlayer)
        )
        self.transformer_out = nn.Linear(a.feature_size, a.hidden_size)

    def forward(self, features, layout):
        for layer in self.transformer_encoder.layers:
            features = layer(features, layout)
        return self.transformer_out(features)


class PackedEncoderLayer(nn.TransformerEncoderLayer):
    """PyTorch's post-norm encoder layer on packed turns: only the attention itself may see padding, and masks it.

    Shapes: (N, D) -> (N, D).
    """

    def __init__(self, width, heads, feed_forward, dropout, causal):
        super().__init__(width, heads, feed_forward, dropout)
        self.causal = causal  # whether a turn attends to itself and the turns before it only

    def forward(self, turns, layout):
        rate = self.dropout.p if self.training else 0.0
        turns = self.norm1(turns + drop(self._attend(turns, layout, rate), rate))
        hidden = drop(F.relu(self.linear1(turns)), rate)  # (N, feed_forward)
        return self.norm2(turns + drop(self.linear2(hidden), rate))

    def _attend(self, turns, layout, rate):
        attention = self.self_attn
        projected = F.linear(turns, attention.in_proj_weight, attention.in_proj_bias)  # (N, 3 D)
        if rate and on_cpu(turns):
            return attention.out_proj(self._attend_each(projected, layout, rate))
        projected = layout.pad(projected).unflatten(2, (3, attention.num_heads, attention.head_dim))
        query, key, value = projected.permute(2, 0, 3, 1, 4)  # (B, H, L, D/H) each
        seen = layout.mask[:, None, None, :]  # (B, 1, 1, L): no turn attends to padding
        if self.causal:
            seen = seen & ~later_turns(seen)  # (B, 1, L, L); padding comes after all turns, so some turn is always seen
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, dropout_p=rate)
        return attention.out_proj(layout.unpad(attended.transpose(1, 2).flatten(2)))  # (N, D)

    def _attend_each(self, projected, layout, rate):
        """The same dialogue by dialogue, quicker on a CPU because nothing is padded: (N, 3 D) -> (N, D)."""
        heads, longest = self.self_attn.num_heads, layout.mask.shape[1]
        kept = draw_kept((len(layout.lengths), heads, longest, longest), rate)
        attended = []
        for own, own_kept in zip(projected.split(layout.lengths.tolist()), kept, strict=True):
            query, key, value = own.unflatten(1, (3, heads, -1)).permute(1, 2, 0, 3)  # (H, l, D/H) each
            scores = query @ key.transpose(1, 2) * self.self_attn.head_dim**-0.5  # (H, l, l)
            if self.causal:
                scores = scores.masked_fill(later_turns(scores), -math.inf)
            weights = scores.softmax(dim=2) * own_kept[:, : len(own), : len(own)]
            attended.append((weights @ value).transpose(0, 1).flatten(1))  # (l, D)
        return torch.cat(attended)


def later_turns(like):
    """(L, L) bool on the device of a tensor (..., L): whether the column's turn comes after the row's."""
    return torch.ones(like.shape[-1], like.shape[-1], dtype=torch.bool, device=like.device).triu(1)


def on_cpu(values):
    """Whether a tensor is computed on a CPU, operator by operator: what is best there is not what a GPU would like."""
    return not values.is_cuda and not torch.compiler.is_compiling()


def drop(values, rate):
    """Dropout; on a CPU from 16 random bits for each value, which takes a sixth of the time of PyTorch's."""
    if rate == 0 or not on_cpu(values):
        return F.dropout(values, rate)
    return values * draw_kept(values.shape, rate)


def draw_kept(shape, rate):
    """What dropout multiplies values by: 0, or the number that makes up for those."""
    number, cut = math.prod(shape), min(round(rate * 2**16), 2**16 - 1)
    bits = torch.empty((number + 3) // 4, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)[:number]
    # Straight to floats: to multiply what is true or false takes 4 times as long.
    return torch.ge(bits.view(shape), cut - 2**15, out=torch.empty(shape)).mul_(2**16 / (2**16 - cut))


class RecurrentContext(nn.Module):
    """An LSTM or GRU over each dialogue, in both directions unless `online`; its outputs go straight into the graph."""

    def __init__(self, a):
        super().__init__()
        self.width = RNN_WIDTH if a.online else 2 * RNN_WIDTH
        layer = {"lstm": nn.LSTM, "gru": nn.GRU}[a.rnn]
        dropout = a.drop_rate if a.seqcontext_nlayer > 1 else 0.0  # between layers only
        self.rnn = layer(a.feature_size, RNN_WIDTH, a.seqcontext_nlayer, bidirectional=not a.online, dropout=dropout)

    def forward(self, features, layout):
        packed = nn.utils.rnn.pack_padded_sequence(
            layout.pad(features), layout.lengths, batch_first=True, enforce_sorted=False
        )
        output, _ = self.rnn(packed)
        return layout.unpad(nn.utils.rnn.pad_packed_sequence(output, batch_first=True)[0])  # (N, 200), (N, 100) online


class NoGraph(nn.Module):
    """In the place of the graph layers: every turn by itself through a linear layer and leaky ReLU."""

    def __init__(self, width, a):
        super().__init__()
        self.linear = nn.Linear(width, a.hidden_size * a.gnn_nheads)

    def forward(self, context, edge_index, edge_type):
        return F.leaky_relu(self.linear(context))


class Classifier(nn.Module):
    """Highway layer (`use_highway`), hidden layer with ReLU and dropout, log-softmax unless `multilabel`.

    Shapes: (N, width) -> log-probabilities, or logits, (N, emotions).
    """

    def __init__(self, width, a):
        super().__init__()
        self.multilabel = a.multilabel
        self.highway = Highway(width) if a.use_highway else nn.Identity()
        self.lin1 = nn.Linear(width, a.hidden_size)
        self.drop = nn.Dropout(a.drop_rate)
        self.lin2 = nn.Linear(a.hidden_size, a.num_emotions)

    def forward(self, turns):
        hidden = self.drop(F.relu(self.lin1(self.highway(turns))))
        logits = self.lin2(hidden)
        return logits if self.multilabel else F.log_softmax(logits, dim=-1)


class Highway(nn.Module):
    """y = g relu(W_n x) + (1 - g) W_l x with the gate g = sigmoid(W_g x) (arXiv 1505.00387, with a linear carry)."""

    def __init__(self, width):
        super().__init__()
        self.nonlinear, self.linear, self.gate = (nn.ModuleList([nn.Linear(width, width)]) for _ in range(3))

    def forward(self, turns):
        gate = torch.sigmoid(self.gate[0](turns))
        return gate * F.relu(self.nonlinear[0](turns)) + (1 - gate) * self.linear[0](turns)


def num_heads(width):
    """Attention heads of the context transformer: the smallest of 7 to 14 that divides its width, else 1."""
    return next((heads for heads in range(7, 15) if width % heads == 0), 1)
