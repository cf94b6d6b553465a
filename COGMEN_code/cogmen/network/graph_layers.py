"""The graph part of COGMEN's network (arXiv 2205.02455), by PyTorch Geometric, which takes over a second to import.

N turns in the batch, G context width, E edges, R relations.
"""

import torch.nn.functional as F
from torch import nn
from torch_geometric.nn import RGCNConv, TransformerConv

from cogmen.network.graph import num_relations


class RelationalConv(RGCNConv):
    """Relational graph convolution (arXiv 1703.06103), every relation at once.

        y_j = W_0 x_j + b + sum over relations r of the mean of W_r x_i over j's sources i by r

    PyTorch Geometric's own `forward` asks the device how many edges each relation has, once per relation.

    Shapes: (N, in), edge_index (2, E), edge_type (E,) -> (N, out).
    """

    def forward(self, turns, edge_index, edge_type):
        source, target = edge_index
        transformed = (turns @ self.weight).flatten(0, 1)  # (R N, out)
        messages = transformed.index_select(0, edge_type * len(turns) + source)  # (E, out)
        group = edge_type * len(turns) + target  # (E,) edges of one mean
        size = turns.new_zeros(len(transformed)).index_add(0, group, turns.new_ones(len(group)))
        messages = messages / size.index_select(0, group)[:, None]
        return (turns @ self.root + self.bias).index_add(0, target, messages)


class GraphLayers(nn.Module):
    """Relational graph convolution, graph transformer, batch normalisation, leaky ReLU.

    Shapes: (N, G), edge_index (2, E), edge_type (E,) -> (N, hidden_size * gnn_nheads).
    """

    def __init__(self, width, a):
        super().__init__()
        self.conv1 = RelationalConv(width, a.hidden_size, num_relations(a.num_speakers, a.relations))
        self.conv2 = TransformerConv(a.hidden_size, a.hidden_size, heads=a.gnn_nheads)
        self.bn = nn.BatchNorm1d(a.hidden_size * a.gnn_nheads)

    def forward(self, context, edge_index, edge_type):
        turns = self.conv2(self.conv1(context, edge_index, edge_type), edge_index)
        # A batch of a single turn has no variance of its own: it is normalised by what was seen so far.
        alone = self.training and len(turns) == 1
        return F.leaky_relu(self.bn.eval()(turns) if alone else self.bn.train(self.training)(turns))
