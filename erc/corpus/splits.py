"""Which utterances train, which choose the best epoch, which are held out. The order of the table never matters."""

from dataclasses import dataclass

from erc.corpus.annotations import sessions_of
from erc.options import UserError

RANDOM_STATE = 1004  # of the published splits
TEST_SHARE = 0.2
DEV_SHARE = 0.1


@dataclass(frozen=True)
class Split:
    """Three disjoint lists of utterances, each sorted by segment id."""

    train: list
    dev: list
    test: list


def split(utterances, test_1920, test_sessions, dev_sessions=()):
    """Split the utterances of a table.

    Args:
        utterances: as `read_annotations` gives them.
        test_1920: hold out the sessions in `test_sessions`; otherwise a random 20%.
        dev_sessions: the sessions whose utterances are the validation set; none: a random 10% of those not held out.
    Raises:
        UserError: the table lacks a session, or nothing is left to train on.
    """
    if test_1920:
        test = held_out(utterances, test_sessions)
        rest = [utterance for utterance in utterances if utterance.session not in test_sessions]
    else:
        rest, test = _random(utterances, TEST_SHARE)
    if dev_sessions:
        _check_sessions(utterances, dev_sessions, "--dev_sessions")
        dev = [utterance for utterance in rest if utterance.session in dev_sessions]
        train = [utterance for utterance in rest if utterance.session not in dev_sessions]
    else:
        train, dev = _random(rest, DEV_SHARE)
    if not train or not dev:
        raise UserError(f"{len(train)} utterances to train on and {len(dev)} to validate; hold out fewer sessions")
    return Split(train, dev, test)


def held_out(utterances, test_sessions):
    """The utterances of the test sessions."""
    _check_sessions(utterances, test_sessions, "--test_sessions")
    return [utterance for utterance in utterances if utterance.session in test_sessions]


def check_unseen(utterances, trained_on, path, advice):
    """Refuse held-out utterances that the checkpoint `path` was trained on; `advice` says what to do instead."""
    seen = set(trained_on) & {utterance.segment_id for utterance in utterances}
    if seen:
        sessions = sessions_of(utterance for utterance in utterances if utterance.segment_id in seen)
        raise UserError(
            f"{path}: was trained on {len(seen)} of the {len(utterances)} utterances that are held out here "
            f"({min(seen)}, ...; session {' '.join(map(str, sessions))}). {advice}"
        )


def clip(utterances, seconds):
    """Those of at most `seconds` by the annotation, and how many are longer."""
    kept = [utterance for utterance in utterances if utterance.seconds <= seconds]
    return kept, len(utterances) - len(kept)


def _random(utterances, share):
    from sklearn.model_selection import train_test_split

    utterances = sorted(utterances, key=lambda utterance: utterance.segment_id)
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
