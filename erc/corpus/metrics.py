"""Scores of a classifier and the files that hold them: `metrics.json`, `predictions.csv`, `confusion_matrix.png`."""

import math
from pathlib import Path

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from erc.corpus.corpora import UNLABELLED, Corpus, in_order
from erc.corpus.feelings import FEELINGS, feeling_scores
from erc.files import atomic_writer, write_json, write_table
from erc.options import UserError

_NAMES = {"accuracy": "accuracy", "weighted_f1": "weighted F1", "macro_f1": "macro F1", "uar": "UAR"}
# Those of Linux, Windows and macOS, in this order.
_KOREAN_FONTS = ("Noto Sans CJK KR", "Noto Sans KR", "NanumGothic", "UnDotum", "Malgun Gothic", "Apple SD Gothic Neo")


def scores(labels, predictions, emotions):
    """Accuracy, F1 scores and the confusion matrix.

    Args:
        labels, predictions: (N,) emotion numbers; turns whose label is `UNLABELLED` are not counted. Or, where a turn
            may have several emotions, (N, emotions) of 0 and 1.
        emotions: the corpus's emotion names, in the order of their numbers.
    Returns:
        dict: `accuracy, weighted_f1, macro_f1, uar` (fractions), `per_class`, `confusion` (row: label, column:
        prediction) and `n`. `macro_f1` and `uar` (unweighted average recall) are means over the emotions that occur
        among the labels. Where a turn may have several emotions, each is a question of yes or no: `per_class` has its
        scores beside those of its yes, `confusion` a matrix by emotion, the others are the means over the emotions.
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.ndim == 2:
        return _multilabel_scores(labels, predictions, emotions)
    labels, predictions = labels[labels != UNLABELLED], predictions[labels != UNLABELLED]
    if not len(labels):
        raise UserError("none of the turns to score has a label")
    every = range(len(emotions))
    precision, recall, f1, support = precision_recall_fscore_support(labels, predictions, labels=every, zero_division=0)
    present = support > 0
    columns = {"precision": precision, "recall": recall, "f1": f1, "support": support}
    return {
        "accuracy": float(accuracy_score(labels, predictions)),
        "weighted_f1": float(np.average(f1, weights=support)),
        "macro_f1": float(f1[present].mean()),
        "uar": float(recall[present].mean()),
        "per_class": {
            emotion: {name: column[k].item() for name, column in columns.items()} for k, emotion in enumerate(emotions)
        },
        "confusion": confusion_matrix(labels, predictions, labels=every).tolist(),
        "n": len(labels),
    }


def _multilabel_scores(labels, predictions, emotions):
    of_one = [scores(labels[:, k], predictions[:, k], ("no", "yes")) for k in range(len(emotions))]
    by_emotion = dict(zip(emotions, of_one, strict=True))
    return {
        **{name: float(np.mean([one[name] for one in of_one])) for name in _NAMES},
        "per_class": {
            emotion: {**one["per_class"]["yes"], "accuracy": one["accuracy"], "weighted_f1": one["weighted_f1"]}
            for emotion, one in by_emotion.items()
        },
        "confusion": {emotion: one["confusion"] for emotion, one in by_emotion.items()},
        "n": len(labels),
    }


def summary(result, headline=Corpus.headline):
    """The scores in one line, as percentages, the corpus's `headline` first."""
    values = ", ".join(f"{_NAMES[name]} {100 * result[name]:.2f}" for name in in_order(_NAMES, headline))
    return f"{values} ({result['n']} utterances)"


def report(result, headline=Corpus.headline):
    """The scores for a person: the summary line, then precision, recall, F1 and support of each emotion."""
    rows = result["per_class"]
    width, several = max([10, *map(len, rows)]), any("weighted_f1" in row for row in rows.values())
    more = f" {'weighted F1':>12}" if several else ""
    head = f"{'emotion':{width}} {'precision':>9} {'recall':>7} {'F1':>7} {'support':>8}{more}"
    lines = [summary(result, headline), "", head]
    for emotion, row in rows.items():
        values = f"{100 * row['precision']:9.2f} {100 * row['recall']:7.2f} {100 * row['f1']:7.2f}"
        more = f" {100 * row['weighted_f1']:12.2f}" if several else ""
        lines.append(f"{emotion:{width}} {values} {row['support']:8}{more}")
    return "\n".join(lines)


def write_evaluation(folder, turns, probabilities, emotions, feelings=None):
    """Score and write `metrics.json`, `predictions.csv` and `confusion_matrix.png` into `folder`.

    Args:
        turns: (segment id, dialogue, speaker, label) of each of N turns.
        probabilities: (N, emotions) rows that sum to 1.
        feelings: (ratings, predictions), each (N, 2) of 1 to 5, valence and arousal, where they are predicted. They are
            columns of predictions.csv, and `ccc` in metrics.json.
    Returns:
        dict: the scores, as in `metrics.json`.
    """
    folder, turns, probabilities = Path(folder), list(turns), np.asarray(probabilities)
    predictions = probabilities.argmax(axis=1)
    result = scores([label for *_, label in turns], predictions, emotions)
    header = ["segment_id", "dialogue", "speaker", "label", "prediction", *(f"p_{emotion}" for emotion in emotions)]
    rows = [
        [*names, "" if label == UNLABELLED else emotions[label], emotions[prediction], *(f"{p:.6f}" for p in row)]
        for (*names, label), prediction, row in zip(turns, predictions, probabilities, strict=True)
    ]
    if feelings:
        header += [*FEELINGS, *(f"predicted_{name}" for name in FEELINGS)]
        rows = [[*row, *_cells(rated), *_cells(felt)] for row, rated, felt in zip(rows, *feelings, strict=True)]
        result["ccc"] = feeling_scores(*feelings)
    write_table(folder / "predictions.csv", header, rows)
    _draw_confusion(folder / "confusion_matrix.png", [("", np.array(result["confusion"]), emotions)])
    write_json(folder / "metrics.json", result)  # last, so that its presence means that all is there
    return result


def _cells(values):
    return ["" if math.isnan(value) else f"{value:.6g}" for value in values.tolist()]


def write_multilabel_evaluation(folder, turns, probabilities, emotions):
    """The same where a turn may have several emotions: 0 or 1 as label and prediction of each.

    Args:
        turns: (segment id, dialogue, speaker, labels) of each of N turns.
        probabilities: (N, emotions), each of its own; above one half is a yes.
    """
    folder, turns, probabilities = Path(folder), list(turns), np.asarray(probabilities)
    predictions = (probabilities > 0.5).astype(np.int64)
    result = scores([labels for *_, labels in turns], predictions, emotions)
    columns = [f"{what}_{emotion}" for what in ("label", "prediction", "p") for emotion in emotions]
    rows = [
        [*names, *labels, *prediction, *(f"{p:.6f}" for p in row)]
        for (*names, labels), prediction, row in zip(turns, predictions.tolist(), probabilities, strict=True)
    ]
    write_table(folder / "predictions.csv", ["segment_id", "dialogue", "speaker", *columns], rows)
    panels = [(emotion, np.array(matrix), ("no", "yes")) for emotion, matrix in result["confusion"].items()]
    _draw_confusion(folder / "confusion_matrix.png", panels)
    write_json(folder / "metrics.json", result)
    return result


def _draw_confusion(path, panels):  # pragma: no mutate block
    """Panels of (title, confusion matrix, names). Colours: share of the row's label (recall); numbers: share in
    percent, and the count below it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(7.2, 6.4) if len(panels) == 1 else (3.6 * columns, 3.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (title, confusion, names) in enumerate(panels, start=1):
        share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
        axes = figure.add_subplot(rows, columns, place)
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        ticks = range(len(names))
        axes.set_xticks(ticks, names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(ticks, names)
        axes.set(xlabel="predicted", ylabel="labelled", title=title)
        for row in ticks:
            for column in ticks:
                colour = "white" if share[row, column] > 0.55 else "black"
                text = f"{100 * share[row, column]:.0f}%\n{confusion[row, column]}"
                axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    figure.colorbar(image, ax=figure.axes, label="share of the labelled emotion", shrink=0.8)
    with atomic_writer(path) as file:
        _save(figure, file)


def _save(figure, file):
    """Write a figure as PNG; names of emotions may be Korean, for which the usual font has no glyphs."""
    import warnings

    import matplotlib
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    korean = [name for name in _KOREAN_FONTS if name in installed]
    with matplotlib.rc_context({"font.sans-serif": ["DejaVu Sans", *korean]}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # without any such font: boxes
        figure.savefig(file, format="png", dpi=120, metadata={"Software": None})
