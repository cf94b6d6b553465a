"""Where preprocess.py writes: what stands in the way is found first, and a failure leaves what was there."""

import errno
import os
import re
import resource
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from erc.files import claim
from erc.options import REPOSITORY, UserError

from .conftest import tree

# Runs a script (the arguments from the third on) and kills itself when it calls os.NAME for the COUNTth time.
KILLED = """
import os, signal, sys
name, count = sys.argv[1], int(sys.argv[2])
call = getattr(os, name)
def counted(*arguments, **keywords):
    global count
    count -= 1
    if count == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return call(*arguments, **keywords)
setattr(os, name, counted)
sys.argv = sys.argv[3:]
exec(compile(open(sys.argv[0]).read(), sys.argv[0], "exec"))
"""


def command(corpus, data, *arguments):
    script = REPOSITORY / "MIRAI/preprocess.py"
    return [script, "--root_path", corpus, "--save_path", data, *arguments]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("data", "data is not a directory, so nothing"),
        ("data/txt_wav", "txt_wav is not a directory, so nothing"),
        ("above", r"above is not a directory, so nothing"),
    ],
)
@pytest.mark.parametrize("make", [lambda path: path.write_text("mine"), lambda path: path.symlink_to("gone")])
def test_a_file_in_the_way_is_told_before_the_corpus_is_read(run_script, tmp_path, place, message, make):
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    make(path)
    save_path = tmp_path / "above" / "data" if place == "above" else tmp_path / "data"
    before = tree(tmp_path)
    with pytest.raises(UserError, match=rf"--save_path {re.escape(str(save_path))}: .*{message}"):
        run_script("MIRAI/preprocess.py", "--root_path", tmp_path / "no_corpus", "--save_path", save_path)
    assert tree(tmp_path) == before


def test_a_directory_in_a_tables_place(preprocess, corpus, tmp_path):
    (tmp_path / "data" / "annotation.csv").mkdir(parents=True)
    with pytest.raises(UserError, match=r"annotation\.csv is a directory, expected a table"):
        preprocess(corpus)


def test_a_directory_in_a_links_place(preprocess, corpus, tmp_path):
    place = tmp_path / "data" / "txt_wav" / "Sess19_impro01_F001.wav"
    (place / "mine").mkdir(parents=True)
    with pytest.raises(UserError, match=r"F001\.wav: is a directory, expected a wav file or nothing"):
        preprocess(corpus)
    assert list(tree(tmp_path / "data")) == ["txt_wav", f"txt_wav/{place.name}", f"txt_wav/{place.name}/mine"]


def test_a_place_that_cannot_be_written_to(preprocess, corpus, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as root everything can be written to
    with pytest.raises(UserError, match=r"--save_path .*data: .* cannot be written to"):
        preprocess(corpus)


def test_the_corpus_itself_is_never_written_to(run_script, corpus, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "txt_wav").symlink_to(corpus / "wav" / "Session01" / "Sess01_script01")
    before = tree(corpus)
    with pytest.raises(UserError, match="lies in the corpus, whose files it would replace"):
        run_script("MIRAI/preprocess.py", "--root_path", corpus, "--save_path", tmp_path / "data")
    assert tree(corpus) == before


def test_too_little_space_for_copies_is_told_first(preprocess, corpus, tmp_path, monkeypatch):
    data = preprocess(corpus)
    before = tree(data)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=600_000))
    with pytest.raises(UserError, match=r"txt_wav: 1 MB are needed, 1 MB are free on the disk"):
        preprocess(corpus, "--files", "copy")
    assert tree(data) == before


def test_a_second_run_is_refused(preprocess, corpus):
    data = preprocess(corpus)
    before = tree(data)
    with claim(data / "txt_wav", folder=True), pytest.raises(UserError, match="txt_wav: another run is writing it"):
        preprocess(corpus, "--files", "copy")
    assert tree(data) == before


def fails_at(count, call):
    """The function `call`, but the disk is full at the `count`th time."""
    calls = iter(range(1, 1_000_000))

    def counted(*arguments, **keywords):
        if next(calls) == count:
            raise OSError(errno.ENOSPC, "No space left on device")
        return call(*arguments, **keywords)

    return counted


@pytest.mark.parametrize(
    ("files", "module", "name", "count"),
    [
        ("copy", shutil, "copyfileobj", 1),
        ("copy", shutil, "copyfileobj", 50),
        ("link", os, "symlink", 10),
        ("link", os, "fsync", 1),  # of the first table
        ("link", os, "fsync", 2),
    ],
)
def test_a_full_disk_leaves_what_was_there(preprocess, corpus, corpus_made, monkeypatch, files, module, name, count):
    data = preprocess(corpus_made)
    before = tree(data)
    for subject in "FM":
        (corpus / "annotation" / f"Session20_{subject}_res.csv").unlink()
    monkeypatch.setattr(module, name, fails_at(count, getattr(module, name)))
    with pytest.raises(UserError, match=r"--save_path .*data: No space left on device.*; what was there before is"):
        preprocess(corpus, "--files", files)
    monkeypatch.undo()
    assert tree(data) == before


def test_a_limit_of_the_system_is_told_in_one_line(preprocess, corpus):
    """A real failing write: no file may be larger than 20 kB."""
    data = preprocess(corpus)
    before = tree(data)
    result = subprocess.run(
        [sys.executable, *command(corpus, data, "--files", "copy")],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
        timeout=240,
    )
    assert result.returncode == 1
    place = rf"{re.escape(str(data))}/\S+/Sess\w+\.wav"
    told = (
        rf"error: --save_path {re.escape(str(data))}: File too large \({place}\); what was there before is unchanged\n"
    )
    assert re.fullmatch(told, result.stderr)
    assert tree(data) == before


@pytest.mark.parametrize(
    ("call", "count"), [("symlink", 40), ("fsync", 1), ("fsync", 2), ("replace", 1), ("replace", 60)]
)
def test_killed_anywhere_the_tables_fit_their_files(preprocess, corpus, corpus_made, call, count):
    """A run over another copy of the corpus, of fewer sessions, is killed; the next one finishes the work."""
    data = preprocess(corpus_made)
    before = tree(data)
    for subject in "FM":
        (corpus / "annotation" / f"Session20_{subject}_res.csv").unlink()
    result = subprocess.run(
        [sys.executable, "-c", KILLED, call, str(count), *command(corpus, data)],
        capture_output=True,
        check=False,
        timeout=240,
    )
    assert result.returncode == -9
    for name in ("annotation.csv", "annotation_speaker_only.csv"):
        assert (data / name).read_bytes() == before[name]
    places = [data / name for name in before if name.startswith("txt_wav/")]
    assert all(place.is_file() for place in places)  # every utterance of the old tables still has its files
    if call != "replace":
        assert all(place.readlink() == before[str(place.relative_to(data))] for place in places)
    preprocess(corpus)
    again = tree(data)
    assert len([name for name in again if name.startswith("txt_wav/")]) == 84
    assert all(str(corpus) in str(link) for name, link in again.items() if name.startswith("txt_wav/"))


def test_nothing_is_left_over(preprocess, corpus):
    data = preprocess(corpus)
    names = {"annotation.csv", "annotation_speaker_only.csv", "txt_wav"}
    assert {path.name for path in data.iterdir()} == names
    assert all(path.suffix in (".wav", ".txt") for path in (data / "txt_wav").iterdir())
    before = tree(data)
    preprocess(corpus)
    assert tree(data) == before
