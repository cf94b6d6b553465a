"""Do the report's reasons name what the sample corpus planted? The share of turns whose greatest loss is that cause.

    python MIRAI/make_sample_corpus.py --out build/reasons/corpus --seed 6
    python MIRAI/preprocess.py --root_path build/reasons/corpus --save_path build/reasons
    python benchmarks/reasons.py --csv_path build/reasons/annotation_speaker_only.csv \\
        --planted build/reasons/corpus/planted.csv

The sample corpus shows each emotion in the words, in the voice, or only through the conversation: one of three, so
chance is a third. Counted are the emotional turns that the networks name rightly, since a wrong answer has no planted
cause. With another seed than the shipped corpus's, every session is new to the shipped models.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from conversation.models import load_models
from conversation.prediction import make_dialogue, probabilities
from conversation.reasons import REASONS, explain
from conversation.sources import read_conversation
from erc.corpus.annotations import read_annotations
from erc.options import option, parse, run
from erc.runtime import find_device

CAUSES = {"voice": "voice", "words": "words", "context": "conversation"}  # planted.csv's words


@dataclass
class Options:
    csv_path: Path = option("build/reasons/annotation_speaker_only.csv", "annotation table of a sample corpus")
    planted: Path = option("build/reasons/corpus/planted.csv", "how each of its emotions is shown")
    extractor: Path | None = option(None, "as app/predict.py has it (default: the shipped one)")
    cgnn: Path | None = option(None, "likewise")
    device: str = option("auto", "auto, cpu, cuda or cuda:N")
    model, int8, text, turns, recording = None, False, None, None, ()  # as in `PredictOptions`


def main(argv=None):
    options = parse(Options, argv, __doc__)
    planted = pd.read_csv(options.planted, index_col="segment_id")
    device, models, rows = find_device(options.device), None, []
    for name in tqdm(sorted({utterance.dialogue for utterance in read_annotations(options.csv_path)}), disable=None):
        options.dialogue = name
        conversation = read_conversation(options, None)
        models = models or load_models(options, conversation)
        dialogue = make_dialogue(conversation, models, device, quiet=True)
        found = probabilities([dialogue], models, device)
        labels, best = found.argmax(axis=1), found.max(axis=1)
        losses = explain(dialogue, labels, best, models, device, lambda items, _: items)
        for k, turn in enumerate(conversation.turns):
            truth = planted.loc[turn.segment_id]
            right = models.checkpoint.emotions[labels[k]] == truth.emotion
            rows.append((truth.shown, right, REASONS[np.argmax([losses[reason][k] for reason in REASONS])]))
    print_scores(rows)


def print_scores(rows):
    """Args: rows: (how it is planted to be shown, was it named rightly, the reason found) of each turn."""
    print(f"{len(rows)} turns, {np.mean([right for _, right, _ in rows]):.1%} named rightly")
    counted = Counter((CAUSES[shown], reason) for shown, right, reason in rows if right and shown in CAUSES)
    print("\n| planted | turns | " + " | ".join(REASONS) + " | right |\n|---|---|---|---|---|---|")
    for cause in REASONS:
        found = [counted[cause, reason] for reason in REASONS]
        print(f"| {cause} | {sum(found)} | " + " | ".join(map(str, found)) + f" | {share(counted, cause)} |")
    total = sum(counted.values())
    right = sum(counted[cause, cause] for cause in REASONS)
    commonest = max(Counter(cause for cause, _ in counted.elements()).values(), default=0)
    print(f"\nThe greatest loss is the planted cause in {right} of {total} turns: {right / max(total, 1):.1%}")
    print(f"chance: 33.3%; always naming the commonest cause: {commonest / max(total, 1):.1%}")


def share(counted, cause):
    total = sum(counted[cause, reason] for reason in REASONS)
    return f"{counted[cause, cause] / total:.1%}" if total else "-"


if __name__ == "__main__":
    run(main)
