"""Stage 3, step 1: divide the dialogues into train, dev and test, and put their features into arrays.

    python COGMEN_code/preprocess.py --dataset KEMDy19 \\
        --feat_dir ./data/KEMDy19/new_2019cogmen_format_speaker_only_feat.pkl \\
        --res_dir  ./data/KEMDy19/new_2019cogmen_format_speaker_only_feat_preprocessed.pkl
"""

from dataclasses import dataclass
from pathlib import Path

from erc.corpus.corpora import CORPORA
from erc.corpus.dialogues import read_dialogues
from erc.corpus.preprocessed import SPLITS, preprocess, split_ids, write_preprocessed
from erc.files import claim
from erc.options import option, parse, run

_FEATURES = "data/KEMDy19/new_2019cogmen_format_speaker_only_feat"


@dataclass
class Options:
    feat_dir: Path = option(f"{_FEATURES}.pkl", "dialogue file with embeddings, as the extraction script writes it")
    res_dir: Path = option(f"{_FEATURES}_preprocessed.pkl", "the file to write")
    dataset: str = option("KEMDy19", "corpus, for its emotions and speakers", choices=sorted(CORPORA))
    text_feature: str | None = option(
        None,
        "text features: the file's, or a fresh SBERT embedding of each sentence (default: sbert for IEMOCAP)",
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
        if self.split_utterances is not None and self.split_utterances < 1:
            raise ValueError(f"--split_utterances {self.split_utterances}: expected at least 1")
        if self.dev_sessions and self.seed is not None:
            raise ValueError("--seed draws the dev dialogues, but --dev_sessions names them: give one of the two")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    with claim(options.res_dir):
        make(options)


def make(options):
    corpus = CORPORA[options.dataset]
    dialogues = read_dialogues(options.feat_dir, corpus)
    if (options.text_feature or corpus.text_feature) == "sbert":
        from cogmen.sbert import embed_sentences  # only here, so that nothing else loads a model

        dialogues.text = embed_sentences(dialogues.sentences, options.sbert, options.device)
    ids = split_ids(dialogues, options.dev_sessions, options.seed)
    splits = preprocess(dialogues, corpus, ids, options.split_utterances)
    write_preprocessed(options.res_dir, splits)
    for split in SPLITS:
        turns = sum(len(record["labels"]) for record in splits[split])
        print(f"{split:5}  {len(splits[split]):4} dialogues  {turns:6} turns")
    if unused := len(dialogues.ids) - len(dialogues.train_ids) - len(dialogues.test_ids):
        print(f"left out: {unused} dialogues that are neither among the training nor among the test ids")
    sizes = {modality: splits["train"][0][modality].shape[1] for modality in "atv" if modality in splits["train"][0]}
    print("feature sizes:", ", ".join(f"{modality} {size}" for modality, size in sizes.items()))
    print(f"wrote {options.res_dir}")


if __name__ == "__main__":
    run(main)
