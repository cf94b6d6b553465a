"""What the test turns share with training: sessions, speakers, scripts or scenarios, sentences, recordings, features.

    python tools/audit.py --data_dir ./data/KEMDy19/new_2019cogmen_format_speaker_only_feat_preprocessed.pkl \\
        --predictions models_zoo/results/cgnn/at/seed24/predictions.csv

With --predictions it shows what each is worth: the scores on the test turns that share it, and on those that do not,
with 95% intervals over dialogues; of several runs (a folder of them) the mean.
"""

from dataclasses import dataclass
from pathlib import Path

from erc.audit import ALIKE, shared, told_by_sentence
from erc.corpus.corpora import CORPORA, UNLABELLED, asked_corpus
from erc.corpus.dialogues import read_preprocessed, use_modalities
from erc.files import claim, show_text
from erc.options import UserError, option, parse, run
from erc.scoring.breakdowns import Group
from erc.scoring.predictions import read_evaluation
from erc.scoring.report import report
from erc.scoring.tables import markdown, percent

SIDES = ("shared", "others")


@dataclass
class Options:
    data_dir: Path = option(
        "data/KEMDy19/new_2019cogmen_format_speaker_only_feat_preprocessed.pkl", "what COGMEN_code/preprocess.py wrote"
    )
    dataset: str | None = option(None, "corpus, where the file does not say (then KEMDy19)", name=True)
    txt_wav: Path | None = option(None, "folder of the speech, to find recordings that are there twice")
    predictions: Path | None = option(
        None, "predictions.csv of the test turns, or a folder of several runs, to score with and without"
    )
    out: Path | None = option(None, "also write the table here, as Markdown")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    with claim(options.out):
        audit(options)


def audit(options):
    splits, corpus = read_preprocessed(options.data_dir, asked_corpus(options.dataset))
    use_modalities(options.data_dir, splits, "".join(splits["train"][0].features))
    masks = shared(splits, corpus, options.txt_wav)
    worth = scored(options.predictions, splits["test"], corpus, masks) if options.predictions else {}
    header = ["test turns that share with training", "turns", "share"]
    rows = [header + (["weighted F1, shared", "weighted F1, others"] if worth else [])]
    for kind, mask in masks.items():
        row = [f"{kind} (cosine over {ALIKE})" if kind.endswith("alike") else kind, str(mask.sum())]
        rows.append([*row, f"{100 * mask.mean():.1f}%", *worth.get(kind, ())])
    right, count = told_by_sentence(splits)
    found = f"of {count} labelled test turns whose sentence is in training, {right:.1f} have its commonest label there"
    show_text(f"{markdown(rows)}\n\n{found} (of several as common, each is worth a part)", options.out)


def scored(path, dialogues, corpus, masks):
    """By kind of sharing, the texts of the weighted F1 of the turns that share it and of the others, "-" for none."""
    dataset = corpus.name if corpus.name in CORPORA else None
    evaluation = read_evaluation([path], dataset=dataset, emotions=corpus.emotions)
    labelled = [(n, label != UNLABELLED) for one in dialogues for n, _, _, label in one.turns()]
    place = {name: k for k, (name, counts) in enumerate(labelled) if counts}
    if other := sorted(place.keys() ^ set(evaluation.turns.ids)):
        found = "a turn that is not among" if other[0] not in place else "no prediction for one of"
        raise UserError(f"{path}: {other[0]}: {found} the {len(place)} labelled test turns of --data_dir")
    order = [place[name] for name in evaluation.turns.ids]
    groups = [Group(kind, side, (mask == (side == "shared"))[order]) for kind, mask in masks.items() for side in SIDES]
    result = report(evaluation, [group for group in groups if group.mask.any()])
    found = {
        (group["by"], group["name"]): percent(group["scores"]["weighted_f1"])
        for group in result["methods"][0]["groups"]
    }
    return {kind: [found.get((kind, side), "-") for side in SIDES] for kind in masks}


if __name__ == "__main__":
    run(main)
