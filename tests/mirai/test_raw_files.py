"""Where preprocess.py writes: what stands in the way is found first, and a failure leaves what was there."""

import errno
import os
import re
import shutil
from types import SimpleNamespace

import pytest

from erc.options import UserError
from mirai.readers import speech_files
from tests.children import Child, script_at

from .conftest import run_killed, tree


def command(corpus, data, *arguments):
    return ["MIRAI/preprocess.py", "--root_path", corpus, "--save_path", data, *arguments]


@pytest.fixture
def smaller(corpus):
    """Another copy of the corpus, of fewer sessions."""
    for path in corpus.glob("annotation/Session20_*"):
        path.unlink()
    return corpus


def test_what_another_run_does_before_the_claim_is_seen(preprocess, corpus_made, tmp_path, monkeypatch):
    """A run of another copy of the corpus ends just before this one has the folder."""
    other, claim = shutil.copytree(corpus_made, tmp_path / "other"), speech_files.claim
    data = preprocess(corpus_made)

    def late(*arguments, **options):
        monkeypatch.setattr(speech_files, "claim", claim)
        preprocess(other)
        return claim(*arguments, **options)

    monkeypatch.setattr(speech_files, "claim", late)
    preprocess(corpus_made)
    assert all(path.readlink().is_relative_to(corpus_made) for path in (data / "txt_wav").iterdir())


@pytest.mark.parametrize(
    ("save_path", "place", "make"),
    [
        ("data", "data", lambda path: path.write_text("mine")),
        ("data", "data/txt_wav", lambda path: path.symlink_to("gone")),
        ("above/data", "above", lambda path: path.write_text("mine")),
    ],
)
def test_a_file_in_the_way_is_found_before_the_corpus_is_read(run_script, tmp_path, save_path, place, make):
    path, save_path = tmp_path / place, tmp_path / save_path
    path.parent.mkdir(exist_ok=True)
    make(path)
    before = tree(tmp_path)
    with pytest.raises(
        UserError, match=rf"--save_path {re.escape(str(save_path))}: {path} is not a directory, so noth"
    ):
        run_script(*map(str, command(tmp_path / "no_corpus", save_path)))
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("annotation.csv", r"annotation\.csv is a directory, expected a table"),
        ("txt_wav/Sess19_impro01_F001.wav", r"F001\.wav: is a directory, expected a wav file or nothing"),
    ],
)
def test_a_directory_in_a_files_place(preprocess, corpus, tmp_path, place, message):
    (tmp_path / "data" / place / "mine").mkdir(parents=True)
    before = tree(tmp_path / "data")
    with pytest.raises(UserError, match=message):
        preprocess(corpus)
    assert tree(tmp_path / "data") == before


def test_a_place_that_cannot_be_written_to(preprocess, corpus, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as root everything can be written to
    with pytest.raises(UserError, match=r"--save_path .*data: .* cannot be written to"):
        preprocess(corpus)


def test_the_corpus_itself_is_never_written_to(preprocess, corpus, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "txt_wav").symlink_to(corpus / "wav" / "Session01" / "Sess01_script01")
    before = tree(corpus)
    with pytest.raises(UserError, match="lies in the corpus, whose files it would replace"):
        preprocess(corpus)
    assert tree(corpus) == before


def test_too_little_space_for_copies_is_found_first(preprocess, corpus, monkeypatch):
    data = preprocess(corpus)
    before = tree(data)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=600_000))
    with pytest.raises(UserError, match=r"txt_wav: 1 MB are needed, 1 MB are free on the disk"):
        preprocess(corpus, "--files", "copy")
    assert tree(data) == before


@pytest.mark.parametrize(("name", "count"), [("symlink", 10), ("fsync", 2)])  # that of the second table
def test_a_full_disk_leaves_what_was_there(preprocess, smaller, corpus_made, monkeypatch, name, count):
    data = preprocess(corpus_made)
    before, call, calls = tree(data), getattr(os, name), iter(range(1, 1000))

    def fails(*arguments, **keywords):
        if next(calls) == count:
            raise OSError(errno.ENOSPC, "No space left on device")
        return call(*arguments, **keywords)

    monkeypatch.setattr(os, name, fails)
    with pytest.raises(UserError, match=r"--save_path .*data: No space left on device.*; what was there before is"):
        preprocess(smaller)
    monkeypatch.undo()
    assert tree(data) == before


def test_a_limit_of_the_system_is_one_line(preprocess, corpus):
    """A real failing write: no file may be larger than 20 kB."""
    data = preprocess(corpus)
    before = tree(data)
    with Child(script_at(*command(corpus, data, "--files", "copy")), file_size=20_000) as child:
        code, _, error = child.finish()
    place = re.escape(str(data))
    message = rf"error: --save_path {place}: File too large \({place}/\S+/Sess\w+\.wav\); what was there before is unch"
    assert code == 1 and re.match(message, error) and len(error.splitlines()) == 1
    assert tree(data) == before


@pytest.mark.parametrize(("call", "count"), [("symlink", 40), ("fsync", 2), ("replace", 60)])
def test_killed_anywhere_the_tables_fit_their_files(preprocess, smaller, corpus_made, call, count):
    """A run over another corpus is killed; the next one finishes the work."""
    data = preprocess(corpus_made)
    before = tree(data)
    run_killed(call, count, *command(smaller, data))
    for name in ("annotation.csv", "annotation_speaker_only.csv"):
        assert (data / name).read_bytes() == before[name]
    places = [data / name for name in before if name.startswith("txt_wav/")]
    assert all(place.is_file() for place in places)  # every utterance of the old tables still has its files
    if call != "replace":
        assert all(place.readlink() == before[str(place.relative_to(data))] for place in places)
    preprocess(smaller)
    again = tree(data / "txt_wav")
    assert set(again) == {place.name for place in places if "Sess20" not in place.name}  # and nothing is left over
    assert all(str(smaller) in str(link) for link in again.values())
    preprocess(smaller)
    assert tree(data / "txt_wav") == again
