"""Stage 3, step 1: divide the dialogues into train, dev and test, and put their features into arrays.

    python COGMEN_code/preprocess.py --dataset KEMDy19 \\
        --feat_dir ./data/KEMDy19/new_2019cogmen_format_speaker_only_feat.pkl \\
        --res_dir  ./data/KEMDy19/new_2019cogmen_format_speaker_only_feat_preprocessed.pkl

Of a folder of shards (cogmen_formatting.py --shards) it makes a folder of as many, one after another.
"""

from dataclasses import dataclass
from pathlib import Path

from cogmen.preprocessing import preprocess
from erc.corpus.corpora import SPLITS
from erc.corpus.shards import shard_folder
from erc.files import claim
from erc.options import option, parse, run

_FEATURES = "data/KEMDy19/new_2019cogmen_format_speaker_only_feat"


@dataclass
class Options:
    feat_dir: Path = option(f"{_FEATURES}.pkl", "dialogue file with embeddings, as the extraction script writes it")
    res_dir: Path = option(f"{_FEATURES}_preprocessed.pkl", "the file to write")
    dataset: str | None = option(None, "corpus, where the file does not say (then KEMDy19)", name=True)
    text_feature: str | None = option(
        None,
        "text features: the file's, or a fresh SBERT embedding of each sentence (default: sbert for IEMOCAP and mosei)",
        choices=("extractor", "sbert"),
    )
    sbert: str = option(
        "sentence-transformers/paraphrase-distilroberta-base-v1",
        "hub name or directory of the model of --text_feature sbert",
    )
    dev_sessions: list[int] = option(
        [], "sessions whose dialogues are dev; without it, the first 10% of the training ids"
    )
    split_utterances: int | None = option(None, "cut dialogues into consecutive chunks of at most so many turns")
    seed: int | None = option(None, "draw the 10% of dev dialogues at random with this seed")
    device: str = option("auto", "where the SBERT runs: auto, cpu, cuda or cuda:N")

    def __post_init__(self):
        if self.res_dir.resolve() == self.feat_dir.resolve():
            raise ValueError(f"--res_dir {self.res_dir}: is --feat_dir itself; give another name")
        if self.split_utterances is not None and self.split_utterances < 1:
            raise ValueError(f"--split_utterances {self.split_utterances}: expected at least 1")
        if self.dev_sessions and self.seed is not None:
            raise ValueError("--seed draws the dev dialogues, but --dev_sessions names them: give one of the two")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    with (shard_folder if options.feat_dir.is_dir() else claim)(options.res_dir) as folder:
        made = preprocess(options, folder)
    for name in SPLITS:
        print(f"{name:5}  {made.dialogues[name]:4} dialogues  {made.turns[name]:6} turns")
    if made.unused:
        print(f"left out: {made.unused} dialogues that are neither among the training nor among the test ids")
    print("feature sizes:", ", ".join(f"{modality} {size}" for modality, size in made.sizes.items()))
    print(f"wrote {options.res_dir}")


if __name__ == "__main__":
    run(main)
