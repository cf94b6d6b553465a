"""`Dialogue`, the one shape of a conversation, and the two files that hold dialogues.

The dialogue file is the published list that passes from stage to stage:

    [ids, speakers, labels, text, audio, visual, sentences, train_ids, test_ids, segment_ids]

Items 2-7 and 10 are dicts by dialogue id of lists by turn, in time order. A modality that has no features holds an
empty list for every dialogue. COGMEN's own corpora lack the tenth item: their turns are named `<dialogue>_<number>`.

The preprocessed file is `{"train", "dev", "test"}`, each a list of dialogues as dicts of a `Dialogue`'s fields, the
features under `"a"`, `"t"`, `"v"`. Both files are checked by `check_dialogues`, once, when they are read.
"""

from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations
from numbers import Integral

import numpy as np

from erc.corpus.corpora import MODALITIES
from erc.corpus.splits import check_held_out
from erc.files import write_pickle
from erc.options import UserError
from erc.untrusted import read_pickle, shown

SPLITS = ("train", "dev", "test")
_ITEMS = ("ids", "speakers", "labels", "text", "audio", "visual", "sentences", "train_ids", "test_ids", "segment_ids")
_COLUMNS = ("segment_ids", "speakers", "labels", "sentences")
_MAX_NAME = 200  # characters
_A_NAME = "a name: text on one line"


@dataclass(eq=False)
class Dialogue:
    """A dialogue of L turns, in time order.

    Attributes:
        id: a part of a dialogue, cut by `chunks`, keeps it.
        segment_ids, speakers, sentences: L strings each; a segment id is unique in its corpus.
        labels: (L,) int64, an emotion's place in `Corpus.emotions`.
        features: by modality `a`, `t`, `v`: (L, D) float32; empty before the extraction.
    """

    id: str
    segment_ids: list[str]
    speakers: list[str]
    labels: np.ndarray
    sentences: list[str]
    features: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self):
        return len(self.labels)

    def joined(self, modalities):
        """(L, D) the features of some modalities side by side."""
        chosen = [self.features[modality] for modality in modalities]
        return chosen[0] if len(chosen) == 1 else np.concatenate(chosen, axis=1)

    def turns(self):
        """The segment id, dialogue id, speaker and label of each turn."""
        for turn, segment_id in enumerate(self.segment_ids):
            yield segment_id, self.id, self.speakers[turn], int(self.labels[turn])

    def chunks(self, size):
        """The dialogue cut into consecutive dialogues of at most `size` turns."""
        for start in range(0, len(self), size):
            cut = slice(start, start + size)
            features = {modality: rows[cut] for modality, rows in self.features.items()}
            yield Dialogue(self.id, *(getattr(self, name)[cut] for name in _COLUMNS), features)


@dataclass(eq=False)
class DialogueFile:
    """What a dialogue file holds: its dialogues, and the ids of those to train on (dev among them) and to test on."""

    dialogues: list[Dialogue]
    train_ids: list[str]
    test_ids: list[str]


def read_dialogues(path, corpus):
    """The `DialogueFile` in a file.

    Raises:
        UserError: names the dialogue and the turn of the first thing that is wrong.
    """
    items, names = read_pickle(path), _ITEMS if corpus.has_segment_ids else _ITEMS[:-1]
    if not isinstance(items, list | tuple) or len(items) != len(names):
        found = f"{len(items)} items" if isinstance(items, list | tuple) else type(items).__name__
        expected = f"a dialogue file of {corpus.name}, a list of {len(names)} items"
        raise UserError(f"{path}: expected {expected}; found {found}")
    items = dict(zip(names, items, strict=True))
    try:
        _check_ids(items)
        check_held_out(corpus, items["train_ids"], items["test_ids"])
        dialogues = _from_tables(items)
        if not corpus.has_segment_ids:
            for dialogue in dialogues:
                turns = len(dialogue.labels) if _is_list(dialogue.labels) else 0
                dialogue.segment_ids = [f"{dialogue.id}_{turn:03}" for turn in range(turns)]
        check_dialogues(dialogues, corpus)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return DialogueFile(dialogues, list(items["train_ids"]), list(items["test_ids"]))


def write_dialogues(path, file):
    """Write a `DialogueFile`."""
    items = {name: {d.id: list(getattr(d, name)) for d in file.dialogues} for name in _COLUMNS}
    items["labels"] = {d.id: d.labels.tolist() for d in file.dialogues}
    for modality, name in MODALITIES.items():
        items[name] = {d.id: list(d.features.get(modality, ())) for d in file.dialogues}
    items |= {"ids": list(items["labels"]), "train_ids": file.train_ids, "test_ids": file.test_ids}
    write_pickle(path, [items[name] for name in _ITEMS])


def read_preprocessed(path, corpus):
    """{split: list of `Dialogue`} in a preprocessed file.

    Raises:
        UserError: names the dialogue and the turn of the first thing that is wrong.
    """
    splits = read_pickle(path)
    if not isinstance(splits, dict) or splits.keys() != set(SPLITS):
        raise UserError(f"{path}: expected a preprocessed file with train, dev and test; make one with preprocess.py")
    try:
        splits = {split: _from_records(split, splits.pop(split), corpus) for split in SPLITS}
        check_dialogues([dialogue for split in SPLITS for dialogue in splits[split]], corpus)
        ids = {split: {dialogue.id for dialogue in splits[split]} for split in SPLITS}
        for one, other in combinations(SPLITS, 2):
            if both := ids[one] & ids[other]:
                raise UserError(f"dialogue {min(both)} is in both {one} and {other}")
        check_held_out(corpus, sorted(ids["train"] | ids["dev"]), sorted(ids["test"]))
    except UserError as error:
        raise UserError(f"{path}: {error}; make the file again with preprocess.py") from None
    return splits


def write_preprocessed(path, splits):
    """Write {split: list of `Dialogue`}."""

    def record(dialogue):
        return {"id": dialogue.id, **{name: getattr(dialogue, name) for name in _COLUMNS}, **dialogue.features}

    write_pickle(path, {split: [record(dialogue) for dialogue in splits[split]] for split in SPLITS})


def use_modalities(path, splits, modalities):
    """Drop the features of all other modalities; `path` is only named in errors.

    Returns:
        dict: by modality, the size of its features.
    Raises:
        UserError: a split has no dialogues, or a modality has no features.
    """
    for split in SPLITS:
        if not splits[split]:
            raise UserError(f"{path}: no {split} dialogues")
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


def check_dialogues(dialogues, corpus):
    """Check dialogues whose fields hold whatever a file held, and give them the types of `Dialogue`.

    Raises:
        UserError: names the dialogue and the turn of the first thing that is wrong.
    """
    for dialogue in dialogues:
        columns = {name: getattr(dialogue, name) for name in _COLUMNS}
        columns |= {MODALITIES[modality]: rows for modality, rows in dialogue.features.items()}
        for name, values in columns.items():
            if not _is_list(values):
                raise UserError(f"dialogue {dialogue.id} has no list in `{name}`")
    modalities = [m for m in MODALITIES if any(len(dialogue.features.get(m, ())) for dialogue in dialogues)]
    _check_turns(dialogues, corpus)
    widths = {}
    for dialogue in dialogues:
        dialogue.features = {modality: _matrix(dialogue, modality, widths) for modality in modalities}


def is_name(value):
    """Whether a value can name a dialogue, a turn or a speaker in tables and messages."""
    return isinstance(value, str) and 0 < len(value) <= _MAX_NAME and value.isprintable()


def _is_list(value):
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _check_turns(dialogues, corpus):
    seen = set()
    for dialogue in dialogues:
        for name in _COLUMNS:
            values = getattr(dialogue, name)
            setattr(dialogue, name, values.tolist() if isinstance(values, np.ndarray) else list(values))
        if not len(dialogue):
            raise UserError(f"dialogue {dialogue.id} has no turns")
        for name in _COLUMNS:
            if (found := len(getattr(dialogue, name))) != len(dialogue):
                raise UserError(f"dialogue {dialogue.id} has {len(dialogue)} labels but {found} {name}")
        for turn, values in enumerate(zip(*(getattr(dialogue, name) for name in _COLUMNS), strict=True)):
            if fault := _fault(*values, corpus, seen):
                raise UserError(f"dialogue {dialogue.id}, turn {turn}: {fault}")
            seen.add(values[0])
        dialogue.labels = np.array(dialogue.labels, dtype=np.int64)


def _fault(segment_id, speaker, label, sentence, corpus, seen):
    """What is wrong with a turn; None if nothing is."""
    if isinstance(label, bool) or not isinstance(label, Integral) or not 0 <= label < len(corpus.emotions):
        return f"label {shown(label)}; {corpus.name} has 0 to {len(corpus.emotions) - 1}"
    if corpus.speakers and not (isinstance(speaker, str) and speaker in corpus.speakers):
        return f"speaker {shown(speaker)}; {corpus.name} has {', '.join(corpus.speakers)}"
    if not is_name(speaker):
        return f"speaker {shown(speaker)}, expected {_A_NAME}"
    if not isinstance(sentence, str):
        return f"sentence {shown(sentence)}, expected text"
    if not is_name(segment_id):
        return f"segment id {shown(segment_id)}, expected {_A_NAME}"
    if segment_id in seen:
        return f"segment id {segment_id} is that of a turn before it, too"
    return None


def _matrix(dialogue, modality, widths):
    """(L, D) float32 features, with D as in `widths`, by modality, which the first dialogue sets."""
    rows, name = dialogue.features.get(modality, ()), MODALITIES[modality]
    if len(rows) != len(dialogue):
        raise UserError(f"dialogue {dialogue.id} has {len(dialogue)} labels but {len(rows)} {name} embeddings")

    def refuse(turn, fault):
        raise UserError(f"dialogue {dialogue.id}, turn {turn}: {name} embedding {fault}") from None

    def vector(turn):
        try:
            row = np.asarray(rows[turn], dtype=np.float32)
        except (TypeError, ValueError, OverflowError):
            refuse(turn, "is not a vector of numbers")
        if row.ndim != 1 or not row.size:
            refuse(turn, f"has shape {row.shape}, expected one vector")
        if row.size != widths.setdefault(modality, row.size):
            refuse(turn, f"has {row.size} values, the turns before it {widths[modality]}")
        return row

    with np.errstate(over="ignore"):  # a number too large for float32 is found below
        first = vector(0)
        if isinstance(rows, np.ndarray) and rows.dtype == np.float32 and rows.ndim == 2:
            matrix = rows
        else:
            matrix = np.empty((len(rows), first.size), dtype=np.float32)
            for turn in range(len(rows)):
                matrix[turn] = vector(turn)
    if not (finite := np.isfinite(matrix).all(axis=1)).all():
        refuse(finite.argmin(), "has a value that is not finite")
    return matrix


def _check_ids(items):
    for name in ("ids", "train_ids", "test_ids"):
        ids = items[name]
        if not isinstance(ids, list | tuple):
            raise UserError(f"`{name}` is a {type(ids).__name__}, expected a list of dialogue ids")
        for dialogue in ids:
            if not is_name(dialogue):
                raise UserError(f"`{name}` holds {shown(dialogue)}, expected dialogue ids, each {_A_NAME}")
        if len(set(ids)) != len(ids):
            twice = next(dialogue for dialogue, count in Counter(ids).items() if count > 1)
            raise UserError(f"`{name}` names the dialogue {twice} twice")
    ids, train, test = (set(items[name]) for name in ("ids", "train_ids", "test_ids"))
    if not ids:
        raise UserError("`ids` is empty: there are no dialogues")
    if train & test:
        raise UserError(f"dialogue {min(train & test)} is in both the training and the test set")
    if unknown := (train | test) - ids:
        raise UserError(f"dialogue {min(unknown)} is in the training or test set but not among the ids")


def _from_tables(items):
    """The dialogues in the items of a dialogue file, unchecked. Each is taken out of them, so that a corpus is not held
    twice once its features are arrays."""
    for name in (*_COLUMNS, *MODALITIES.values()):
        if not isinstance(items.setdefault(name, {}), dict):
            raise UserError(f"`{name}` is a {type(items[name]).__name__}, expected a dict by dialogue id")
        items[name] = dict(items[name])  # one dict may stand for several items
    dialogues = []
    for dialogue in items["ids"]:
        columns = [items[name].pop(dialogue, None) for name in _COLUMNS]
        features = {modality: items[name].pop(dialogue, None) for modality, name in MODALITIES.items()}
        dialogues.append(Dialogue(dialogue, *columns, features))
    for name in (*_COLUMNS, *MODALITIES.values()):
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
        columns = {name: record.get(name) for name in _COLUMNS}
        if isinstance(columns["speakers"], np.ndarray):  # files of earlier versions hold their numbers
            known = dict(enumerate(corpus.speakers))
            columns["speakers"] = [known.get(number, number) for number in columns["speakers"].ravel().tolist()]
        features = {modality: record[modality] for modality in MODALITIES if modality in record}
        dialogues.append(Dialogue(record["id"], **columns, features=features))
    return dialogues
