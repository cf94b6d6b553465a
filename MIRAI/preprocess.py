"""Stage 1, step 1: a raw corpus to the annotation tables and a flat folder of speech and transcripts.

    python MIRAI/preprocess.py --root_path KEMDy19 --save_path ./data/

Writes SAVE_PATH/txt_wav/ (links to the corpus, or copies), the annotation tables (of KEMDy19: annotation.csv and
annotation_speaker_only.csv) and corpus.json, and prints how many rows each step leaves. Running it again is fine. If
there are errors, all are shown and nothing is written.

    python MIRAI/preprocess.py --root_path KEMDy19 --check

only shows what it would do, and every problem of the corpus; the exit code is 1 if there are errors.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from erc.corpus.corpora import CORPORA
from erc.options import UserError, option, parse, run
from mirai.readers.speech_files import check_output, write_outputs

READERS = {corpus.name: corpus.reader for corpus in CORPORA.values() if corpus.reader}
ONLY_OF = {"keep_unlabelled": ("KEMDy19", "KEMDy20")}  # the corpora that a flag goes with


@dataclass
class PreprocessOptions:
    corpus: str = option("KEMDy19", "whose raw files they are", choices=list(READERS))
    root_path: Path = option(help="the corpus's directory; KEMDy19's has annotation/ and wav/ in it")
    save_path: Path = option("data", "where the tables and txt_wav/ go")
    files: str = option("link", "what txt_wav/ gets", choices=["link", "copy"])
    check: bool = option(False, "only check the corpus; nothing is written")
    keep_unlabelled: bool = option(False, "keep ties and turns that nobody rated, as context without a label")

    def __post_init__(self):
        for name, corpora in ONLY_OF.items():
            if getattr(self, name) and self.corpus not in corpora:
                raise ValueError(f"--{name}: goes with --corpus {' or '.join(corpora)}")


def main(argv=None):
    options = parse(PreprocessOptions, argv, __doc__)
    reader = import_module(f"mirai.readers.{READERS[options.corpus]}")
    if not options.check:
        check_output(options.save_path, reader.TABLES, options.root_path / "wav")
    corpus = reader.read_corpus(options)
    findings = corpus.findings
    report = findings.report()
    if findings.errors and not options.check:
        raise UserError(f"--root_path {options.root_path}: {findings.summary()}; nothing is written\n{report}")
    if report:
        print(report)
    print(corpus.show_funnel(), flush=True)
    if options.check:
        if findings.errors:
            raise UserError(f"--root_path {options.root_path}: {findings.summary()}; preprocess.py would stop")
        print(f"{options.root_path}: {findings.summary()}; preprocess.py can use it")
        return
    write_outputs(options.save_path, corpus, copy=options.files == "copy")
    print(f"wrote {options.save_path}/{', '.join(corpus.tables)}, txt_wav/")


if __name__ == "__main__":
    run(main)
