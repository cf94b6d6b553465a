"""The preprocessed file: `{"train", "dev", "test"}`, each a list of dialogues as plain values and numpy arrays.

A dialogue of L turns is `{"id", "speakers": (L,) int64, "labels": (L,) int64, "segment_ids", "sentences": L strings}`
and, for each modality that the corpus has, `"a"`, `"t"`, `"v"`: (L, D) float32. Sizes are read from the data.
"""

import random

import numpy as np

from erc.corpus.corpora import MODALITIES, MODALITY_NAMES, check_held_out, session_of
from erc.corpus.dialogues import is_id
from erc.files import write_pickle
from erc.options import UserError
from erc.untrusted import read_pickle

SPLITS = ("train", "dev", "test")


def split_ids(dialogues, dev_sessions=(), seed=None):
    """Divide the training dialogues into train and dev.

    Args:
        dev_sessions: these sessions' dialogues are dev. Without: the first 10% of the training ids, as published.
        seed: draws the 10% at random instead.
    Returns:
        dict: dialogue ids by split.
    """
    train = list(dialogues.train_ids)
    if dev_sessions:
        missing = set(dev_sessions) - {session_of(dialogue) for dialogue in train}
        if missing:
            raise UserError(f"--dev_sessions: session {min(missing)} is not among the training dialogues")
        dev = [dialogue for dialogue in train if session_of(dialogue) in dev_sessions]
    else:
        pool = train if seed is None else random.Random(seed).sample(train, len(train))
        chosen = set(pool[: max(1, len(train) // 10)])
        dev = [dialogue for dialogue in train if dialogue in chosen]
    train = [dialogue for dialogue in train if dialogue not in set(dev)]
    if not train:
        raise UserError("no dialogue is left for training once the dev dialogues are taken out")
    return {"train": train, "dev": dev, "test": list(dialogues.test_ids)}


def preprocess(dialogues, corpus, ids_by_split, split_utterances=None):
    """Turn `Dialogues` into the contents of a preprocessed file.

    Embeddings are taken out of `dialogues`, so that a corpus is not held twice.

    Args:
        ids_by_split: as `split_ids` gives them.
        split_utterances: cut dialogues into consecutive chunks of at most so many turns.
    """
    modalities = [modality for modality in MODALITIES if dialogues.has(modality)]
    if not modalities:
        raise UserError("the dialogue file has no embeddings; run MIRAI/feature_extractor_cogmen_format.py first")
    return {
        split: [
            chunk
            for dialogue in ids_by_split[split]
            for chunk in _chunks(_record(dialogues, dialogue, corpus, modalities), split_utterances)
        ]
        for split in SPLITS
    }


def _record(dialogues, dialogue, corpus, modalities):
    speakers = [corpus.speakers.index(speaker) for speaker in dialogues.speakers[dialogue]]
    record = {
        "id": dialogue,
        "speakers": np.array(speakers, dtype=np.int64),
        "labels": np.array(dialogues.labels[dialogue], dtype=np.int64),
        "segment_ids": list(dialogues.segment_ids[dialogue]),
        "sentences": list(dialogues.sentences[dialogue]),
    }
    for modality in modalities:
        record[modality] = np.stack(getattr(dialogues, MODALITY_NAMES[modality]).pop(dialogue))
    return record


def _chunks(record, size):
    turns = len(record["labels"])
    for start in range(0, turns, size or turns):
        cut = slice(start, start + (size or turns))
        yield {key: value if key == "id" else value[cut] for key, value in record.items()}


def feature_sizes(path, splits, modalities):
    """By modality in use, the size of its features; `path` is only named in errors.

    Raises:
        UserError: the file lacks a modality, or has no dialogues to train or test with.
    """
    for split in SPLITS:
        if not splits[split]:
            raise UserError(f"{path}: no {split} dialogues")
    record = splits["train"][0]
    missing = [modality for modality in modalities if modality not in record]
    if missing:
        has = "".join(modality for modality in MODALITIES if modality in record)
        raise UserError(f"{path}: --modalities {modalities} asks for {MODALITY_NAMES[missing[0]]}, the file has {has}")
    return {modality: record[modality].shape[1] for modality in modalities}


def write_preprocessed(path, splits):
    write_pickle(path, splits)


def read_preprocessed(path, corpus):
    """Read a preprocessed file and check its schema.

    Raises:
        UserError: names the file, the dialogue and what is wrong.
    """
    splits = read_pickle(path)
    if not isinstance(splits, dict) or splits.keys() != set(SPLITS):
        raise UserError(f"{path}: expected a preprocessed file with train, dev and test; make one with preprocess.py")
    try:
        return _check_splits(splits, corpus)
    except UserError as error:
        raise UserError(f"{path}: {error}; make the file again with preprocess.py") from None


def _check_splits(splits, corpus):
    widths, split_of, turns = None, {}, set()
    for split in SPLITS:
        if not isinstance(splits[split], list):
            raise UserError(f"{split} is a {type(splits[split]).__name__}, expected a list of dialogues")
        for k, record in enumerate(splits[split]):
            record = splits[split][k] = _check_record(f"{split} dialogue {k}", record, corpus)
            dialogue = record["id"]
            found = {modality: record[modality].shape[1] for modality in MODALITIES if modality in record}
            widths = widths or found
            if found != widths:
                raise UserError(f"dialogue {dialogue} has features of sizes {_sizes(found)}, others {_sizes(widths)}")
            if split_of.setdefault(dialogue, split) != split:  # a split may hold several chunks of one
                raise UserError(f"dialogue {dialogue} is in both {split_of[dialogue]} and {split}")
            if again := turns.intersection(record["segment_ids"]):
                raise UserError(f"dialogue {dialogue}: turn {min(again)} is there twice")
            turns.update(record["segment_ids"])
    train, test = ([d for d, split in split_of.items() if (split == "test") is held_out] for held_out in (False, True))
    check_held_out(corpus, train, test)
    return splits


def _sizes(widths):
    return ", ".join(f"{modality} {width}" for modality, width in widths.items()) or "none"


def _check_record(place, record, corpus):
    """A dialogue with its values as arrays of the types that `preprocess` gives them."""
    if not isinstance(record, dict) or not is_id(record.get("id")):
        raise UserError(f"{place} is not a dict with an id")
    dialogue = record["id"]
    checked = {"id": dialogue}
    for key, names in (("labels", corpus.emotions), ("speakers", corpus.speakers)):
        values = record.get(key)
        if not _is_array(values, 1) or values.dtype.kind == "f" or not len(values):
            raise UserError(f"dialogue {dialogue}: {key} are not an array of whole numbers, one for each turn")
        for turn in np.flatnonzero((values < 0) | (values >= len(names)))[:1]:
            expected = f"{corpus.name} has 0 to {len(names) - 1}"
            raise UserError(f"dialogue {dialogue}, turn {turn}: {key[:-1]} {values[turn]}; {expected}")
        checked[key] = values.astype(np.int64, copy=False)
    turns = len(checked["labels"])
    for key, is_one in (("segment_ids", is_id), ("sentences", lambda value: isinstance(value, str))):
        values = record.get(key)
        if not isinstance(values, list | tuple) or not all(map(is_one, values)):
            raise UserError(f"dialogue {dialogue}: {key} are not a list of text")
        checked[key] = list(values)
    if len(set(checked["segment_ids"])) != len(checked["segment_ids"]):
        raise UserError(f"dialogue {dialogue}: a segment id is there twice")
    for key in ("speakers", "segment_ids", "sentences"):
        if len(checked[key]) != turns:
            raise UserError(f"dialogue {dialogue} has {turns} labels but {len(checked[key])} {key}")
    for modality in (modality for modality in MODALITIES if modality in record):
        values, name = record[modality], MODALITY_NAMES[modality]
        if not _is_array(values, 2) or len(values) != turns or not values.shape[1]:
            found = f"of shape {values.shape}" if isinstance(values, np.ndarray) else "that are no array"
            raise UserError(f"dialogue {dialogue}: {name} features {found}, expected {turns} vectors of numbers")
        with np.errstate(over="ignore"):  # a number too large for float32 is found next
            checked[modality] = values.astype(np.float32, copy=False)
        for turn in np.flatnonzero(~np.isfinite(checked[modality]).all(axis=1))[:1]:
            raise UserError(f"dialogue {dialogue}, turn {turn}: {name} features have a value that is not finite")
    return checked


def _is_array(values, dimensions):
    """Whether it is an array of plain numbers; a list could take any amount of memory to become one."""
    return isinstance(values, np.ndarray) and values.ndim == dimensions and values.dtype.kind in "iuf"
