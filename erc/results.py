"""The tables of results, beside the published numbers.

Method x modality: from a folder of <method>/<modalities>/metrics.json, or <method>/<modalities>/<run>/metrics.json for
each of several runs (seeds, extractors), whose mean and standard deviation are shown; below, what `erc.scoring` makes
of the `predictions.csv` beside them: 95% intervals, and the ensemble of the runs. Folds of a run predict other turns
each, and are scored together. Ablations: the same beside the folder of what they are taken from, and the paired
difference. The extractor's variants and losses: from the `result.csv` of `MIRAI/inference.py --all`.
"""

import re
import statistics
from collections import Counter
from pathlib import Path

from erc.corpus.annotations import read_csv
from erc.corpus.corpora import SCORES, Corpus, in_order
from erc.options import UserError
from erc.scoring.prediction_files import fold_of
from erc.scoring.predictions import read_evaluation
from erc.scoring.report import report
from erc.scoring.tables import interval, markdown, percent
from erc.untrusted import read_json

METHODS = {
    "extractor": "(1) extractor alone",
    "cgnn": "(3) CGNN on extractor features",
    # Controls (`erc.controls`): what scores without the method, and the graph network on altered dialogues.
    "majority": "majority: the commonest emotion",
    "position": "script or scenario, speaker and turn number alone",
    "nearest_sentences": "nearest sentences of training",
    "words": "words of the turn alone",
    "nearest_features": "nearest features of training",
    "features": "features of the turn alone",
    "prosody": "pitch, energy, rate and spectrum",
    "labels_shuffled": "CGNN, labels to learn shuffled",
    "speakers_shuffled": "CGNN, speakers shuffled",
    "turns_shuffled": "CGNN, turns in random order",
    "neighbours_of_others": "CGNN, among turns of other dialogues",
}
COLUMNS = ("a", "t", "at", "v", "av", "tv", "atv")  # modalities; those without results are left out
_SHOWN = ("accuracy", "weighted_f1", "macro_f1")  # of the scores

# The published pipeline on KEMDy19, sessions 19 and 20: accuracy and weighted F1; macro F1 was not given.
PUBLISHED = {
    "extractor": {"a": (65.61, 64.90), "t": (68.88, 67.90), "at": (68.99, 68.05)},
    "cgnn": {"a": (46.22, 38.57), "t": (70.86, 67.88), "at": (72.49, 69.75)},
}

# The published extractors on KEMDy19, a random 20% of annotation.csv: accuracy and (weighted) F1 by model and loss.
PUBLISHED_EXTRACTORS = {
    ("audio", "ce"): (69.96, 69.58),
    ("text", "ce"): (72.23, 71.53),
    ("both", "ce"): (72.82, 72.44),
    ("both+mmer", "ce"): (72.08, 72.03),
    ("audio", "cs_and_ce"): (70.00, 69.03),
    ("text", "cs_and_ce"): (71.34, 70.94),
    ("both", "cs_and_ce"): (72.03, 71.49),
    ("both+mmer", "cs_and_ce"): (73.46, 73.18),
}


def read_results(folder):
    """By method and modalities, the list of `metrics.json` contents, one for each run.

    Raises:
        UserError: there is none, or one of them is damaged.
    """
    results = {}
    for method in METHODS:
        for modalities in COLUMNS:
            place = Path(folder) / method / modalities
            paths = sorted([*place.glob("metrics.json"), *place.glob("*/metrics.json")])
            if paths:
                results.setdefault(method, {})[modalities] = [_scores_in(path) for path in paths]
    if not results:
        raise UserError(f"{folder}: no <method>/<modalities>/metrics.json in it")
    return results


def _scores_in(path):
    values = read_json(path)
    if not isinstance(values, dict) or not all(isinstance(values.get(score), float | int) for score in _SHOWN):
        raise UserError(f"{path}: expected {', '.join(_SHOWN)}, as eval.py and inference.py write them")
    return {**values, "run": path.parent.name}


def _count_runs(runs):
    """Such as `, 3 seeds` or `, 5 folds, 2 extractors`; empty for one run. The names of their folders tell these."""
    folds, seeds = _counts(runs)
    even = len(set(seeds)) == 1
    last = ("seeds", seeds[0]) if even else ("runs", sum(seeds))
    counts = ("folds", folds), ("extractors", len(seeds)), last
    return "".join(f", {count} {name}" for name, count in counts if count > 1)


def _counts(runs):
    """How many folds, and by extractor how many seeds of each."""
    names = [fold_of(run["run"]) for run in runs]
    apart = {name for _, name in names}
    extractors = Counter(found and found[0] for name in apart for found in [re.match(r"extractor[0-9]+", name)])
    return len({fold for fold, _ in names}), list(extractors.values())


def read_scored(folder, results):
    """By method and modalities, what `erc.scoring.report` tells of the runs and, of several, of their ensemble. Left
    out: results of which a run lacks its `predictions.csv`.

    Args:
        results: as `read_results` gives them for the same folder.
    Raises:
        UserError: predictions are damaged, or runs have different folds.
    """
    scored = {}
    for method, by_modality in results.items():
        for modalities, runs in by_modality.items():
            place = Path(folder) / method / modalities
            paths = [*place.glob("predictions.csv"), *place.glob("*/predictions.csv")]
            if len(paths) == len(runs):
                scored.setdefault(method, {})[modalities] = report(read_evaluation([place]))["methods"]
    return scored


def table(results, published=False, scored=None, headline=Corpus.headline):
    """The results as a Markdown table that is aligned for the terminal; scores in percent, the corpus's `headline`
    first.

    Args:
        scored: as `read_scored` gives it; further rows below each method, and the scores of folds.
    """
    columns = [m for m in COLUMNS if any(m in rows for rows in results.values())]
    order = in_order(_SHOWN, headline)
    rows, several = [[_heading(headline), *columns]], []
    for method, by_modality in results.items():
        there = (scored or {}).get(method, {})
        longest = max(by_modality.values(), key=len)
        rows.append([METHODS[method] + _count_runs(longest)])
        for m in columns:
            runs = by_modality.get(m, [])
            folds = runs and _counts(runs)[0] > 1
            together = folds and m in there
            rows[-1].append(
                _scored_cell(there[m][0], order, _percent) if together else _cell(runs, headline, not folds)
            )
        rows += _interval_row({m: own[0] for m, own in there.items()}, columns, order)
        if ensembles := {m: own[1] for m, own in there.items() if len(own) > 1}:
            number = max(len(own[0]["runs"]) for own in there.values())
            cells = (_scored_cell(ensembles.get(m), order, _percent) for m in columns)
            rows += [[f"    ensemble of {number}", *cells], *_interval_row(ensembles, columns, order)]
        if published and method in PUBLISHED:
            rows.append(["    published, KEMDy19", *(_published(PUBLISHED[method].get(m)) for m in columns)])
        several.append(_counts(longest))
    return "\n\n".join([markdown(rows), *_notes(several)])


def _interval_row(methods, columns, order):
    """The row of the intervals, if there are any: few dialogues have none."""
    if all(one["scores"]["accuracy"]["low"] is None for one in methods.values()):
        return []
    return [["    95% interval", *(_scored_cell(methods.get(m), order, interval) for m in columns)]]


def _scored_cell(method, order, show):
    return " / ".join(show(method["scores"][score]) or "-" for score in order) if method else "-"


def _percent(entry):
    """A score in percent, of several runs with its standard deviation."""
    return percent({**entry, "low": None})


def _notes(counts):
    """What the numbers are over, where the rows do not say it: `_counts` of each method."""
    notes = []
    if any(len(seeds) > 1 for _, seeds in counts):
        notes.append("±: standard deviation over all runs of a row: all seeds of all its extractors.")
    if any(folds > 1 for folds, _ in counts):
        notes.append(
            "Folds: each turn is predicted once, by the training that had held it out; with predictions.csv of all, "
            "scores and intervals are of all folds' turns together, else scores are means over folds, without a ±."
        )
    return notes


def extractor_table(path, published=False, headline=Corpus.headline):
    """The `result.csv` of `MIRAI/inference.py --all` as a Markdown table, in the order of the published one; of each
    the corpus's `headline` first."""
    results = _extractors_in(path)
    order = list(PUBLISHED_EXTRACTORS)
    results.sort(key=lambda row: order.index(key) if (key := (row["model"], row["loss"])) in order else len(order))
    rows = [["model", "loss", _heading(headline), *(["published, KEMDy19"] if published else [])]]
    for row in results:
        cells = [row["model"], row["loss"], _cell([row], headline)]
        if published:
            cells.append(_published(PUBLISHED_EXTRACTORS.get((row["model"], row["loss"]))))
        rows.append(cells)
    return markdown(rows)


def _extractors_in(path):
    (header, *lines), _ = read_csv(path, "expected the result.csv of MIRAI/inference.py --all")
    rows = [dict(zip(header.cells, line.fitted(len(header.cells)), strict=False)) for line in lines]
    if not rows or not {"model", "loss", *_SHOWN} <= rows[0].keys():
        raise UserError(f"{path}: expected a row and the columns model, loss, {', '.join(_SHOWN)}")
    try:
        return [{**row, **{score: float(row[score]) for score in _SHOWN}} for row in rows]
    except ValueError as error:
        raise UserError(f"{path}: {error}; expected numbers as {', '.join(_SHOWN)}") from None


def _heading(headline):
    return " / ".join(SCORES[score] for score in in_order(_SHOWN, headline))


def _cell(runs, headline, spread=True):
    """Means over runs; over folds without their spread, which is not the runs'."""
    means = (_score([100 * run[score] for run in runs], spread) for score in in_order(_SHOWN, headline))
    return " / ".join(means) if runs else "-"


def _published(values):
    return " / ".join(f"{value:.2f}" for value in values) + " / -" if values else "-"


def _score(values, spread):
    more = f" ± {statistics.stdev(values):.2f}" if spread and len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{more}"
