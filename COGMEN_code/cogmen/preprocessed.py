"""The preprocessed file: `{"train", "dev", "test"}`, each a list of dialogues as plain values and numpy arrays.

A dialogue of L turns is `{"id", "speakers": (L,) int64, "labels": (L,) int64, "segment_ids", "sentences": L strings}`
and, for each modality that the corpus has, `"a"`, `"t"`, `"v"`: (L, D) float32. Sizes are read from the data.
"""

import random

import numpy as np

from cogmen.corpora import MODALITIES, MODALITY_NAMES, session_of
from cogmen.options import UserError
from cogmen.safe_files import read_pickle, write_pickle

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
    if not isinstance(splits, dict) or sorted(splits) != sorted(SPLITS):
        raise UserError(f"{path}: expected a preprocessed file with train, dev and test; make one with preprocess.py")
    widths = {}
    for split in SPLITS:
        if not isinstance(splits[split], list):
            raise UserError(f"{path}: {split} is not a list of dialogues")
        for k, record in enumerate(splits[split]):
            try:
                splits[split][k] = _check_record(record, corpus, widths)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise UserError(f"{path}: {split} dialogue {k} is malformed: {error}") from None
    return splits


def _check_record(record, corpus, widths):
    turns = len(record["labels"])
    checked = {"id": str(record["id"])}
    for key, names in (("speakers", corpus.speakers), ("labels", corpus.emotions)):
        values = np.asarray(record[key], dtype=np.int64)
        if values.shape != (turns,) or turns == 0 or values.min() < 0 or values.max() >= len(names):
            raise ValueError(f"{key} of {record['id']} do not fit the corpus {corpus.name}")
        checked[key] = values
    for key in ("segment_ids", "sentences"):
        if len(record[key]) != turns:
            raise ValueError(f"{record['id']} has {turns} turns but {len(record[key])} {key}")
        checked[key] = record[key]
    for modality in (modality for modality in MODALITIES if modality in record):
        values = np.asarray(record[modality], dtype=np.float32)
        width = widths.setdefault(modality, values.shape[-1])
        if values.shape != (turns, width) or not np.isfinite(values).all():
            name = MODALITY_NAMES[modality]
            raise ValueError(f"{name} features of {record['id']} are not {turns} finite vectors of {width} values")
        checked[modality] = values
    return checked
