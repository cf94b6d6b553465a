"""What is refused of a graph network's checkpoint, and that nothing large is made for it before."""

from argparse import Namespace

import pytest
import torch

from cogmen.checkpoints import VERSION, Checkpoint, check_fits, load_checkpoint, save_checkpoint
from cogmen.network.model import CGNN, Architecture
from erc.corpus.corpora import CORPORA, KEMDY19
from erc.options import UserError
from tests.edits import survives


@pytest.fixture
def path(tmp_path):
    torch.manual_seed(0)
    checkpoint = Checkpoint(
        network=CGNN(
            Architecture(feature_size=6, num_emotions=7, num_speakers=2, rnn="gru", hidden_size=4, seqcontext_nlayer=1)
        ),
        dataset="KEMDy19",
        modalities="at",
        emotions=list(KEMDY19.emotions),
        feature_sizes={"a": 4, "t": 2},
        windows={"wp": 5, "wf": -1},
        options={"tag": "x"},
        epoch=3,
        dev_weighted_f1=0.5,
        temperature=1.5,
        unsure=0.75,
    )
    save_checkpoint(tmp_path / "c.pt", checkpoint)
    return tmp_path / "c.pt"


def test_round_trip(path):
    again = load_checkpoint(path)
    assert (again.windows, again.epoch, again.options) == ({"wp": 5, "wf": -1}, 3, {"tag": "x"})
    assert (again.temperature, again.unsure) == (1.5, 0.75)
    save_checkpoint(path.with_name("half.pt"), again, half=True)
    for name, value in load_checkpoint(path.with_name("half.pt")).network.state_dict().items():
        torch.testing.assert_close(value, again.network.state_dict()[name], atol=1e-3, rtol=1e-3)


def test_files_from_before_the_temperature(path):
    content = torch.load(path, weights_only=True)
    del content["temperature"], content["unsure"]
    torch.save(content, path)
    again = load_checkpoint(path)
    assert (again.temperature, again.unsure) == (1.0, None)


def architecture(**changes):
    return lambda content: content["architecture"].update(changes)


def weight(name, value):
    return lambda content: content["state_dict"].__setitem__(name, value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda c: c.update(format="lightning"), r"not a checkpoint of COGMEN_code/train\.py"),
        (
            lambda c: c.update(version=VERSION + 1),
            f"of checkpoint version {VERSION + 1}, this program reads {VERSION}; update this program",
        ),
        (lambda c: c.pop("windows"), "damaged, or not ours .*windows"),
        (lambda c: c.update(dataset="a\nb"), "'a.*b' cannot name a corpus"),
        (lambda c: c.update(dataset="iemocap"), "its emotions is .* its other parts say"),
        (lambda c: c.update(modalities="t"), "its modalities is 't', its other parts say 'at'"),
        (lambda c: c.update(feature_sizes={"a": 4, "t": 3}), "its feature size is 6, its other parts say 7"),
        (lambda c: c.update(feature_sizes={"a": 4, "x": 2}), "its feature sizes are"),
        (lambda c: c.update(windows={"wp": 5, "wf": -2}), "its windows are"),
        (lambda c: c.update(temperature=float("nan")), "its temperature is nan, expected more than 0, at most 1000"),
        (lambda c: c.update(temperature=0.0), r"its temperature is 0\.0, expected more than 0"),
        (lambda c: c.update(unsure="x"), "its unsure is 'x', expected more than 0, at most 1"),
        (architecture(hidden_size=10**9), "hidden_size 1000000000, expected 1 to 1048576"),
        (architecture(hidden_size=1 << 20), r"its network has [\d,]+ bytes, more than 8,589,934,592"),
        (architecture(hidden_size=5), r"has the wrong shape .* expected"),
        (architecture(seqcontext_nlayer=10**9), "seqcontext_nlayer 1000000000, expected 0 to 100"),
        (architecture(seqcontext_nlayer=100), r"it has no layer rnn\.rnn\.bias_hh_l1"),
        (architecture(num_emotions=6), "its number of emotions is 6, its other parts say 7"),
        (architecture(num_speakers=3), "its number of speakers is 3"),
        (architecture(rnn="mamba"), "damaged, or not ours .*mamba"),
        (architecture(drop_rate=float("nan")), "drop_rate nan, expected 0 <= rate < 1"),
        (lambda c: c["state_dict"].pop("clf.lin1.bias"), r"it has no layer clf\.lin1\.bias"),
        (weight("clf.extra", torch.ones(1)), r"unknown layer clf\.extra"),
        (weight("clf.lin1.bias", torch.ones(4).long()), r"clf\.lin1\.bias has the wrong shape .* or type torch\.int64"),
        (
            weight("clf.lin1.bias", torch.tensor([1, 2, 3, torch.nan])),
            r"clf\.lin1\.bias has weights that are not finite",
        ),
        (weight("clf.lin1.bias", 1.5), r"clf\.lin1\.bias is 1\.5, expected a tensor"),
        (weight("clf.lin1.bias", torch.ones(1).expand(4)), "does not fit its storage of 1 numbers"),
    ],
)
def test_what_does_not_fit_is_named(path, damage, message):
    content = torch.load(path, weights_only=True)
    damage(content)
    torch.save(content, path)
    with pytest.raises(UserError, match=rf"c\.pt: .*{message}") as caught:
        load_checkpoint(path)
    assert len(str(caught.value)) < 700 and "\n" not in str(caught.value)


def test_no_single_value_hurts(path):
    content = torch.load(path, weights_only=True)

    def read():
        torch.save(content, path)
        load_checkpoint(path)

    read_in, refused = survives(content, read, every=3)
    assert refused > 150 and read_in > 5


def test_a_published_checkpoint_names_the_program_that_converts_it(tmp_path):
    torch.save({"args": Namespace(), "state_dict": torch.nn.Linear(2, 2)}, tmp_path / "old.pt")
    with pytest.raises(UserError, match=r"old\.pt: .* python COGMEN_code/convert_checkpoint\.py \S+old\.pt NEW\.pt"):
        load_checkpoint(tmp_path / "old.pt")


def test_truncated_anywhere(path):
    whole = path.read_bytes()
    for size in range(0, len(whole), 997):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"c\.pt: refused"):
            load_checkpoint(path)


def test_one_trained_for_something_else(path):
    checkpoint = load_checkpoint(path)
    fits = (KEMDY19, "at", {"a": 4, "t": 2})
    check_fits(path, checkpoint, *fits)
    for wrong, message in (
        ((CORPORA["iemocap"], *fits[1:]), "trained with --dataset KEMDy19, here --dataset iemocap"),
        ((fits[0], "a", {"a": 4}), "trained with --modalities at, here --modalities a"),
        ((*fits[:2], {"a": 4, "t": 3}), "trained with feature sizes .*2}, here feature sizes .*3}"),
    ):
        with pytest.raises(UserError, match=message):
            check_fits(path, checkpoint, *wrong)
