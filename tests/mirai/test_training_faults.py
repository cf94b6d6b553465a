"""Stage 1 training that is stopped, killed, out of memory, diverging, or resumed from what is not its own."""

import os
import shutil
import signal

import pytest
import torch

from erc.options import UserError
from mirai.training.module import ExtractorTraining

from .conftest import run_killed, same, training, weights


@pytest.fixture
def table(data):
    return data / "annotation_speaker_only.csv"


@pytest.fixture
def at_step(monkeypatch):
    """`at_step(epoch, batch, action)`: `action(module)` happens in the middle of that training step."""

    def set_up(epoch, number, action):
        step = ExtractorTraining.training_step

        def disturbed(self, batch, batch_number):
            if (self.current_epoch, batch_number) == (epoch, number):
                action(self)
            return step(self, batch, batch_number)

        monkeypatch.setattr(ExtractorTraining, "training_step", disturbed)

    return set_up


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_stops_at_the_next_step_and_resuming_ends_the_same(
    train, table, trained, tmp_path, at_step, monkeypatch, name
):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    counted = []
    with monkeypatch.context() as patch:
        at_step(1, 2, lambda _: os.kill(os.getpid(), getattr(signal, name)))
        patch.setattr(ExtractorTraining, "on_before_zero_grad", lambda self, _: counted.append(self.current_epoch))
        with pytest.raises(UserError, match=rf"--exp_name run: stopped by {name}; --resume goes on from last\.ckpt"):
            train(table, tmp_path, epochs=2)
    assert counted.count(0) == 6 and counted.count(1) == 3  # batches 0, 1 and 2 of the second epoch
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    folder = tmp_path / "checkpoint" / "run"
    assert torch.load(folder / "last.ckpt", weights_only=True)["epoch"] == 0
    monkeypatch.undo()
    train(table, tmp_path, "--resume", epochs=2)
    for file in ("last.ckpt", "best.ckpt"):
        assert same(weights(folder / file), weights(trained / file))


def test_a_signal_in_the_first_epoch_leaves_nothing_to_resume(train, table, tmp_path, at_step):
    at_step(0, 1, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(UserError, match="stopped by SIGTERM; in its first epoch: start it again"):
        train(table, tmp_path)
    assert not list((tmp_path / "checkpoint").rglob("*.ckpt"))


def test_killed_while_writing_and_resumed_ends_the_same(train, table, trained, encoders, tmp_path, capsys):
    """No checkpoint goes through the folder for temporary files, either."""
    run_killed("replace", 3, "MIRAI/trainer_hf.py", *training(encoders, table, tmp_path))  # in epoch 1
    folder = tmp_path / "checkpoint" / "run"
    assert torch.load(folder / "last.ckpt", weights_only=True)["epoch"] == 0
    train(table, tmp_path, "--resume")
    assert f"resumed from {folder / 'last.ckpt'}" in capsys.readouterr().out
    for file in ("last.ckpt", "best.ckpt"):
        assert same(weights(folder / file), weights(trained / file))


def test_a_loss_that_is_not_finite_ends_the_training(train, table, tmp_path, at_step, capsys):
    """At the end of the epoch, whose weights are not kept; those of the epoch before are."""
    with pytest.raises(UserError, match=r"^the training loss is not finite \(nan\) in epoch 0: take a smaller --lr$"):
        train(table, tmp_path, "--lr", 1e30, name="first")
    assert not list((tmp_path / "checkpoint" / "first").glob("*.ckpt"))

    def poison(module):
        torch.nn.init.constant_(module.extractor.classifier.bias, torch.inf)

    at_step(1, 3, poison)
    with pytest.raises(UserError, match=r"the training loss is not finite \(nan\) in epoch 1: take a smaller --lr"):
        train(table, tmp_path, epochs=3)
    assert "epoch   0" in capsys.readouterr().out
    for name in ("best.ckpt", "last.ckpt"):
        assert torch.load(tmp_path / "checkpoint" / "run" / name, weights_only=True)["epoch"] == 0
        assert all(value.isfinite().all() for value in weights(tmp_path / "checkpoint" / "run" / name).values())


def test_a_step_divided_otherwise_may_be_resumed(train, table, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "checkpoint" / "run")
    train(table, tmp_path, "--resume", "--batch_size", 2, "--accumulate_grad", 2, epochs=3)
    with pytest.raises(UserError, match=r"--batch_size 2 --accumulate_grad 1 .*another number of utterances in an opt"):
        train(table, tmp_path, "--resume", "--batch_size", 2, epochs=4)


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
def test_an_experiment_is_resumed_by_its_own_trainer(experiments, train, table, tmp_path):
    name = "both+mmer"
    shutil.copytree(experiments / name, tmp_path / "checkpoint" / name)
    with pytest.raises(UserError, match=r"begun with the other of MIRAI/trainer_hf\.py and trainer_hf_MMER\.py"):
        train(table, tmp_path, "--resume", "--loss", "cs_and_ce", name=name)
    folder = train(table, tmp_path, "--resume", "--loss", "cs_and_ce", name=name, script="MIRAI/trainer_hf_MMER.py")
    assert torch.load(folder / "last.ckpt", weights_only=True)["epoch"] == 1


def test_a_moved_run_keeps_its_best_and_removes_no_file_that_its_checkpoint_names(train, table, trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "checkpoint" / "run")
    (tmp_path / "precious").write_text("x")
    content = torch.load(folder / "last.ckpt", weights_only=True)
    (name,) = (name for name, state in content["callbacks"].items() if state.get("best_k_models"))
    best = content["callbacks"][name]
    unbeatable = torch.tensor(-1.0)
    for path in (str(trained / "best.ckpt"), str(tmp_path / "precious")):
        best.update(best_k_models={path: unbeatable}, kth_best_model_path=path, kth_value=unbeatable)
        torch.save(content, folder / "last.ckpt")
        before = (folder / "best.ckpt").read_bytes()
        train(table, tmp_path, "--resume", epochs=3)
        if "precious" not in path:
            assert (folder / "best.ckpt").read_bytes() == before
    assert (tmp_path / "precious").exists()


def test_out_of_gpu_memory_names_the_flags(train, table, tmp_path, at_step):
    def fail(_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore words")

    at_step(0, 1, fail)
    with pytest.raises(UserError, match="Tried.*--batch_size.*--max_batch_seconds.*--gradient_checkpointing") as error:
        train(table, tmp_path)
    assert "More words" not in str(error.value)


def test_max_batch_seconds_below_the_longest_utterance(train, table, tmp_path):
    with pytest.raises(UserError, match=r"--max_batch_seconds 1: Sess\S+ lasts 1\.1 s; give at least that"):
        train(table, tmp_path, "--max_batch_seconds", 1)
