"""Score predictions, from this project or any other, in a way that can be quoted.

    python tools/score.py predictions.csv

prints accuracy, weighted and macro F1 and UAR, each with a 95% interval over whole dialogues, then emotions, groups of
turns, calibration and coverage. A file needs the columns segment_id, label and prediction; dialogue, speaker and
p_<emotion> are used if they are there. Of two methods the paired difference and a permutation test are shown too; a
folder stands for several runs (seeds) of one method:

    python tools/score.py results/extractor/at results/cgnn/at --split KEMDy19 --table data/annotation_speaker_only.csv

--out_dir writes scores.md, scores.tex, scores.json, scores.csv, scores.png and scores.svg. What each number means, and
what the intervals do not cover: docs/scoring.md.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from erc.corpus.corpora import CORPORA
from erc.files import claim, write_json, write_table, write_text
from erc.options import option, parse, run
from erc.scoring.breakdowns import groups_of
from erc.scoring.completeness import check_complete
from erc.scoring.intervals import RESAMPLES, SEED
from erc.scoring.plot import draw
from erc.scoring.predictions import read_evaluation
from erc.scoring.report import report
from erc.scoring.tables import CSV_COLUMNS, csv_rows, show_latex, show_markdown

SPLITS = ["auto", *(corpus.name for corpus in CORPORA.values() if corpus.test_turns), "none"]
AUTO = "where most of the split's dialogues are there"


@dataclass
class Options:
    predictions: list[Path] = option(help="a file or, of several runs, a folder for each method", positional=True)
    names: list[str] | None = option(None, "names of the methods (default: from the paths)")
    dataset: str | None = option(
        None, "the corpus (default: the one that all segment ids fit)", choices=[*CORPORA, "none"]
    )
    emotions: list[str] | None = option(
        None, "the emotions' names, in order (default: those of the columns p_<emotion>, or the corpus's)"
    )
    dialogue_pattern: str | None = option(None, "regular expression that finds the dialogue in a segment id")
    split: str = option("auto", f"refuse predictions that are not a whole test split; auto: {AUTO}", choices=SPLITS)
    table: Path | None = option(None, "annotation table: turns must be all its held-out ones; groups by text and time")
    test_sessions: list[int] | None = option(
        None, "the held-out sessions of --table, if it has no column split (default: its corpus's)"
    )
    resamples: int = option(RESAMPLES, "resamples of the dialogues, for intervals and permutations")
    seed: int = option(SEED, "of the resamples")
    out_dir: Path | None = option(None, "folder for tables (Markdown, LaTeX, JSON, CSV) and the plot")

    def __post_init__(self):
        if self.names and len(self.names) != len(self.predictions):
            raise ValueError(f"--names: {len(self.names)} names for {len(self.predictions)} methods")
        if self.names and len(set(self.names)) < len(self.names):
            raise ValueError("--names: the same name twice")
        if self.resamples < 99:
            raise ValueError(f"--resamples: {self.resamples}; expected at least 99")
        if self.test_sessions and not self.table:
            raise ValueError("--test_sessions: goes with --table")
        try:
            re.compile(self.dialogue_pattern or "")
        except re.error as error:
            raise ValueError(f"--dialogue_pattern: {error}") from None


def main(argv=None):
    options = parse(Options, argv, __doc__)
    with claim(options.out_dir, folder=True):
        evaluation = read_evaluation(
            options.predictions, options.names, options.dataset, options.emotions, options.dialogue_pattern
        )
        held_out, split = check_complete(evaluation, options.split, options.table, options.test_sessions)
        result = report(evaluation, groups_of(evaluation, held_out), split, options.resamples, options.seed)
        print(show_markdown(result), end="")
        if folder := options.out_dir:
            write_text(folder / "scores.md", show_markdown(result))
            write_text(folder / "scores.tex", show_latex(result))
            write_table(folder / "scores.csv", CSV_COLUMNS, csv_rows(result))
            draw(result, folder / "scores")
            write_json(folder / "scores.json", result)  # last, so that its presence means that all is there
            print(f"\nwrote scores.md, .tex, .csv, .png, .svg and .json to {folder}")


if __name__ == "__main__":
    run(main)
