"""Checkpoints as COGMEN and the KEMDy19 pipeline published them, turned into ours.

They are `{"args": Namespace, "state_dict": <the whole module>}`. The module arrives as inert records (see
`erc.untrusted`); its weights keep their names, and its sizes are read from the weights and held against
the options beside them.
"""

import math
from dataclasses import fields

import torch

from cogmen.checkpoints import Checkpoint
from cogmen.network.graph import num_relations
from cogmen.network.model import CGNN, RNN_WIDTH, Architecture, num_heads
from cogmen.options import MODALITY_SETS, TrainOptions
from erc.corpus.corpora import CORPORA
from erc.options import UserError
from erc.untrusted import Refused, check_weights, damaged, read_module, shown

# Layers of the published network that its forward pass never uses, and the class weights of its loss.
UNUSED = (
    *("rnn.encoding_layer", "rnn.LayerNorm", "clf.emotion_att", "clf.lin_7", "clf.linear"),
    "clf.nll_loss",
)
_MAX = 4000  # layers and weights
_PLAIN = (bool, int, float, str, type(None))


def convert(path, dataset=None, modalities=None, feature_sizes=None, emotion=None):
    """Read a published checkpoint without running anything in it.

    The published `--wp` counts the future turns that a turn sees and `--wf` the past ones; ours say what they mean,
    so the two are exchanged. The epoch and the dev score are not in such a file: both are None.

    Args:
        dataset, modalities, emotion: for a file whose options lack them; otherwise they must agree with it. The last
            is for a corpus that has several tasks.
        feature_sizes: by modality, the size of its features, for a file of several modalities that tells only the sum.
    Returns:
        (Checkpoint, list): the checkpoint, and the names of the unused weights that are left out.
    Raises:
        UserError: the file is refused, is of another kind, or its parts do not fit together.
    """
    content = read_module(path)
    with damaged(path, "not a published checkpoint, or damaged"):
        args, network = content["args"], content["state_dict"]
        if args.name != "argparse.Namespace":
            raise ValueError("expected args, a Namespace, and state_dict, a module")
        return _convert(path, args.state or {}, _modules(network), dataset, modalities, feature_sizes, emotion)


def _convert(path, args, modules, dataset, modalities, feature_sizes, emotion):
    dataset = _option(path, args, "dataset", dataset, sorted(CORPORA))
    corpus = CORPORA[dataset]
    if corpus.tasks:
        corpus = corpus.of_task(_option(path, args, "emotion", emotion, list(corpus.tasks)))
    elif emotion:
        raise UserError(f"--emotion {emotion}: {path} is of {dataset}, which has only its emotions; leave the flag out")
    modalities = _option(path, args, "modalities", modalities, MODALITY_SETS)
    weights = _weights(modules)
    unused = [name for name in weights if name.startswith(tuple(layer + "." for layer in UNUSED))]
    weights = {name: weight for name, weight in weights.items() if name not in unused}
    architecture = _architecture(path, args, weights, corpus)
    check_weights(path, weights, lambda: CGNN(architecture))
    _check_behaviour(path, modules, architecture)
    network = CGNN(architecture)
    network.load_state_dict(weights)
    windows = {"wp": _window(path, args, "wf"), "wf": _window(path, args, "wp")}
    kept = {field.name for field in fields(TrainOptions) if not field.metadata["secret"]} & args.keys()
    checkpoint = Checkpoint(
        network=network.eval(),
        dataset=dataset,
        modalities=modalities,
        emotions=list(corpus.emotions),
        feature_sizes=_feature_sizes(path, args, dataset, modalities, architecture.feature_size, feature_sizes),
        windows=windows,
        options={name: args[name] for name in sorted(kept) if type(args[name]) in _PLAIN} | windows,
        epoch=None,
        dev_weighted_f1=None,
    )
    return checkpoint, unused


def _modules(network):
    """Every module's attributes by its path (`""` is the network itself)."""
    modules, waiting, count = {}, [("", network)], 0
    while waiting:
        place, module = waiting.pop()
        modules[place] = state = module.state
        count += 1 + sum(len(state[table]) for table in ("_modules", "_parameters", "_buffers"))
        if count > _MAX:
            raise Refused(f"more than {_MAX} layers and weights")
        waiting += [(_join(place, name), child) for name, child in state["_modules"].items() if child is not None]
    return modules


def _join(place, name):
    if not (name.isidentifier() or name.isdecimal()) or len(name) > 100:
        raise Refused(f"malformed name in {place or 'state_dict'}")
    return f"{place}.{name}" if place else name


def _weights(modules):
    """Name to tensor, as `state_dict()` would list them."""
    weights = {}
    for place, state in modules.items():
        passing = state.get("_non_persistent_buffers_set")  # a `set([names])`
        passing = passing.args[0][:_MAX] if passing and passing.args else []
        buffers = {name: value for name, value in state["_buffers"].items() if name not in passing}
        for name, value in (state["_parameters"] | buffers).items():
            if value is not None:
                weights[_join(place, name)] = value
                if not (isinstance(value, torch.Tensor) and value.numel()):
                    raise Refused(f"the weight {_join(place, name)} is not a tensor, or an empty one")
    # Views of one storage could ask for more memory than the file has.
    storages = {w.untyped_storage().data_ptr(): w.untyped_storage().nbytes() for w in weights.values()}
    if sum(weight.nbytes for weight in weights.values()) > sum(storages.values()):
        raise Refused("several weights share their numbers")
    return weights


def _architecture(path, args, weights, corpus):
    """The sizes and options of the network as its weights tell them, held against the options in the file."""
    shapes = {name: weight.shape for name, weight in weights.items()}
    if "rnn.rnn.weight_hh_l0" in weights:
        rnn = "lstm" if shapes["rnn.rnn.weight_hh_l0"][0] == 4 * RNN_WIDTH else "gru"
        feature_size, layer = shapes["rnn.rnn.weight_ih_l0"][1], "rnn.rnn.weight_ih_l{}"
    else:
        rnn, feature_size = "transformer", shapes["rnn.transformer_out.weight"][1]
        layer = "rnn.transformer_encoder.layers.{}.norm1.weight"
    hidden_size = shapes["gcn.conv1.weight"][2]
    found = {
        "rnn": rnn,
        "hidden_size": hidden_size,
        "seqcontext_nlayer": next(k for k in range(1, len(weights) + 1) if layer.format(k) not in weights),
        "gnn_nheads": max(shapes["gcn.bn.weight"][0] // hidden_size, 1),
        "concat_gin_gout": shapes["clf.lin1.weight"][1] != shapes["gcn.bn.weight"][0],
        "use_highway": any(name.startswith("clf.highway.") for name in weights),
    }
    for name, value in found.items():
        if not _equal(args.get(name, value), value):
            raise UserError(f"{path}: its options say {name} {shown(args[name])}, its weights {value}")
    emotions, relations = shapes["clf.lin2.weight"][0], shapes["gcn.conv1.weight"][0]
    speakers = len(corpus.speakers) or max(math.isqrt(relations // 2), 1)
    if emotions != len(corpus.emotions) or relations != num_relations(speakers):
        raise UserError(
            f"{path}: it tells {emotions} emotions apart over {relations} relations of speakers; {corpus.name} has "
            f"{len(corpus.emotions)} and {num_relations(speakers)}"
        )
    drop_rate = args.get("drop_rate", Architecture.drop_rate)
    if type(drop_rate) not in (int, float) or not 0 <= drop_rate < 1:
        raise UserError(f"{path}: its options say drop_rate {shown(drop_rate)}, expected 0 <= rate < 1")
    return Architecture(
        feature_size, emotions, speakers, **found, drop_rate=float(drop_rate), multilabel=corpus.multilabel
    )


def _check_behaviour(path, modules, architecture):
    """Attributes that no weight shows, where the file has them: heads, kinds of layers, the order of relations."""
    speakers = range(architecture.num_speakers)
    relations = [f"{i}{j}{later}" for i in speakers for j in speakers for later in (0, 1)]
    expected = {
        "": {"edge_type_to_idx": {name: number for number, name in enumerate(relations)}},
        "gcn.conv1": {"aggr": "mean", "flow": "source_to_target"},
        "gcn.conv2": {"flow": "source_to_target", "heads": architecture.gnn_nheads, "concat": True, "beta": False},
    }
    if architecture.rnn == "transformer":
        for k in range(architecture.seqcontext_nlayer):
            layer = f"rnn.transformer_encoder.layers.{k}"
            expected[layer] = {"norm_first": False, "activation_relu_or_gelu": 1}
            expected[layer + ".self_attn"] = {"num_heads": num_heads(architecture.feature_size)}
    for layer, attributes in expected.items():
        for name, value in attributes.items():
            found = modules[layer].get(name, value)
            if not _equal(found, value):
                place = f"{layer}.{name}" if layer else name
                raise UserError(f"{path}: not the published network: {place} is {shown(found)}, expected {value}")


def _option(path, args, name, given, choices):
    value = given if args.get(name) is None else args[name]
    if value is None:
        raise UserError(f"{path}: its options do not tell the {name}; give --{name}")
    if type(value) is not str or value not in choices:
        raise UserError(f"{path}: its {name} is {shown(value)}, expected one of {', '.join(choices)}")
    if given not in (None, value):
        raise UserError(f"{path}: trained with --{name} {value}, here --{name} {given}")
    return value


def _window(path, args, name):
    value = args.get(name)
    if type(value) is not int or not -1 <= value < 1 << 31:
        raise UserError(f"{path}: its options say {name} {shown(value)}, expected a number of turns, or -1 for all")
    return value


def _feature_sizes(path, args, dataset, modalities, total, given):
    """By modality, the size of its features; `total` is what the network takes."""
    hint = "give --feature_sizes " + " ".join(f"{modality}=N" for modality in modalities)
    if given is None and len(modalities) == 1:
        return {modalities: total}
    if given is None:
        table = args.get("dataset_embedding_dims")
        table = table.get(dataset) if type(table) is dict else None
        given = {m: table.get(m) for m in modalities} if type(table) is dict else {}
    sizes = given.values()
    if given.keys() != set(modalities) or not all(type(n) is int and n > 0 for n in sizes) or sum(sizes) != total:
        known = ", ".join(f"{modality} {shown(size)}" for modality, size in given.items()) or "none"
        raise UserError(f"{path}: it takes {total} features of {modalities}, but the sizes known are {known}; {hint}")
    return {modality: given[modality] for modality in modalities}


def _equal(found, value):
    """`found` comes from the file and may be anything, a tensor too; `value` is plain, or a dict of plain values."""
    if type(found) is not type(value):
        return False
    if type(value) is dict:
        return found.keys() == value.keys() and all(_equal(found[key], value[key]) for key in value)
    return found == value
