"""The dialogue file: the published ten-item list that passes from stage to stage, read with its schema checked.

    [ids, speakers, labels, text, audio, visual, sentences, train_ids, test_ids, segment_ids]

Items 2-7 and 10 are dicts by dialogue id of lists by turn, in time order. A modality that has no embeddings holds an
empty list for every dialogue. COGMEN's own corpora lack the tenth item: their turns are named `<dialogue>_<number>`.
"""

from collections import Counter
from dataclasses import dataclass, fields
from numbers import Integral

import numpy as np

from erc.corpus.corpora import MODALITY_NAMES, check_held_out
from erc.files import write_pickle
from erc.options import UserError
from erc.untrusted import read_pickle, shown

_MAX_ID = 200  # characters


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
    dialogues = Dialogues(*items, segment_ids={})
    if isinstance(dialogues.labels, dict):
        for dialogue, labels in dialogues.labels.items():
            turns = len(labels) if _is_list(labels) else 0
            dialogues.segment_ids[dialogue] = [f"{dialogue}_{turn:03}" for turn in range(turns)]
    return dialogues


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
    check_held_out(corpus, dialogues.train_ids, dialogues.test_ids)
    for field in fields(Dialogues):
        if field.name not in ("ids", "train_ids", "test_ids"):
            _check_table(dialogues, field.name)
    for dialogue in dialogues.ids:
        _check_turns(dialogues, dialogue, corpus)
    _check_names(dialogues)
    for name in MODALITY_NAMES.values():
        _check_embeddings(dialogues, name)
    return dialogues


def _is_list(value):
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _check_ids(dialogues):
    for name in ("ids", "train_ids", "test_ids"):
        ids = getattr(dialogues, name)
        if not isinstance(ids, list | tuple):
            raise UserError(f"`{name}` is a {type(ids).__name__}, expected a list of dialogue ids")
        for dialogue in ids:
            if not is_id(dialogue):
                raise UserError(f"`{name}` holds {shown(dialogue)}, expected dialogue ids (text, on one line)")
        if len(set(ids)) != len(ids):
            twice = next(dialogue for dialogue, count in Counter(ids).items() if count > 1)
            raise UserError(f"`{name}` names the dialogue {twice} twice")
    if not dialogues.ids:
        raise UserError("`ids` is empty: there are no dialogues")
    both = set(dialogues.train_ids) & set(dialogues.test_ids)
    if both:
        raise UserError(f"dialogue {min(both)} is in both the training and the test set")
    unknown = (set(dialogues.train_ids) | set(dialogues.test_ids)) - set(dialogues.ids)
    if unknown:
        raise UserError(f"dialogue {min(unknown)} is in the training or test set but not among the ids")


def _check_table(dialogues, name):
    table = getattr(dialogues, name)
    if not isinstance(table, dict):
        raise UserError(f"`{name}` is a {type(table).__name__}, expected a dict by dialogue id")
    for dialogue in dialogues.ids:
        if not _is_list(table.get(dialogue)):
            raise UserError(f"dialogue {dialogue} has no list in `{name}`")
    if len(table) > len(dialogues.ids):
        stray = next(dialogue for dialogue in table if dialogue not in set(dialogues.ids))
        raise UserError(f"dialogue {shown(stray)} is in `{name}` but not among the ids")


def _check_turns(dialogues, dialogue, corpus):
    labels = dialogues.labels[dialogue]
    if not len(labels):
        raise UserError(f"dialogue {dialogue} has no turns")
    for name in ("speakers", "sentences", "segment_ids"):
        if len(getattr(dialogues, name)[dialogue]) != len(labels):
            found = len(getattr(dialogues, name)[dialogue])
            raise UserError(f"dialogue {dialogue} has {len(labels)} labels but {found} {name}")
    for turn, label in enumerate(labels):
        if isinstance(label, bool) or not isinstance(label, Integral) or not 0 <= label < len(corpus.emotions):
            expected = f"expected a whole number, 0 to {len(corpus.emotions) - 1} for {corpus.name}"
            raise UserError(f"dialogue {dialogue}, turn {turn}: label {shown(label)}, {expected}")
    for turn, speaker in enumerate(dialogues.speakers[dialogue]):
        if not isinstance(speaker, str) or speaker not in corpus.speakers:
            expected = f"{corpus.name} has {', '.join(corpus.speakers)}"
            raise UserError(f"dialogue {dialogue}, turn {turn}: speaker {shown(speaker)}; {expected}")
    for turn, sentence in enumerate(dialogues.sentences[dialogue]):
        if not isinstance(sentence, str):
            raise UserError(f"dialogue {dialogue}, turn {turn}: sentence {shown(sentence)}, expected text")


def _check_names(dialogues):
    seen = set()
    for dialogue in dialogues.ids:
        for turn, name in enumerate(dialogues.segment_ids[dialogue]):
            where = f"dialogue {dialogue}, turn {turn}: segment id"
            if not is_id(name):
                raise UserError(f"{where} {shown(name)}, expected text, on one line")
            if name in seen:
                raise UserError(f"{where} {name} is that of a turn before it, too")
            seen.add(name)


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
                with np.errstate(over="ignore"):  # a number too large for float32 is found below
                    row = np.asarray(row, dtype=np.float32)
            except (TypeError, ValueError, OverflowError):
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


def is_id(value):
    """Whether a value can name a dialogue or a turn in tables and messages."""
    return isinstance(value, str) and 0 < len(value) <= _MAX_ID and value.isprintable()
