"""From utterances to dialogues: turns in time order, embeddings joined by segment id."""

from collections import Counter, defaultdict
from dataclasses import replace

from erc.corpus.dialogues import Dialogues
from erc.corpus.splits import held_out
from erc.options import UserError

_NAMED = 5  # segment ids that an error names


def format_dialogues(utterances, sentences, test_sessions):
    """Dialogues without embeddings, sorted by session and name.

    Args:
        utterances: list of `Utterance`.
        sentences: the cleaned transcript of each.
        test_sessions: the sessions whose dialogues are the test set.
    Returns:
        Dialogues: turns by `wav_start`, then `wav_end`, then segment id.
    Raises:
        UserError: the table lacks a test session, or has no other one.
    """
    if len(held_out(utterances, test_sessions)) == len(utterances):
        shown = " ".join(map(str, test_sessions))
        raise UserError(f"--test_sessions {shown}: these are all sessions of the table; nothing is left to train on")
    turns = defaultdict(list)
    for utterance, sentence in zip(utterances, sentences, strict=True):
        turns[utterance.session, utterance.dialogue].append((utterance, sentence))
    ids = [dialogue for _, dialogue in sorted(turns)]
    ordered = {}
    for (_, dialogue), own in turns.items():
        ordered[dialogue] = sorted(own, key=lambda turn: (turn[0].wav_start, turn[0].wav_end, turn[0].segment_id))
    session = {dialogue: number for number, dialogue in turns}

    def column(value):
        return {dialogue: [value(*turn) for turn in ordered[dialogue]] for dialogue in ids}

    return Dialogues(
        ids=ids,
        speakers=column(lambda utterance, _: utterance.speaker),
        labels=column(lambda utterance, _: utterance.label),
        text={dialogue: [] for dialogue in ids},
        audio={dialogue: [] for dialogue in ids},
        visual={dialogue: [] for dialogue in ids},
        sentences=column(lambda _, sentence: sentence),
        train_ids=[dialogue for dialogue in ids if session[dialogue] not in test_sessions],
        test_ids=[dialogue for dialogue in ids if session[dialogue] in test_sessions],
        segment_ids=column(lambda utterance, _: utterance.segment_id),
    )


def check_join(dialogues, segment_ids):
    """Every turn among `segment_ids` exactly once, and nothing else among them.

    Raises:
        UserError: counts and names what is missing.
    """
    turns = Counter(segment_id for dialogue in dialogues.ids for segment_id in dialogues.segment_ids[dialogue])
    problems = (
        ("turns occur more than once in the dialogue file", [name for name, count in turns.items() if count > 1]),
        ("turns of the dialogue file are not in the table", set(turns) - set(segment_ids)),
        ("utterances of the table are not in the dialogue file", set(segment_ids) - set(turns)),
    )
    found = [
        f"{len(names)} {text} ({', '.join(sorted(names)[:_NAMED])}{', ...' if len(names) > _NAMED else ''})"
        for text, names in problems
        if names
    ]
    if found:
        advice = "make both from one table with COGMEN_code/cogmen_formatting.py"
        raise UserError(f"{'; '.join(found)}. {advice}")


def join_embeddings(dialogues, segment_ids, embeddings):
    """The dialogues with an embedding for every turn.

    Args:
        segment_ids: N segment ids.
        embeddings: {"text": (N, D), "audio": (N, D)}, those that there are, rows as `segment_ids`.
    """
    check_join(dialogues, segment_ids)
    place = {segment_id: k for k, segment_id in enumerate(segment_ids)}
    joined = {
        name: {
            dialogue: [rows[place[segment_id]].copy() for segment_id in dialogues.segment_ids[dialogue]]
            for dialogue in dialogues.ids
        }
        for name, rows in embeddings.items()
    }
    return replace(dialogues, **joined)
