"""The two files that hold dialogues.

The dialogue file is the published list that passes from stage to stage:

    [ids, speakers, labels, text, audio, visual, sentences, train_ids, test_ids, segment_ids]

Items 2-7 and 10 are dicts by dialogue id of lists by turn, in time order. A modality that has no features holds an
empty list for every dialogue. COGMEN's own corpora lack the tenth item: their turns are named `<dialogue>_<number>`.
In files of CMU-MOSEI it is the ids of the dev dialogues.

The preprocessed file is `{"train", "dev", "test"}`, each a list of dialogues as dicts of a `Dialogue`'s fields, the
features under `"a"`, `"t"`, `"v"`. Both files are checked by `check_dialogues`, once, when they are read.

What the published tools do not know stands in a second pickle behind the first, which they therefore never see: a dict
of `corpus` (which it is, as `Corpus.to_data` has it) and, in the dialogue file, `dev_ids` and `ratings` by dialogue id.
A file without it, as published ones are, is of the corpus that the user names.

Either may be a folder of shards instead: `erc.corpus.shards`.
"""

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from erc.corpus.corpora import CORPORA, KEMDY19, MODALITIES, SPLITS, Corpus, corpus_from
from erc.corpus.dialogue import A_NAME, COLUMNS, Dialogue, check_dialogues, is_list
from erc.corpus.shards import (
    PREPROCESSED,
    check_complete,
    check_member,
    feature_sizes,
    member_of,
    read_index,
    shard_path,
    stored_features,
    write_rows,
)
from erc.corpus.splits import check_held_out, check_sides
from erc.files import write_pickle
from erc.options import UserError, errors_in
from erc.untrusted import damaged, is_name, read_two_pickles, shown

_ITEMS = ("ids", "speakers", "labels", "text", "audio", "visual", "sentences", "train_ids", "test_ids", "segment_ids")
_AGAIN = "; make the file again with preprocess.py"


@dataclass(eq=False)
class DialogueFile:
    """What a dialogue file holds: its dialogues, and the ids of those to train on (dev among them) and to test on.

    Attributes:
        dev_ids: those of the training ids that are dev; None: nothing says which.
        shard: where the file is one shard of several, (name of the set, number from 1, shards); the ids are its own.
    """

    dialogues: list[Dialogue]
    train_ids: list[str]
    test_ids: list[str]
    dev_ids: list[str] | None = None
    corpus: Corpus = KEMDY19
    shard: tuple | None = None


def read_dialogues(path, asked=None):
    """The `DialogueFile` in a file.

    Args:
        asked: the `Corpus` that the user names; without, the file's, or KEMDy19.
    Raises:
        UserError: the file is of another corpus; or names the dialogue and the turn of the first thing that is wrong.
    """
    (items, more), names = read_two_pickles(path), _ITEMS
    more, corpus = second_pickle(path, more, asked)
    if not corpus.has_segment_ids:
        has_dev_ids = corpus.has_dev_ids and isinstance(items, list | tuple) and len(items) == len(_ITEMS)
        names = (*_ITEMS[:-1], *(["dev_ids"] if has_dev_ids else []))
    if not isinstance(items, list | tuple) or len(items) != len(names):
        found = f"{len(items)} items" if isinstance(items, list | tuple) else type(items).__name__
        expected = f"a dialogue file of {corpus.name}, a list of {len(names)} items"
        raise UserError(f"{path}: expected {expected}; found {found}")
    items = dict(zip(names, items, strict=True))
    with errors_in(path):
        _check_ids(items)
        if "dev_ids" in items:
            more["dev_ids"] = list(items["dev_ids"])
            items["train_ids"] = list(dict.fromkeys([*items["train_ids"], *items["dev_ids"]]))
        check_held_out(corpus, items["train_ids"], items["test_ids"])
        dialogues = _from_tables(items)
        for dialogue in dialogues:
            if not corpus.has_segment_ids:
                turns = len(dialogue.labels) if is_list(dialogue.labels) else 0
                dialogue.segment_ids = [f"{dialogue.id}_{turn:03}" for turn in range(turns)]
            dialogue.ratings = more["ratings"].get(dialogue.id, {})
        check_dialogues(dialogues, corpus)
        if (dev_ids := more["dev_ids"]) is not None and not set(dev_ids) <= set(items["train_ids"]):
            raise UserError(
                f"dev dialogue {shown(min(set(dev_ids) - set(items['train_ids'])))} is no training dialogue"
            )
    shard = member_of(more, path)
    return DialogueFile(dialogues, list(items["train_ids"]), list(items["test_ids"]), dev_ids, corpus, shard)


def write_dialogues(path, file):
    """Write a `DialogueFile`."""
    items = {name: {d.id: list(getattr(d, name)) for d in file.dialogues} for name in COLUMNS}
    items["labels"] = {d.id: d.labels.tolist() for d in file.dialogues}
    for modality, name in MODALITIES.items():
        items[name] = {d.id: list(d.features.get(modality, ())) for d in file.dialogues}
    items |= {"ids": list(items["labels"]), "train_ids": file.train_ids, "test_ids": file.test_ids}
    more = {
        "corpus": file.corpus.to_data(),
        "dev_ids": file.dev_ids,
        "ratings": {d.id: d.ratings for d in file.dialogues},
        **({"shard": list(file.shard)} if file.shard else {}),
    }
    write_pickle(path, [items[name] for name in _ITEMS if name != "segment_ids" or file.corpus.has_segment_ids], more)


def read_preprocessed(path, asked=None, lazy=False):
    """The dialogues in a preprocessed file, or in a folder of shards.

    Args:
        asked: as `read_dialogues` has it.
        lazy: of a folder, leave the features on the disk (`StoredRows`), and the segment ids and sentences of dialogues
            that are not test, which are not needed to train, out of the memory.
    Returns:
        ({split: list of `Dialogue`}, Corpus)
    Raises:
        UserError: the file is of another corpus; or names the dialogue and the turn of the first thing that is wrong.
    """
    if Path(path).is_dir():
        return _read_preprocessed_shards(Path(path), asked, lazy)
    splits, corpus, _ = _read_splits(path, asked)
    with errors_in(path, _AGAIN):
        check_sides({split: [dialogue.id for dialogue in splits[split]] for split in SPLITS}, corpus)
    return splits, corpus


def _read_splits(path, asked):
    """A preprocessed file or shard: its dialogues by split, its corpus and the shard that it is."""
    splits, more = read_two_pickles(path)
    more, corpus = second_pickle(path, more, asked)
    if not isinstance(splits, dict) or splits.keys() != set(SPLITS):
        raise UserError(f"{path}: expected a preprocessed file with train, dev and test; make one with preprocess.py")
    with errors_in(path, _AGAIN):
        splits = {split: _from_records(split, splits.pop(split), corpus) for split in SPLITS}
        check_dialogues([dialogue for split in SPLITS for dialogue in splits[split]], corpus)
    return splits, corpus, member_of(more, path)


def _read_preprocessed_shards(path, asked, lazy):
    index = read_index(path, PREPROCESSED, SPLITS)
    _, corpus = second_pickle(path, {"corpus": index.get("corpus")}, asked)
    sizes, shards = feature_sizes(index, path), index["shards"]
    splits = {split: [] for split in SPLITS}
    for number in range(1, shards + 1):
        place = shard_path(path, number, shards)
        own, _, member = _read_splits(place, corpus)
        check_member(place, member, index, number)
        every = [dialogue for split in SPLITS for dialogue in own[split]]
        stored = stored_features(place, index["set"], [len(dialogue) for dialogue in every], sizes)
        for dialogue, features in zip(every, stored, strict=True):
            if (found := {modality: rows.shape[1] for modality, rows in features.items()}) != sizes:
                raise UserError(f"{place}: features {found}, expected {sizes}; make the folder again")
            dialogue.features = features if lazy else {m: np.asarray(rows) for m, rows in features.items()}
            dialogue.speakers = [sys.intern(speaker) for speaker in dialogue.speakers]  # a name is held once
        for split in SPLITS:
            splits[split] += own[split]
            if lazy and split != "test":
                for dialogue in own[split]:
                    dialogue.segment_ids, dialogue.sentences = [], []
    check_complete(path, {split: {one.id for one in splits[split]} for split in SPLITS}, index, SPLITS)
    for split in SPLITS:
        order = {dialogue: place for place, dialogue in enumerate(index[split] or ())}
        splits[split].sort(key=lambda dialogue: order[dialogue.id])  # stable: the parts of a dialogue stay in order
    with errors_in(path, "; make the folder again with preprocess.py"):
        check_sides({split: list(index[split] or ()) for split in SPLITS}, corpus)
    return splits, corpus


def write_preprocessed(path, splits, corpus=KEMDY19):
    """Write {split: list of `Dialogue`}."""
    records = {split: [_record(one) | one.features for one in splits[split]] for split in SPLITS}
    write_pickle(path, records, {"corpus": corpus.to_data()})


def write_preprocessed_shard(folder, splits, corpus, shard, sizes):
    """Write {split: list of `Dialogue`} as a shard (name of the set, number, shards): its features, of these `sizes` by
    modality, in files of their own beside it."""
    place, every = shard_path(folder, *shard[1:]), [dialogue for split in SPLITS for dialogue in splits[split]]
    for modality, size in sizes.items():
        write_rows(place.with_suffix(f".{modality}.npy"), [dialogue.features[modality] for dialogue in every], size)
    records = {split: [_record(dialogue) for dialogue in splits[split]] for split in SPLITS}
    write_pickle(place, records, {"corpus": corpus.to_data(), "shard": list(shard)})


def _record(dialogue):
    """What a preprocessed file has of a dialogue, without its features."""
    columns = {name: getattr(dialogue, name) for name in COLUMNS}
    more = {name: value for name in ("ratings", "sources") if (value := getattr(dialogue, name))}
    return {"id": dialogue.id, **columns, **more}


def use_modalities(path, splits, modalities):
    """Drop the features of all other modalities; `path` is only named in errors.

    Returns:
        dict: by modality, the size of its features.
    Raises:
        UserError: a split has no dialogues, or a modality has no features.
    """
    if empty := [split for split in SPLITS if not splits[split]]:
        raise UserError(f"{path}: no {empty[0]} dialogues")
    found = splits["train"][0].features
    for modality in modalities:
        if modality not in found:
            asked = f"--modalities {modalities} asks for {MODALITIES[modality]}"
            raise UserError(f"{path}: {asked}, the file has {''.join(found) or 'none'}")
    sizes = {modality: found[modality].shape[1] for modality in modalities}
    for split in SPLITS:
        for dialogue in splits[split]:
            dialogue.features = {modality: dialogue.features[modality] for modality in modalities}
    return sizes


def second_pickle(path, more, asked):
    """The second pickle of a file, with all its keys, and the file's `Corpus`."""
    if more is None:
        if asked and not asked.emotions:
            raise UserError(f"--dataset {asked.name}: expected one of {', '.join(sorted(CORPORA))}")
        return {"dev_ids": None, "ratings": {}}, asked or KEMDY19
    with damaged(path, "its second pickle is damaged, or not ours"):
        more = {"dev_ids": None, "ratings": {}, **more}
        corpus = corpus_from(more["corpus"], path)
        if asked and asked.name != corpus.name:
            raise UserError(f"{path}: --dataset {asked.name}: it is of the corpus {corpus.name}; leave the flag out")
        for key, kinds in (("dev_ids", list | None), ("ratings", dict)):
            if not isinstance(more[key], kinds):
                raise TypeError(f"{key} is a {type(more[key]).__name__}")
        if not all(map(is_name, more["dev_ids"] or ())):
            raise TypeError("dev_ids holds more than names")
        return more, asked if asked and asked.emotions else corpus


def _check_ids(items):
    names = [name for name in ("ids", "train_ids", "test_ids", "dev_ids") if name in items]
    for name in names:
        ids = items[name]
        if not isinstance(ids, list | tuple):
            raise UserError(f"`{name}` is a {type(ids).__name__}, expected a list of dialogue ids")
        for dialogue in ids:
            if not is_name(dialogue):
                raise UserError(f"`{name}` holds {shown(dialogue)}, expected dialogue ids, each {A_NAME}")
        if len(set(ids)) != len(ids):
            twice = next(dialogue for dialogue, count in Counter(ids).items() if count > 1)
            raise UserError(f"`{name}` names the dialogue {twice} twice")
    ids, train, test = (set(items[name]) for name in ("ids", "train_ids", "test_ids"))
    train |= set(items.get("dev_ids", ()))
    if not ids:
        raise UserError("`ids` is empty: there are no dialogues")
    if train & test:
        raise UserError(f"dialogue {min(train & test)} is in both the training and the test set")
    if unknown := (train | test) - ids:
        raise UserError(f"dialogue {min(unknown)} is in the training or test set but not among the ids")


def _from_tables(items):
    """The dialogues in the items of a dialogue file, unchecked. Each is taken out of them, so that a corpus is not held
    twice once its features are arrays."""
    for name in (*COLUMNS, *MODALITIES.values()):
        if not isinstance(items.setdefault(name, {}), dict):
            raise UserError(f"`{name}` is a {type(items[name]).__name__}, expected a dict by dialogue id")
        items[name] = dict(items[name])  # one dict may stand for several items
    dialogues = []
    for dialogue in items["ids"]:
        columns = [items[name].pop(dialogue, None) for name in COLUMNS]
        features = {modality: items[name].pop(dialogue, None) for modality, name in MODALITIES.items()}
        dialogues.append(Dialogue(dialogue, *columns, features))
    for name in (*COLUMNS, *MODALITIES.values()):
        for stray in items[name]:
            raise UserError(f"dialogue {shown(stray)} is in `{name}` but not among the ids")
    return dialogues


def _from_records(split, records, corpus):
    """The dialogues in one list of a preprocessed file, unchecked."""
    if not isinstance(records, list):
        raise UserError(f"{split} is a {type(records).__name__}, expected a list of dialogues")
    dialogues = []
    for k, record in enumerate(records):
        if not isinstance(record, dict) or not is_name(record.get("id")):
            raise UserError(f"{split} dialogue {k} is not a dict with an id")
        columns = {name: record.get(name) for name in COLUMNS}
        if isinstance(columns["speakers"], np.ndarray):  # some files hold their numbers
            known = dict(enumerate(corpus.speakers))
            columns["speakers"] = [known.get(number, number) for number in columns["speakers"].ravel().tolist()]
        features = {modality: record[modality] for modality in MODALITIES if modality in record}
        more = {name: record[name] for name in ("ratings", "sources") if name in record}
        dialogues.append(Dialogue(record["id"], **columns, features=features, **more))
    return dialogues
