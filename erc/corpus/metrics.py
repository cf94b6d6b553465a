"""Scores of a classifier."""

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from erc.corpus.corpora import SCORES, UNLABELLED, Corpus, in_order
from erc.options import UserError


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
        **{name: float(np.mean([one[name] for one in of_one])) for name in SCORES},
        "per_class": {
            emotion: {**one["per_class"]["yes"], "accuracy": one["accuracy"], "weighted_f1": one["weighted_f1"]}
            for emotion, one in by_emotion.items()
        },
        "confusion": {emotion: one["confusion"] for emotion, one in by_emotion.items()},
        "n": len(labels),
    }


def check_labelled(path, split, dialogues):
    """Refuse a split of which nothing can be scored.

    Raises:
        UserError: names the file and the split.
    """
    if all((dialogue.labels == UNLABELLED).all() for dialogue in dialogues):
        raise UserError(f"{path}: none of the turns of the {split} dialogues has a label; they cannot be scored")


def summary(result, headline=Corpus.headline):
    """The scores in one line, as percentages, the corpus's `headline` first."""
    values = ", ".join(f"{SCORES[name]} {100 * result[name]:.2f}" for name in in_order(SCORES, headline))
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
