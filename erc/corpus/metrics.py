"""Scores of a classifier and the files that hold them: `metrics.json`, `predictions.csv`, `confusion_matrix.png`."""

from pathlib import Path

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from erc.corpus.corpora import UNLABELLED
from erc.files import atomic_writer, write_json, write_table
from erc.options import UserError


def scores(labels, predictions, emotions):
    """Accuracy, F1 scores and the confusion matrix.

    Args:
        labels, predictions: (N,) emotion numbers; turns whose label is `UNLABELLED` are not counted.
        emotions: the corpus's emotion names, in the order of their numbers.
    Returns:
        dict: `accuracy, weighted_f1, macro_f1, uar` (fractions), `per_class`, `confusion` (row: label, column:
        prediction) and `n`. `macro_f1` and `uar` (unweighted average recall) are means over the emotions that occur
        among the labels.
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
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


def summary(result):
    """The scores in one line, as percentages."""
    names = {"accuracy": "accuracy", "weighted_f1": "weighted F1", "macro_f1": "macro F1", "uar": "UAR"}
    values = ", ".join(f"{text} {100 * result[name]:.2f}" for name, text in names.items())
    return f"{values} ({result['n']} utterances)"


def report(result):
    """The scores for a person: the summary line, then precision, recall, F1 and support of each emotion."""
    lines = [summary(result), "", f"{'emotion':10} {'precision':>9} {'recall':>7} {'F1':>7} {'support':>8}"]
    for emotion, row in result["per_class"].items():
        values = f"{100 * row['precision']:9.2f} {100 * row['recall']:7.2f} {100 * row['f1']:7.2f}"
        lines.append(f"{emotion:10} {values} {row['support']:8}")
    return "\n".join(lines)


def write_evaluation(folder, turns, probabilities, emotions):
    """Score and write `metrics.json`, `predictions.csv` and `confusion_matrix.png` into `folder`.

    Args:
        turns: (segment id, dialogue, speaker, label) of each of N turns.
        probabilities: (N, emotions) rows that sum to 1.
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
    write_table(folder / "predictions.csv", header, rows)
    _draw_confusion(folder / "confusion_matrix.png", np.array(result["confusion"]), emotions)
    write_json(folder / "metrics.json", result)  # last, so that its presence means that all is there
    return result


def _draw_confusion(path, confusion, emotions):
    """Colours: share of the row's label (recall); numbers: share in percent, and the count below it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(7.2, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(emotions))
    axes.set_xticks(ticks, emotions, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, emotions)
    axes.set(xlabel="predicted", ylabel="labelled")
    for row in ticks:
        for column in ticks:
            colour = "white" if share[row, column] > 0.55 else "black"
            text = f"{100 * share[row, column]:.0f}%\n{confusion[row, column]}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    figure.colorbar(image, label="share of the labelled emotion", shrink=0.8)
    with atomic_writer(path) as file:
        figure.savefig(file, format="png", dpi=120, metadata={"Software": None})
