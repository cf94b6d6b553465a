"""From the dialogue file to the preprocessed file: the dialogues of train, dev and test, their features in arrays."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from erc.corpus.corpora import SPLITS, asked_corpus
from erc.corpus.dialogue_shards import open_dialogues
from erc.corpus.dialogues import write_preprocessed, write_preprocessed_shard
from erc.corpus.shards import PREPROCESSED, set_name, write_index
from erc.corpus.splits import divide_ids
from erc.options import UserError


@dataclass
class Made:
    """What was made: by split, its dialogues and turns; the size of each modality's features; dialogues of no split."""

    dialogues: Counter = field(default_factory=Counter)
    turns: Counter = field(default_factory=Counter)
    sizes: dict | None = None
    unused: int = 0


def preprocess(options, folder=None):
    """Write the preprocessed file that the options of `preprocess.py` ask for: of a dialogue file `res_dir`; of a
    folder of shards one shard after another into `folder`, holding one at a time.

    Returns:
        Made
    Raises:
        UserError: the dialogue file is not what its scripts write, or has no features.
    """
    source, made = open_dialogues(options.feat_dir, asked_corpus(options.dataset)), Made()
    _check_sbert_options(options, source.corpus)
    ids = divide_ids(source, source.corpus, options.dev_sessions, options.seed)
    name = set_name(source.name, ids, str(options.text_feature), options.sbert, options.split_utterances)
    for number in range(1, source.number + 1):
        splits = _splits(source.read(number), ids, options, made)
        if folder:
            write_preprocessed_shard(folder, splits, source.corpus, (name, number, source.number), made.sizes)
        else:
            write_preprocessed(options.res_dir, splits, source.corpus)
        del splits  # before the next is read
    source.check_complete()
    made.unused -= len(source.train_ids) + len(source.test_ids)
    if folder:
        write_index(folder, PREPROCESSED, name, source.number, source.corpus, **ids, features=made.sizes)
    return made


def _text_feature(options, corpus):
    return options.text_feature or corpus.text_feature


def _check_sbert_options(options, corpus):
    """Refuse options of the SBERT where none is asked for."""
    for name in ("sbert", "device"):
        value = getattr(options, name)
        if _text_feature(options, corpus) != "sbert" and value != getattr(type(options), name):
            raise UserError(f"--{name} {value}: is for --text_feature sbert; give that, too, or leave it out")


def _splits(file, ids, options, made):
    """The dialogues of a file or shard by split, as the options ask for them; counts them."""
    if _text_feature(options, file.corpus) == "sbert":
        embed_texts(file.dialogues, options)
    sizes = {modality: rows.shape[1] for modality, rows in file.dialogues[0].features.items()}
    if not sizes:
        advice = "run MIRAI/feature_extractor_cogmen_format.py first, or give --text_feature sbert"
        raise UserError(f"{options.feat_dir}: no embeddings; {advice}")
    if made.sizes not in (None, sizes):
        raise UserError(f"{options.feat_dir}: shard {file.shard[1]} has features {sizes}, those before {made.sizes}")
    made.sizes = sizes
    by_id = {dialogue.id: dialogue for dialogue in file.dialogues}
    splits = {split: [by_id[one] for one in ids[split] if one in by_id] for split in SPLITS}
    if size := options.split_utterances:
        splits = {split: [chunk for one in splits[split] for chunk in one.chunks(size)] for split in SPLITS}
    made.dialogues.update({split: len(splits[split]) for split in SPLITS})
    made.turns.update({split: sum(map(len, splits[split])) for split in SPLITS})
    made.unused += len(file.dialogues)
    return splits


def embed_texts(dialogues, options):
    """Give the turns the SBERT embeddings of their sentences as text features."""
    from cogmen.sbert import embed_sentences  # only here, so that nothing else loads a model

    sentences = [sentence for dialogue in dialogues for sentence in dialogue.sentences]
    vectors = embed_sentences(sentences, options.sbert, options.device)
    ends = np.cumsum([len(dialogue) for dialogue in dialogues])
    for dialogue, rows in zip(dialogues, np.split(vectors, ends[:-1]), strict=True):
        dialogue.features["t"] = rows
