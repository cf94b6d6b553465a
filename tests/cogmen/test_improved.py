"""The improved recipe: which turn attends to which, one checkpoint for several modalities, and an exact --resume."""

import dataclasses
import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from cogmen.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from cogmen.network.batching import DialogueSet, add_absent
from cogmen.network.improved import (
    HEADS,
    ImprovedArchitecture,
    MaskedAttentionNetwork,
    StackedLinear,
    StackedNorm,
    seen_turns,
)
from cogmen.options import TrainOptions
from cogmen.recipes import RECIPES
from cogmen.training import OPTIMIZERS, loss_of, predict, seed_everything, train, train_step
from cogmen.tuning.options import TuneOptions
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import Dialogue, write_preprocessed
from erc.corpus.splits import divide
from erc.files import write_torch
from erc.options import UserError
from erc.untrusted import read_torch
from tests.cogmen.conftest import make_dialogues
from tests.cogmen.test_training import Recorded, waits
from tests.edits import survives
from tests.oracles import naive_masked_attention

SIZES = {"a": 8, "t": 16}


def network_of(sizes=SIZES, **changes):
    torch.manual_seed(0)
    network = MaskedAttentionNetwork(ImprovedArchitecture(sizes, 7, **{"hidden_size": 8, **changes}))
    for parameter in network.parameters():  # lest what begins as 0 or 1 hide what it does
        torch.nn.init.normal_(parameter, std=0.4)
    return network.eval()


def set_of(dialogues, modalities="at", wp=2, wf=1):
    return DialogueSet(dialogues, modalities, KEMDY19, wp, wf, None)


def test_the_recipe_knows_the_number_of_heads():
    assert RECIPES["improved"].heads == len(HEADS)


@pytest.mark.parametrize("changes", [{}, {"heads": "all near all own", "members": 3}, {"online": True}])
def test_the_network_is_that_of_a_plain_loop(changes, monkeypatch):
    """Of 14 turns, farther from each other than the biases for distances go; on a CPU, and as on a GPU."""
    network, generator = network_of(**changes), torch.Generator().manual_seed(1)
    parts = {name: torch.randn(14, size, generator=generator) for name, size in SIZES.items()}
    speakers = torch.randint(0, 3, (14,), generator=generator).tolist()
    names = [KEMDY19.speakers[0]] * 14
    dialogue = Dialogue(
        "d",
        list(map(str, range(14))),
        names,
        np.zeros(14, np.int64),
        names,
        {name: part.numpy() for name, part in parts.items()},
    )
    batch = set_of([dialogue], wp=3, wf=1).batch([0])
    batch.speakers = torch.tensor(speakers)
    with torch.no_grad():
        expected = naive_masked_attention(network, parts, speakers, 3, 1)
        assert torch.allclose(network(batch), expected, atol=1e-5)
        monkeypatch.setattr("cogmen.network.improved.on_cpu", lambda values: False)
        assert torch.allclose(network(batch), expected, atol=1e-5)


@pytest.mark.parametrize(("wp", "wf"), [(2, 1), (0, -1), (-1, 0)])
def test_which_turn_attends_to_which(wp, wf):
    dialogues = [[0, 1, 1, 0, 2, 0], [3], [1, 1, 0, 4]]  # the speakers of each turn
    longest = max(map(len, dialogues))
    speakers = torch.tensor([numbers + [0] * (longest - len(numbers)) for numbers in dialogues])
    mask = torch.tensor([[turn < len(numbers) for turn in range(longest)] for numbers in dialogues])
    seen = seen_turns(speakers, mask, wp, wf)
    for number, spoken in enumerate(dialogues):
        for i in range(len(spoken)):
            for j in range(longest):
                there = j < len(spoken)
                same = there and spoken[i] == spoken[j]
                near = there and (wp < 0 or i - j <= wp) and (wf < 0 or j - i <= wf)
                kinds = {"own": same, "other": there and not same, "near": near, "all": there}
                for head, kind in enumerate(HEADS):
                    assert seen[number, head, i, j] == (kinds[kind] or i == j), (number, kind, i, j)


@pytest.mark.parametrize("heads", ["own other near", "own other near far"])
def test_heads_that_are_no_four_known_words(heads):
    with pytest.raises(ValueError, match=f"heads '{heads}': expected 4 words of own, other, near, all"):
        ImprovedArchitecture(SIZES, 7, heads=heads)


def test_a_dialogue_of_one_turn_attends_to_that_turn(dialogues):
    network, (dialogue,) = network_of(), dialogues.dialogues[:1]
    alone = set_of([next(dialogue.chunks(1))])
    log_probs, labels = predict(network, alone, 4)
    assert log_probs.shape == (1, 7) and log_probs.exp().sum().item() == pytest.approx(1) and len(labels) == 1
    for layer in network.layers:
        layer.distance.data += 3.0
        layer.qkv.weight.data[:, :, :16] = 0.0  # queries and keys; there is nothing to choose from
    assert torch.allclose(predict(network, alone, 4)[0], log_probs, atol=1e-5)


def test_other_dialogues_and_padding_change_nothing(dialogues):
    network = network_of()
    together = predict(network, set_of(dialogues.dialogues), 64)[0]
    one_by_one = torch.cat([predict(network, set_of([dialogue]), 1)[0] for dialogue in dialogues.dialogues])
    torch.testing.assert_close(together, one_by_one, atol=1e-5, rtol=1e-5)


def test_any_number_of_speakers(dialogues):
    network, dialogue = network_of(), max(dialogues.dialogues, key=len)
    own = dataclasses.replace(KEMDY19, speakers=())

    def log_probs(speakers):
        return predict(
            network, DialogueSet([dataclasses.replace(dialogue, speakers=speakers)], "at", own, 2, 1, None), 1
        )[0]

    many = [f"speaker {turn}" for turn in range(len(dialogue))]
    turns = range(len(dialogue))
    assert torch.equal(log_probs(many), log_probs([f"another {turn}" for turn in turns]))  # only who is who matters
    assert not torch.allclose(log_probs(many), log_probs(["A"] * len(dialogue)), atol=1e-3)


def test_an_absent_modality_counts_for_nothing(dialogues):
    """It is as if the network had never had its projection, but for the bias."""
    network, text_only = (
        network_of(),
        [dataclasses.replace(d, features={"t": d.features["t"]}) for d in dialogues.dialogues],
    )
    with pytest.raises(KeyError):
        set_of(text_only)
    add_absent(text_only, SIZES)
    assert all((d.features["a"] == 0).all() for d in text_only)
    found = predict(network, set_of(text_only), 8)[0]
    network.inputs["a"].weight.data.fill_(math.nan)  # times 0 is still not a number
    assert predict(network, set_of(text_only), 8)[0].isnan().all()
    network.inputs["a"].weight.data.normal_()
    assert torch.equal(predict(network, set_of(text_only), 8)[0], found)


@pytest.mark.parametrize("sizes", [SIZES, {"t": 16}])
@pytest.mark.parametrize(("changes", "wp"), [({}, 2), ({"members": 1}, -1), ({"online": True}, 2)])
def test_a_cpu_does_without_padding(dialogues, monkeypatch, sizes, changes, wp):
    """Each dialogue on its own, with a derivative by hand; all else pads, and PyTorch differentiates."""
    network = network_of(sizes, drop_rate=0.0, input_drop=0.0, **changes).double().train()
    alone = next(dialogues.dialogues[0].chunks(1))
    batch = set_of([*dialogues.dialogues[:3], alone], "".join(sizes), wp, 0 if "online" in changes else 1).batch(
        range(4)
    )
    batch.features, weights = batch.features.double(), torch.randn(len(batch.labels), 7, dtype=torch.double)
    found = {}
    for padded in (False, True):
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda padded=padded: padded)
        log_probs = network.train()(batch)
        gradients = torch.autograd.grad((log_probs * weights).sum(), list(network.parameters()))
        found[padded] = (log_probs, network.eval()(batch), *gradients)
    assert all(gradient.abs().max() > 0 for gradient in found[True][2:])
    torch.testing.assert_close(found[False], found[True])


def test_a_norms_weights_may_go_into_the_next_layer():
    norm, linear, turns = StackedNorm(3, 5), StackedLinear(3, 5, 4), torch.randn(3, 7, 5)
    for parameter in (*norm.parameters(), *linear.parameters()):
        torch.nn.init.normal_(parameter)
    torch.testing.assert_close(linear(turns, norm=norm), linear(norm(turns)))


def test_training_sees_all_modalities_and_each_alone(dialogues):
    """The loss is of the members' answers for a whole turn, for its speech and for its text."""
    network, chosen = network_of(drop_rate=0.0, input_drop=0.0), dialogues.dialogues[:4]
    views = [set_of(chosen).batch([0, 3])]
    for modality in SIZES:
        alone = [dataclasses.replace(d, features={modality: d.features[modality]}) for d in chosen]
        add_absent(alone, SIZES)
        views.append(set_of(alone).batch([0, 3]))
    log_probs = network.train()(views[0])
    assert log_probs.shape == (2 * 3, len(views[0].labels), 7)
    for view, found in zip(views, log_probs.unflatten(0, (2, 3)).unbind(1), strict=True):
        torch.testing.assert_close(network.eval()(view).exp(), found.exp().mean(dim=0))


def test_training_drops_features_and_what_is_added_and_scoring_nothing(dialogues, monkeypatch):
    rates = []
    monkeypatch.setattr("cogmen.network.improved.drop", lambda values, rate: rates.append(rate) or values)
    network, batch = network_of(drop_rate=0.4, input_drop=0.2), set_of(dialogues.dialogues[:3]).batch([0, 1, 2])
    network(batch)
    assert set(rates) == {0.0}
    rates.clear()
    network.train()(batch)
    in_a_layer = [0.4, 0.4, 0.4]  # attention; inside and after the feed-forward part
    assert rates == [0.2, 0.2, 0.4, *in_a_layer * len(network.layers), 0.4]


@pytest.mark.parametrize("rate", [0.5, 0.0])
def test_each_member_has_other_features_dropped(dialogues, rate):
    network = network_of({"t": 16}, drop_rate=0.0, input_drop=rate)
    for parameter in network.parameters():
        parameter.data[1] = parameter.data[0]
    first, second = network.train()(set_of(dialogues.dialogues[:2], "t").batch([0, 1]))
    assert torch.allclose(first, second, atol=1e-6) == (rate == 0)


def test_one_modality_is_as_two_of_which_one_is_absent(dialogues):
    one, two = network_of({"t": 16}), network_of()
    two.inputs["a"].bias.data.zero_()
    one.load_state_dict({name: value for name, value in two.state_dict().items() if not name.startswith("inputs.a.")})
    batch = set_of(dialogues.dialogues[:2]).batch([0, 1])
    batch.features[:, :8] = 0
    expected = two(batch)
    batch.features = batch.features[:, 8:]
    assert torch.allclose(one(batch), expected, atol=1e-6)


def test_members_are_separate_and_their_probabilities_averaged(dialogues):
    network, data = network_of(members=3, drop_rate=0.0, input_drop=0.0), set_of(dialogues.dialogues)
    batch = data.batch([0, 3])
    each = network.train()(batch)[::3]  # of three views of a turn the whole
    torch.testing.assert_close(network.eval()(batch).exp(), each.exp().mean(dim=0))
    for member in range(3):
        single = network_of(members=1)
        state = {name: value[member : member + 1] for name, value in network.state_dict().items()}
        single.load_state_dict(state)
        torch.testing.assert_close(single(batch), each[member], atol=1e-5, rtol=1e-5)


def test_a_checkpoint_from_before_the_views(tmp_path):
    network = network_of()
    checkpoint = Checkpoint(network, "KEMDy19", "at", list(KEMDY19.emotions), SIZES, {"wp": 3, "wf": 3}, {}, 3, 0.5)
    save_checkpoint(tmp_path / "c.pt", checkpoint)
    content = torch.load(tmp_path / "c.pt", weights_only=True)
    content["architecture"]["modality_drop"] = 0.75
    torch.save(content, tmp_path / "c.pt")
    assert load_checkpoint(tmp_path / "c.pt").network.architecture == network.architecture


def test_the_loss_by_hand():
    log_probs = torch.randn(2, 3, 4).log_softmax(dim=-1)
    labels = torch.tensor([1, -1, 3])
    terms = [
        -sum((0.9 * (k == labels[n]) + 0.1 / 4) * log_probs[m, n, k] for k in range(4)) for m in (0, 1) for n in (0, 2)
    ]
    assert loss_of(log_probs, labels, smoothing=0.1).item() == pytest.approx(sum(terms).item() / 4, rel=1e-5)
    plain = -sum(log_probs[m, n, labels[n]] for m in (0, 1) for n in (0, 2)) / 4
    assert loss_of(log_probs, labels).item() == pytest.approx(plain.item(), rel=1e-5)


def test_a_step_never_waits_for_the_device():
    data, network = set_of(divide(make_dialogues(), KEMDY19)["train"]), network_of()
    optimizer = OPTIMIZERS["adamw"](network.parameters(), lr=1e-3)
    train_step(network, optimizer, data.batch([0, 1]), torch.ones(7), -1, 0.1)
    with Recorded() as recorded:
        train_step(network, optimizer, data.batch([3, 2, 5]), torch.ones(7), -1, 0.1)
    assert recorded.operators["bmm"] + recorded.operators["baddbmm"] > 4 and not waits(recorded.operators)


def test_batches_of_like_lengths_have_every_dialogue(dialogues):
    data = set_of(dialogues.dialogues * 5)
    data.alike = True
    order = data.order(6, torch.Generator().manual_seed(0))
    assert sorted(number for batch in order for number in batch) == list(range(60))
    assert order != data.order(6, torch.Generator().manual_seed(1)) and len(order) == 10
    spread = [max(data.lengths[batch]) - min(data.lengths[batch]) for batch in order]
    data.alike = False
    assert sum(spread) < sum(
        max(data.lengths[batch]) - min(data.lengths[batch]) for batch in data.order(6, torch.Generator().manual_seed(0))
    )


def test_the_published_recipe_is_the_default():
    published = TrainOptions(from_begin=True)
    assert published == TrainOptions(from_begin=True, recipe="published", epochs=100, learning_rate=1e-4)
    assert (published.epochs, published.batch_size, published.optimizer, published.scheduler) == (100, 64, "adam", None)
    assert (published.drop_rate, published.wp, published.hidden_size, published.weight_decay) == (0.5, 5, 100, 1e-8)
    assert RECIPES["published"].average == RECIPES["published"].label_smoothing == 0
    improved = TrainOptions(from_begin=True, recipe="improved", epochs=3)
    assert improved.epochs == 3 and improved.scheduler == "cosine"
    for wrong in ({"rnn": "gru"}, {"use_highway": True}, {"tuning": True}):
        with pytest.raises(ValueError, match=rf"--{next(iter(wrong))}: --recipe improved has none; leave it out"):
            TrainOptions(from_begin=True, recipe="improved", **wrong)
    with pytest.raises(ValueError, match="--tuning: --recipe improved has none"):
        TuneOptions(recipe="improved")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, run_script):
    """Preprocessed dialogues, and a checkpoint for `at` that the script trained on them."""
    folder = tmp_path_factory.mktemp("improved")
    write_preprocessed(folder / "p.pkl", divide(make_dialogues(sessions=12, noise=0.1), KEMDY19), KEMDY19)
    run_script("COGMEN_code/train.py", "--recipe", "improved", "--from_begin", "--epochs", 30, *paths(folder))
    return folder


def paths(folder):
    return ("--preprocessed_feature", folder / "p.pkl", "--out_dir", folder, "--hidden_size", 16)


CHECKPOINT = "model_checkpoints/KEMDy19_best_dev_f1_model_at_tmp.pt"


@pytest.mark.parametrize(("modalities", "least"), [("at", 0.85), ("a", 0.45), ("t", 0.45)])
def test_one_checkpoint_serves_several_modalities(folder, run_script, modalities, least):
    where = ("--data_dir", folder / "p.pkl", "--out_dir", folder / modalities, "--modalities", modalities)
    run_script("COGMEN_code/eval.py", "--pt_dir", folder / CHECKPOINT, *where)
    assert json.loads((folder / modalities / "metrics.json").read_text())["weighted_f1"] > least


def test_what_a_checkpoint_lacks_is_refused(folder, run_script):
    with pytest.raises(UserError, match="asks for visual"):
        run_script(
            "COGMEN_code/eval.py", "--pt_dir", folder / CHECKPOINT, "--data_dir", folder / "p.pkl", "--modalities", "tv"
        )


class Killed(Exception):
    pass


@pytest.mark.parametrize("step", [3, 13])
def test_an_interrupted_training_ends_as_an_uninterrupted_one(tmp_path, step):
    splits = divide(make_dialogues(sessions=6, turns=(2, 6)), KEMDY19)
    options = TrainOptions(
        from_begin=True, recipe="improved", epochs=5, batch_size=3, hidden_size=8, device="cpu", save_every=0.0
    )
    state = tmp_path / "state.resume"

    def run(at_step=None, **changes):
        changed = dataclasses.replace(options, **changes)
        seed_everything(0)
        network, steps = network_of(), iter(range(1000))

        def look(module, inputs, output):
            if module.training and next(steps) == at_step:
                raise Killed

        network.register_forward_hook(look)
        kept = train(network, splits["train"], splits["dev"], KEMDY19, changed, "cpu", state_path=state)
        return kept, network.state_dict()

    (epoch, f1, history), whole = run()
    assert epoch == 5 and f1 == history[-1]["dev_weighted_f1"]
    state.unlink()
    with pytest.raises(Killed):
        run(step)
    content = read_torch(state)
    latest, average = content["network"], content["average"]
    assert average.keys() == latest.keys() and not all(torch.equal(average[name], latest[name]) for name in latest)
    kept, resumed = run(resume=True)
    assert kept == (epoch, f1, history) and all(torch.equal(whole[name], resumed[name]) for name in whole)
    write_torch(state, {**content, "average": None})
    with pytest.raises(UserError, match="damaged training state"):
        run(resume=True)
    write_torch(state, content)
    with pytest.raises(UserError, match="--epochs 6 .it was 5"):
        run(resume=True, epochs=6)


def test_the_average_forgets_the_beginning(tmp_path):
    """By hand: the share of the old average is at most the recipe's, and less in the first steps."""
    from cogmen.resume import average_into

    kept, network = network_of(), network_of()
    first = next(iter(kept.parameters())).detach().clone()
    for parameter in network.parameters():
        parameter.data += 1
    average_into(kept, network, 0.98, steps=2)
    torch.testing.assert_close(next(iter(kept.parameters())).detach(), first + 1 - 3 / 12)
    average_into(kept, network, 0.98, steps=10**6)
    torch.testing.assert_close(next(iter(kept.parameters())).detach(), first + 1 - 0.98 * 3 / 12)


def test_no_single_value_of_a_checkpoint_hurts(tmp_path):
    path, whole = tmp_path / "c.pt", network_of(seqcontext_nlayer=1)
    checkpoint = Checkpoint(whole, "KEMDy19", "at", list(KEMDY19.emotions), SIZES, {"wp": 3, "wf": 3}, {}, 3, 0.5)
    save_checkpoint(path, checkpoint)
    again = load_checkpoint(path)
    assert again.network.architecture == whole.architecture
    assert all(torch.equal(value, again.network.state_dict()[name]) for name, value in whole.state_dict().items())
    content = torch.load(path, weights_only=True)
    for changes, message in (
        ({"members": 10**6}, "members 1000000, expected 1 to 100"),
        ({"members": 1}, "has the wrong shape"),
        ({"input_drop": 1.5}, "input_drop 1.5, expected 0 <= rate < 1"),
        ({"hidden_size": 6}, "damaged, or not ours"),
        ({"recipe": "best"}, "damaged, or not ours"),
        ({"feature_sizes": {"t": 16, "a": 8}}, "its features by modality is"),
    ):
        torch.save({**content, "architecture": {**content["architecture"], **changes}}, path)
        with pytest.raises(UserError, match=message):
            load_checkpoint(path)

    def read():
        torch.save(content, path)
        load_checkpoint(path)

    read_in, refused = survives(content, read, every=5)
    assert refused > 50 and read_in > 0


def test_training_it_does_not_wait_for_pytorch_geometric():
    """Its import takes a tenth of a training's time."""
    program = "import sys, cogmen.run, cogmen.training; sys.exit('torch_geometric' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
