"""A short attack on every reader, the same files each time; and that an attack notices what it is there for."""

import os
import signal
import time
from functools import partial

import pytest

from erc.options import UserError
from tests import children  # noqa: F401 (the server that attacks are forked from has imported what they need)
from tests.fuzz import attack as program
from tests.fuzz.readers import READERS

FILES = {"pickle": 500, "checkpoint": 60, "zip": 120, "wav": 500}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.filterwarnings("ignore")
def test_broken_files_are_read_or_refused(name, tmp_path):
    reader, outcomes = READERS[name](), []
    source, accepted = program.inputs(reader, seed=0), None
    for _ in range(FILES[name]):
        (tmp_path / "input").write_bytes(source.send(accepted))
        accepted, failure = program.judge(reader, tmp_path / "input")
        assert not failure, failure
        outcomes.append(accepted)
    assert len(outcomes) / 20 < sum(outcomes) < len(outcomes) * 0.95  # neither all noise nor all good


class Harmful:
    """Does what its second file says."""

    suffix = ".x"

    def __init__(self, deed):
        self.deed = deed

    def seeds(self, _):
        return [b"good", b"bad"]

    def mutate(self, random, data, others):
        return data + b"."

    def read(self, path):
        if path.read_bytes() == b"bad":
            self.deed()


@pytest.fixture
def attack(tmp_path, monkeypatch):
    def call(deed, *more):
        monkeypatch.setitem(READERS, "wav", partial(Harmful, deed))
        arguments = ("--reader", "wav", "--runs", 9, "--memory_mb", 300, "--out_dir", tmp_path / "kept", *more)
        program.main([str(argument) for argument in arguments])

    return call


def fail():
    return {}["x"]


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def take_memory():
    bytearray(400 << 20)


def refuse():
    raise UserError("no file named")


DEEDS = {
    "another exception": (fail, "KeyError: 'x'"),
    "the end of the process": (die, "ended the process"),
    "an endless loop": (partial(time.sleep, 3600), "hangs: more than 20 s"),
    "memory": (take_memory, "MemoryError"),
    "a message that names no file": (refuse, "the message is not one short line that names the file"),
}


@pytest.mark.parametrize("name", DEEDS)
def test_an_attack_notices(name, attack, tmp_path, capfd):
    deed, message = DEEDS[name]
    with pytest.raises(UserError, match=message):
        attack(deed, *(("--hang_s", 20) if "loop" in name else ()))
    (kept,) = (tmp_path / "kept").iterdir()
    assert kept.read_bytes() == b"bad"
    assert "wav: 1 files, 0 refused, 1 accepted" in capfd.readouterr().out


def test_an_attack_without_a_find(attack, tmp_path, capsys):
    attack(int)
    assert "wav: 9 files, 0 refused, 9 accepted, at most " in capsys.readouterr().out
    assert not (tmp_path / "kept").exists()


def test_a_kept_file_is_read_again(tmp_path, capsys):
    with pytest.raises(UserError, match="0 bytes"):
        (tmp_path / "empty.wav").write_bytes(b"")
        program.main(["--reader", "wav", "--replay", str(tmp_path / "empty.wav")])
