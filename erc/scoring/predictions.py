"""Files of predictions, from this project or any other: CSV tables of `segment_id, label, prediction`.

A method is a file, or a folder of several runs of it (`predictions.csv`, `<run>/predictions.csv`, else all `*.csv` in
it). Runs whose names begin with `fold1`, `fold2`, ... and go on alike are one run: each fold predicts other turns, and
all of them together are scored once. All runs that are scored together hold the same turns with the same labels.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from erc.corpus.annotations import as_number, plain_cell, read_csv
from erc.corpus.corpora import CORPORA, Corpus
from erc.options import UserError, first_of

NEEDED = ("segment_id", "label", "prediction")
SUM_TOLERANCE = 0.01  # how far a row of probabilities may be from 1, for the sake of rounded ones
_ADVICE = f"expected predictions, a CSV table with the columns {', '.join(NEEDED)}"


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


@dataclass
class _File:
    """A file as it stands, its texts checked but for the emotions; rows without a label are in it. The files of a run
    over folds are one behind the other."""

    path: Path
    rows: list  # of each the file and its number, as a spreadsheet counts
    cells: dict  # the texts of a column, by its name
    probabilities: dict = field(default_factory=dict)  # likewise, by the emotion of a column p_<emotion>

    def where(self, k):
        path, number = self.rows[k]
        return f"{path}, row {number} ({self.cells['segment_id'][k]})"


def read_evaluation(paths, names=None, dataset=None, emotions=None, dialogue_pattern=None):
    """The methods in files and folders, ready to be scored.

    Args:
        names: of the methods; without, their paths without what they have in common.
        dataset: the corpus; without, the one that all segment ids fit, if any.
        emotions: their names, in order; without, those of the columns p_<emotion>, the corpus's, or those that occur.
        dialogue_pattern: finds the dialogue in a segment id: its first group, or all that it matches. Without, the
            column `dialogue`, else the corpus's pattern.
    Raises:
        UserError: names the file and the row of the first thing that is wrong.
    """
    groups = [[_read_run(files) for files in _runs(Path(path))] for path in paths]
    files = [file for group in groups for file in group]
    corpus = CORPORA[dataset] if dataset else _corpus_of(files)
    emotions = _emotions(files, emotions, corpus)
    aliases = corpus.label_aliases if corpus else {}
    for file in files:
        _check_emotions(file, emotions, aliases)
    turns = _turns(files[0], emotions, corpus, dialogue_pattern)
    for file in files[1:]:
        _check_same_turns(files[0], file)
    names = names or _short_names([Path(path) for path in paths])
    methods = [
        Method(name, [_run(file, files[0], emotions) for file in group])
        for name, group in zip(names, groups, strict=True)
    ]
    return Evaluation(emotions, turns, methods, corpus, files[0].path)


# ---- Reading ----


def fold_of(run):
    """The fold in a run's name and the rest of the name: `fold2_seed24` is (2, "seed24"); else (None, the name)."""
    found = re.fullmatch(r"fold([0-9]+)(?:_(.*))?", run)
    return (int(found[1]), found[2] or "") if found else (None, run)


def _runs(path):
    """The runs of a method, each a list of files, one for each fold: the file itself, or those in a folder.

    Raises:
        UserError: there is none; or the runs have different folds.
    """
    if not path.is_dir():
        return [[path]]
    for patterns in (("predictions.csv", "*/predictions.csv"), ("*.csv",)):
        if found := sorted(file for pattern in patterns for file in path.glob(pattern)):
            break
    else:
        raise UserError(
            f"{path}: no predictions.csv, <run>/predictions.csv or other .csv in it; expected one of each run"
        )
    runs = {}
    for file in found:
        fold, run = fold_of(file.parent.name if file.parent != path else file.stem)
        runs.setdefault(run, {})[fold] = file
    folds = {run: sorted(own, key=lambda fold: fold or 0) for run, own in runs.items()}
    first = next(iter(folds))
    for run, own in folds.items():
        if own != folds[first]:
            found = f"{run or 'one run'} has the folds {own}, {first or 'another'} {folds[first]}"
            raise UserError(f"{path}: {found}; expected all folds of every run; finish the run, or remove its folder")
    return [[runs[run][fold] for fold in own] for run, own in folds.items()]


def _read_run(paths):
    """The files of a run as one, none of whose turns is there twice."""
    files = [_read_file(path) for path in paths]
    columns = list(files[0].cells)
    for file in files[1:]:
        if list(file.cells) != columns:
            found, expected = ", ".join(file.cells), ", ".join(columns)
            raise UserError(f"{file.path}: the columns {found}; expected {expected}, as {files[0].path} has")
    rows = [row for file in files for row in file.rows]
    run = _File(files[0].path, rows, {name: [cell for one in files for cell in one.cells[name]] for name in columns})
    first = {}
    for k, name in enumerate(run.cells["segment_id"]):
        if name in first:
            raise UserError(f"{run.where(k)}: is already in {first[name]}; expected each turn once")
        first[name] = "row {1}".format(*rows[k]) if len(files) == 1 else "{}, row {}".format(*rows[k])
    run.probabilities = {name.removeprefix("p_"): run.cells[name] for name in columns if re.fullmatch("p_.+", name)}
    return run


def _read_file(path):
    (header, *rows), _ = read_csv(path, _ADVICE)
    columns = header.cells
    for name in NEEDED:
        if name not in columns:
            raise UserError(f"{path}: no column {name}; found {', '.join(columns)}; {_ADVICE}")
    if twice := sorted(name for name in set(columns) if name and columns.count(name) > 1):
        raise UserError(f"{path}: two columns {twice[0]}; expected one")
    fitted = []
    for row in rows:
        cells = row.fitted(len(columns))
        if len(cells) != len(columns):
            raise UserError(f"{path}, row {row.number}: {len(cells)} cells, expected {len(columns)} as in row 1")
        fitted.append([plain_cell(cell) for cell in cells])
    if not fitted:
        raise UserError(f"{path}: no rows, only a header; {_ADVICE}")
    cells = dict(zip(columns, map(list, zip(*fitted, strict=True)), strict=True))
    for row, name in zip(rows, cells["segment_id"], strict=True):
        if not name:
            raise UserError(f"{path}, row {row.number}: no segment_id; expected the name of a turn")
    return _File(path, [(path, row.number) for row in rows], cells)


def _corpus_of(files):
    """The corpus that every segment id fits; of several, the first whose emotions the columns p_<emotion> name."""
    ids = [name for file in files for name in file.cells["segment_id"]]
    fitting = [one for one in CORPORA.values() if (p := _pattern(one)) and all(re.fullmatch(p, name) for name in ids)]
    given = next((file.probabilities.keys() for file in files if file.probabilities), None)
    return next((one for one in fitting if given == set(one.emotions)), fitting[0] if fitting else None)


def _pattern(corpus):
    return corpus and (corpus.segment_id or corpus.turn_id)


def _emotions(files, emotions, corpus):
    with_probabilities = [file for file in files if file.probabilities]
    if emotions is None and with_probabilities:
        emotions = list(with_probabilities[0].probabilities)
        if corpus and set(emotions) == set(corpus.emotions):
            emotions = corpus.emotions
    elif emotions is None and corpus:
        emotions = corpus.emotions
    elif emotions is None:
        emotions = sorted({cell for file in files for name in NEEDED[1:] for cell in file.cells[name]} - {""})
    for file in with_probabilities:
        if set(file.probabilities) != set(emotions):
            found, expected = (", ".join(f"p_{name}" for name in names) for names in (file.probabilities, emotions))
            raise UserError(f"{file.path}: the columns {found}; expected {expected}, or none that begins with p_")
    return tuple(emotions)


def _check_emotions(file, emotions, aliases):
    """Every label is one of the emotions or empty, every prediction is one; spellings that are none are replaced."""
    for name in NEEDED[1:]:
        cells = file.cells[name] = [cell if cell in emotions else aliases.get(cell, cell) for cell in file.cells[name]]
        for k, cell in enumerate(cells):
            if cell not in emotions and (cell or (name == "prediction" and file.cells["label"][k])):
                advice = "--emotions names others"
                expected = f"expected one of {', '.join(emotions)}; {advice}"
                raise UserError(f"{file.where(k)}: {name} is {cell!r}; {expected}")


# ---- Turns ----


def _turns(file, emotions, corpus, dialogue_pattern):
    scored = [k for k, label in enumerate(file.cells["label"]) if label]
    if not scored:
        raise UserError(f"{file.path}: no row has a label; nothing can be scored")
    ids = [file.cells["segment_id"][k] for k in scored]
    matches = [re.fullmatch(_pattern(corpus) or "", name) for name in ids]
    parts, known = matches if all(matches) else None, True
    if dialogue_pattern:
        dialogues = [_dialogue_in(file, k, dialogue_pattern) for k in scored]
    elif "dialogue" in file.cells:
        dialogues = [file.cells["dialogue"][k] for k in scored]
        if empty := [k for k in scored if not file.cells["dialogue"][k]]:
            raise UserError(f"{file.where(empty[0])}: no dialogue; expected its name, as in the other rows")
    elif parts:
        dialogues = [part["dialogue"] for part in parts]
    elif _pattern(corpus):
        k = scored[matches.index(None)]
        advice = "a column dialogue or --dialogue_pattern tells the dialogues of others"
        raise UserError(f"{file.where(k)}: no turn of {corpus.name} is named like this; {advice}")
    else:
        dialogues, known = ids, False
    if "speaker" in file.cells:
        speakers = [file.cells["speaker"][k] for k in scored]
    else:
        speakers = [part["speaker"] or "" for part in parts] if parts else [""] * len(ids)
    labels = np.array([emotions.index(file.cells["label"][k]) for k in scored])
    return Turns(ids, dialogues, speakers, labels, len(file.rows) - len(scored), known)


def _dialogue_in(file, k, pattern):
    match = re.search(pattern, file.cells["segment_id"][k])
    found = match and match[1 if match.re.groups else 0]
    if not found:
        raise UserError(f"{file.where(k)}: --dialogue_pattern {pattern} finds no dialogue in it")
    return found


def _check_same_turns(first, file):
    """A file has the scored turns and the labels of the first one, in any order."""
    labels, theirs = (
        {name: k for k, name in enumerate(one.cells["segment_id"]) if one.cells["label"][k]} for one in (first, file)
    )
    for one, other, here, there in ((first, file, labels, theirs), (file, first, theirs, labels)):
        if lacking := sorted(here.keys() - there.keys()):
            path, row = one.rows[here[lacking[0]]]
            found = f"lacks {len(lacking)} labelled turns of {path} ({first_of(lacking, 3)}; row {row} there)"
            raise UserError(f"{other.path}: {found}; expected the same turns in both")
    for name, k in labels.items():
        ours, label = first.cells["label"][k], file.cells["label"][theirs[name]]
        if ours != label:
            where = "row {1} of {0}".format(*first.rows[k])
            raise UserError(f"{file.where(theirs[name])}: label {label!r}, but {ours!r} in {where}; expected the same")


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
        raise UserError(f"{file.where(k)}: p_{emotion} is {text!r}; expected a number from 0 to 1")
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
