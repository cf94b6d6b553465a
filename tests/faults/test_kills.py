"""kill -9 at any moment: the previous file or the new one is there, whole, and what was begun can be finished.

FAULTS=nightly kills more than 200 times, FAULTS_SEED=N at other moments.
"""

import os
import shutil
from functools import partial

import numpy as np
import pytest
import torch

from cogmen.checkpoints import load_checkpoint
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import read_dialogues, write_dialogues, write_preprocessed
from erc.corpus.splits import divide
from erc.files import write_pickle, write_text, write_torch
from erc.options import UserError
from erc.split_zip import MIN_PART_SIZE, pack, unpack
from erc.untrusted import read_pickle, read_torch
from tests.children import Failed, run_child
from tests.cogmen.conftest import make_dialogues
from tests.conftest import load_script
from tests.faults.harness import NIGHTLY, kill_often, kills
from tests.mirai.conftest import corpus_made, data, encoders, same, train, trained, training, weights  # noqa: F401 (fixtures)
from tests.pictures import blank, blank_pictures  # noqa: F401 (a fixture)

pytestmark = pytest.mark.timeout(3600 if NIGHTLY else 300)
SIZE = 200_000
WRITERS = {
    "pickle": (lambda path, k: write_pickle(path, [np.full(SIZE, k)]), lambda path: read_pickle(path)[0]),
    "torch": (lambda path, k: write_torch(path, {"x": torch.full((SIZE,), k)}), lambda path: read_torch(path)["x"]),
    "text": (lambda path, k: write_text(path, f"{k} " * SIZE), lambda path: np.array(path.read_text().split())),
}


def write(kind, path, *values):
    for value in values:
        WRITERS[kind][0](path, value)


def run(path, *arguments, resumable=None, fresh=()):
    """Run a script; with `--resume` once the file `resumable` is there, with the flags `fresh` before."""
    flags = ["--resume"] if resumable and resumable.exists() else fresh
    with blank():  # lest most kills come while pictures are drawn
        load_script(path).main([str(argument) for argument in (*arguments, *flags)])


def threads_of_the_server(path):
    path.write_text(str(len(os.listdir(f"/proc/{os.getppid()}/task"))))


def test_children_come_from_a_process_of_one_thread(tmp_path):
    """Forked from one that has more, a child could wait for ever for a lock that another thread held."""
    run_child(partial(threads_of_the_server, tmp_path / "threads"))
    assert (tmp_path / "threads").read_text() == "1"


@pytest.mark.parametrize("kind", WRITERS)
def test_writing(kind, tmp_path):
    path = tmp_path / "file"

    def check():
        values = WRITERS[kind][1](path)
        assert len(values) == SIZE and (values == values[0]).all()

    kill_often(partial(write, kind, path, 0, 1, 2, 3), kills(4, 40), check, kind)


def test_training_the_graph_network(run_script, tmp_path):
    preprocessed, folder = tmp_path / "preprocessed.pkl", tmp_path / "out"
    dialogues = make_dialogues()
    write_preprocessed(preprocessed, divide(dialogues, KEMDY19))
    name = "model_checkpoints/KEMDy19_best_dev_f1_model_at_tmp"
    command = ("COGMEN_code/train.py", "--preprocessed_feature", preprocessed, "--from_begin", "--epochs", 6)
    command += ("--batch_size", 2, "--learning_rate", 1e-3, "--save_every", 0, "--out_dir")
    run_script(*command, tmp_path / "whole")
    expected = load_checkpoint(tmp_path / f"whole/{name}.pt").network.state_dict()

    def check():
        path = folder / f"{name}.pt"
        if path.exists():
            found = load_checkpoint(path).network.state_dict()
            assert all(torch.equal(found[key], value) for key, value in expected.items())

    work = partial(run, *command, folder, resumable=folder / f"{name}.resume")
    kill_often(work, kills(4, 40), check, "graph network", lambda: shutil.rmtree(folder))
    assert (folder / f"{name}.pt").exists()


def test_training_the_extractor(encoders, data, trained, tmp_path):  # noqa: F811
    """A killed training goes on from its last finished epoch, and ends with the same weights."""
    command = ("MIRAI/trainer_hf.py", *training(encoders, data / "annotation_speaker_only.csv", tmp_path))
    folder, expected = tmp_path / "checkpoint/run", weights(trained / "best.ckpt")

    def check():
        for name in ("best.ckpt", "last.ckpt"):
            if (folder / name).exists():
                torch.load(folder / name, weights_only=True)

    work = partial(run, *command, resumable=folder / "last.ckpt", fresh=["--overwrite"])
    kill_often(work, kills(2, 30), check, "extractor", lambda: shutil.rmtree(folder))
    assert same(weights(folder / "best.ckpt"), expected)


def test_extraction(run_script, trained, data, tmp_path):  # noqa: F811
    table, dialogues = data / "annotation_speaker_only.csv", tmp_path / "dialogues.pkl"
    run_script("COGMEN_code/cogmen_formatting.py", "--csv_path", table, "--out", dialogues)
    command = ("MIRAI/feature_extractor_cogmen_format.py", "--model_save_path", trained / "best.ckpt")
    command += ("--csv_path", table, "--features_format_path", dialogues, "--device", "cpu")
    run_script(*command)
    path = tmp_path / "dialogues_feat.pkl"
    expected = path.read_bytes()

    def check():
        assert not path.exists() or path.read_bytes() == expected

    kill_often(partial(run, *command), kills(3, 30), check, "extraction", path.unlink)
    assert path.exists()


def pack_and_unpack(archive, source, target):
    parts = pack(archive, [source], MIN_PART_SIZE)
    assert len(parts) > 1
    unpack(parts[-1], target)


def test_packing_and_unpacking(tmp_path):
    source = tmp_path / "features.pkl"
    write_dialogues(source, make_dialogues(sessions=80, noise=1.0))
    expected = source.read_bytes()
    archive, target = tmp_path / "archive/features.zip", tmp_path / "target"
    archive.parent.mkdir()

    def check():
        """What was unpacked is whole; a half-made archive is refused or gives the same file."""
        if (target / "features.pkl").exists():
            assert (target / "features.pkl").read_bytes() == expected
        try:
            unpack(archive, tmp_path / "again")
        except UserError:
            return
        assert (tmp_path / "again/features.pkl").read_bytes() == expected

    kill_often(partial(pack_and_unpack, archive, source, target), kills(4, 30), check, "archive")
    assert read_dialogues(target / "features.pkl", KEMDY19).dialogues


@pytest.mark.parametrize("limit", [0, 1_000, 100_000])
@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk(kind, limit, tmp_path):
    """A file that cannot grow: the error names it, and the previous one is as it was."""
    path, read = tmp_path / "file", WRITERS[kind][1]
    write(kind, path, 1)
    with pytest.raises(Failed, match=str(path)):
        run_child(partial(write, kind, path, 2), file_size=limit)
    assert {float(value) for value in set(np.asarray(read(path)).tolist())} == {1.0}
    assert list(tmp_path.iterdir()) == [path]
