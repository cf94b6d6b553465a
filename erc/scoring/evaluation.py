"""The files of an evaluation: `metrics.json`, `predictions.csv`, pictures."""

import math
from pathlib import Path

import numpy as np

from erc.corpus.corpora import UNLABELLED
from erc.corpus.feelings import FEELINGS, feeling_scores
from erc.corpus.metrics import scores
from erc.files import write_json, write_table
from erc.scoring.pictures import draw_confidence, draw_confusion, draw_timelines

FILES = "metrics.json, predictions.csv and pictures (confusion matrix, confidence, timelines)"


def write_evaluation(folder, turns, probabilities, emotions, record=None, feelings=None):
    """Score and write `metrics.json`, `predictions.csv` and the pictures of `erc.scoring.pictures` into `folder`.
    metrics.json is removed first and written last, so that its presence means that all is there.

    Args:
        turns: (segment id, dialogue, speaker, label) of each of N turns.
        probabilities: (N, emotions) rows that sum to 1.
        record: how what is scored was chosen, for `metrics.json`.
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
    (folder / "metrics.json").unlink(missing_ok=True)
    write_table(folder / "predictions.csv", header, rows)
    draw_confusion(folder, [("", np.array(result["confusion"]), emotions)])
    draw_confidence(folder, np.array([label for *_, label in turns]), predictions, probabilities)
    draw_timelines(folder, turns, predictions, emotions)
    result |= {"record": record} if record else {}
    write_json(folder / "metrics.json", result)
    return result


def _cells(values):
    return ["" if math.isnan(value) else f"{value:.6g}" for value in values.tolist()]


def write_multilabel_evaluation(folder, turns, probabilities, emotions, record=None):
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
    (folder / "metrics.json").unlink(missing_ok=True)
    write_table(folder / "predictions.csv", ["segment_id", "dialogue", "speaker", *columns], rows)
    panels = [(emotion, np.array(matrix), ("no", "yes")) for emotion, matrix in result["confusion"].items()]
    draw_confusion(folder, panels)
    result |= {"record": record} if record else {}
    write_json(folder / "metrics.json", result)
    return result
