"""Print the results table, method x modality, from the folder in which the evaluations of a run stand.

python COGMEN_code/results_table.py --results_dir models_zoo/sample/results
"""

from dataclasses import dataclass
from pathlib import Path

from cogmen.options import option, parse, run
from cogmen.results import read_results, table
from cogmen.safe_files import write_text


@dataclass
class Options:
    results_dir: Path = option("models_zoo/results", "holds <method>/<modalities>[/<run>]/metrics.json")
    published: bool = option(False, "show the published numbers, of KEMDy19, below ours")
    out: Path | None = option(None, "also write the table here, as Markdown")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    text = table(read_results(options.results_dir), options.published)
    print(text)
    if options.out:
        write_text(options.out, text + "\n")


if __name__ == "__main__":
    run(main)
