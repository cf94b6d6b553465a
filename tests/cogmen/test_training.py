"""The training loop: nothing waits for the device, and an interrupted training ends as an uninterrupted one."""

import copy
import itertools
import os
import random
import signal
from argparse import Namespace
from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric.nn import RGCNConv

from cogmen.checkpoints import load_checkpoint
from cogmen.network.batching import DialogueSet
from cogmen.network.graph import dialogue_graph
from cogmen.network.graph_layers import RelationalConv
from cogmen.network.model import CGNN, Architecture
from cogmen.options import TrainOptions
from cogmen.training import OPTIMIZERS, Diverged, class_weights, cosine, decide, seed_everything, train, train_step
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import write_preprocessed
from erc.corpus.splits import divide
from erc.files import write_torch
from erc.options import UserError
from erc.untrusted import read_torch
from tests.cogmen.conftest import make_dialogues

# Operators whose result's shape depends on values, or that hand a value to the host: each would wait for a GPU.
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "repeat_interleave", "bincount", "_to_copy")


class Recorded(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.operators = Counter()

    def __torch_dispatch__(self, operator, types, arguments=(), keywords=None):
        name = operator.name().removeprefix("aten::")
        boolean_index = name.startswith("index.Tensor") and any(
            k.dtype == torch.bool for k in arguments[1] if k is not None
        )
        self.operators["boolean index" if boolean_index else name] += 1
        return operator(*arguments, **(keywords or {}))


@pytest.mark.parametrize(
    ("accepted", "refused", "message"),
    [
        *(
            ({name: 1}, {name: 0}, f"--{name} 0: expected at least 1")
            for name in ("epochs", "batch_size", "seqcontext_nlayer", "hidden_size", "gnn_nheads")
        ),
        ({"wp": -1}, {"wp": -2}, "--wp -2: expected a number of turns, or -1 for all"),
        ({"wf": 0}, {"wf": -2}, "--wf -2: expected a number of turns, or -1 for all"),
        ({"wf": -1, "wp": 0}, {"wp": -3}, "--wp -3: expected a number of turns"),
        ({"drop_rate": 0.0}, {"drop_rate": -0.1}, "--drop_rate -0.1: expected 0 <= rate < 1"),
        ({"drop_rate": 0.99}, {"drop_rate": 1.0}, "--drop_rate 1.0: expected 0 <= rate < 1"),
        ({"learning_rate": 0.5}, {"learning_rate": 0.0}, "--learning_rate must be above 0"),
        ({"learning_rate": 1e-9}, {"learning_rate": -0.1}, "--learning_rate must be above 0"),
        *(
            ({name: most}, {name: most + 1}, f"--{name} {most + 1}: expected at most {most}")
            for name, most in (("wp", 2**31 - 1), ("wf", 2**31 - 1), ("seqcontext_nlayer", 100))
        ),
        *(
            ({name: 2**20}, {name: 2**20 + 1}, f"--{name} 1048577: expected at most 1048576")
            for name in ("hidden_size", "gnn_nheads")
        ),
        ({"max_grad_value": -1.0}, {"max_grad_value": 0.0}, "--max_grad_value 0: expected more than 0, or -1"),
        ({"max_grad_value": 0.1}, {"max_grad_value": -5.0}, "--max_grad_value -5: expected more than 0, or -1"),
        ({"resume": True}, {"resume": True, "tuning": True}, "--resume: a search goes on by the same command"),
        ({"seed": 0}, {"seed": -1}, "--seed -1: expected 0 to 4294967295"),
        ({"seed": 4294967295}, {"seed": 4294967296}, "--seed 4294967296: expected 0 to 4294967295"),
        (
            {"recipe": "improved", "hidden_size": 12},
            {"recipe": "improved", "hidden_size": 10},
            "--hidden_size 10: expected a multiple of 4, the heads",
        ),
        ({"weight_decay": 0.0}, {"weight_decay": -0.1}, "--weight_decay not below 0"),
    ],
)
def test_the_edges_of_an_option(accepted, refused, message):
    TrainOptions(from_begin=True, **accepted)
    with pytest.raises(ValueError, match=message):
        TrainOptions(from_begin=True, **refused)


def test_where_the_weights_come_from_is_said_once(tmp_path):
    for given in ({}, {"from_begin": True, "model_ckpt": tmp_path / "x.pt"}):
        with pytest.raises(ValueError, match="give either --from_begin .* or --model_ckpt FILE"):
            TrainOptions(**given)
    with pytest.raises(ValueError, match="--tuning: every trial starts with fresh weights"):
        TrainOptions(tuning=True, model_ckpt=tmp_path / "x.pt")


def waits(operators):
    return [name for name in operators if name.startswith(WAITS) or name == "boolean index"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("extras", [{}, {"use_highway": True, "concat_gin_gout": True, "gnn_nheads": 2}])
def test_a_step_never_waits_for_the_device(optimizer, extras):
    train = divide(make_dialogues(), KEMDY19)["train"]
    network = CGNN(Architecture(24, 7, 2, **extras))
    batching = DialogueSet(train, "at", KEMDY19, wp=5, wf=5, num_speakers=2)
    optimizer = OPTIMIZERS[optimizer](network.parameters(), lr=1e-3)
    weight = torch.ones(7)
    train_step(network, optimizer, batching.batch([0, 1]), weight, 0.1)
    with Recorded() as recorded:
        train_step(network, optimizer, batching.batch([3, 2, 5]), weight, 0.1)
    assert recorded.operators["addmm"] > 4
    assert not waits(recorded.operators)


def test_waiting_would_be_seen():
    turns = torch.randn(4, 3)
    with Recorded() as recorded:
        turns[turns[:, 0] > 0].sum().item()
        RGCNConv(3, 2, 8)(turns, torch.tensor([[0, 1], [1, 2]]), torch.tensor([0, 5]))
    assert {"_local_scalar_dense", "boolean index"} <= set(waits(recorded.operators))


def test_a_step_is_compiled_once_and_whole():
    """Whatever the shapes of the batches, as one graph; here it is then run operation by operation."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    train = divide(make_dialogues(), KEMDY19)["train"]
    torch.manual_seed(0)
    network = CGNN(Architecture(24, 7, 2, use_highway=True, concat_gin_gout=True, drop_rate=0))
    networks = network, copy.deepcopy(network)
    forwards = network, torch.compile(networks[1], dynamic=True, fullgraph=True, backend=backend)
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.1) for each in networks]
    batching = DialogueSet(train, "at", KEMDY19, wp=5, wf=5, num_speakers=2)
    for numbers in ([3, 2, 5], [0, 1], [4, 1, 0, 6]):  # sizes that are equal in the first would be taken for one
        steps = zip(forwards, optimizers, strict=True)
        losses = [train_step(forward, optimizer, batching.batch(numbers), None, -1) for forward, optimizer in steps]
        assert losses[1].item() == pytest.approx(losses[0].item(), abs=1e-6)
    assert len(graphs) == 1
    dropping = torch.compile(CGNN(Architecture(24, 7, 2)), dynamic=True, fullgraph=True, backend=backend)
    assert train_step(dropping, optimizers[1], batching.batch([3, 2, 5]), None, -1).isfinite()


def test_class_weights_by_hand():
    dialogues = [Namespace(labels=np.array([0, 0])), Namespace(labels=np.array([2]))]
    assert class_weights(dialogues, 4).tolist() == [1.5, 0, 3, 0]


def test_class_weights_of_votes():
    dialogues, votes = [Namespace(labels=np.array([0, -1]))], [np.array([[0.75, 0.25, 0], [0, 0.5, 0.5]])]
    assert class_weights(dialogues, 3, votes).tolist() == pytest.approx([2 / 0.75, 2 / 0.75, 4])


def test_votes_without_any_majority_are_trained_on_by_weight():
    def tied(dialogues):
        for dialogue in dialogues:
            votes = np.zeros((len(dialogue), 7), np.float32)
            votes[np.arange(len(dialogue)), dialogue.labels] = 2
            votes[:, 6] = 2
            dialogue.ratings, dialogue.labels = {"emotions": votes}, np.full(len(dialogue), -1)
        return dialogues

    (_, _, history), _ = quick_training(dialogues=tied, soft_labels=True, class_weight=True, scheduler="reduceLR")
    assert all(row["train_loss"] > 0.1 and np.isfinite(row["dev_loss"]) for row in history)


def test_weights_that_count_no_dev_turn_are_refused():
    def never_so(dialogues):
        for dialogue in dialogues:
            dialogue.labels = np.full(len(dialogue), 6)
        return dialogues

    def dev_too(splits):
        for dialogue in splits["dev"]:
            dialogue.labels = np.zeros(len(dialogue), np.int64)

    with pytest.raises(UserError, match="--class_weight: no emotion of the dev turns occurs in training; give --"):
        quick_training(dialogues=never_so, change=dev_too, class_weight=True)
    quick_training(dialogues=never_so, change=dev_too)


def test_class_weights_of_labelled_turns_alone():
    dialogues = [Namespace(labels=np.array([0, -1, 0])), Namespace(labels=np.array([2, -1]))]
    assert class_weights(dialogues, 3).tolist() == [1.5, 0, 3]
    with pytest.raises(UserError, match="--class_weight: weighs the one emotion of a turn, here a turn may have sever"):
        class_weights([Namespace(labels=np.zeros((2, 3), np.int64))], 3)


def test_all_that_is_drawn_comes_from_the_seed():
    def draw(seed):
        seed_everything(seed)
        return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002 (libraries draw from it)

    first = draw(1)
    assert draw(1) == first and not set(draw(2)) & set(first)


@pytest.mark.parametrize(("steps", "warm_up"), [(40, 4), (24, 2), (3, 1), (2, 1), (1, 1)])
def test_the_cosine_schedule(steps, warm_up):
    """Up in a tenth of the steps, at least one, then down to 0 in half a wave."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=2.0)
    schedule, rates = cosine(optimizer, steps), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    rising = [2 * (k + 1) / warm_up for k in range(warm_up)]
    falling = [1 + np.cos(np.pi * k / (steps - warm_up)) for k in range(steps - warm_up)]
    assert rates == pytest.approx(rising + falling)
    if steps > 1:
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)


def test_a_logit_of_zero_is_no_emotion():
    several = Namespace(multilabel=True)
    assert decide(torch.tensor([[0.0, 0.1], [-0.1, 2.0]]), several).tolist() == [[0, 1], [0, 1]]


def quick_training(seen=lambda row: None, network=None, dialogues=None, state_path=None, change=None, **options):
    """A short training in this process, and its network."""
    splits = divide(make_dialogues(sessions=12, turns=(2, 5), noise=0.1), KEMDY19)
    if change:
        change(splits)
    options = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3, "save_every": 0.0, "from_begin": True} | options
    seed_everything(0)
    network = network or CGNN(Architecture(24, 7, 2, rnn="gru", hidden_size=4, seqcontext_nlayer=1, drop_rate=0.0))
    train_dialogues = splits["train"] if dialogues is None else dialogues(splits["train"])
    options = TrainOptions(**options)
    kept = train(network, train_dialogues, splits["dev"], KEMDY19, options, torch.device("cpu"), seen, state_path)
    return kept, network.state_dict()


def test_what_a_training_tells_of_each_epoch(capsys, tmp_path):
    rows = []
    (epoch, f1, history), _ = quick_training(rows.append, epochs=3, learning_rate=0.02, state_path=tmp_path / "state")
    assert rows == history and [row["epoch"] for row in rows] == [1, 2, 3]
    assert list(rows[0]) == ["epoch", "train_loss", "dev_loss", "dev_accuracy", "dev_weighted_f1"]
    assert f1 == max(row["dev_weighted_f1"] for row in rows) == rows[epoch - 1]["dev_weighted_f1"]
    last = capsys.readouterr().err.split("\r")[-1]
    assert last.startswith("training: 100%") and " 3/3 " in last and "epoch" in last
    assert f1 > 0 and f"dev_f1={100 * rows[-1]['dev_weighted_f1']:.1f}, loss={rows[-1]['train_loss']:.3f}]" in last
    quick_training(epochs=5, learning_rate=0.02, state_path=tmp_path / "state", resume=True)
    assert (
        "training:  40%" in capsys.readouterr().err.split("\r")[1]
    )  # the state is that of the third epoch's last step


def test_a_cosine_schedule_ends_with_the_last_step(tmp_path, monkeypatch):
    """Of 5 dialogues there are 2 batches an epoch, the second of a single one."""
    planned = []
    monkeypatch.setattr(
        "cogmen.training.cosine", lambda optimizer, steps: planned.append(steps) or cosine(optimizer, steps)
    )
    quick_training(
        epochs=3, scheduler="cosine", dialogues=lambda all_of_them: all_of_them[:5], state_path=tmp_path / "state"
    )
    content = read_torch(tmp_path / "state")
    assert planned == [content["steps_done"]] == [content["scheduler"]["last_epoch"]] == [6]
    assert content["optimizer"]["param_groups"][0]["lr"] == pytest.approx(0, abs=1e-12)


def test_dialogues_without_labels_are_not_trained_on():
    def some_without(dialogues):
        for dialogue in dialogues[1::2]:
            dialogue.labels = np.full(len(dialogue), -1)
        return dialogues

    (first, one), (second, other) = (
        quick_training(dialogues=prepared) for prepared in (some_without, lambda all_of_them: all_of_them[::2])
    )
    assert first == second and all(torch.equal(one[name], other[name]) for name in one)
    with pytest.raises(UserError, match="^no training dialogue has a label$"):
        quick_training(dialogues=lambda all_of_them: some_without(all_of_them)[1::2])


@pytest.mark.parametrize(
    ("training", "name", "epoch", "value"),
    [
        *(
            (training, name, epoch, "nan")
            for training, name in ((True, "training"), (False, "dev"))
            for epoch in (1, 2)
        ),
        (False, "dev", 1, "inf"),
    ],
)
def test_a_training_that_diverges_is_stopped(training, name, epoch, value):
    network = CGNN(Architecture(24, 7, 2, rnn="gru", hidden_size=4, seqcontext_nlayer=1))
    epochs = []

    def spoil(module, inputs, outputs):
        return outputs * float(value) if len(epochs) == epoch - 1 and module.training == training else outputs

    network.register_forward_hook(spoil)
    message = rf"^the {name} loss is not finite \({value}\) in epoch {epoch}: take a smaller --learning_rate$"
    with pytest.raises(Diverged, match=message):
        quick_training(epochs.append, network)
    assert len(epochs) == epoch - 1


def test_relational_convolution_equals_pytorch_geometrics():
    torch.manual_seed(0)
    ours, theirs = RelationalConv(6, 4, 8), RGCNConv(6, 4, 8)
    theirs.load_state_dict(ours.state_dict())
    speakers = np.array([0, 1] * 6 + [0])
    edge_index, edge_type = map(torch.from_numpy, dialogue_graph(np.array([9, 1, 3]), speakers, 5, 2, 2))
    turns, weights = torch.randn(13, 6, requires_grad=True), torch.randn(13, 4)
    results = []
    for layer in (ours, theirs):
        output = layer(turns, edge_index, edge_type)
        results.append((output, *torch.autograd.grad((output * weights).sum(), [turns, *layer.parameters()])))
    for mine, its in zip(*results, strict=True):
        torch.testing.assert_close(mine, its, atol=1e-5, rtol=1e-4)


@pytest.fixture(scope="module")
def preprocessed(tmp_path_factory):
    """Of noise, mostly: the dev loss soon stops falling, which a scheduler notices after 10 more epochs."""
    path = tmp_path_factory.mktemp("training") / "preprocessed.pkl"
    dialogues = make_dialogues(sessions=12, noise=3.0)
    write_preprocessed(path, divide(dialogues, KEMDY19))
    return path


def command(preprocessed, folder, *more):
    options = ("--epochs", 5, "--batch_size", 2, "--learning_rate", 1e-3, "--scheduler", "reduceLR", "--save_every", 0)
    return (
        "COGMEN_code/train.py",
        "--preprocessed_feature",
        preprocessed,
        "--out_dir",
        folder,
        "--from_begin",
        *options,
        *more,
    )


NAME = "model_checkpoints/KEMDy19_best_dev_f1_model_at_tmp"
STEPS = 10  # of an epoch: 20 dialogues


def at_step(number, action):
    """In this context, do `action` when the training's step of this number, from 0, has gone through the network."""
    steps = itertools.count()

    def look(module, inputs, output):
        if isinstance(module, CGNN) and module.training and next(steps) == number:
            action()

    return torch.nn.modules.module.register_module_forward_hook(look)


class Killed(Exception):
    pass


def kill():
    raise Killed


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    ("action", "step", "outcome", "extras"),
    [
        (kill, 7, Killed, ()),
        (kill, 11, Killed, ("--rnn", "gru", "--optimizer", "sgd")),
        (terminate, 9, UserError, ()),
        (interrupt, 12, UserError, ("--scheduler", "expLR", "--optimizer", "rmsprop")),
        (
            terminate,
            12 * STEPS,
            UserError,
            ("--epochs", 18, "--learning_rate", 0.03, "--rnn", "gru", "--drop_rate", 0, "--save_every", 3600),
        ),
    ],
)
def test_an_interrupted_training_ends_as_an_uninterrupted_one(
    run_script, preprocessed, tmp_path, action, step, outcome, extras
):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_script(*command(preprocessed, whole, *extras))
    with at_step(step, action), pytest.raises(outcome) as told:
        run_script(*command(preprocessed, parts, *extras))
    assert (parts / f"{NAME}.resume").exists() and not (parts / f"{NAME}.pt").exists()
    if outcome is UserError:
        assert "the same command with --resume goes on" in str(told.value)
    run_script(*command(preprocessed, parts, *extras, "--resume"))
    first, second = (load_checkpoint(folder / f"{NAME}.pt") for folder in (whole, parts))
    assert (first.epoch, first.dev_weighted_f1) == (second.epoch, second.dev_weighted_f1)
    state, resumed = first.network.state_dict(), second.network.state_dict()
    assert all(torch.equal(state[name], resumed[name]) for name in state)
    assert (whole / f"{NAME}.csv").read_text() == (parts / f"{NAME}.csv").read_text()
    assert sorted(path.name for path in (parts / "model_checkpoints").iterdir()) == [
        f"KEMDy19_best_dev_f1_model_at_tmp.{kind}"
        for kind in ("csv", "png", "pt", "svg")  # the learning curves, too
    ]


def test_resume_refuses_what_it_cannot_go_on_from(run_script, preprocessed, tmp_path):
    with pytest.raises(UserError, match="--resume: there is no .*: no training of this name was interrupted"):
        run_script(*command(preprocessed, tmp_path, "--resume"))
    with at_step(3, kill), pytest.raises(Killed):
        run_script(*command(preprocessed, tmp_path))
    with pytest.raises(UserError, match=r"begun with other options: --wp 2 \(it was 5\)"):
        run_script(*command(preprocessed, tmp_path, "--resume", "--wp", 2))
    other = tmp_path / "other.pkl"
    dialogues = make_dialogues(sessions=12)
    dialogues.dialogues[5].features["t"][1, 0] += 1e-3
    write_preprocessed(other, divide(dialogues, KEMDY19))
    with pytest.raises(UserError, match="begun with other training dialogues"):
        run_script(*command(other, tmp_path, "--resume"))
    state = tmp_path / f"{NAME}.resume"
    content = read_torch(state)
    for key in ("options", "optimizer"):
        write_torch(state, {name: value for name, value in content.items() if name != key})
        with pytest.raises(UserError, match=f"damaged training state .*{key}"):
            run_script(*command(preprocessed, tmp_path, "--resume"))
    write_torch(state, content)
    state.write_bytes(state.read_bytes()[:3000])
    with pytest.raises(UserError, match="refused: it is cut short"):
        run_script(*command(preprocessed, tmp_path, "--resume"))
    del content["options"]["compile"]  # a version that had no such option yet
    write_torch(state, content)
    run_script(*command(preprocessed, tmp_path, "--resume"))
    assert (tmp_path / f"{NAME}.pt").exists()


def test_the_state_is_saved_as_often_as_asked(run_script, preprocessed, tmp_path):
    with at_step(4, kill), pytest.raises(Killed):
        run_script(*command(preprocessed, tmp_path, "--save_every", 3600))
    assert not (tmp_path / f"{NAME}.resume").exists()


def test_a_gpu_without_enough_memory_is_told_with_the_flags(run_script, preprocessed, tmp_path):
    def exhausted():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore.")

    message = r"Tried to allocate 2.00 GiB.*; a smaller --batch_size needs less"
    with at_step(1, exhausted), pytest.raises(UserError, match=message):
        run_script(*command(preprocessed, tmp_path))
