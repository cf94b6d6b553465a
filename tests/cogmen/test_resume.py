"""A state of an interrupted training is gone on from, or refused; whatever single value in it is another one."""

import copy
import dataclasses

import pytest

from cogmen.network.model import CGNN, Architecture
from cogmen.options import TrainOptions
from cogmen.training import seed_everything, train
from erc.corpus.corpora import KEMDY19
from erc.corpus.splits import divide
from erc.files import write_torch
from erc.options import UserError
from erc.untrusted import read_torch
from tests.cogmen.conftest import make_dialogues
from tests.edits import survives


@pytest.mark.parametrize(
    ("optimizer", "scheduler", "every"), [("adam", None, 11), ("rmsprop", "expLR", 31), ("sgd", "reduceLR", 31)]
)
@pytest.mark.filterwarnings("ignore")
def test_no_single_value_hurts(tmp_path, optimizer, scheduler, every):
    splits = divide(make_dialogues(sessions=6, turns=(2, 4)), KEMDY19)
    options = TrainOptions(
        from_begin=True,
        epochs=2,
        batch_size=3,
        rnn="gru",
        hidden_size=4,
        device="cpu",
        optimizer=optimizer,
        scheduler=scheduler,
        seqcontext_nlayer=1,
        save_every=0.0,
    )
    state = tmp_path / "state.resume"

    def run(dev=splits["dev"], **changes):
        seed_everything(0)
        changed = dataclasses.replace(options, **changes)
        network = CGNN(Architecture.from_options(changed, splits["train"][0].joined("at").shape[1], 7, 2))
        return train(network, splits["train"], dev, KEMDY19, changed, "cpu", state_path=state)

    whole = run()  # the state of its last step is left
    content = read_torch(state)
    assert content["epoch"] == 1 and run(resume=True) == whole
    for version, missing in ((1, ("average", "steps_done", "dev_dialogues")), (2, ("dev_dialogues",))):
        earlier = {name: value for name, value in content.items() if name not in missing}
        write_torch(state, earlier | {"version": version})
        assert run(resume=True) == whole  # as earlier versions wrote it
    write_torch(state, content)
    relabelled = copy.deepcopy(splits["dev"])
    relabelled[0].labels = (relabelled[0].labels + 1) % 7
    with pytest.raises(UserError, match="was begun with other dev dialogues than these"):
        run(dev=relabelled, resume=True)

    def read():
        write_torch(state, content)
        run(resume=True, save_every=3600.0)

    read_in, refused = survives(content, read, every)
    assert read_in > 2 and refused > 20
