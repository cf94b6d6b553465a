"""train.py --valence_arousal: two more outputs, which change nothing where they are not asked for."""

import json

import numpy as np
import pytest
import torch

from cogmen.checkpoints import load_checkpoint
from cogmen.feelings import predict_feelings, ratings_of
from cogmen.network.batching import DialogueSet
from cogmen.network.improved import ImprovedArchitecture, MaskedAttentionNetwork
from cogmen.network.model import CGNN, Architecture
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import write_dialogues
from erc.files import write_torch
from erc.options import UserError
from erc.untrusted import read_torch
from tests.cogmen.conftest import make_dialogues

SIZES = {"a": 8, "t": 16}
NETWORKS = {
    "published": lambda **more: CGNN(Architecture(24, 7, 2, hidden_size=8, rnn="gru", **more)),
    "concat": lambda **more: CGNN(Architecture(24, 7, 2, hidden_size=8, concat_gin_gout=True, rnn="gru", **more)),
    "improved": lambda **more: MaskedAttentionNetwork(ImprovedArchitecture(SIZES, 7, hidden_size=8, **more)),
}


def with_feelings(file):
    """Valence and arousal go with the emotion; of some turns nobody said how they felt."""
    for dialogue in file.dialogues:
        valence = (1 + dialogue.labels * 4 / 6).astype(np.float32)
        valence[0] = np.nan
        dialogue.ratings = {"valence": valence, "arousal": (5 - dialogue.labels * 4 / 6).astype(np.float32)}
    return file


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_other_weights_and_outputs_are_those_of_the_network_without(kind):
    networks = []
    for more in ({}, {"valence_arousal": True}):
        torch.manual_seed(0)
        networks.append(NETWORKS[kind](**more).eval())
    usual, felt = (network.state_dict() for network in networks)
    assert {name for name in felt if name not in usual} == {"feelings.weight", "feelings.bias"}
    assert all(torch.equal(felt[name], value) for name, value in usual.items())
    dialogues = make_dialogues(sessions=2).dialogues
    a = networks[0].architecture
    batch = DialogueSet(dialogues, "at", KEMDY19, 2, 2, a.num_speakers, relations=a.relations).batch([0, 1])
    log_probs, feelings = networks[1](batch, feelings=True)
    assert torch.equal(networks[0](batch), log_probs) and feelings.shape == (len(batch.labels), 2)
    torch.manual_seed(1)
    expected = networks[0].train()(batch)
    torch.manual_seed(1)
    found, feelings = networks[1].train()(batch, feelings=True)
    assert torch.equal(expected, found) and feelings.shape == (*found.shape[:-1], 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, run_script):
    folder = tmp_path_factory.mktemp("feelings")
    for name, file in {"with": with_feelings(make_dialogues(sessions=12)), "without": make_dialogues()}.items():
        write_dialogues(folder / f"{name}.pkl", file)
        run_script(
            *("COGMEN_code/preprocess.py", "--feat_dir", folder / f"{name}.pkl"),
            *("--res_dir", folder / f"{name}_preprocessed.pkl"),
        )
    return folder


def arguments(folder, recipe, name="with"):
    return (
        *("--preprocessed_feature", folder / f"{name}_preprocessed.pkl", "--out_dir", folder, "--from_begin"),
        *("--recipe", recipe, "--tag", recipe, "--hidden_size", 16, "--batch_size", 4, "--learning_rate", 0.01),
    )


@pytest.mark.parametrize("recipe", ["published", "improved"])
def test_they_are_learnt_reported_and_written(folder, run_script, tmp_path, capsys, recipe):
    rnn = ("--rnn", "gru", "--drop_rate", 0.1) if recipe == "published" else ()
    run_script("COGMEN_code/train.py", *arguments(folder, recipe), "--epochs", 15, "--valence_arousal", *rnn)
    trained = [line for line in capsys.readouterr().out.splitlines() if "CCC" in line]
    path = folder / "model_checkpoints" / f"KEMDy19_best_dev_f1_model_at_{recipe}.pt"
    scoring = ("--pt_dir", path, "--data_dir", folder / "with_preprocessed.pkl", "--out_dir", tmp_path)
    run_script("COGMEN_code/eval.py", *scoring)
    shown = [line for line in capsys.readouterr().out.splitlines() if "CCC" in line]
    assert trained == [f"test: {shown[0]}"]
    found = json.loads((tmp_path / "metrics.json").read_text())["ccc"]
    assert found["valence"]["ccc"] > 0.5 and found["arousal"]["ccc"] > 0.5
    assert found["valence"]["n"] == found["arousal"]["n"] - 2  # dialogues
    assert load_checkpoint(path).network.architecture.valence_arousal is True


def test_predictions_are_on_the_raters_scale(folder):
    file = with_feelings(make_dialogues())
    torch.manual_seed(0)
    network = NETWORKS["improved"](valence_arousal=True)
    network.feelings.weight.data.zero_()
    network.feelings.bias.data[:] = torch.tensor([0.5, -3.0])
    dialogues = DialogueSet(file.dialogues, "at", KEMDY19, 2, 2, None)
    found = predict_feelings(network, dialogues, 4)
    assert found.shape == np.concatenate(ratings_of(file.dialogues)).shape
    np.testing.assert_allclose(found, [[4.0, 1.0]] * len(found))


def test_what_is_refused(folder, run_script, tmp_path):
    with pytest.raises(UserError, match=r"--valence_arousal: .*without_preprocessed.pkl has no valence or no arousal"):
        run_script("COGMEN_code/train.py", *arguments(folder, "published", "without"), "--valence_arousal")
    first = ("--rnn", "gru", "--epochs", 1, "--tag", "plain")
    run_script("COGMEN_code/train.py", *arguments(folder, "published"), *first)
    path = folder / "model_checkpoints" / "KEMDy19_best_dev_f1_model_at_plain.pt"
    more = [part for part in arguments(folder, "published") if part != "--from_begin"]
    with pytest.raises(UserError, match="trained with --valence_arousal False, here --valence_arousal True"):
        run_script("COGMEN_code/train.py", *more, "--rnn", "gru", "--model_ckpt", path, "--valence_arousal")
    content = read_torch(path)
    assert content["architecture"].pop("valence_arousal") is False  # as of a checkpoint from before
    write_torch(tmp_path / "old.pt", content)
    assert load_checkpoint(tmp_path / "old.pt").network.architecture.valence_arousal is False
    content["architecture"]["valence_arousal"] = "no"
    write_torch(tmp_path / "broken.pt", content)
    with pytest.raises(UserError, match="damaged: its valence_arousal is 'no'"):
        load_checkpoint(tmp_path / "broken.pt")
