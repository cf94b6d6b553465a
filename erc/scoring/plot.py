"""The picture of a report: a dot and an interval for each score of each method, and the groups of turns below."""

from erc.corpus.corpora import SCORES
from erc.figures import LINES, new_figure, save_figure
from erc.scoring.pictures import plain

_MARKS = "osD^vP"
_LINE = 0.16  # inches of a dot's line


def draw(report, path):
    """Draw scores in percent, as `path`.png and `path`.svg."""
    panels = _panels(report)
    heights = [len(rows) * (len(names) + 1) for _, names, rows in panels]
    figure = new_figure(7.2, 1.2 + 0.6 * len(panels) + _LINE * sum(heights))
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for one, panel in zip(axes, panels, strict=True):
        _draw_panel(one, *panel)
    if len(report["methods"]) > 1:
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    save_figure(figure, path, dpi=150)


def _panels(report):
    """(title, names, rows) of each panel; a row is its name and an entry for each of the names."""
    methods, difference, groups = report["methods"], report["difference"], report["methods"][0]["groups"]
    names, unit = [method["name"] for method in methods], f"95% intervals over {report['interval']['resampled']}"
    rows = [(head, [method["scores"][score] for method in methods]) for score, head in SCORES.items()]
    panels = [(f"{names[0] if len(names) == 1 else 'All turns'}: %, {unit}", names, rows)]
    if difference:
        rows = [(head, [difference["scores"][score]]) for score, head in SCORES.items()]
        panels.append((f"{difference['second']} minus {difference['first']}: points", ["difference"], rows))
    if groups:
        rows = [
            (
                f"{group['by']}: {group['name']} ({group['turns']})",
                [one["groups"][k]["scores"][report["headline"]] for one in methods],
            )
            for k, group in enumerate(groups)
        ]
        panels.append((f"Groups of turns: {SCORES[report['headline']]}, %", names, rows))
    return panels


def _draw_panel(axes, title, names, rows):
    """Rows from top to bottom, in each row the methods in their order."""
    step = 1 / (len(names) + 1)
    for k, name in enumerate(names):
        entries = [entries[k] for _, entries in rows]
        places = [row + (k - (len(names) - 1) / 2) * step for row in range(len(rows))]
        values = [100 * entry["value"] for entry in entries]
        difference = name == "difference" and len(names) == 1
        colour, mark = ("#333333", "o") if difference else (LINES[k % len(LINES)], _MARKS[k % len(_MARKS)])
        axes.plot(values, places, mark, color=colour, markersize=5, label=plain(name))
        for entry, place in zip(entries, places, strict=True):
            if entry["low"] is not None:
                axes.hlines(place, 100 * entry["low"], 100 * entry["high"], color=colour, linewidth=1.4)
        if difference:
            axes.axvline(0, color="#999999", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [plain(name) for name, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_title(title, loc="left")
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
