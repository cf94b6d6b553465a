"""The emotions in files of predictions: what they are called, and that every label and prediction is one of them."""

import re

from erc.options import UserError, first_of
from erc.scoring.prediction_files import NEEDED

MOST = 100  # emotions; more are texts or numbers of another kind
_NO_LABEL = ("-1", "nan", "NaN", "None", "<NA>")  # how programs write that there is none


def read_emotions(files, emotions=None, corpus=None):
    """The emotions' names, in order. Cells with another spelling of them are replaced in the files.

    Args:
        files: `PredictionFile`s.
        emotions: the names; without, those of the columns p_<emotion>, the corpus's, or those that occur.
    Raises:
        UserError: names the first label or prediction that is none of them.
    """
    with_probabilities, advice = [file for file in files if file.probabilities], "--emotions names others"
    if emotions is None and with_probabilities:
        emotions = list(with_probabilities[0].probabilities)
        advice = "the columns p_<emotion> name them, a column that is no probability needs another name"
        if corpus and set(emotions) == set(corpus.emotions):
            emotions = corpus.emotions
    elif emotions is None and corpus:
        emotions = corpus.emotions
    elif emotions is None:
        emotions = _occurring(files)
    if len(emotions) > MOST:
        found = f"{len(emotions):,} emotions ({first_of(emotions, 3)})"
        raise UserError(f"{files[0].path}: {found}; expected at most {MOST}, by name, as label and prediction")
    for file in with_probabilities:
        if set(file.probabilities) != set(emotions):
            found, expected = (", ".join(f"p_{name}" for name in names) for names in (file.probabilities, emotions))
            raise UserError(f"{file.path}: the columns {found}; expected {expected}, or none that begins with p_")
    for file in files:
        _check(file, emotions, corpus.label_aliases if corpus else {}, advice)
    return tuple(emotions)


def _occurring(files):
    """All labels and predictions. Numbers are the same with `.0`, which pandas adds where a cell is empty."""
    for file in files:
        for name in NEEDED[1:]:
            file.cells[name] = [re.sub(r"(?<=[0-9])\.0+$", "", cell) for cell in file.cells[name]]
    return sorted({cell for file in files for name in NEEDED[1:] for cell in file.cells[name]} - {"", *_NO_LABEL})


def _check(file, emotions, aliases, advice):
    """Every label is one of the emotions or empty, every prediction is one; spellings that are none are replaced."""
    for name in NEEDED[1:]:
        cells = file.cells[name] = [cell if cell in emotions else aliases.get(cell, cell) for cell in file.cells[name]]
        for k, cell in enumerate(cells):
            if cell not in emotions and (cell or (name == "prediction" and file.cells["label"][k])):
                expected = f"expected one of {', '.join(emotions)}"
                if not cell:
                    raise UserError(f"{file.where(k)}: no prediction; {expected}")
                if name == "label" and cell in _NO_LABEL:
                    expected = f"leave the cell of a turn without a label empty; {expected}"
                raise UserError(f"{file.where(k)}: {name} is {cell!r}; {expected}; {advice}")


def check_names_shared(file):
    """Labels and predictions call the emotions alike: they have a name in common."""
    labels, predictions = (set(file.cells[name]) - {""} for name in NEEDED[1:])
    if not labels & predictions:
        labels, predictions = (first_of(sorted(names), 3) for names in (labels, predictions))
        found = f"the labels ({labels}) and the predictions ({predictions}) have no name in common"
        raise UserError(f"{file.path}: {found}; expected the same names in both; --emotions says that these are")
