"""Make a small synthetic corpus in KEMDy19's shape, or KEMDy20's, so that everything runs without KEMDy19.

    python MIRAI/make_sample_corpus.py --out data/sample/corpus

writes 20 sessions (about 1,600 utterances, 45 minutes of eSpeak NG's Korean voice) and two small untrained encoders in
about two minutes. Its README.md tells what is planted in it.
"""

from dataclasses import dataclass
from pathlib import Path

from erc.options import option, parse, run
from mirai.sample.corpus import SHAPES, new_directory, write_corpus


@dataclass
class Options:
    out: Path = option(help="directory to make")
    shape: str = option(SHAPES[0], "the corpus whose folders, names and formats it has", choices=SHAPES)
    sessions: int = option(20, "sessions, at most 99, each with one female and one male actor")
    seed: int = option(0, "the same seed gives the same files")
    turns: list[int] = option([16, 24], "fewest and most turns of a dialogue")
    scripts: int = option(2, "dialogues of a session with the same lines in every session")
    impros: int = option(2, "dialogues of a session with lines of their own")
    test_sessions: list[int] | None = option(None, "sessions hidden from the tokenizer; the last two if not given")
    guessed_turns: float = option(0.0, "share of the turns whose emotion most raters guess: docs/soft_labels.md")
    workers: int | None = option(None, "processes; one per CPU if not given")
    overwrite: bool = option(False, "replace the sample corpus in --out")

    def __post_init__(self):
        if not 1 <= self.sessions <= 99:
            raise ValueError(f"--sessions {self.sessions}: expected 1 to 99")
        if len(self.turns) != 2 or not 1 <= self.turns[0] <= self.turns[1]:
            raise ValueError(f"--turns {' '.join(map(str, self.turns))}: expected two numbers, such as 16 24")
        for flag in ("scripts", "impros"):
            if not 0 <= getattr(self, flag) <= 99:
                raise ValueError(f"--{flag} {getattr(self, flag)}: expected 0 to 99")
        if self.scripts + self.impros == 0:
            raise ValueError("--scripts 0 --impros 0: expected at least one dialogue")
        if self.shape == "KEMDy20" and self.scripts + self.impros > 99:
            raise ValueError(f"--scripts {self.scripts} --impros {self.impros}: KEMDy20 numbers them all, up to 99")
        if not 0 <= self.guessed_turns <= 1:
            raise ValueError(f"--guessed_turns {self.guessed_turns}: expected a share of 0 to 1")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"--workers {self.workers}: expected at least 1")
        if self.test_sessions is None:
            self.test_sessions = list(range(max(self.sessions - 1, 2), self.sessions + 1))
        if set(self.test_sessions) - set(range(1, self.sessions + 1)):
            raise ValueError(f"--test_sessions {self.test_sessions}: the sessions are 1 to {self.sessions}")
        if len(set(self.test_sessions)) == self.sessions:
            raise ValueError("--test_sessions: leaves no session for training")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    with new_directory(options.out, options.overwrite) as folder:
        counts = write_corpus(
            folder,
            options.sessions,
            options.seed,
            options.scripts,
            options.impros,
            tuple(options.turns),
            tuple(options.test_sessions),
            options.workers,
            options.shape,
            options.guessed_turns,
        )
    print(f"{options.out}: {len(counts)} sessions, {sum(counts.values())} utterances; README.md tells what is planted")


if __name__ == "__main__":
    run(main)
