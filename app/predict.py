"""The emotion of every turn of one's own conversation, with a report to hear, see and correct: docs/app.md.

    python app/predict.py call.wav --channels M F --out report

Turns are found where someone speaks on a channel; --turns FILE says when, who and what instead. Writes turns.csv,
turns.json and report.html, one page that opens from the disk in any browser. Without --extractor and --cgnn the sample
models answer, which know synthetic voices only. With --watch it answers turn by turn: docs/online.md.
"""

import sys

from conversation.options import PredictOptions
from erc.options import parse, run


def main(argv=None):
    options = parse(PredictOptions, argv, __doc__)
    if options.watch:
        from conversation.watch import watch

        watch(options, sys.stdin.buffer, sys.stdout)
        return
    from conversation.predict import predict_into, summary

    data = predict_into(options)
    for note in data["notes"]:
        print(f"note: {note['en']}", file=sys.stderr)
    if not options.quiet:
        print(summary(data))
        print(f"wrote turns.csv, turns.json and report.html to {options.out}")


if __name__ == "__main__":
    run(main)
