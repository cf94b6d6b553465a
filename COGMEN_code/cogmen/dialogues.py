"""The dialogue file: the published ten-item list that passes from stage to stage, read with its schema checked.

    [ids, speakers, labels, text, audio, visual, sentences, train_ids, test_ids, segment_ids]

Items 2-7 and 10 are dicts by dialogue id of lists by turn, in time order. A modality that has no embeddings holds an
empty list for every dialogue. COGMEN's own corpora lack the tenth item: their turns are named `<dialogue>_<number>`.
"""

from dataclasses import dataclass, fields

import numpy as np

from cogmen.corpora import MODALITY_NAMES
from cogmen.options import UserError
from cogmen.safe_files import read_pickle, write_pickle


@dataclass
class Dialogues:
    """The dialogues of a corpus.

    Attributes:
        ids: every dialogue id, in the order of the corpus.
        speakers: by dialogue id, a speaker letter per turn.
        labels: by dialogue id, an emotion's number per turn (its place in `Corpus.emotions`).
        text, audio, visual: by dialogue id, a float32 vector per turn; all lists empty if the modality is absent.
        sentences: by dialogue id, the cleaned transcript of every turn.
        train_ids, test_ids: the dialogues of the training sessions (dev among them) and of the held-out sessions.
        segment_ids: by dialogue id, the segment id of every turn.
    """

    ids: list
    speakers: dict
    labels: dict
    text: dict
    audio: dict
    visual: dict
    sentences: dict
    train_ids: list
    test_ids: list
    segment_ids: dict

    def turns(self):
        """The number of turns in all dialogues."""
        return sum(len(self.labels[dialogue]) for dialogue in self.ids)

    def has(self, modality):
        """Whether a modality (`a`, `t` or `v`) has embeddings."""
        return any(len(rows) for rows in getattr(self, MODALITY_NAMES[modality]).values())


def read_dialogues(path, corpus):
    """Read a dialogue file and check it against the schema and the corpus's emotions and speakers.

    Raises:
        UserError: names the dialogue and the turn of the first thing that is wrong.
    """
    items = read_pickle(path)
    expected = len(fields(Dialogues)) - (not corpus.has_segment_ids)
    if not isinstance(items, list | tuple) or len(items) != expected:
        found = f"{len(items)} items" if isinstance(items, list | tuple) else type(items).__name__
        raise UserError(f"{path}: expected a dialogue file of {corpus.name}, a list of {expected} items; found {found}")
    try:
        return check_dialogues(Dialogues(*items) if corpus.has_segment_ids else _with_names(items), corpus)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _with_names(items):
    """A `Dialogues` from nine items, its turns named by dialogue and number."""
    labels = items[2]
    if not isinstance(labels, dict) or not all(isinstance(turns, list | np.ndarray) for turns in labels.values()):
        raise UserError("`labels` is not a dict of lists by dialogue id")
    names = {dialogue: [f"{dialogue}_{k:03}" for k in range(len(turns))] for dialogue, turns in labels.items()}
    return Dialogues(*items, segment_ids=names)


def write_dialogues(path, dialogues):
    write_pickle(path, [getattr(dialogues, field.name) for field in fields(Dialogues)])


def check_dialogues(dialogues, corpus):
    """Check a `Dialogues` against its schema; its embeddings become float32 arrays.

    Returns:
        Dialogues: the same object.
    Raises:
        UserError: names the dialogue and the turn of the first thing that is wrong.
    """
    _check_ids(dialogues)
    for field in fields(Dialogues):
        table = getattr(dialogues, field.name)
        if field.name in ("ids", "train_ids", "test_ids"):
            continue
        if not isinstance(table, dict):
            raise UserError(f"`{field.name}` is a {type(table).__name__}, expected a dict by dialogue id")
        for dialogue in dialogues.ids:
            if not isinstance(table.get(dialogue), list | np.ndarray):
                raise UserError(f"dialogue {dialogue} has no list in `{field.name}`")
    for dialogue in dialogues.ids:
        _check_turns(dialogues, dialogue, corpus)
    for name in MODALITY_NAMES.values():
        _check_embeddings(dialogues, name)
    return dialogues


def _check_ids(dialogues):
    for name in ("ids", "train_ids", "test_ids"):
        ids = getattr(dialogues, name)
        if not isinstance(ids, list | tuple) or not all(isinstance(dialogue, str) for dialogue in ids):
            raise UserError(f"`{name}` is not a list of dialogue ids")
        if len(set(ids)) != len(ids):
            raise UserError(f"`{name}` names a dialogue twice")
    both = set(dialogues.train_ids) & set(dialogues.test_ids)
    if both:
        raise UserError(f"dialogue {min(both)} is in both the training and the test set")
    unknown = (set(dialogues.train_ids) | set(dialogues.test_ids)) - set(dialogues.ids)
    if unknown:
        raise UserError(f"dialogue {min(unknown)} is in the training or test set but not among the ids")


def _check_turns(dialogues, dialogue, corpus):
    labels = dialogues.labels[dialogue]
    if not len(labels):
        raise UserError(f"dialogue {dialogue} has no turns")
    for name in ("speakers", "sentences", "segment_ids"):
        if len(getattr(dialogues, name)[dialogue]) != len(labels):
            found = len(getattr(dialogues, name)[dialogue])
            raise UserError(f"dialogue {dialogue} has {len(labels)} labels but {found} {name}")
    for turn, label in enumerate(labels):
        if isinstance(label, bool | float) or not 0 <= label < len(corpus.emotions):
            expected = f"expected 0 to {len(corpus.emotions) - 1}"
            raise UserError(f"dialogue {dialogue}, turn {turn}: label {label!r}, {expected}")
    for turn, speaker in enumerate(dialogues.speakers[dialogue]):
        if speaker not in corpus.speakers:
            expected = f"{corpus.name} has {', '.join(corpus.speakers)}"
            raise UserError(f"dialogue {dialogue}, turn {turn}: speaker {speaker!r}; {expected}")


def _check_embeddings(dialogues, name):
    table = getattr(dialogues, name)
    if not any(len(table[dialogue]) for dialogue in dialogues.ids):
        return
    width = None
    for dialogue in dialogues.ids:
        turns = len(dialogues.labels[dialogue])
        if len(table[dialogue]) != turns:
            raise UserError(f"dialogue {dialogue} has {turns} labels but {len(table[dialogue])} {name} embeddings")
        rows = []
        for turn, row in enumerate(table[dialogue]):
            where = f"dialogue {dialogue}, turn {turn}: {name} embedding"
            try:
                row = np.asarray(row, dtype=np.float32)
            except (TypeError, ValueError):
                raise UserError(f"{where} is not a vector of numbers") from None
            if row.ndim != 1 or not row.size:
                raise UserError(f"{where} has shape {row.shape}, expected one vector")
            width = width or row.size
            if row.size != width:
                raise UserError(f"{where} has {row.size} values, the turns before it {width}")
            if not np.isfinite(row).all():
                raise UserError(f"{where} has a value that is not finite")
            rows.append(row)
        table[dialogue] = rows
