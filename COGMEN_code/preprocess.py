"""Stage 3, step 1: divide the dialogues into train, dev and test, and put their features into arrays.

    python COGMEN_code/preprocess.py --dataset KEMDy19 \\
        --feat_dir ./data/KEMDy19/new_2019cogmen_format_speaker_only_feat.pkl \\
        --res_dir  ./data/KEMDy19/new_2019cogmen_format_speaker_only_feat_preprocessed.pkl
"""

from dataclasses import dataclass
from pathlib import Path

from erc.corpus.corpora import asked_corpus
from erc.corpus.dialogues import SPLITS, read_dialogues, write_preprocessed
from erc.corpus.splits import divide
from erc.files import claim
from erc.options import UserError, option, parse, run

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
        if self.split_utterances is not None and self.split_utterances < 1:
            raise ValueError(f"--split_utterances {self.split_utterances}: expected at least 1")
        if self.dev_sessions and self.seed is not None:
            raise ValueError("--seed draws the dev dialogues, but --dev_sessions names them: give one of the two")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    with claim(options.res_dir):
        make(options)


def make(options):
    file = read_dialogues(options.feat_dir, asked_corpus(options.dataset))
    corpus = file.corpus
    if (options.text_feature or corpus.text_feature) == "sbert":
        embed_texts(file.dialogues, options)
    if not file.dialogues[0].features:
        advice = "run MIRAI/feature_extractor_cogmen_format.py first, or give --text_feature sbert"
        raise UserError(f"{options.feat_dir}: no embeddings; {advice}")
    sizes = {modality: rows.shape[1] for modality, rows in file.dialogues[0].features.items()}
    splits = divide(file, corpus, options.dev_sessions, options.seed)
    if size := options.split_utterances:
        splits = {name: [chunk for one in splits[name] for chunk in one.chunks(size)] for name in SPLITS}
    write_preprocessed(options.res_dir, splits, corpus)
    for name in SPLITS:
        print(f"{name:5}  {len(splits[name]):4} dialogues  {sum(map(len, splits[name])):6} turns")
    if unused := len(file.dialogues) - len(file.train_ids) - len(file.test_ids):
        print(f"left out: {unused} dialogues that are neither among the training nor among the test ids")
    print("feature sizes:", ", ".join(f"{modality} {size}" for modality, size in sizes.items()))
    print(f"wrote {options.res_dir}")


def embed_texts(dialogues, options):
    """Give the turns the SBERT embeddings of their sentences as text features."""
    import numpy as np

    from cogmen.sbert import embed_sentences  # only here, so that nothing else loads a model

    sentences = [sentence for dialogue in dialogues for sentence in dialogue.sentences]
    vectors = embed_sentences(sentences, options.sbert, options.device)
    ends = np.cumsum([len(dialogue) for dialogue in dialogues])
    for dialogue, rows in zip(dialogues, np.split(vectors, ends[:-1]), strict=True):
        dialogue.features["t"] = rows


if __name__ == "__main__":
    run(main)
