"""What each part of a network is worth: the scores without it, and the paired difference to the whole network.

Reads <results>/cgnn/<modalities>, the whole network, and <results>/ablations/<name>/<modalities>, as
`train.py --ablate <name>` leaves them, each a `predictions.csv` or one of each run.
"""

from pathlib import Path

from erc.corpus.corpora import SCORES, Corpus
from erc.options import UserError
from erc.results import COLUMNS
from erc.scoring.predictions import read_evaluation
from erc.scoring.report import report
from erc.scoring.tables import markdown, percent, show_difference

# The ablations of `cogmen.recipes`, and how a table calls them.
NAMES = {
    "no_graph": "no graph",
    "no_context": "no context",
    "no_speaker": "speakers not told apart",
    "no_mask": "no masks: every head sees all turns",
    "window_0": "a window of the turn alone",
    "window_2": "a window of 2 turns each way",
    "window_10": "a window of 10 turns each way",
    "window_all": "a window of all turns",
}
_ALONE = {"a": "speech alone", "t": "text alone", "v": "faces alone"}


def ablation_table(folder, headline=Corpus.headline):
    """The table as Markdown, the corpus's headline score in percent: a row for the whole network of each set of
    modalities, one for each part that it lacks, and, of several modalities, one for each of them alone.

    Raises:
        UserError: there are no ablations, or one has other runs or turns than the whole network.
    """
    folder = Path(folder)
    rows = [["modalities", "network", SCORES[headline], "minus the whole network"]]
    for modalities in COLUMNS:
        whole = folder / "cgnn" / modalities
        lacking = {NAMES[name]: folder / "ablations" / name / modalities for name in NAMES}
        if len(modalities) > 1:
            lacking |= {_ALONE[one]: folder / "cgnn" / one for one in modalities}
        lacking = {name: place for name, place in lacking.items() if place.is_dir()}
        if not whole.is_dir() or not any((folder / "ablations" / name / modalities).is_dir() for name in NAMES):
            continue
        for k, (name, place) in enumerate(lacking.items()):
            result = report(read_evaluation([whole, place], names=["whole", name]))
            methods = {method["name"]: method for method in result["methods"]}
            if k == 0:
                runs = len(methods["whole"]["runs"])
                several = f", {runs} runs" if runs > 1 else ""
                rows.append([modalities, f"whole{several}", percent(methods["whole"]["scores"][headline]), ""])
            difference = show_difference(result["difference"]["scores"][headline])
            rows.append([modalities, name, percent(methods[name]["scores"][headline]), difference])
    if len(rows) == 1:
        raise UserError(f"{folder}: no ablations/<name>/<modalities> beside cgnn/<modalities>; train with --ablate")
    return markdown(rows)
