"""An output has one writer, what cannot be written is found before the work, and tables are harmless."""

import csv
import errno
import fcntl
import os
import subprocess
import sys
import threading

import pytest

from erc.files import claim, is_claimed, lock_file, replaced_folder, write_table
from erc.options import UserError


def test_a_second_run_is_refused_until_the_first_is_done(tmp_path):
    with claim(tmp_path / "a.pkl"), claim(tmp_path / "b.pkl"):
        with pytest.raises(UserError, match=r"a\.pkl: another run is writing it"), claim(tmp_path / "a.pkl"):
            pass
        script = f"from erc.files import claim\nwith claim({str(tmp_path / 'a.pkl')!r}): pass"
        other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=240)
        assert "another run is writing it" in other.stderr
    with claim(tmp_path / "a.pkl"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_run_that_was_killed_holds_nothing(tmp_path):
    script = f"""
import os, signal
from erc.files import claim
with claim({str(tmp_path / "a.pkl")!r}):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=240).returncode == -9
    with claim(tmp_path / "a.pkl"):
        pass


def test_those_who_only_look_are_in_nobodys_way(tmp_path):
    """Not in each other's, and not in that of one who takes over from a killed run."""
    lock = lock_file(tmp_path / "a.pkl")
    lock.touch()  # as a killed run leaves it
    with lock.open("rb") as looked_at:
        fcntl.flock(looked_at, fcntl.LOCK_SH)  # as `is_claimed` holds it for a moment
        assert is_claimed(tmp_path / "a.pkl") is False
        threading.Timer(0.05, fcntl.flock, (looked_at, fcntl.LOCK_UN)).start()
        with claim(tmp_path / "a.pkl"):
            assert is_claimed(tmp_path / "a.pkl") is True
    assert is_claimed(tmp_path / "a.pkl") is None


@pytest.mark.parametrize("error", [OSError(errno.EIO, os.strerror(errno.EIO)), KeyboardInterrupt()])
def test_what_cannot_be_replaced_comes_back(tmp_path, monkeypatch, error):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/result").write_text("the first")
    rename = os.rename

    def interrupted(source, target):
        if os.path.basename(source) == "new":
            raise error
        rename(source, target)

    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(type(error)), replaced_folder(tmp_path / "out") as new:
        (new / "result").write_text("the second")
    assert (tmp_path / "out/result").read_text() == "the first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_is_written_to_all_the_same(tmp_path, monkeypatch, number):
    def flock(handle, mode):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with claim(tmp_path / "a.pkl"), claim(tmp_path / "a.pkl"):
        assert is_claimed(tmp_path / "a.pkl") is None
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as root everything can be written to
    with (
        pytest.raises(UserError, match="out: cannot be written: Permission denied"),
        claim(tmp_path / "out", folder=True),
    ):
        pass


def test_a_folder_is_made(tmp_path):
    with claim(tmp_path / "new/folder/a.pkl"):
        assert (tmp_path / "new/folder").is_dir()


def test_a_file_in_the_place_of_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match=r"file: is a file; the output .*a\.pkl needs a folder"),
        claim(tmp_path / "file/a.pkl"),
    ):
        pass


def test_a_disk_without_room(tmp_path):
    expected = r"a\.pkl: 1,000,000,000,000 MB are needed, .* MB are free"
    with pytest.raises(UserError, match=expected), claim(tmp_path / "a.pkl", needs=10**18):
        pass


def test_a_table_is_harmless_in_a_spreadsheet(tmp_path):
    cells = ["=1+1", "+x", "-x", "@x", "-1.5", "+2", "a\x1b[2J\nb", "\t=1", '한국어, "인용"', "\udc80", 0.5, None]
    write_table(tmp_path / "t.csv", [f"c{k}" for k in range(len(cells))], [cells])
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        _, row = csv.reader(file)
    assert row[:8] == ["'=1+1", "'+x", "'-x", "'@x", "-1.5", "+2", r"a\x1b[2J\nb", r"\t=1"]
    assert row[8:] == ['한국어, "인용"', r"\udc80", "0.5", ""]
