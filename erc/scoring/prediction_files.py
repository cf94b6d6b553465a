"""Files of predictions as they stand, one for each run of a method: CSV tables of `segment_id, label, prediction`.

A method is a file, or a folder of several runs of it (`predictions.csv`, `<run>/predictions.csv`, else all `*.csv` in
it). Runs whose names begin with `fold1`, `fold2`, ... and go on alike are one run: each fold predicts other turns, and
all of them together are scored once.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from erc.corpus.annotations import plain_cell, read_csv
from erc.options import UserError

NEEDED = ("segment_id", "label", "prediction")
_ADVICE = f"expected predictions, a CSV table with the columns {', '.join(NEEDED)}"
_MARKS = {";": "semicolons, not commas", "\t": "tabs, not commas"}


@dataclass
class PredictionFile:
    """A file as it stands, its texts checked but for the emotions; rows without a label are in it. The files of a run
    over folds are one behind the other."""

    path: Path
    rows: list  # of each the file and its number, as a spreadsheet counts
    cells: dict  # the texts of a column, by its name
    probabilities: dict = field(default_factory=dict)  # likewise, by the emotion of a column p_<emotion>

    def where(self, k):
        path, number = self.rows[k]
        return f"{path}, row {number} ({self.cells['segment_id'][k]})"


def read_runs(path):
    """The `PredictionFile` of each run of a method.

    Raises:
        UserError: there is none; the runs have different folds; names the file and the row of what is wrong.
    """
    return [_read_run(files) for files in _runs(path)]


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
        if found := sorted(file for pattern in patterns for file in path.glob(pattern) if not _is_written_here(file)):
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


def _is_written_here(file):
    """Is it the table that tools/score.py --out_dir wrote into the folder of the runs?"""
    return file.name == "scores.csv" and file.with_suffix(".json").exists()


def _read_run(paths):
    """The files of a run as one, none of whose turns is there twice."""
    files = [_read_file(path) for path in paths]
    columns = list(files[0].cells)
    for file in files[1:]:
        if list(file.cells) != columns:
            found, expected = ", ".join(file.cells), ", ".join(columns)
            raise UserError(f"{file.path}: the columns {found}; expected {expected}, as {files[0].path} has")
    rows = [row for file in files for row in file.rows]
    cells = {name: [cell for one in files for cell in one.cells[name]] for name in columns}
    run = PredictionFile(files[0].path, rows, cells)
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
            mark = next((one for one in _MARKS if any(name in cell.split(one) for cell in columns)), None)
            found = f"its columns seem to be separated by {_MARKS[mark]}" if mark else f"found {', '.join(columns)}"
            raise UserError(f"{path}: no column {name}; {found}; {_ADVICE}")
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
    return PredictionFile(path, [(path, row.number) for row in rows], cells)
