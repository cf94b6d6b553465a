"""Stage 3, step 3: score a checkpoint on the test dialogues.

    python COGMEN_code/eval.py --dataset KEMDy19 --modalities at --pt_dir CKPT.pt \\
        --data_dir ./data/KEMDy19/new_2019cogmen_format_speaker_only_feat_preprocessed.pkl

With --out_dir it writes metrics.json, predictions.csv (a row per utterance) and confusion_matrix.png there.
"""

from dataclasses import dataclass
from pathlib import Path

from cogmen.checkpoints import check_fits, load_checkpoint
from cogmen.network.batching import DialogueSet, add_absent
from cogmen.training import MODALITY_SETS, predict
from erc.corpus.corpora import asked_corpus
from erc.corpus.dialogues import read_preprocessed, use_modalities
from erc.corpus.metrics import report, scores, write_evaluation
from erc.files import claim
from erc.options import option, parse, run
from erc.runtime import find_device


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
    out_dir: Path | None = option(None, "folder for metrics.json, predictions.csv and confusion_matrix.png")
    device: str = option("auto", "auto, cpu, cuda or cuda:N")

    def __post_init__(self):
        if self.batch_size < 1:
            raise ValueError(f"--batch_size {self.batch_size}: expected at least 1")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    with claim(options.out_dir, folder=True):
        evaluate(options)


def evaluate(options):
    device = find_device(options.device)
    checkpoint = load_checkpoint(options.pt_dir)
    splits, corpus = read_preprocessed(options.data_dir, asked_corpus(options.dataset))
    modalities = options.modalities or checkpoint.modalities
    sizes = use_modalities(options.data_dir, splits, modalities)
    check_fits(options.pt_dir, checkpoint, corpus, modalities, sizes)
    network, windows = checkpoint.network.to(device), checkpoint.windows
    num_speakers = network.architecture.num_speakers
    add_absent(splits["test"], checkpoint.feature_sizes)
    test = DialogueSet(
        splits["test"], checkpoint.modalities, corpus, windows["wp"], windows["wf"], num_speakers, device
    )
    log_probs, labels = predict(network, test, options.batch_size)
    probabilities = log_probs.exp().numpy()
    if options.out_dir is None:
        result = scores(labels, probabilities.argmax(1), corpus.emotions)
    else:
        turns = (turn for dialogue in splits["test"] for turn in dialogue.turns())
        result = write_evaluation(options.out_dir, turns, probabilities, corpus.emotions)
    print(report(result))
    if options.out_dir:
        print(f"wrote metrics.json, predictions.csv and confusion_matrix.png to {options.out_dir}")


if __name__ == "__main__":
    run(main)
