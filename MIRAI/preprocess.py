"""Stage 1, step 1: a raw corpus to the annotation tables and a flat folder of speech and transcripts.

    python MIRAI/preprocess.py --root_path KEMDy19 --save_path ./data/
    python MIRAI/preprocess.py --corpus manifest --root_path MANIFEST.csv

Writes SAVE_PATH/txt_wav/ (links to the corpus, or copies), the annotation tables (of KEMDy19: annotation.csv and
annotation_speaker_only.csv) and corpus.json, and prints how many rows each step leaves. Running it again is fine. If
there are errors, all are shown and nothing is written. A manifest is the table of one's own corpus: docs/own_data.md.

    python MIRAI/preprocess.py --root_path KEMDy19 --check

only shows what it would do, and every problem of the corpus; the exit code is 1 if there are errors.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from erc.corpus.corpora import CORPORA
from erc.options import REPOSITORY, UserError, option, parse, run
from mirai.readers.speech_files import check_output, write_outputs

READERS = {corpus.name: corpus.reader for corpus in CORPORA.values() if corpus.reader}
READERS["manifest"] = "manifest"  # whose corpus is what the file says
ONLY_OF = {"keep_unlabelled": ("KEMDy19", "KEMDy20")}  # the corpora that a flag goes with
ONLY_OF |= dict.fromkeys(("test_dialogues", "folds", "fold_by", "seed"), ("manifest",))


@dataclass
class PreprocessOptions:
    corpus: str = option("KEMDy19", "whose raw files they are", choices=list(READERS))
    root_path: Path = option(
        help="the corpus's directory; KEMDy19's has annotation/ and wav/ in it. With --corpus manifest the CSV file"
    )
    save_path: Path | None = option(None, "where tables and txt_wav/ go (default: data; not of KEMDy19: data/<name>)")
    files: str = option("link", "what txt_wav/ gets", choices=["link", "copy"])
    check: bool = option(False, "only check the corpus; nothing is written")
    keep_unlabelled: bool = option(False, "keep ties and turns that nobody rated, as context without a label")
    test_dialogues: list[str] = option([], "of a manifest: the dialogues to hold out (default: a fifth is drawn)")
    folds: int | None = option(None, "of a manifest: write so many tables, each of which holds out another share")
    fold_by: str | None = option(
        None, "speaker: no speaker is on both sides (default: dialogue)", choices=["dialogue", "speaker"]
    )
    seed: int | None = option(None, "of the dialogues that are drawn (default: 1004)")

    def __post_init__(self):
        if self.folds is not None and not 2 <= self.folds <= 100:
            raise ValueError(f"--folds {self.folds}: expected 2 to 100")
        if self.folds and self.test_dialogues:
            raise ValueError("--folds: hold out every dialogue once, --test_dialogues some; give one of them")
        if self.fold_by and not self.folds:
            raise ValueError("--fold_by: needs --folds")
        if self.corpus == "manifest" and self.root_path.is_dir():
            raise ValueError(f"--root_path {self.root_path}: is a directory, expected the manifest, a CSV file")
        for name, corpora in ONLY_OF.items():
            value = getattr(self, name)
            if value not in (None, []) and value is not False and self.corpus not in corpora:
                raise ValueError(f"--{name}: goes with --corpus {' or '.join(corpora)}")


def main(argv=None):
    options = parse(PreprocessOptions, argv, __doc__)
    reader = import_module(f"mirai.readers.{READERS[options.corpus]}")
    is_manifest = options.corpus == "manifest"
    source = options.root_path if is_manifest else options.root_path / "wav"
    place = options.save_path
    if place is None and not is_manifest:
        place = REPOSITORY / "data" / ("" if options.corpus == "KEMDy19" else options.corpus)
    if place and not options.check:
        check_output(place, reader.TABLES, source)
    corpus = reader.read_corpus(options)
    findings = corpus.findings
    report = findings.report(every_error=options.check)
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
    if place is None:
        place = REPOSITORY / "data" / corpus.corpus.name
        check_output(place, corpus.tables, source)
    write_outputs(place, corpus, copy=options.files == "copy")
    print(f"wrote {place}/{', '.join(corpus.tables)}, txt_wav/")


if __name__ == "__main__":
    run(main)
