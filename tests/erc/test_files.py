"""An output has one writer, what cannot be written is found before the work, and tables are harmless."""

import csv
import errno
import fcntl
import os
import subprocess
import sys

import pytest

from erc.files import claim, is_claimed, write_table
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
