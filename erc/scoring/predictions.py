"""Predictions ready to be scored, from this project or any other: the turns, and what each method says of them.

All runs that are scored together hold the same turns with the same labels.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from erc.corpus.annotations import as_number
from erc.corpus.corpora import CORPORA, Corpus
from erc.options import UserError, first_of
from erc.scoring.labels import check_names_shared, read_emotions
from erc.scoring.prediction_files import read_runs

SUM_TOLERANCE = 0.01  # how far a row of probabilities may be from 1, for the sake of rounded ones


@dataclass
class Turns:
    """The turns that are scored, N of them, each with a label.

    Attributes:
        ids, dialogues: a name for each turn.
        speakers: as many, "" where unknown.
        labels: (N,) emotion numbers.
        unlabelled: how many more turns have no label; they are not scored.
        dialogues_known: False: nothing tells them, and each turn counts as a dialogue of its own.
    """

    ids: list
    dialogues: list
    speakers: list
    labels: np.ndarray
    unlabelled: int
    dialogues_known: bool


@dataclass
class Run:
    """What one file predicts for the turns: (N,) emotion numbers and, if there are any, (N, emotions) probabilities."""

    path: Path
    predictions: np.ndarray
    probabilities: np.ndarray | None


@dataclass
class Method:
    """A row of the tables: its name and its runs, which differ in nothing but chance (the seed)."""

    name: str
    runs: list


@dataclass
class Evaluation:
    """What is scored: emotions, turns, methods; the corpus that the segment ids belong to, or None; the first file's
    path, for messages about the turns, which all files share."""

    emotions: tuple
    turns: Turns
    methods: list
    corpus: Corpus | None
    path: Path


def read_evaluation(paths, names=None, dataset=None, emotions=None, dialogue_pattern=None):
    """The methods in files and folders, ready to be scored.

    Args:
        names: of the methods; without, their paths without what they have in common.
        dataset: the corpus, or `none`; without, the one that all segment ids fit, if any.
        emotions: their names, in order; without, those of the columns p_<emotion>, the corpus's, or those that occur.
        dialogue_pattern: finds the dialogue in a segment id: its first group, or all that it matches. Without, the
            corpus's pattern where all ids fit it, else the column `dialogue`.
    Raises:
        UserError: names the file and the row of the first thing that is wrong.
    """
    groups = [read_runs(Path(path)) for path in paths]
    files = [file for group in groups for file in group]
    corpus = CORPORA.get(dataset) if dataset else _corpus_of(files)
    named = emotions or corpus or any(file.probabilities for file in files)
    emotions = read_emotions(files, emotions, corpus)
    for file in files[1:]:
        _check_same_turns(files[0], file)
    turns = _turns(files, emotions, corpus, dialogue_pattern)
    for file in files if not named else ():
        check_names_shared(file)
    names = names or _short_names([Path(path) for path in paths])
    methods = [
        Method(name, [_run(file, files[0], emotions) for file in group])
        for name, group in zip(names, groups, strict=True)
    ]
    return Evaluation(emotions, turns, methods, corpus, files[0].path)


def _corpus_of(files):
    """The corpus that every segment id fits; of several, the first whose emotions the columns p_<emotion> name.

    Raises:
        UserError: most ids fit one, but not all.
    """
    ids, fitting = {name: (file, k) for file in files for k, name in enumerate(file.cells["segment_id"])}, []
    for corpus in filter(id_pattern, CORPORA.values()):
        others = [name for name in ids if not re.fullmatch(id_pattern(corpus), name)]
        if not others:
            fitting.append(corpus)
        elif len(others) < len(ids) / 2:
            file, k = ids[others[0]]
            found = f"no turn of {corpus.name} is named like this, but {len(ids) - len(others):,} of {len(ids):,} are"
            raise UserError(f"{file.where(k)}: {found}; correct it, or give --dataset {corpus.name} or none")
    given = next((file.probabilities.keys() for file in files if file.probabilities), None)
    return next((one for one in fitting if given == set(one.emotions)), fitting[0] if fitting else None)


def id_pattern(corpus):
    """The pattern of a corpus's segment ids in predictions, whose group `dialogue` is theirs; None if there is none."""
    return corpus and (corpus.segment_id or corpus.turn_id)


# ---- Turns ----


def _turns(files, emotions, corpus, dialogue_pattern):
    file = files[0]
    scored = [k for k, label in enumerate(file.cells["label"]) if label]
    if not scored:
        raise UserError(f"{file.path}: no row has a label; nothing can be scored")
    ids = [file.cells["segment_id"][k] for k in scored]
    matches, known = [re.fullmatch(id_pattern(corpus) or "", name) for name in ids], True
    parts = matches if all(matches) else None
    if dialogue_pattern:
        dialogues = [_dialogue_in(file, k, dialogue_pattern) for k in scored]
    elif parts:
        dialogues = [part["dialogue"] for part in parts]
        for one in files:
            _check_dialogues(one, dict(zip(ids, dialogues, strict=True)))
    else:
        dialogues = _column("dialogue", files, ids)
        if dialogues is None and id_pattern(corpus):
            k = scored[matches.index(None)]
            advice = "a column dialogue or --dialogue_pattern tells the dialogues of others"
            raise UserError(f"{file.where(k)}: no turn of {corpus.name} is named like this; {advice}")
        dialogues, known = dialogues or ids, dialogues is not None
    speakers = [part["speaker"] or "" for part in parts] if parts else [""] * len(ids)
    if not all(speakers):
        speakers = _column("speaker", files, ids) or speakers
    labels = np.array([emotions.index(label) for label in _column("label", files, ids)])
    return Turns(ids, dialogues, speakers, labels, len(file.rows) - len(scored), known)


def _dialogue_in(file, k, pattern):
    match = re.search(pattern, file.cells["segment_id"][k])
    found = match and match[1 if match.re.groups else 0]
    if not found:
        raise UserError(f"{file.where(k)}: --dialogue_pattern {pattern} finds no dialogue in it")
    return found


def _check_dialogues(file, told):
    """The column `dialogue`, if there is one, parts the turns as their ids do, by whatever names.

    Args:
        told: {segment id: the dialogue in it}, of the turns that are scored.
    """
    names, owners = {}, {}
    for k, (name, turn) in enumerate(zip(file.cells.get("dialogue", ()), file.cells["segment_id"], strict=False)):
        if own := told.get(turn):
            usual, owner = names.setdefault(own, name), owners.setdefault(name, own)
            if name != usual or own != owner:
                found = f"{usual!r} in other rows of {own}" if name != usual else f"turns of {owner} are in it too"
                advice = "expected the dialogue that the segment id tells; correct or remove the column"
                raise UserError(f"{file.where(k)}: dialogue {name!r}, but {found}; {advice}")


def _column(column, files, ids):
    """A column's texts of some turns, the same in all files that have it; None if none has it."""
    first, places = None, {}
    for file in files:
        if column not in file.cells:
            continue
        theirs = {name: k for k, name in enumerate(file.cells["segment_id"])}
        first, places = first or file, places or theirs
        for name in ids:
            ours, text = first.cells[column][places[name]], file.cells[column][theirs[name]]
            if column == "dialogue" and not text:
                raise UserError(f"{file.where(theirs[name])}: no dialogue; expected its name, as in the other rows")
            if ours != text:
                where = "row {1} of {0}".format(*first.rows[places[name]])
                found = f"{column} {text!r}, but {ours!r} in {where}"
                raise UserError(f"{file.where(theirs[name])}: {found}; expected the same")
    return first and [first.cells[column][places[name]] for name in ids]


def _check_same_turns(first, file):
    """A file has the scored turns of the first one, in any order."""
    labels, theirs = (
        {name: k for k, name in enumerate(one.cells["segment_id"]) if one.cells["label"][k]} for one in (first, file)
    )
    for one, other, here, there in ((first, file, labels, theirs), (file, first, theirs, labels)):
        if lacking := sorted(here.keys() - there.keys()):
            path, row = one.rows[here[lacking[0]]]
            found = f"lacks {len(lacking)} labelled turns of {path} ({first_of(lacking, 3)}; row {row} there)"
            raise UserError(f"{other.path}: {found}; expected the same turns in both")


# ---- Predictions ----


def _run(file, first, emotions):
    """The predictions of a file in the order of the first file's labelled turns."""
    place = {name: k for k, name in enumerate(file.cells["segment_id"])}
    ids, labels = first.cells["segment_id"], first.cells["label"]
    order = [place[name] for name, label in zip(ids, labels, strict=True) if label]
    predictions = np.array([emotions.index(file.cells["prediction"][k]) for k in order])
    probabilities = None
    if file.probabilities:
        probabilities = np.array([[_probability(file, k, name) for name in emotions] for k in order])
        for k, total in zip(order, probabilities.sum(axis=1), strict=True):
            if abs(total - 1) > SUM_TOLERANCE:
                raise UserError(f"{file.where(k)}: its probabilities sum to {total:.4f}; expected 1")
    return Run(file.path, predictions, probabilities)


def _probability(file, k, emotion):
    value = as_number(text := file.probabilities[emotion][k])
    if value is None or not 0 <= value <= 1:
        raise UserError(
            f"{file.where(k)}: p_{emotion} is {text!r}; expected a number from 0 to 1, as in every column p_<emotion>"
        )
    return value


def _short_names(paths):
    """Names that tell the methods apart: their paths without the folders they share and `predictions.csv`."""
    parts = [
        (path.parent if path.name == "predictions.csv" else path.with_suffix("")).resolve().parts for path in paths
    ]
    shared = 0
    while len(parts) > 1 and all(len(part) > shared + 1 and part[shared] == parts[0][shared] for part in parts):
        shared += 1
    shared = shared if len(parts) > 1 else len(parts[0]) - 1
    names = ["/".join(part[shared:]) for part in parts]
    for k, name in enumerate(names):
        if name in names[:k]:
            raise UserError(f"{paths[k]}: is given twice, or named as another method; give --names that differ")
    return names


def ensemble(method):
    """The mean of the probabilities of several runs as a method of one run; None without probabilities, or of one."""
    if len(method.runs) < 2 or any(run.probabilities is None for run in method.runs):
        return None
    mean = np.mean([run.probabilities for run in method.runs], axis=0)
    name = f"{method.name}, ensemble of {len(method.runs)}"
    return Method(name, [Run(method.runs[0].path.parent, mean.argmax(axis=1), mean)])
