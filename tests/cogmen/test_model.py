"""The network against the published one's recorded weights, inputs and outputs (`golden.npz`)."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cogmen.network.batching import DialogueSet, Layout
from cogmen.network.graph_layers import GraphLayers
from cogmen.network.model import CGNN, Architecture, PackedEncoderLayer, drop, num_heads
from cogmen.options import TrainOptions
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import Dialogue

GOLDEN = np.load(Path(__file__).with_name("golden.npz"), allow_pickle=False)
CASES = {case["name"]: case for case in json.loads(str(GOLDEN["cases.json"]))}


def golden(case, dialogue, name):
    return torch.from_numpy(GOLDEN[f"{case}/dialogue{dialogue}/{name}"])


def network_of(name):
    case = CASES[name]
    network = CGNN(
        Architecture(
            feature_size=case["D"],
            num_emotions=case["n_classes"],
            num_speakers=case["n_speakers"],
            rnn=case["rnn"],
            hidden_size=case["hidden"],
            seqcontext_nlayer=case["layers"],
            gnn_nheads=case["heads"],
            concat_gin_gout=case["concat"],
            use_highway=case["highway"],
        )
    )
    prefix = f"{name}/weights/"
    network.load_state_dict({k.removeprefix(prefix): torch.from_numpy(GOLDEN[k]) for k in GOLDEN if prefix in k})
    return network.eval()


def windows(name):
    """The published code swaps the two directions: its `wp` is our `wf`."""
    return {"wp": CASES[name]["wf"], "wf": CASES[name]["wp"], "num_speakers": CASES[name]["n_speakers"]}


def dialogue_of(name, k):
    features, speakers, labels = (golden(name, k, field).numpy() for field in ("features", "speakers", "labels"))
    names = [KEMDY19.speakers[number] for number in speakers]
    return Dialogue(str(k), [f"{k}_{turn}" for turn in range(len(labels))], names, labels, names, {"t": features})


def batch_of(name, *numbers):
    """The golden dialogues with these numbers as one batch."""
    dialogues = [dialogue_of(name, k) for k in numbers]
    return DialogueSet(dialogues, "t", KEMDY19, **windows(name)).batch(range(len(numbers)))


@pytest.mark.parametrize("name", CASES)
def test_golden_outputs(name):
    network = network_of(name)
    for k in range(len(CASES[name]["lengths"])):
        batch = batch_of(name, k)
        with torch.no_grad():
            context = network.rnn(batch.features, batch.layout)
            graph_output = network.gcn(context, batch.edge_index, batch.edge_type)
            log_probs = network(batch)
            loss = nn.functional.nll_loss(log_probs, batch.labels)
        torch.testing.assert_close(context, golden(name, k, "context"), atol=1e-5, rtol=0)
        torch.testing.assert_close(graph_output, golden(name, k, "graph_output"), atol=1e-5, rtol=0)
        torch.testing.assert_close(log_probs, golden(name, k, "log_probs"), atol=1e-5, rtol=0)
        torch.testing.assert_close(loss, golden(name, k, "loss"), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_a_prediction_does_not_depend_on_the_other_dialogues(name):
    network = network_of(name)
    numbers = (3, 0, 2, 1)
    with torch.no_grad():
        together = network(batch_of(name, *numbers)).split([len(dialogue_of(name, k).labels) for k in numbers])
        alone = [network(batch_of(name, k)) for k in numbers]
    for ours, theirs in zip(together, alone, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("causal", [False, True])
def test_packed_encoder_layer_equals_pytorchs(causal):
    torch.manual_seed(0)
    packed = PackedEncoderLayer(16, 8, 32, 0.5, causal).eval()
    padded = nn.TransformerEncoderLayer(16, 8, 32, 0.5, batch_first=True).train()  # train: no fast path
    padded.load_state_dict(packed.state_dict())
    for module in padded.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    padded.self_attn.dropout = 0.0
    layout = Layout.of([3, 1, 5])
    turns = torch.randn(9, 16, requires_grad=True)
    later = torch.ones(5, 5, dtype=torch.bool).triu(1) if causal else None
    theirs = layout.unpad(padded(layout.pad(turns), later, ~layout.mask))
    ours = packed(turns, layout)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    weights = torch.randn(9, 16)
    (gradient,) = torch.autograd.grad((ours * weights).sum(), turns, retain_graph=True)
    (expected,) = torch.autograd.grad((theirs * weights).sum(), turns)
    torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=1e-4)


def test_dropout_is_where_the_drop_rate_says():
    torch.manual_seed(0)
    batch = batch_of("transformer", 3)
    architecture = network_of("transformer").architecture
    still = CGNN(replace(architecture, drop_rate=0.0)).train()
    assert torch.equal(still(batch), still(batch))
    for rnn in ("transformer", "lstm"):
        noisy = CGNN(replace(architecture, rnn=rnn, drop_rate=0.5)).train()
        context = noisy.rnn(batch.features, batch.layout)
        assert not torch.equal(context, noisy.rnn(batch.features, batch.layout))
        assert not torch.equal(noisy.clf(noisy.gcn(context, batch.edge_index, batch.edge_type)), noisy(batch))


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropped_values_are_as_many_as_asked_and_the_others_make_up_for_them(rate):
    torch.manual_seed(0)
    values = torch.full((301, 333), 2.0, requires_grad=True)
    dropped = drop(values, rate)
    assert (dropped == 0).float().mean().item() == pytest.approx(rate, abs=0.005)
    torch.testing.assert_close(dropped[dropped != 0].unique(), torch.tensor([2 / (1 - rate)]), atol=1e-4, rtol=0)
    (gradient,) = torch.autograd.grad(dropped.sum(), values)
    torch.testing.assert_close(gradient, dropped.detach() / 2)
    assert not torch.equal(drop(values, rate), dropped)
    torch.manual_seed(0)
    assert torch.equal(drop(values, rate), dropped)
    assert drop(values, 1 - 1e-9).isfinite().all()


@pytest.mark.parametrize("causal", [False, True])
def test_training_attention_equals_pytorchs(causal):
    """With dropout each dialogue attends by itself; of so low a rate nothing falls out."""
    torch.manual_seed(0)
    layer, layout, turns = PackedEncoderLayer(16, 8, 32, 1e-6, causal), Layout.of([3, 1, 5]), torch.randn(9, 16)
    torch.testing.assert_close(layer.train()(turns, layout), layer.eval()(turns, layout), atol=1e-5, rtol=0)


@pytest.mark.parametrize("padded", [False, True])
def test_dropout_of_attention_keeps_its_mean(padded, monkeypatch):
    """Each dialogue by itself, as a CPU trains, and in padded rows, as all else does."""
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: padded)
    torch.manual_seed(0)
    layer, layout = PackedEncoderLayer(16, 8, 32, 0.2, False), Layout.of([3, 1, 5])
    turns = torch.randn(9, 16)
    with torch.no_grad():
        whole = layer._attend(turns, layout, 0.0)
        draws = torch.stack([layer._attend(turns, layout, 0.2) for _ in range(1500)])
    assert draws.std(dim=0).min() > 1e-3
    torch.testing.assert_close(draws.mean(dim=0), whole, atol=0.03, rtol=0)


def test_nothing_falls_out_of_a_recurrent_context_of_one_layer(recwarn):
    architecture = replace(network_of("lstm").architecture, seqcontext_nlayer=1, drop_rate=0.5)
    assert CGNN(architecture).rnn.rnn.dropout == 0 and not recwarn
    assert CGNN(replace(architecture, seqcontext_nlayer=2)).rnn.rnn.dropout == 0.5


def test_a_batch_is_normalised_by_itself_and_a_single_turn_by_what_was_seen():
    torch.manual_seed(0)
    layers = GraphLayers(6, Architecture(6, 7, 2, hidden_size=4, gnn_nheads=2))

    def graph(turns):
        return torch.arange(turns).repeat(2, 1), torch.zeros(turns, dtype=torch.int64)  # each sees itself

    def check(turns, mean, variance):
        rows = torch.randn(turns, 6)
        edges, relations = graph(turns)
        raw = layers.conv2(layers.conv1(rows, edges, relations), edges)
        mean, variance = (raw.mean(0), raw.var(0, correction=0)) if mean is None else (mean, variance)
        expected = nn.functional.leaky_relu((raw - mean) / (variance + 1e-5).sqrt())
        torch.testing.assert_close(layers(rows, edges, relations), expected, atol=1e-5, rtol=1e-4)

    layers.train()
    for turns in (2, 5, 9):
        check(turns, None, None)
    seen = layers.bn.running_mean.clone(), layers.bn.running_var.clone()
    assert seen[0].abs().min() > 0 and layers.bn.num_batches_tracked == 3
    check(1, *seen)
    layers.eval()
    for turns in (1, 5):
        check(turns, *seen)
    assert layers.bn.num_batches_tracked == 3


def test_the_architecture_that_options_ask_for():
    plain = TrainOptions(from_begin=True)
    assert Architecture.from_options(plain, 24, 7, 2) == Architecture(24, 7, 2, drop_rate=plain.drop_rate)
    changed = {"rnn": "lstm", "hidden_size": 12, "seqcontext_nlayer": 3, "gnn_nheads": 2, "drop_rate": 0.25}
    changed |= dict.fromkeys(("concat_gin_gout", "use_highway", "online", "valence_arousal"), True)
    found = Architecture.from_options(TrainOptions(from_begin=True, **changed), 24, 6, 3, multilabel=True)
    assert found == Architecture(24, 6, 3, relations="same_other", multilabel=True, **changed)
    no_graph = TrainOptions(from_begin=True, ablate="no_graph", relations="time")
    assert Architecture.from_options(no_graph, 24, 7, 2) == replace(
        Architecture(24, 7, 2, drop_rate=plain.drop_rate), graph=False, relations="time"
    )


@pytest.mark.parametrize(
    ("relations", "speakers", "count"), [("speakers", 3, 18), ("same_other", 3, 4), ("time", 2, 2)]
)
def test_weights_for_each_relation(relations, speakers, count):
    network = CGNN(Architecture(6, 7, speakers, rnn="gru", hidden_size=4, relations=relations))
    assert network.gcn.conv1.weight.shape == (count, 200, 4)


def test_of_several_emotions_a_turn_has_logits():
    network = network_of("gru")
    several = CGNN(replace(network.architecture, multilabel=True)).eval()
    several.load_state_dict(network.state_dict())
    batch = batch_of("gru", 3)
    with torch.no_grad():
        logits, log_probs = several(batch), network(batch)
    torch.testing.assert_close(logits.log_softmax(1), log_probs)
    assert not torch.allclose(logits, log_probs, atol=1e-3)


@pytest.mark.parametrize(("width", "heads"), [(1536, 8), (768, 8), (384, 8), (14, 7), (16, 8), (15, 1), (26, 13)])
def test_heads_divide_the_width(width, heads):
    assert num_heads(width) == heads


def test_repr_is_short():
    assert repr(network_of("gru")) == "CGNN(gru, 16 -> 7, 96,499 parameters)"
