"""The pictures of an evaluation, as PNG and SVG: confusion matrix, confidence, a timeline of each dialogue.

N: turns; K: emotions.
"""

import itertools
import math

import numpy as np

from erc.corpus.corpora import UNLABELLED
from erc.figures import COLOURS, LINES, new_figure, save_figure
from erc.options import printable
from erc.scoring.calibration import accuracy_of_surest, calibration

MOST_DIALOGUES = 40  # of a picture of timelines


def draw_confusion(folder, panels):  # pragma: no mutate block
    """`confusion_matrix`: panels of (title, confusion matrix, names). Colours: share of the row's label (recall);
    numbers: share in percent, and the count below it."""
    columns = min(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(*((7.2, 6.4) if len(panels) == 1 else (3.6 * columns, 3.2 * rows)))
    for place, (title, confusion, names) in enumerate(panels, start=1):
        share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
        axes = figure.add_subplot(rows, columns, place)
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        ticks = range(len(names))
        axes.set_xticks(ticks, map(plain, names), rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(ticks, map(plain, names))
        axes.set(xlabel="predicted", ylabel="labelled", title=plain(title))
        for row in ticks:
            for column in ticks:
                colour = "white" if share[row, column] > 0.55 else "black"
                text = f"{100 * share[row, column]:.0f}%\n{confusion[row, column]}"
                axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    figure.colorbar(image, ax=figure.axes, label="share of the labelled emotion", shrink=0.8)
    save_figure(figure, folder / "confusion_matrix")


def draw_confidence(folder, labels, predictions, probabilities):  # pragma: no mutate block
    """`confidence`: how often predictions of each confidence are right, and the risk of the surest ones.

    Args:
        labels, predictions: (N,) emotion numbers; turns without a label are left out.
        probabilities: (N, K).
    """
    known = labels != UNLABELLED
    labels, predictions, probabilities = labels[known], predictions[known], probabilities[known]
    found = calibration(labels, predictions, probabilities)
    figure = new_figure(9.6, 4.4)
    reliability, risk = figure.subplots(1, 2)
    bins = [one for one in found["reliability"] if one["turns"]]
    reliability.plot([0, 1], [0, 1], "--", color="#777777", linewidth=1, label="as often right as sure")
    most = max(one["turns"] for one in bins)
    reliability.bar(
        [one["from"] for one in bins],
        [one["turns"] / most for one in bins],
        *(bins[0]["to"] - bins[0]["from"],),
        align="edge",
        color="#dddddd",
        label="turns, relative to the fullest bin",
    )
    points = [(one["confidence"], one["accuracy"]) for one in bins]
    reliability.plot(*zip(*points, strict=True), "o-", color=COLOURS[4], label="share that is right")
    title = f"Reliability, {len(labels)} turns; ECE {100 * found['ece']:.1f}%"
    reliability.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="probability of the prediction", ylabel="right", title=title)
    reliability.legend(frameon=False, fontsize=8, loc="upper left")
    wrong = 1 - accuracy_of_surest(labels, predictions, probabilities)
    risk.plot(100 * np.arange(1, len(labels) + 1) / len(labels), 100 * wrong, color=COLOURS[1])
    risk.set(xlim=(0, 100), ylim=(0, None), title="Coverage and risk")
    risk.set(xlabel="the surest turns, % of all", ylabel="of these wrong, %")
    for axes in (reliability, risk):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#eeeeee")
        axes.set_axisbelow(True)
    save_figure(figure, folder / "confidence")


def draw_timelines(folder, turns, predictions, emotions):  # pragma: no mutate block
    """`timelines`: turn by turn the labelled emotion above the predicted one, a row for each speaker of a dialogue.

    Args:
        turns: (segment id, dialogue, speaker, label) of each of N turns.
        predictions: (N,) emotion numbers.
    """
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Patch, Rectangle

    dialogues = {}
    for (_, dialogue, speaker, label), prediction in zip(turns, predictions.tolist(), strict=True):
        dialogues.setdefault(dialogue, []).append((speaker, label, prediction))
    shown = list(dialogues.items())[:MOST_DIALOGUES]
    speakers = [list(dict.fromkeys(speaker for speaker, *_ in said)) for _, said in shown]
    heights = [max(1, len(names)) for names in speakers]
    figure = new_figure(12, 0.9 + 0.42 * sum(heights) + 0.3 * len(shown))
    panels = figure.subplots(len(shown), 1, squeeze=False, height_ratios=heights)[:, 0]
    longest = max(len(said) for _, said in shown)
    for axes, (dialogue, said), names in zip(panels, shown, speakers, strict=True):
        cells, colours, wrong = [], [], []
        for place, (speaker, label, prediction) in enumerate(said):
            row = names.index(speaker)
            for shift, number in ((0.06, label), (0.5, prediction)):
                cells.append(Rectangle((place, row + shift), 0.92, 0.44))
                colours.append("#ffffff" if number == UNLABELLED else COLOURS[number % len(COLOURS)])
            if label not in (prediction, UNLABELLED):
                wrong.append((place + 0.46, row + 0.72))
        axes.add_collection(PatchCollection(cells, facecolors=colours, edgecolors="#999999", linewidths=0.3))
        if wrong:
            axes.plot(*zip(*wrong, strict=True), "x", color="black", markersize=3.5, markeredgewidth=0.9)
        axes.set(xlim=(0, longest), ylim=(len(names), 0), xticks=[])
        axes.set_yticks([row + 0.5 for row in range(len(names))], [plain(name) for name in names])
        axes.set_title(f"{plain(dialogue)}: {len(said)} turns, {len(wrong)} wrong", loc="left", fontsize=8)
        axes.tick_params(length=0, labelsize=8)
        axes.spines[:].set_visible(False)
    handles = [
        Patch(facecolor=COLOURS[k % len(COLOURS)], edgecolor="#999999", label=plain(emotion))
        for k, emotion in enumerate(emotions)
    ]
    more = f"; the first {len(shown)} of {len(dialogues)} dialogues" if len(dialogues) > len(shown) else ""
    title = f"above: labelled, below: predicted, x: wrong{more}"
    figure.legend(
        handles=handles, title=title, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=8
    )
    save_figure(figure, folder / "timelines", dpi=100)


def draw_learning_curves(path, history, kept=None):  # pragma: no mutate block
    """Losses and scores over the epochs, as `path`.png and `path`.svg.

    Args:
        history: a dict for each epoch: `epoch`; losses have `loss` in their name, the rest are fractions.
        kept: the epoch that was kept.
    """
    epochs = [row["epoch"] for row in history]
    names = [name for name in history[0] if name != "epoch"]
    figure = new_figure(9.6, 3.8)
    panels = figure.subplots(1, 2)
    for axes, chosen, label, scale in (
        (panels[0], [name for name in names if "loss" in name], "loss", 1),
        (panels[1], [name for name in names if "loss" not in name], "%", 100),
    ):
        styles = itertools.cycle(zip(LINES[:4], ("-", "--", "-.", ":"), strict=True))
        for name, (colour, line) in zip(chosen, styles, strict=False):
            values = [scale * row[name] for row in history]
            mark = "o" if len(epochs) < 25 else None
            axes.plot(epochs, values, line, marker=mark, markersize=3, color=colour, label=name.replace("_", " "))
        if kept is not None:
            axes.axvline(kept, color="#777777", linewidth=0.8, label=f"kept: epoch {kept}")
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False, fontsize=8)
        axes.grid(color="#eeeeee")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def plain(name):
    """A name as it stands: matplotlib would take what is between two dollar signs for a formula."""
    return printable(str(name)).replace("$", r"\$")
