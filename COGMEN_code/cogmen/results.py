"""The results table: method x modality, from a folder of `metrics.json` files, beside the published numbers.

The folder holds <method>/<modalities>/metrics.json, or <method>/<modalities>/<run>/metrics.json for each of several
runs (seeds), whose mean and standard deviation are shown.
"""

import json
import statistics
from pathlib import Path

from cogmen.options import UserError

METHODS = {"extractor": "(1) extractor alone", "cgnn": "(3) CGNN on extractor features"}
MODALITIES = ("a", "t", "at")
SCORES = ("accuracy", "weighted_f1", "macro_f1")

# The published pipeline on KEMDy19, sessions 19 and 20: accuracy and weighted F1; macro F1 was not given.
PUBLISHED = {
    "extractor": {"a": (65.61, 64.90), "t": (68.88, 67.90), "at": (68.99, 68.05)},
    "cgnn": {"a": (46.22, 38.57), "t": (70.86, 67.88), "at": (72.49, 69.75)},
}


def read_results(folder):
    """By method and modalities, the list of `metrics.json` contents, one for each run.

    Raises:
        UserError: there is none.
    """
    results = {}
    for method in METHODS:
        for modalities in MODALITIES:
            place = Path(folder) / method / modalities
            paths = sorted([*place.glob("metrics.json"), *place.glob("*/metrics.json")])
            if paths:
                results.setdefault(method, {})[modalities] = [json.loads(path.read_text()) for path in paths]
    if not results:
        raise UserError(f"{folder}: no <method>/<modalities>/metrics.json in it")
    return results


def table(results, published=False):
    """The results as a Markdown table that is aligned for the terminal; scores in percent."""
    columns = [m for m in MODALITIES if any(m in rows for rows in results.values())]
    rows = [["accuracy / weighted F1 / macro F1", *columns]]
    for method, by_modality in results.items():
        runs = max(len(by_modality[m]) for m in by_modality)
        name = METHODS[method] + (f", {runs} seeds" if runs > 1 else "")
        rows.append([name, *(_cell(by_modality.get(m, [])) for m in columns)])
        if published:
            cells = [" / ".join(f"{value:.2f}" for value in PUBLISHED[method][m]) + " / -" for m in columns]
            rows.append(["    published, KEMDy19", *cells])
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def _cell(runs):
    return " / ".join(_score([100 * run[score] for run in runs]) for score in SCORES) if runs else "-"


def _score(values):
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"
