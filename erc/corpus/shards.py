"""A corpus too large for one file: a folder of shards, whose index says which belong to it.

    index.json              which corpus and split, how many shards, and of which set each of them must say that it is
    00001-of-00016.pkl      a dialogue file; or the dialogues of a preprocessed file, without their features
    00001-of-00016.a.npy    beside the latter, the features of a modality: (turns of the shard, D) float32

A folder takes the place of an older one as a whole. Features are read a dialogue at a time, when they are asked for.
They are read rather than mapped, so that a process is as large as what it uses, a file that was cut short is an error
and not a dead process, and file systems over a network serve them well.
"""

import contextlib
import functools
import hashlib
import json
import os
from pathlib import Path

import numpy as np

from erc.corpus.corpora import MODALITIES
from erc.files import atomic_writer, replaced_folder, write_json
from erc.options import UserError
from erc.untrusted import damaged, is_name, plain_file, read_json, shown

INDEX = "index.json"
DIALOGUES, PREPROCESSED = "dialogue-shards", "preprocessed-shards"
MAX_SHARDS = 99_999
_VERSION = 1
_ROW_TYPE = np.dtype("<f4")
_OPEN_FILES = 128


@contextlib.contextmanager
def shard_folder(path):
    """A folder to write shards and index to, which then takes the place of `path`; on failure nothing changes.

    Raises:
        UserError: something else is there; it cannot be written; or another run makes it.
    """
    path = Path(path)
    if path.is_file() or (path.is_dir() and any(path.iterdir()) and not (path / INDEX).is_file()):
        raise UserError(f"{path}: is no folder of shards, so shards do not replace it; give another output")
    with replaced_folder(path) as folder:
        yield folder


def shard_path(folder, number, shards, suffix="pkl"):
    """The file of shard `number`, from 1."""
    return Path(folder) / f"{number:05}-of-{shards:05}.{suffix}"


def set_name(*content):
    """A name for the set of shards that is made from this content (plain values): the same for the same content."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def cut(lengths, shards):
    """Where to cut dialogues of these many turns into consecutive shards of about as many turns each: slices.

    Raises:
        UserError: there are fewer dialogues than shards.
    """
    if shards > min(len(lengths), MAX_SHARDS):
        raise UserError(f"--shards {shards}: expected at most one a dialogue, there are {len(lengths)}")
    ends, done = np.cumsum(lengths), [0]
    for k in range(1, shards):
        end = int(np.searchsorted(ends, ends[-1] * k / shards)) + 1
        done.append(min(max(end, done[-1] + 1), len(lengths) - (shards - k)))  # no shard is empty
    return [slice(*ends) for ends in zip(done, [*done[1:], len(lengths)], strict=True)]


def write_index(folder, kind, name, shards, corpus, **content):
    """Write the index of a folder, when its shards are there.

    Args:
        kind: `DIALOGUES` or `PREPROCESSED`.
        name: of the set (`set_name`).
        content: lists of dialogue ids, and other plain values.
    """
    common = {"format": kind, "version": _VERSION, "set": name, "shards": shards, "corpus": corpus.to_data()}
    write_json(folder / INDEX, common | content)


def read_index(path, kind, lists):
    """The index of a folder of shards, all of which are there.

    Args:
        lists: the names of its lists of dialogue ids; one of no dialogue may be missing or null.
    Raises:
        UserError: it is not what `write_index` writes for this kind, or a shard is missing; names it.
    """
    place = Path(path) / INDEX
    if not place.exists():
        raise UserError(f"{path}: is a folder without {INDEX}, expected a file or a folder of shards")
    index = read_json(place)
    if not isinstance(index, dict) or (index.get("format"), index.get("version")) != (kind, _VERSION):
        found = shown(index.get("format")) if isinstance(index, dict) else type(index).__name__
        raise UserError(f"{place}: expected the index of {kind} of version {_VERSION}, found {found}")
    with damaged(place):
        shards = index["shards"]
        if type(shards) is not int or not 1 <= shards <= MAX_SHARDS or not is_name(index["set"]):
            raise TypeError("its number of shards or the name of its set")
        for name in lists:
            ids = index[name]
            if ids is not None and not (isinstance(ids, list) and all(map(is_name, ids)) and len(set(ids)) == len(ids)):
                raise TypeError(f"{name} is no list of different names")
    missing = [number for number in range(1, shards + 1) if not shard_path(path, number, shards).is_file()]
    if missing:
        first = shard_path(path, missing[0], shards)
        raise UserError(f"{first}: this shard is missing ({len(missing)} of {shards} are); copy or make it again")
    return index


def check_member(path, found, index, number):
    """A shard says that it is the one that the index expects in its place.

    Args:
        found: what the shard says: (set, number, shards), or None.
    """
    if found != (index["set"], number, index["shards"]):
        other = f"shard {found[1]} of {found[2]} of another set" if found else "no shard"
        if found and found[0] == index["set"]:
            other = f"shard {found[1]} of {found[2]}"
        expected = f"shard {number} of {index['shards']} of the set that {INDEX} names"
        raise UserError(f"{path}: is {other}, expected {expected}; copy the folder anew, or make it again")


def check_complete(path, found, index, lists):
    """The dialogues of all shards are those that the index lists: `found` has their ids by the name of the list."""
    for name in lists:
        listed = set(index[name] or ())
        if differing := listed.symmetric_difference(found[name]):
            where = "no shard has it" if min(differing) in listed else f"{INDEX} does not list it"
            raise UserError(f"{path}: {name}: dialogue {min(differing)}: {where}; make the folder again")


def member_of(more, path):
    """What a shard's second pickle says that it is: (set, number, shards); None if it is no shard."""
    with damaged(path, "its second pickle is damaged, or not ours"):
        if (found := more.get("shard")) is None:
            return None
        name, number, shards = found
        if not is_name(name) or type(number) is not int or type(shards) is not int:
            raise TypeError(f"shard {shown(found)}")
        return name, number, shards


# ---- features ----


class RowFile:
    """A shard's features of one modality in a `.npy`: `rows` of `width` float32 each; `name` is that of the set.

    Raises:
        UserError: it is missing, or not such a file of these many rows.
    """

    def __init__(self, path, rows, name=None):
        self.path, self.rows, self.name = path, rows, name
        size = plain_file(path)
        with damaged(path), open(path, "rb") as file:
            np.lib.format.read_magic(file)
            shape, by_column, kind = np.lib.format.read_array_header_1_0(file)
            self.offset, self.which = file.tell(), _which(file)
        if len(shape) != 2 or by_column or kind != _ROW_TYPE or shape[1] < 1:
            raise UserError(f"{path}: an array {shape} of {kind}, expected rows of float32; make the folder again")
        self.width = shape[1]
        expected = self.offset + rows * self.width * _ROW_TYPE.itemsize
        if shape[0] != rows or size != expected:
            found = f"{shape[0]} rows in {size:,} bytes"
            raise UserError(f"{path}: {found}, expected {rows} rows in {expected:,}; copy or make the folder again")

    def read(self, start, stop):
        """(stop - start, width) rows, all of them finite."""
        rows = np.empty((stop - start, self.width), _ROW_TYPE)
        left, at = memoryview(rows).cast("B"), self.offset + start * self.width * _ROW_TYPE.itemsize
        while left:
            if not (count := os.preadv(_opened(self).fileno(), [left], at)):
                raise UserError(f"{self.path}: it has become shorter while it was read")
            left, at = left[count:], at + count
        if not (finite := np.isfinite(rows).all(axis=1)).all():
            raise UserError(f"{self.path}: row {start + finite.argmin()} has a value that is not finite; make it again")
        return rows


class StoredRows:
    """The features of a dialogue, (L, D) float32, that are still on the disk: `numpy.asarray` reads them."""

    __slots__ = ("file", "start", "stop")

    def __init__(self, file, start, stop):
        self.file, self.start, self.stop = file, start, stop

    @property
    def shape(self):
        return self.stop - self.start, self.file.width

    def __len__(self):
        return self.stop - self.start

    def __repr__(self):
        """Which rows these are, wherever the folder is."""
        return f"{self.file.name}/{self.file.path.name}[{self.start}:{self.stop}, :{self.file.width}]"

    def __array__(self, dtype=None, copy=None):
        rows = self.file.read(self.start, self.stop)
        return rows if dtype is None else rows.astype(dtype, copy=False)


@functools.lru_cache(_OPEN_FILES)
def _opened(row_file):
    file = open(row_file.path, "rb", 0)  # noqa: SIM115 (closed when it is no longer among the latest)
    if _which(file) != row_file.which:
        raise UserError(f"{row_file.path}: was replaced by another file while it was in use; start again")
    return file


def _which(file):
    about = os.fstat(file.fileno())
    return about.st_dev, about.st_ino


def write_rows(path, parts, width):
    """Write a `.npy` of the rows of some arrays (L, width) float32, one after another."""
    shape = (sum(map(len, parts)), width)
    with atomic_writer(path) as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for part in parts:
            file.write(np.ascontiguousarray(part, _ROW_TYPE).data)


def stored_features(path, name, lengths, modalities):
    """For each dialogue of a shard, which have these many turns, its features by modality, as `StoredRows`."""
    ends = np.cumsum(lengths, dtype=np.int64).tolist()
    files = {m: RowFile(path.with_suffix(f".{m}.npy"), ends[-1] if ends else 0, name) for m in modalities}
    starts = [0, *ends[:-1]]
    return [
        {m: StoredRows(file, start, stop) for m, file in files.items()}
        for start, stop in zip(starts, ends, strict=False)
    ]


def feature_sizes(index, path):
    """{modality: size} of the features that a preprocessed folder's index names."""
    sizes = index.get("features")
    if not isinstance(sizes, dict) or not sizes or not sizes.keys() <= MODALITIES.keys():
        raise UserError(f"{path}: features {shown(sizes)}, expected the size of each of {', '.join(MODALITIES)}")
    return {m: sizes[m] for m in MODALITIES if m in sizes}
