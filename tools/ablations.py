"""Print what each part of the graph network is worth: the scores without it, and the difference to the whole network
with its 95% interval over dialogues and the p of a permutation test.

    python tools/ablations.py --results_dir models_zoo/results

`run_command.sh --ablate` and `run_eval.sh --train --ablate` train what it reads, and call it.
"""

from dataclasses import dataclass
from pathlib import Path

from erc.ablations import ablation_table
from erc.corpus.corpora import asked_corpus
from erc.files import claim, show_text
from erc.options import option, parse, run


@dataclass
class Options:
    results_dir: Path = option(
        "models_zoo/results", "holds {cgnn,ablations/<name>}/<modalities>[/<run>]/predictions.csv"
    )
    corpus: str = option("KEMDy19", "whose headline score is shown")
    out: Path | None = option(None, "also write the table here, as Markdown")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    with claim(options.out):
        show_text(ablation_table(options.results_dir, asked_corpus(options.corpus).headline), options.out)


if __name__ == "__main__":
    run(main)
