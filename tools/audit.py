"""What the test turns share with the training turns: sessions, speakers, scripts, sentences, recordings, features.

    python tools/audit.py --data_dir ./data/KEMDy19/new_2019cogmen_format_speaker_only_feat_preprocessed.pkl \\
        --predictions models_zoo/results/cgnn/at/seed24/predictions.csv

With --predictions it shows what each is worth: the scores on the test turns that share it, and on those that do not.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from erc.audit import ALIKE, shared, told_by_sentence
from erc.corpus.annotations import read_csv
from erc.corpus.corpora import asked_corpus
from erc.corpus.dialogues import read_preprocessed, use_modalities
from erc.corpus.metrics import scores
from erc.files import claim, write_text
from erc.options import UserError, option, parse, run
from erc.scoring.tables import markdown


@dataclass
class Options:
    data_dir: Path = option(
        "data/KEMDy19/new_2019cogmen_format_speaker_only_feat_preprocessed.pkl", "what COGMEN_code/preprocess.py wrote"
    )
    dataset: str | None = option(None, "corpus, where the file does not say (then KEMDy19)", name=True)
    txt_wav: Path | None = option(None, "folder of the speech, to find recordings that are there twice")
    predictions: Path | None = option(None, "predictions.csv of the test turns, to score with and without")
    out: Path | None = option(None, "also write the table here, as Markdown")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    with claim(options.out):
        audit(options)


def audit(options):
    splits, corpus = read_preprocessed(options.data_dir, asked_corpus(options.dataset))
    use_modalities(options.data_dir, splits, "".join(splits["train"][0].features))
    labels = np.concatenate([dialogue.labels for dialogue in splits["test"]])
    chosen = read_choices(options.predictions, splits["test"], corpus) if options.predictions else None
    header = ["test turns that share with training", "turns", "share"]
    rows = [header + (["weighted F1, shared", "weighted F1, others"] if options.predictions else [])]
    for kind, mask in shared(splits, corpus, options.txt_wav).items():
        row = [f"{kind} (cosine over {ALIKE})" if kind.endswith("alike") else kind, str(mask.sum())]
        row.append(f"{100 * mask.mean():.1f}%")
        if options.predictions:
            row += [score(labels[part], chosen[part], corpus) for part in (mask, ~mask)]
        rows.append(row)
    told, count = told_by_sentence(splits)
    note = f"of {count} labelled test turns whose sentence is in training, {told} have its commonest label there"
    text = f"{markdown(rows)}\n\n{note}"
    print(text)
    if options.out:
        write_text(options.out, text + "\n")


def read_choices(path, dialogues, corpus):
    """(N,) the emotion numbers that a `predictions.csv` gives to the turns of some dialogues."""
    (header, *rows), _ = read_csv(path, "expected the predictions.csv of eval.py or inference.py")
    if missing := {"segment_id", "prediction"} - set(header.cells):
        raise UserError(f"{path}: no column {min(missing)}; found {', '.join(header.cells)}")
    places = header.cells.index("segment_id"), header.cells.index("prediction")
    chosen = {row.cells[places[0]]: row.cells[places[1]] for row in rows if len(row.cells) == len(header.cells)}
    names = [name for dialogue in dialogues for name in dialogue.segment_ids]
    for name in names:
        if chosen.get(name) not in corpus.emotions:
            expected = f"expected one of {', '.join(corpus.emotions)}"
            raise UserError(f"{path}: turn {name}: prediction {chosen.get(name)!r}, {expected}")
    return np.array([corpus.label(chosen[name]) for name in names])


def score(labels, chosen, corpus):
    if not (labels >= 0).any():
        return "-"
    return f"{100 * scores(labels, chosen, corpus.emotions)['weighted_f1']:.2f}"


if __name__ == "__main__":
    run(main)
