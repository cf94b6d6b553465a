"""Networks that see the past only: nothing that is said later changes an answer."""

import dataclasses

import numpy as np
import pytest
import torch

from cogmen.checkpoints import load_checkpoint
from cogmen.network.batching import DialogueSet
from cogmen.network.improved import ImprovedArchitecture, MaskedAttentionNetwork
from cogmen.network.model import CGNN, Architecture
from cogmen.training import TrainOptions, predict, seed_everything
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import Dialogue, write_dialogues

WIDTH, TURNS = 8, 13
NETWORKS = {
    "transformer": Architecture(WIDTH, 7, 2, hidden_size=12),
    "highway": Architecture(WIDTH, 7, 2, hidden_size=12, concat_gin_gout=True, use_highway=True, gnn_nheads=2),
    "same_other": Architecture(WIDTH, 7, 2, hidden_size=12, relations="same_other"),
    "lstm": Architecture(WIDTH, 7, 2, rnn="lstm", hidden_size=12),
    "gru": Architecture(WIDTH, 7, 2, rnn="gru", hidden_size=12, seqcontext_nlayer=1),
    "improved": ImprovedArchitecture({"t": WIDTH}, 7, hidden_size=16),
}


def make(name, online=True, **changes):
    seed_everything(1)
    architecture = dataclasses.replace(NETWORKS[name], online=online, **changes)
    network = (MaskedAttentionNetwork if name == "improved" else CGNN)(architecture)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):  # as after a training
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    return network.eval()


def dialogue(turns=TURNS, seed=0):
    rng = np.random.default_rng(seed)
    speakers = [KEMDY19.speakers[k] for k in rng.integers(0, 2, turns)]
    names = [f"Sess01_impro01_{speaker}{k:03}" for k, speaker in enumerate(speakers)]
    features = {"t": rng.normal(size=(turns, WIDTH)).astype(np.float32)}
    return Dialogue("Sess01_impro01", names, speakers, np.zeros(turns, np.int64), names, features)


def outputs(network, dialogues, wp=3, wf=0):
    a = network.architecture
    return predict(network, DialogueSet(dialogues, "t", KEMDY19, wp, wf, a.num_speakers, "cpu", a.relations), 4)[0]


def beginning(whole, turns):
    return next(whole.chunks(turns))


@pytest.mark.parametrize("wp", [3, -1])
@pytest.mark.parametrize("name", NETWORKS)
def test_later_turns_change_no_answer(name, wp):
    network = make(name)
    for seed in range(3):
        whole = dialogue(seed=seed)
        answers = outputs(network, [whole, dialogue(TURNS + 4, seed=9)], wp)[:TURNS]  # beside a longer one, too
        for turns in range(1, TURNS + 1):
            torch.testing.assert_close(outputs(network, [beginning(whole, turns)], wp), answers[:turns])


@pytest.mark.parametrize("name", NETWORKS)
def test_earlier_turns_do(name):
    network, whole = make(name), dialogue()
    other = dialogue()
    other.features["t"][0] *= -1
    assert not torch.allclose(outputs(network, [whole])[-1], outputs(network, [other])[-1], atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_without_online_they_do_change_it(name):
    network, whole = make(name, online=False), dialogue()
    assert not torch.allclose(outputs(network, [beginning(whole, 5)]), outputs(network, [whole])[:5], atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_training_sees_no_later_turns_either(name):
    """The gradient of an answer in later turns' features; by the code that trains, which pads nothing on a CPU."""
    network = make(name, drop_rate=0.1).train()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):
            layer.eval()
            layer.train = lambda mode=True, layer=layer: layer  # its means over the batch are no look ahead
    a = network.architecture
    batch = DialogueSet([dialogue()], "t", KEMDY19, 3, 0, a.num_speakers, "cpu", a.relations).batch([0])
    batch.features.requires_grad_()
    log_probs = network(batch).reshape(-1, TURNS, 7)
    log_probs[:, 4, 2].sum().backward()
    moved = batch.features.grad.abs().sum(dim=1)
    assert moved[:5].any() and not moved[5:].any()


def test_the_flag_and_the_window():
    assert (TrainOptions(from_begin=True, online=True).wf, TrainOptions(from_begin=True).wf) == (0, 5)
    assert TrainOptions(from_begin=True, online=True, recipe="improved").wf == 0
    with pytest.raises(ValueError, match="--wf 5: --online sees no future turns; leave it out"):
        TrainOptions(from_begin=True, online=True, wf=5)


@pytest.mark.parametrize("recipe", ["published", "improved"])
def test_trained_scored_and_kept(recipe, dialogues, run_script, tmp_path, capsys):
    write_dialogues(tmp_path / "feat.pkl", dialogues)
    prepared = tmp_path / "preprocessed.pkl"
    run_script("COGMEN_code/preprocess.py", "--feat_dir", tmp_path / "feat.pkl", "--res_dir", prepared)
    shared = ("--preprocessed_feature", prepared, "--out_dir", tmp_path, "--from_begin", "--epochs", 2)
    run_script("COGMEN_code/train.py", *shared, "--recipe", recipe, "--online")
    path = tmp_path / "model_checkpoints/KEMDy19_best_dev_f1_model_at_tmp.pt"
    checkpoint = load_checkpoint(path)
    assert checkpoint.network.architecture.online and checkpoint.windows["wf"] == 0
    trained = capsys.readouterr().out
    run_script("COGMEN_code/eval.py", "--pt_dir", path, "--data_dir", prepared)
    scores = capsys.readouterr().out.splitlines()[0]
    assert f"test: {scores}" in trained
