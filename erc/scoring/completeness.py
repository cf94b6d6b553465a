"""Whether the turns that are scored are all that should be: those of a published test split, or of a table.

No list of a corpus's turns can be shipped. What is public are the dialogues of KEMDy19's split and its counts; the
annotation table, which whoever has the corpus has, tells every turn.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from erc.corpus.annotations import read_annotations, table_corpus
from erc.corpus.corpora import CORPORA
from erc.corpus.splits import has_split, held_out, labelled
from erc.options import UserError, first_of
from erc.scoring.predictions import id_pattern


@dataclass
class HeldOut:
    """The utterances of an annotation table.

    Attributes:
        test: those held out, which are the turns that are scored; context: with those that have no label.
        training: all others with a label.
    """

    table: Path
    test: list
    context: list
    training: list


def check_complete(evaluation, published="auto", table=None, sessions=None):
    """Refuse an evaluation that lacks turns, or has more.

    Args:
        published: the name of the corpus whose published test split it should be; `none`; or `auto`: that of its own
            corpus if it seems meant by the dialogues, unless a table tells the turns.
        table, sessions: the annotation table, and those of its sessions that are held out.
    Returns:
        (HeldOut or None, str or None): the utterances of the table; what the turns are all of, in words.
    """
    found = read_held_out(evaluation, table, sessions) if table else None
    corpus = evaluation.corpus
    if published == "auto":
        published = corpus.name if corpus and not table and _is_meant(evaluation, corpus) else "none"
    if published == "none":
        return found, f"all that {Path(table).name} holds out" if table else None
    check_published_split(evaluation, published)
    how = f"by {Path(table).name}" if table else "by its counts"
    return found, f"{published}'s published test split, {how}"


def _dialogues(evaluation, corpus):
    """The dialogues that the segment ids tell, whatever a column or --dialogue_pattern says; else the ids."""
    matches = {name: re.fullmatch(id_pattern(corpus) or "", name) for name in evaluation.turns.ids}
    return {match["dialogue"] if match else name for name, match in matches.items()}


def _is_meant(evaluation, corpus):
    """Most dialogues of the published split are there, and fewer others than a session has. So not: one session of
    it, folds of other sessions, all sessions."""
    have, wanted = _dialogues(evaluation, corpus), set(corpus.test_dialogues)
    few = len(have - wanted) * len(corpus.test_sessions) < len(wanted)
    return few and len(have & wanted) > len(wanted) / 2


def check_published_split(evaluation, name):
    """Every turn of the corpus's published test split is there and no other, as far as ids and counts can tell.

    Raises:
        UserError: says what is missing.
    """
    turns, corpus, path = evaluation.turns, CORPORA[name], evaluation.path
    what = f"{corpus.name}'s published test split"
    have, wanted = _dialogues(evaluation, corpus), set(corpus.test_dialogues)
    way_out = "--split none if it is another corpus, or another part of it"
    if missing := sorted(wanted - have):
        found = f"no turn of {len(missing)} of the {len(wanted)} dialogues"
        raise UserError(f"{path}: {found} of {what}: {first_of(missing)}; {way_out}")
    if other := sorted(have - wanted):
        found = f"{other[0]} is not in {what}; expected turns of its {len(wanted)} dialogues alone"
        raise UserError(f"{path}: {found}; {way_out}")
    count, known = len(turns.ids), corpus.test_turns
    if count not in known.values():
        expected = " or ".join(f"{number:,} ({table})" for table, number in known.items())
        advice = "predict every turn, those longer than --clip_length too; --table names the missing ones"
        raise UserError(f"{path}: {count:,} labelled turns; {what} has {expected}: {advice}; {way_out}")


def read_held_out(evaluation, table, sessions=None):
    """The `HeldOut` utterances of a table; they are the evaluation's turns, with the same labels.

    Args:
        sessions: held out; without, the test sessions of the table's corpus. A column `split` comes before both.
    Raises:
        UserError: turns are missing, more are there, or labels differ; it names some.
    """
    turns, path, corpus = evaluation.turns, evaluation.path, table_corpus(table)
    every = read_annotations(table, corpus)
    if not (sessions or corpus.test_sessions or has_split(every)):
        raise UserError(f"{table}: has no column split, and {corpus.name} no test sessions; give --test_sessions")
    context = held_out(every, sessions or corpus.test_sessions)
    test, names = labelled(context), {utterance.segment_id for utterance in context}
    expected = {utterance.segment_id: utterance.emotion for utterance in test}
    given = {name: evaluation.emotions[label] for name, label in zip(turns.ids, turns.labels, strict=True)}
    for some, problem in (
        (expected.keys() - given.keys(), f"lacks {{}} of the {len(expected)} held-out turns of {table}"),
        (given.keys() - expected.keys(), f"has {{}} turns that are not among the held-out ones of {table}"),
    ):
        if some:
            shown = first_of(sorted(some))
            raise UserError(f"{path}: {problem.format(len(some))}: {shown}; expected all and no others")
    if other := [name for name in turns.ids if given[name] != expected[name]]:
        found = f"labelled {given[other[0]]}, but {expected[other[0]]} in {table}"
        advice = "annotation.csv and annotation_speaker_only.csv hold different labels"
        raise UserError(f"{path}: {other[0]} is {found} ({len(other)} such turns); {advice}: give the one it is of")
    return HeldOut(Path(table), test, context, [one for one in labelled(every) if one.segment_id not in names])
