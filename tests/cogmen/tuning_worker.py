"""tune.py with a trainer that takes no time, as the tests of several processes need it.

    python -m tests.cogmen.tuning_worker TRIALS_BEFORE_IT_HANGS [option of tune.py]...

The trial after TRIALS_BEFORE_IT_HANGS reports one epoch, says so, and then waits for its input to end; -1: none does.
The process ends after `LIMIT` seconds.
"""

import signal
import sys

from cogmen.tuning.options import TuneOptions
from cogmen.tuning.search import search
from erc.options import given, parse

LIMIT = 240


def made_up(network, train_dialogues, dev_dialogues, corpus, options, device, on_epoch):
    """A trainer whose score depends on the dropout alone."""
    scores = [options.drop_rate * epoch / options.epochs for epoch in range(1, options.epochs + 1)]
    for epoch, score in enumerate(scores, 1):
        on_epoch({"epoch": epoch, "dev_weighted_f1": score})
    return len(scores), scores[-1], []


def main(left, argv):
    def hanging(*arguments):
        nonlocal left
        left -= 1

        def report(row):
            on_epoch(row)
            if left == -1:
                print("hanging", flush=True)
                sys.stdin.read()

        *arguments, on_epoch = arguments
        return made_up(*arguments, report)

    search(parse(TuneOptions, argv, __doc__), given(TuneOptions, argv), hanging)


if __name__ == "__main__":
    signal.alarm(LIMIT)
    main(int(sys.argv[1]), sys.argv[2:])
