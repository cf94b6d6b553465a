"""A dialogue file in shards, each a dialogue file of its own, so that no step has to hold a large corpus at once."""

from dataclasses import dataclass, field
from pathlib import Path

from erc.corpus.corpora import Corpus
from erc.corpus.dialogues import DialogueFile, read_dialogues, second_pickle, write_dialogues
from erc.corpus.shards import (
    DIALOGUES,
    check_complete,
    check_member,
    cut,
    read_index,
    set_name,
    shard_path,
    write_index,
)
from erc.corpus.splits import check_sides
from erc.options import errors_in

_LISTS = ("train_ids", "test_ids", "dev_ids")


@dataclass
class DialogueShards:
    """A dialogue file, or a folder of shards, of which one at a time is read.

    Attributes:
        path, corpus, train_ids, test_ids, dev_ids: of all of it.
        name, number: of the set of shards, and how many there are; of a single file None and 1.
    """

    path: Path
    corpus: Corpus
    train_ids: list[str]
    test_ids: list[str]
    dev_ids: list[str] | None
    name: str | None = None
    number: int = 1
    file: DialogueFile | None = field(default=None, repr=False)

    def __post_init__(self):
        self._index = {"set": self.name, "shards": self.number} | {name: getattr(self, name) for name in _LISTS}
        self._found = {name: set() for name in _LISTS}

    def read(self, number):
        """The `DialogueFile` of a shard, from 1. When all were read, `check_complete` says whether they are complete.

        Raises:
            UserError: as `read_dialogues`, or it is not the shard that the index expects there.
        """
        if self.file:
            return self.file
        place = shard_path(self.path, number, self.number)
        file = read_dialogues(place, self.corpus)
        check_member(place, file.shard, self._index, number)
        for name in _LISTS:
            self._found[name].update(getattr(file, name) or ())
        return file

    def check_complete(self):
        """Raises: UserError: the shards that were read lack a dialogue of the index, or have one more."""
        if not self.file:
            check_complete(self.path, self._found, self._index, _LISTS)


def open_dialogues(path, asked=None):
    """The `DialogueShards` of a dialogue file or of a folder of shards. Arguments and errors as `read_dialogues`."""
    if not Path(path).is_dir():
        file = read_dialogues(path, asked)
        return DialogueShards(path, file.corpus, file.train_ids, file.test_ids, file.dev_ids, file=file)
    index = read_index(path, DIALOGUES, _LISTS)
    _, corpus = second_pickle(path, {"corpus": index.get("corpus")}, asked)
    train, test, dev = (index[name] for name in _LISTS)
    with errors_in(path):
        check_sides({"train": train or [], "test": test or []}, corpus)
    return DialogueShards(Path(path), corpus, train or [], test or [], dev, index["set"], index["shards"])


def write_dialogue_shards(folder, file, shards):
    """Write a `DialogueFile` as that many shards and their index, consecutive dialogues of about as many turns each."""
    slices = cut([len(dialogue) for dialogue in file.dialogues], shards)
    content = [[one.id, one.segment_ids, one.speakers, one.labels.tolist(), one.sentences] for one in file.dialogues]
    name = set_name(shards, content, file.train_ids, file.test_ids, file.dev_ids)
    for number, part in enumerate(slices, 1):
        write_shard(folder, file, file.dialogues[part], (name, number, shards))
    write_dialogue_index(folder, name, shards, file)


def write_shard(folder, file, dialogues, shard):
    """Write some dialogues of a `DialogueFile` as a shard (name of the set, number, shards)."""
    ids = {dialogue.id for dialogue in dialogues}
    lists = [None if (own := getattr(file, name)) is None else [one for one in own if one in ids] for name in _LISTS]
    write_dialogues(shard_path(folder, *shard[1:]), DialogueFile(dialogues, *lists, file.corpus, shard))


def write_dialogue_index(folder, name, shards, file):
    """Write the index of a set of shards; `file` has the ids and the corpus of all of it."""
    write_index(folder, DIALOGUES, name, shards, file.corpus, **{ids: getattr(file, ids) for ids in _LISTS})
