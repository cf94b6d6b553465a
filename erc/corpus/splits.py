"""Which utterances and dialogues train, which choose the best epoch, which are held out.

A table with a column `split`, and a dialogue file with dev ids, say so themselves; in others sessions or chance decide.
The order of an annotation table never matters; the dialogues keep theirs. Turns without a label are in no split of the
utterances.
"""

import random
from dataclasses import dataclass
from itertools import combinations

from erc.corpus.annotations import sessions_of
from erc.corpus.corpora import UNLABELLED
from erc.options import UserError

RANDOM_STATE = 1004  # of the published splits


@dataclass(frozen=True)
class Split:
    """Three disjoint lists of utterances, each sorted by segment id."""

    train: list
    dev: list
    test: list


def split(utterances, test_1920, test_sessions, dev_sessions=()):
    """Split the labelled utterances of a table.

    Args:
        utterances: as `read_annotations` gives them, sorted.
        test_1920: hold out the sessions in `test_sessions`; otherwise a random 20%.
        dev_sessions: the sessions whose utterances are the validation set; none: a random 10% of those not held out.
    Raises:
        UserError: the table lacks a session, or nothing is left to train on.
    """
    utterances = labelled(utterances)
    if has_split(utterances):
        if dev_sessions:
            raise UserError("--dev_sessions: the table has a column `split`, which says what is dev")
        rest, test = ([u for u in utterances if (u.split == "test") == is_test] for is_test in (False, True))
    elif test_1920:
        test = held_out(utterances, test_sessions)
        rest = [utterance for utterance in utterances if utterance.session not in test_sessions]
    else:
        rest, test = _random(utterances, 0.2)
    if any(utterance.split == "dev" for utterance in rest):
        train, dev = ([u for u in rest if u.split == name] for name in ("train", "dev"))
    elif dev_sessions:
        _check_sessions(utterances, dev_sessions, "--dev_sessions")
        dev = [utterance for utterance in rest if utterance.session in dev_sessions]
        train = [utterance for utterance in rest if utterance.session not in dev_sessions]
    else:
        train, dev = _random(rest, 0.1)
    if not train or not dev:
        raise UserError(f"{len(train)} utterances to train on and {len(dev)} to validate; hold out fewer sessions")
    return Split(train, dev, test)


def without_label(utterances, test_1920, test_sessions, dev_sessions=()):
    """The utterances without a label that belong to the training part of `split`, for who can learn from them anyway.

    By chance only labelled ones are held out, so that then all others are training utterances.
    """
    others = [utterance for utterance in utterances if utterance.label == UNLABELLED]
    if has_split(utterances):
        return [utterance for utterance in others if utterance.split == "train"]
    sessions = {*(test_sessions if test_1920 else ()), *dev_sessions}
    return [utterance for utterance in others if utterance.session not in sessions]


def held_out(utterances, test_sessions):
    """The utterances that the table's column `split` holds out, or those of the test sessions."""
    if has_split(utterances):
        return [utterance for utterance in utterances if utterance.split == "test"]
    _check_sessions(utterances, test_sessions, "--test_sessions")
    return [utterance for utterance in utterances if utterance.session in test_sessions]


def labelled(utterances):
    return [utterance for utterance in utterances if utterance.label != UNLABELLED]


def has_split(utterances):
    """Whether the table has a column `split`, which then every row has filled."""
    return bool(utterances) and utterances[0].split is not None


def check_held_out(corpus, train_ids, test_ids):
    """Refuse a session that has dialogues on both sides, where the corpus holds out whole sessions. Ids that name no
    session, as those of someone's own conversations may be, are not compared.

    Raises:
        UserError: names the session and a dialogue of each side.
    """
    if not corpus.test_sessions:
        return
    train, test = ({corpus.session_of(dialogue): dialogue for dialogue in ids} for ids in (train_ids, test_ids))
    for session in sorted((train.keys() & test.keys()) - {None}):
        raise UserError(
            f"session {session} is in both the training set ({train[session]}) and the test set "
            f"({test[session]}); {corpus.name} holds out whole sessions, as COGMEN_code/cogmen_formatting.py does"
        )


def check_sides(ids, corpus):
    """No dialogue, and no session where whole ones are held out, is in two splits; `ids` has a list for each."""
    for one, other in combinations(ids, 2):
        if both := set(ids[one]) & set(ids[other]):
            raise UserError(f"dialogue {min(both)} is in both {one} and {other}")
    check_held_out(corpus, sorted({*ids["train"], *ids.get("dev", ())}), sorted(set(ids["test"])))


def divide(file, corpus, dev_sessions=(), seed=None):
    """The dialogues of a `DialogueFile` by split: {split: list of `Dialogue`}. All else as `divide_ids` has it."""
    by_id = {dialogue.id: dialogue for dialogue in file.dialogues}
    return {split: [by_id[one] for one in ids] for split, ids in divide_ids(file, corpus, dev_sessions, seed).items()}


def divide_ids(file, corpus, dev_sessions=(), seed=None):
    """The ids of the dialogues by split.

    Args:
        file: what has `train_ids`, `dev_ids` and `test_ids`.
        dev_sessions: these sessions' dialogues are dev. Without: those that the file names, or else the first 10% of
            the training ids, as published.
        seed: draws 10% at random instead.
    Returns:
        dict: for `train`, `dev` and `test` a list of ids.
    Raises:
        UserError: the training dialogues lack a session, or none is left to train on.
    """
    if dev_sessions:
        sessions = {dialogue: corpus.session_of(dialogue) for dialogue in file.train_ids}
        if missing := set(dev_sessions) - set(sessions.values()):
            raise UserError(f"--dev_sessions: session {min(missing)} is not among the training dialogues")
        dev = {dialogue for dialogue, session in sessions.items() if session in dev_sessions}
    elif file.dev_ids and seed is None:
        dev = set(file.dev_ids)
    else:
        count = len(file.train_ids)
        pool = file.train_ids if seed is None else random.Random(seed).sample(file.train_ids, count)
        dev = set(pool[: max(1, count // 10)])
    if dev.issuperset(file.train_ids):
        raise UserError("no dialogue is left for training once the dev dialogues are taken out")
    return {
        "train": [dialogue for dialogue in file.train_ids if dialogue not in dev],
        "dev": [dialogue for dialogue in file.train_ids if dialogue in dev],
        "test": list(file.test_ids),
    }


def check_unseen(utterances, trained_on, path, advice):
    """Refuse held-out utterances that the checkpoint `path` was trained on; `advice` says what to do instead."""
    seen = set(trained_on) & {utterance.segment_id for utterance in utterances}
    if seen:
        sessions = sessions_of(utterance for utterance in utterances if utterance.segment_id in seen)
        where = f"; session {' '.join(map(str, sessions))}" if sessions else ""
        raise UserError(
            f"{path}: was trained on {len(seen)} of the {len(utterances)} utterances that are held out here "
            f"({min(seen)}, ...{where}). {advice}"
        )


def clip(utterances, seconds):
    """Those of at most `seconds` by the annotation, and how many are longer."""
    kept = [utterance for utterance in utterances if utterance.seconds <= seconds]
    return kept, len(utterances) - len(kept)


def _random(utterances, share):
    from sklearn.model_selection import train_test_split

    if len(utterances) < 2:
        return utterances, []
    kept, taken = train_test_split(utterances, test_size=share, random_state=RANDOM_STATE)
    return tuple(sorted(part, key=lambda utterance: utterance.segment_id) for part in (kept, taken))


def _check_sessions(utterances, sessions, flag):
    there = sessions_of(utterances)
    missing = sorted(set(sessions) - set(there))
    if missing:
        shown = " ".join(map(str, missing))
        raise UserError(f"{flag}: the table has no session {shown}; it has {' '.join(map(str, there))}")
