"""Stage 3, step 3: score a checkpoint on the test dialogues.

    python COGMEN_code/eval.py --dataset KEMDy19 --modalities at --pt_dir CKPT.pt \\
        --data_dir ./data/KEMDy19/new_2019cogmen_format_speaker_only_feat_preprocessed.pkl

What a network of a corpus with several tasks (mosei) has learnt, its checkpoint says.
With --out_dir it writes metrics.json, predictions.csv (a row per utterance, its probabilities at the temperature that
training fitted on the dev dialogues), and as PNG and SVG confusion_matrix, confidence (reliability; coverage and risk)
and timelines (a row of turns for each speaker of a dialogue).
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cogmen.options import MODALITY_SETS
from erc.files import claim
from erc.options import option, parse, run


@dataclass
class Options:
    pt_dir: Path = option(help="checkpoint written by train.py")
    data_dir: Path = option(
        "data/KEMDy19/new_2019cogmen_format_speaker_only_feat_preprocessed.pkl", "what preprocess.py wrote"
    )
    dataset: str | None = option(None, "corpus, where the file does not say (then KEMDy19)", name=True)
    modalities: str | None = option(
        None,
        "refuse a checkpoint of other modalities; one of --recipe improved may have more (default: the checkpoint's)",
        choices=MODALITY_SETS,
    )
    batch_size: int = option(64, "dialogues in a batch; the scores do not depend on it")
    out_dir: Path | None = option(None, "folder for metrics.json, predictions.csv and pictures")
    device: str = option("auto", "auto, cpu, cuda or cuda:N")

    def __post_init__(self):
        if self.batch_size < 1:
            raise ValueError(f"--batch_size {self.batch_size}: expected at least 1")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    with claim(options.out_dir, folder=True):
        evaluate(options)


def evaluate(options):
    import numpy as np

    from cogmen.checkpoints import check_fits, load_checkpoint
    from cogmen.feelings import predict_feelings, ratings_of
    from cogmen.network.batching import add_absent
    from cogmen.training import decide, predict
    from erc.corpus.corpora import asked_corpus
    from erc.corpus.dialogues import read_preprocessed, use_modalities
    from erc.corpus.feelings import feeling_scores, feeling_summary
    from erc.corpus.metrics import check_labelled, report, scores
    from erc.corpus.targets import take_task
    from erc.runtime import find_device
    from erc.scoring.evaluation import FILES, write_evaluation, write_multilabel_evaluation

    device = find_device(options.device)
    checkpoint = load_checkpoint(options.pt_dir)
    splits, corpus = read_preprocessed(options.data_dir, asked_corpus(options.dataset), lazy=True)
    if checkpoint.dataset == corpus.name:  # else it is refused below
        corpus = take_task(options.data_dir, splits, corpus, checkpoint.emotion)
    modalities = options.modalities or checkpoint.modalities
    sizes = use_modalities(options.data_dir, splits, modalities)
    check_fits(options.pt_dir, checkpoint, corpus, modalities, sizes)
    check_labelled(options.data_dir, "test", splits["test"])
    add_absent(splits["test"], checkpoint.feature_sizes)
    test = checkpoint.dialogue_set(splits["test"], corpus, device)
    network = checkpoint.network.to(device)
    outputs, labels = predict(network, test, options.batch_size)
    felt = None
    if network.architecture.valence_arousal:
        felt = np.concatenate(ratings_of(splits["test"])), predict_feelings(network, test, options.batch_size)
    if options.out_dir is None:
        result = scores(labels, decide(outputs, corpus), corpus.emotions)
    else:
        turns = (turn for dialogue in splits["test"] for turn in dialogue.turns())
        write = write_multilabel_evaluation if corpus.multilabel else partial(write_evaluation, feelings=felt)
        result = write(options.out_dir, turns, checkpoint.probabilities(outputs), corpus.emotions, checkpoint.record())
    print(report(result, corpus.headline))
    if felt:
        print(feeling_summary(feeling_scores(*felt)))
    if options.out_dir:
        print(f"wrote {FILES} to {options.out_dir}")


if __name__ == "__main__":
    run(main)
