"""Groups of turns whose scores tell more than their mean: by kind of dialogue, speaker, text, length and place.

What the ids tell is always there; the rest needs the annotation table, and the transcripts beside it.
"""

from dataclasses import dataclass

import numpy as np

from erc.corpus.transcripts import read_sentences

MOST_SPEAKERS = 4  # more of them are no groups
LENGTHS = (2, 5, 10)  # seconds: limits of the groups; about the quartiles of KEMDy19
PLACES = (5, 20, 40)  # last turns of the groups; of at least 25 turns in each dialogue of KEMDy19


@dataclass
class Group:
    """Some of the turns: `by` what they are grouped, `name` of the group, `mask` (N,) true for its turns."""

    by: str
    name: str
    mask: np.ndarray


def groups_of(evaluation, held_out=None):
    """The groups that ids and table name, without those of all turns or of none.

    Args:
        evaluation: a `predictions.Evaluation`.
        held_out: the `completeness.HeldOut` utterances of an annotation table, which are these turns.
    Raises:
        UserError: a transcript cannot be read.
    """
    turns, corpus = evaluation.turns, evaluation.corpus
    found = {}
    if corpus:
        found["kind of dialogue"] = [corpus.kind_of(dialogue) for dialogue in turns.dialogues]
    if len(set(turns.speakers)) <= MOST_SPEAKERS:
        found["speaker"] = [name or None for name in turns.speakers]
    if held_out:
        found |= _from_table(turns, held_out)
    groups = []
    for by, values in found.items():
        for value in sorted(set(values) - {None}):
            mask = np.array([one == value for one in values])
            if not mask.all():
                groups.append(Group(by, value[1] if isinstance(value, tuple) else value, mask))
    return groups


def _from_table(turns, held_out):
    """By what the table tells: the value of each turn."""
    test, by_id, found = held_out.test, {utterance.segment_id: utterance for utterance in held_out.test}, {}
    if (texts := held_out.table.parent / "txt_wav").is_dir():
        sentences = dict(zip(by_id, read_sentences(test, texts), strict=True))
        seen = set(read_sentences(held_out.training, texts)) - {""}  # nothing said is no sentence
        found["text"] = ["seen in training" if sentences[name] in seen else "not seen" for name in turns.ids]
    place, last = {}, {}
    for one in sorted(held_out.context, key=lambda one: (one.wav_start, one.wav_end, one.segment_id)):
        place[one.segment_id] = last[one.dialogue] = last.get(one.dialogue, 0) + 1
    found["length"] = [_length(by_id[name].seconds) for name in turns.ids]
    found["place in the dialogue"] = [_place_group(place[name]) for name in turns.ids]
    return found


def _length(seconds):
    """(number, name) of the group of a turn's length; a limit belongs to the group above it."""
    number = sum(seconds >= limit for limit in LENGTHS)
    low, high = (0, *LENGTHS)[number], (*LENGTHS, None)[number]
    return number, f"{low} to {high} s" if high else f"{low} s or more"


def _place_group(turn):
    """(number, name) of the group of a turn's place, the first turn's being 1."""
    number = sum(turn > limit for limit in PLACES)
    low, high = (0, *PLACES)[number] + 1, (*PLACES, None)[number]
    return number, f"turns {low} to {high}" if high else f"from turn {low}"
