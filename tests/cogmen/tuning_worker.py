"""A process that searches with a training that takes no time, as the tests of several processes need it.

    python -m tests.cogmen.tuning_worker TRIALS_BEFORE_IT_HANGS [option of tune.py]...

It prints a line for every trial that it begins. The trial after TRIALS_BEFORE_IT_HANGS reports one epoch, says so, and
then waits for ever; -1: none does.
"""

import sys

import cogmen.tuning.search
from tests.conftest import load_script

left = int(sys.argv[1])


def made_up(network, train_dialogues, dev_dialogues, options, device, on_epoch):
    global left
    print("begun", flush=True)
    left -= 1
    scores = [options.drop_rate * epoch / options.epochs for epoch in range(1, options.epochs + 1)]
    for epoch, score in enumerate(scores, 1):
        on_epoch({"epoch": epoch, "dev_weighted_f1": score})
        if left == -1:
            print("hanging", flush=True)
            sys.stdin.read()
    return len(scores), scores[-1], []


cogmen.tuning.search.train = made_up
load_script("COGMEN_code/tune.py").main(sys.argv[2:])
