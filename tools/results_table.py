"""Print the results table, method x modality, from the folder in which the evaluations of a run stand.

    python tools/results_table.py --results_dir models_zoo/sample/results

with 95% intervals over whole dialogues and ensembles of the runs, where the predictions stand there too (tools/score.py
tells more of them), or the table of the extractor's variants and losses:

    python tools/results_table.py --extractor_table models_zoo/sample/extractor_table/result.csv
"""

from dataclasses import dataclass
from pathlib import Path

from erc.corpus.corpora import asked_corpus
from erc.files import claim, show_text
from erc.options import REPOSITORY, option, parse, run
from erc.results import extractor_table, read_results, read_scored, table


@dataclass
class Options:
    results_dir: Path | None = option(
        None, "holds <method>/<modalities>[/<run>]/{metrics.json,predictions.csv} (default: models_zoo/results)"
    )
    extractor_table: Path | None = option(None, "instead: the result.csv of MIRAI/inference.py --all")
    published: bool = option(False, "show the published numbers, of KEMDy19, below ours")
    corpus: str = option("KEMDy19", "whose headline leads the scores")
    out: Path | None = option(None, "also write the table here, as Markdown")

    def __post_init__(self):
        if self.results_dir and self.extractor_table:
            raise ValueError("--extractor_table: takes the place of --results_dir, give one of them")
        if self.published and self.corpus != "KEMDy19":
            raise ValueError(f"--published: these numbers are KEMDy19's, not those of --corpus {self.corpus}")
        self.results_dir = self.results_dir or REPOSITORY / "models_zoo/results"


def main(argv=None):
    options = parse(Options, argv, __doc__)
    headline = asked_corpus(options.corpus).headline
    with claim(options.out):
        if options.extractor_table:
            text = extractor_table(options.extractor_table, options.published, headline)
        else:
            results = read_results(options.results_dir)
            text = table(results, options.published, read_scored(options.results_dir, results), headline)
        show_text(text, options.out)


if __name__ == "__main__":
    run(main)
