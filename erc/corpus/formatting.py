"""From utterances to dialogues: turns in time order, embeddings joined by segment id."""

from collections import defaultdict

import numpy as np

from erc.corpus.corpora import KEMDY19, MODALITIES
from erc.corpus.dialogues import Dialogue, DialogueFile
from erc.corpus.splits import has_split, held_out
from erc.options import UserError, first_of


def format_dialogues(utterances, sentences, test_sessions, corpus=KEMDY19, ratings=None):
    """A `DialogueFile` without features of some utterances: dialogues by session and name, turns by time.

    Args:
        utterances: list of `Utterance`.
        sentences: the cleaned transcript of each.
        test_sessions: the sessions whose dialogues are the test set, where the table has no column `split`.
        ratings: {segment id: (C,) how many raters named each emotion}.
    Raises:
        UserError: the table lacks a test session, or has no other one; utterances lack ratings that others have.
    """
    test_ids = {utterance.dialogue for utterance in held_out(utterances, test_sessions)}
    if all(utterance.dialogue in test_ids for utterance in utterances):
        sessions = " ".join(map(str, test_sessions))
        what = f"--test_sessions {sessions}: these are all sessions of the table"
        if has_split(utterances):
            what = "the table's column `split` holds out every dialogue"
        raise UserError(f"{what}; nothing is left to train on")
    groups = defaultdict(list)
    for utterance, sentence in zip(utterances, sentences, strict=True):
        groups[utterance.session or 0, utterance.dialogue].append((utterance, sentence))
    dialogues, dev_ids = [], None
    for (_, name), turns in sorted(groups.items()):
        turns.sort(key=lambda turn: (turn[0].wav_start, turn[0].wav_end, turn[0].segment_id))
        own, said = zip(*turns, strict=True)
        labels = np.array([utterance.label for utterance in own], dtype=np.int64)
        segment_ids, speakers = ([getattr(one, column) for one in own] for column in ("segment_id", "speaker"))
        dialogues.append(Dialogue(name, segment_ids, speakers, labels, list(said), ratings=_ratings(own, ratings)))
    if has_split(utterances):
        dev = {utterance.dialogue for utterance in utterances if utterance.split == "dev"}
        dev_ids = [dialogue.id for dialogue in dialogues if dialogue.id in dev] or None
    train, test = ([d.id for d in dialogues if (d.id in test_ids) == is_test] for is_test in (False, True))
    return DialogueFile(dialogues, train, test, dev_ids, corpus)


def _ratings(utterances, counts):
    """The `Dialogue.ratings` of a dialogue's utterances."""
    found = {}
    if counts:
        if missing := [utterance.segment_id for utterance in utterances if utterance.segment_id not in counts]:
            raise UserError(f"the table of ratings lacks {missing[0]}; make it again with MIRAI/preprocess.py")
        found["emotions"] = np.stack([counts[utterance.segment_id] for utterance in utterances])
    for name in ("valence", "arousal"):
        values = np.array(
            [getattr(utterance, name) for utterance in utterances], dtype=np.float32
        )  # None: not a number
        if not np.isnan(values).all():
            found[name] = values
    return found


def check_same(turns, segment_ids):
    """The segment ids of turns, a set, are `segment_ids`.

    Raises:
        UserError: counts and names what is missing.
    """
    problems = (
        ("turns of the dialogue file are not in the table", turns - set(segment_ids)),
        ("utterances of the table are not in the dialogue file", set(segment_ids) - turns),
    )
    found = [f"{len(names)} {text} ({first_of(sorted(names))})" for text, names in problems if names]
    if found:
        advice = "make both from one table with COGMEN_code/cogmen_formatting.py"
        raise UserError(f"{'; '.join(found)}. {advice}")


def join_embeddings(dialogues, segment_ids, embeddings):
    """Give every turn its embeddings, whatever the order of the utterances.

    Args:
        segment_ids: of N utterances; those of the turns, as `check_same` checks.
        embeddings: {"text": (N, D), "audio": (N, D)}, those that there are, rows as `segment_ids`.
    """
    check_same({segment_id for dialogue in dialogues for segment_id in dialogue.segment_ids}, segment_ids)
    place = {segment_id: k for k, segment_id in enumerate(segment_ids)}
    for dialogue in dialogues:
        places = [place[segment_id] for segment_id in dialogue.segment_ids]
        dialogue.features = {m: embeddings[name][places] for m, name in MODALITIES.items() if name in embeddings}
