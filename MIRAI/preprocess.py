"""Stage 1, step 1: KEMDy19's raw directory to the annotation tables and a flat folder of speech and transcripts.

    python MIRAI/preprocess.py --root_path KEMDy19 --save_path ./data/

Writes SAVE_PATH/annotation.csv, SAVE_PATH/annotation_speaker_only.csv and SAVE_PATH/txt_wav/ (links to the corpus, or
copies), and prints how many rows each step leaves. Running it again is fine.
"""

from dataclasses import dataclass
from pathlib import Path

from cogmen.options import option, parse, run
from mirai.annotations import write_annotations
from mirai.raw_corpus import Findings, choose, place_files, read_rows, show_funnel, usable_files

SHOWN = 20  # utterances left out that are listed; a corpus with more has one common reason


@dataclass
class PreprocessOptions:
    root_path: Path = option(help="KEMDy19's directory, with annotation/ and wav/ in it")
    save_path: Path = option("data", "where the tables and txt_wav/ go")
    files: str = option("link", "what txt_wav/ gets", choices=["link", "copy"])


def main(argv=None):
    options = parse(PreprocessOptions, argv, __doc__)
    findings = Findings()
    total, rows = read_rows(options.root_path, findings)
    every, speaker_only, funnel = choose(
        total, rows, lambda first: usable_files(options.root_path, first.values(), findings)
    )
    place_files(options.root_path, every, options.save_path / "txt_wav", copy=options.files == "copy")
    write_annotations(options.save_path / "annotation.csv", [row.cells for row in every])
    write_annotations(options.save_path / "annotation_speaker_only.csv", [row.cells for row in speaker_only])

    print(show_funnel(funnel))
    for warning in findings.warnings:
        print(f"note: {warning}")
    for text, count in findings.counts.items():
        if count:
            print(f"note: {count} {text}")
    if findings.left_out:
        print(f"left out ({len(findings.left_out)}):")
        print("\n".join(f"  {text}" for text in findings.left_out[:SHOWN]))
        if len(findings.left_out) > SHOWN:
            print(f"  and {len(findings.left_out) - SHOWN} more")
    print(f"wrote {options.save_path}/annotation.csv, annotation_speaker_only.csv, txt_wav/")


if __name__ == "__main__":
    run(main)
