"""Damage that Hypothesis thinks of: to the contents of dialogue files, and to the members of archives."""

import copy
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import (
    SPLITS,
    read_dialogues,
    read_preprocessed,
    use_modalities,
    write_dialogues,
    write_preprocessed,
)
from erc.corpus.splits import divide
from erc.files import write_pickle
from erc.options import UserError
from erc.split_zip import unpack
from erc.untrusted import read_pickle
from tests.cogmen.conftest import make_dialogues

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

arrays = st.builds(
    lambda shape, kind, fill: np.full(shape, fill).astype(kind),
    st.lists(st.integers(0, 16), max_size=3),
    st.sampled_from(["f2", "f4", "f8", "i1", "i8", "u8", "?"]),
    st.sampled_from([0, 1, 6, 7]),
)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(st.characters(codec="utf-8"), max_size=5),
    st.binary(max_size=3),
    st.sampled_from(["Sess01_impro01", "Sess03_script01", "M", "F", "id"]),
    arrays,
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


def places(value):
    """Every (container, key) in nested lists and dicts."""
    keys = range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


@st.composite
def damaged(draw, good):
    """A copy of nested lists and dicts of which one to three parts are replaced, removed, doubled or swapped."""
    value = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        there = list(places(value))
        if not there:
            return value
        container, key = draw(st.sampled_from(there))
        other, other_key = draw(st.sampled_from(there))
        how = draw(st.sampled_from(["replace", "replace", "remove", "double", "take"]))
        if how == "replace":
            container[key] = draw(values)
        elif how == "remove":
            del container[key]
        elif how == "double" and isinstance(container, list):
            container.append(container[key])
        elif how == "take":
            container[key] = copy.deepcopy(other[other_key])
    return value


DIALOGUES = make_dialogues(sessions=3, turns=(1, 4))
with tempfile.TemporaryDirectory() as folder:
    write_dialogues(Path(folder, "d.pkl"), DIALOGUES)
    write_preprocessed(Path(folder, "p.pkl"), divide(DIALOGUES, KEMDY19))
    ITEMS, PREPROCESSED = read_pickle(Path(folder, "d.pkl")), read_pickle(Path(folder, "p.pkl"))


@quick
@given(damaged(ITEMS))
def test_a_dialogue_file_is_refused_or_can_be_used(items):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "d.pkl")
        write_pickle(path, items)
        try:
            dialogues = read_dialogues(path, KEMDY19)
            write_dialogues(path, dialogues)
            assert read_dialogues(path, KEMDY19).train_ids == dialogues.train_ids
            write_preprocessed(path, divide(dialogues, KEMDY19))
        except UserError as error:
            assert "\n" not in str(error) and len(str(error)) < 1000
            return
        use(path)


@quick
@given(damaged(PREPROCESSED))
def test_a_preprocessed_file_is_refused_or_can_be_used(splits):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "p.pkl")
        write_pickle(path, splits)
        try:
            use(path)
        except UserError as error:
            assert str(path) in str(error) and "\n" not in str(error) and len(str(error)) < 1000


def use(path):
    splits, _ = read_preprocessed(path, KEMDY19)
    has = "".join(splits["train"][0].features) if splits["train"] else ""
    sizes = use_modalities(path, splits, has or "a")
    for split in SPLITS:
        for dialogue in splits[split]:
            features = dialogue.joined(has)
            assert np.isfinite(features).all() and features.shape == (len(dialogue), sum(sizes.values()))
            assert len(dialogue) > 0


names = st.one_of(
    st.sampled_from(["a", "b/c", "b", "../x", "/x", "b/../../x", "a/", "\\x", "C:x", "b//c", ".", "", "감정/발화.txt"]),
    st.text(st.sampled_from("ab/.\\\n"), min_size=1, max_size=6),
)


@quick
@given(
    st.lists(st.tuples(names, st.binary(max_size=50), st.sampled_from([0o100644, 0o120777, 0, 0o40755])), max_size=4)
)
def test_an_archive_is_refused_or_stays_in_its_folder(members):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        with zipfile.ZipFile(folder / "t.zip", "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a name twice
            for name, data, mode in members:
                info = zipfile.ZipInfo(name or "x")
                info.filename, info.external_attr = name, mode << 16
                archive.writestr(info, data)
        try:
            files = unpack(folder / "t.zip", folder / "in" / "out")
        except UserError:
            assert [path.name for path in folder.iterdir()] == ["t.zip"] or not list((folder / "in").iterdir())
            return
        assert {path.name for path in folder.iterdir()} == {"t.zip", "in"}
        assert {path.name for path in (folder / "in").iterdir()} == {"out"}
        expected = {name: data for name, data, _ in members if not name.endswith("/")}
        assert {
            file.relative_to(folder.resolve() / "in/out").as_posix(): file.read_bytes() for file in files
        } == expected
