"""Stage 3, step 3: score a checkpoint on the test dialogues.

    python COGMEN_code/eval.py --dataset KEMDy19 --modalities at --pt_dir CKPT.pt \\
        --data_dir ./data/KEMDy19/new_2019cogmen_format_speaker_only_feat_preprocessed.pkl

What a network of a corpus with several tasks (mosei) has learnt, its checkpoint says.
With --out_dir it writes metrics.json, predictions.csv (a row per utterance) and confusion_matrix.png there.
"""

from dataclasses import dataclass
from pathlib import Path

from cogmen.checkpoints import check_fits, load_checkpoint
from cogmen.network.batching import DialogueSet, add_absent
from cogmen.training import MODALITY_SETS, decide, predict
from erc.corpus.corpora import asked_corpus
from erc.corpus.dialogues import read_preprocessed, use_modalities
from erc.corpus.metrics import report, scores, write_evaluation, write_multilabel_evaluation
from erc.corpus.targets import take_task
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
    splits, corpus = read_preprocessed(options.data_dir, asked_corpus(options.dataset), lazy=True)
    if checkpoint.dataset == corpus.name:  # else it is refused below
        corpus = take_task(options.data_dir, splits, corpus, checkpoint.emotion)
    modalities = options.modalities or checkpoint.modalities
    sizes = use_modalities(options.data_dir, splits, modalities)
    check_fits(options.pt_dir, checkpoint, corpus, modalities, sizes)
    network, windows = checkpoint.network.to(device), checkpoint.windows
    a = network.architecture
    add_absent(splits["test"], checkpoint.feature_sizes)
    test = DialogueSet(
        *(splits["test"], checkpoint.modalities, corpus, windows["wp"], windows["wf"]),
        *(a.num_speakers, device, a.relations),
    )
    outputs, labels = predict(network, test, options.batch_size)
    if options.out_dir is None:
        result = scores(labels, decide(outputs, corpus), corpus.emotions)
    else:
        turns = (turn for dialogue in splits["test"] for turn in dialogue.turns())
        write = write_multilabel_evaluation if corpus.multilabel else write_evaluation
        probabilities = outputs.double().sigmoid() if corpus.multilabel else outputs.exp()
        result = write(options.out_dir, turns, probabilities.numpy(), corpus.emotions)
    print(report(result, corpus.headline))
    if options.out_dir:
        print(f"wrote metrics.json, predictions.csv and confusion_matrix.png to {options.out_dir}")


if __name__ == "__main__":
    run(main)
