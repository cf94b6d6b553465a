"""The graph network as ONNX, for one dialogue of any length; needs `pip install onnx onnxscript`; onnxruntime runs it.

N turns, D features of a turn (modalities in the order a, t, v), E edges, C emotions. Inputs: `features` (N, D) float32,
and of the published network `edge_index` (2, E) and `edge_type` (E,) int64, as `cogmen.network.graph.dialogue_graph`
makes them; of the improved one `speakers` (N,) int64. Output: `log_probabilities` (N, C), to be divided by the
temperature.
"""

import contextlib
import importlib.util
import io
import warnings

import numpy as np
import torch
from torch import nn

from cogmen.network.batching import DialogueBatch, Layout
from cogmen.network.graph import dialogue_graph
from cogmen.network.model import RecurrentContext
from erc.files import atomic_writer
from erc.options import UserError

_TURNS = 7  # of the dialogue that is traced; no size of it remains


def write_onnx(path, checkpoint):
    """Write the graph network of a `Checkpoint`.

    Raises:
        UserError: the packages are missing.
    """
    for name in ("onnx", "onnxscript"):
        if importlib.util.find_spec(name) is None:
            raise UserError(f"--onnx: needs {name}; pip install onnx onnxscript")
    network = checkpoint.network
    published = network.architecture.num_speakers is not None
    names = ["features", "edge_index", "edge_type"] if published else ["features", "speakers"]
    sizes = ({0: "turns"}, {1: "edges"}, {0: "edges"}) if published else ({0: "turns"}, {0: "turns"})
    module = (OneDialogue if published else OneMaskedDialogue)(network, checkpoint.windows).eval()
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():  # its progress, and what it may not need
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            *(module, inputs(checkpoint, np.zeros((_TURNS, network.architecture.feature_size), np.float32))),
            input_names=names,
            output_names=["log_probabilities"],
            dynamic_shapes=sizes,
            dynamo=True,
            verbose=False,
        )
    with atomic_writer(path) as file:
        file.write(program.model_proto.SerializeToString())


def inputs(checkpoint, features, speakers=None):
    """The network's inputs for a dialogue, as tensors.

    Args:
        features: (N, D) float32.
        speakers: (N,) numbers; without, two take turns.
    """
    speakers = np.arange(len(features)) % 2 if speakers is None else np.asarray(speakers)
    a, windows = checkpoint.network.architecture, checkpoint.windows
    if a.num_speakers is None:
        return torch.from_numpy(features), torch.from_numpy(speakers)
    lengths = np.array([len(features)])
    graph = dialogue_graph(lengths, speakers, windows["wp"], windows["wf"], a.num_speakers, a.relations)
    return torch.from_numpy(features), *map(torch.from_numpy, graph)


def _layout(features):
    """The layout of one dialogue."""
    turns = features.shape[0]
    return Layout(None, torch.arange(turns), torch.ones(1, turns, dtype=torch.bool))


class OneDialogue(nn.Module):
    """`CGNN` for one dialogue whose graph is given."""

    def __init__(self, network, windows):
        super().__init__()
        self.network = network

    def forward(self, features, edge_index, edge_type):
        rnn = self.network.rnn
        if isinstance(rnn, RecurrentContext):
            context = rnn.rnn(features[None])[0][0]
        else:
            context = rnn(features, _layout(features))
        graph_output = self.network.gcn(context, edge_index, edge_type)
        if self.network.architecture.concat_gin_gout:
            graph_output = torch.cat([context, graph_output], dim=1)
        return self.network.clf(graph_output)


class OneMaskedDialogue(nn.Module):
    """`MaskedAttentionNetwork` for one dialogue."""

    def __init__(self, network, windows):
        super().__init__()
        self.network, self.windows = network, (windows["wp"], windows["wf"])

    def forward(self, features, speakers):
        return self.network(DialogueBatch(features, None, None, None, _layout(features), speakers, self.windows))
