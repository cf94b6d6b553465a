"""The tables of a report: Markdown for the terminal, LaTeX for a paper, CSV rows for further work."""

import re
from dataclasses import dataclass

from erc.corpus.corpora import SCORES
from erc.options import printable

CSV_COLUMNS = ("method", "turns_of", "turns", "score", "value", "low", "high", "sd", "p")
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": "$-$"}
_LATEX |= {one: f"\\{one}" for one in "&%$#_{}"} | {"<": "$<$", ">": "$>$", "|": r"\textbar{}", '"': "''"}


@dataclass
class Table:
    """A table: `name`, short; `caption`, what its numbers are; `rows` of texts, the first of them the header."""

    name: str
    caption: str
    rows: list


def markdown(rows):
    """Rows of strings, the first of them the header, as a Markdown table that is aligned for the terminal."""
    rows = [[printable(cell).replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def latex(table):
    """A `table` environment in the style of the package booktabs."""
    header, *rows = ([_latex(cell) for cell in row] for row in table.rows)
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{_latex(table.caption)}}}", rf"\label{{tab:{table.name}}}"]
    lines += [rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}", r"\toprule", _latex_row(header)]
    lines += [r"\midrule", *map(_latex_row, rows)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def _latex_row(cells):
    line = " & ".join(cells) + r" \\"
    return f"{{}}{line}" if line.lstrip()[0] in "[*" else line  # without {}, an option of the rule or row before


def _latex(text):
    return re.sub(r'[\\~^±−&%$#_{}<>|"]', lambda found: _LATEX[found[0]], printable(text))


def percent(entry):
    """A score in percent: `68.53 [62.1, 74.0]`, of several runs `68.53 ± 1.90 [62.1, 74.0]`."""
    if entry["value"] is None:
        return "-"
    spread = "" if entry.get("sd") is None else f" ± {100 * entry['sd']:.2f}"
    return f"{100 * entry['value']:.2f}{spread}{interval(entry, ' ')}"


def interval(entry, before=""):
    """` [62.1, 74.0]`, in percent, after the text `before`; nothing if it is not known."""
    if entry["low"] is None:
        return ""
    return f"{before}[{100 * entry['low']:.1f}, {100 * entry['high']:.1f}]"


def show_difference(entry):
    """A difference in points, with its interval and p: `+2.90 [0.1, 6.0], p 0.041`."""
    p = entry["p"]
    shown = "" if p is None else f", p {p:.3f}" if p >= 0.001 else ", p < 0.001"
    return f"{100 * entry['value']:+.2f}{interval(entry, ' ')}{shown}"


def tables_of(report):
    """The `Table`s of a report, scores in percent. Bins of the reliability that hold no turn are left out."""
    what = report["interval"]
    between = f"{100 * what['level']:.0f}% intervals over {what['resampled']}"
    tables = [Table("scores", f"Scores, %; {between}", _scores(report))]
    if difference := report["difference"]:
        test = ", permutation test" if difference["scores"]["accuracy"]["p"] is not None else ""
        caption = f"{difference['second']} minus {difference['first']}, points; {between}{test}"
        tables.append(Table("difference", caption, [[*SCORES.values()], _cells(difference, SCORES, show_difference)]))
    if report["methods"][0]["groups"]:
        tables.append(Table("groups", f"Groups of turns; scores in %, {between}", _groups(report)))
    tables.append(Table("emotions", f"Emotions; scores in %, {between} for F1", _emotions(report)))
    if calibrated := [method for method in report["methods"] if method["calibration"]]:
        tables.append(
            Table("calibration", "Calibration of the probabilities (ECE and confidence in %)", _calibration(calibrated))
        )
        tables.append(Table("coverage", "Accuracy of the most confident turns, %, and AURC, %", _coverage(calibrated)))
        tables += [
            Table(f"reliability{k}", f"Reliability of {method['name']}; means in %", _reliability(method))
            for k, method in enumerate(calibrated, start=1)
        ]
    return tables


def _cells(result, scores, show):
    return [show(result["scores"][score]) for score in scores]


def _scores(report):
    rows = [["method", *SCORES.values()]]
    for method in report["methods"]:
        name = method["name"] + (f", {len(method['runs'])} runs" if len(method["runs"]) > 1 else "")
        rows.append([name, *_cells(method, SCORES, percent)])
    return rows


def _groups(report):
    """All scores of one method; of several, the corpus's headline score and its difference."""
    methods, difference = report["methods"], report["difference"]
    scores = SCORES if len(methods) == 1 else (report["headline"],)
    heads = [
        SCORES[score] if len(methods) == 1 else f"{SCORES[score]}, {one['name']}" for one in methods for score in scores
    ]
    rows = [["group", "turns", "dialogues", *heads, *(["difference"] if difference else [])]]
    for k, group in enumerate(methods[0]["groups"]):
        row = [f"{group['by']}: {group['name']}", f"{group['turns']}", f"{group['dialogues']}"]
        row += [cell for method in methods for cell in _cells(method["groups"][k], scores, percent)]
        row += _cells(difference["groups"][k], scores, show_difference) if difference else []
        rows.append(row)
    return rows


def _emotions(report):
    """Precision, recall and F1 of one method; of several, their F1."""
    methods = report["methods"]
    alone = len(methods) == 1
    heads = ["precision", "recall", "F1"] if alone else [f"F1, {method['name']}" for method in methods]
    rows = [["emotion", "turns", "dialogues", *heads]]
    for emotion, entry in methods[0]["per_emotion"].items():
        both = [entry[name] for name in ("precision", "recall")] if alone else []
        both = ["-" if value is None else f"{100 * value:.2f}" for value in both]
        shown = [percent(method["per_emotion"][emotion]["f1"]) for method in methods]
        rows.append([emotion, f"{entry['support']}", f"{entry['dialogues']}", *both, *shown])
    return rows


def _calibration(methods):
    rows = [["method", "ECE", "Brier", "NLL", "mean confidence", "accuracy"]]
    for method in methods:
        found = method["calibration"]
        row = [f"{100 * found['ece']:.2f}", f"{found['brier']:.4f}", f"{found['nll']:.4f}"]
        row += [f"{100 * found['confidence']:.2f}", f"{100 * method['scores']['accuracy']['value']:.2f}"]
        rows.append([method["name"], *row])
    return rows


def _coverage(methods):
    shares = methods[0]["coverage"]["accuracy"]
    rows = [["method", *(f"{share}% of the turns" for share in shares), "AURC"]]
    for method in methods:
        values = [*method["coverage"]["accuracy"].values(), method["coverage"]["aurc"]]
        rows.append([method["name"], *(f"{100 * value:.2f}" for value in values)])
    return rows


def _reliability(method):
    rows = [["confidence", "turns", "mean confidence", "accuracy"]]
    for one in method["calibration"]["reliability"]:
        if not one["turns"]:
            continue
        means = [f"{100 * one[name]:.2f}" for name in ("confidence", "accuracy")]
        rows.append([f"{100 * one['from']:.1f} to {100 * one['to']:.1f}", f"{one['turns']}", *means])
    return rows


def show_markdown(report):
    """The report for a terminal, or as a Markdown file."""
    resampled = report["interval"]
    known = f" of {report['dialogues']} dialogues" if resampled["resampled"] == "dialogues" else ""
    split = f": {report['split']}" if report["split"] else ""
    head = (
        f"{report['turns']:,} labelled turns{known}{split}. 95% intervals: {resampled['resamples']:,} resamples of the"
    )
    head += f" {resampled['resampled']}, seed {resampled['seed']}."
    parts = [head, *map(printable, report["notes"])]
    for table in tables_of(report):
        parts += [f"**{printable(table.caption)}**", markdown(table.rows)]
    return "\n\n".join(parts) + "\n"


def show_latex(report):
    """The tables for a paper that uses booktabs."""
    return "\n\n".join(["% \\usepackage{booktabs}", *map(latex, tables_of(report))]) + "\n"


def csv_rows(report):
    """Rows of `CSV_COLUMNS`: every score of every group and of every emotion, as fractions."""
    rows = []
    results = [(method["name"], method) for method in report["methods"]]
    if difference := report["difference"]:
        results.append((f"{difference['second']} minus {difference['first']}", difference))
    for name, result in results:
        parts = [("all", report["turns"], result)]
        parts += [(f"{group['by']}: {group['name']}", group["turns"], group) for group in result["groups"]]
        for part, turns, scores in parts:
            rows += [_csv_row(name, part, turns, score, entry) for score, entry in scores["scores"].items()]
        for emotion, entry in report["methods"][0]["per_emotion"].items():
            f1 = result["f1"][emotion] if result is difference else result["per_emotion"][emotion]["f1"]
            rows.append(_csv_row(name, f"emotion: {emotion}", entry["support"], "f1", f1))
    return rows


def _csv_row(method, part, turns, score, entry):
    return [method, part, turns, score, *(entry.get(name) for name in CSV_COLUMNS[4:])]
