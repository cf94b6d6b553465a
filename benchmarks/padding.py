"""What attending to padding does: the graph network with and without its mask, scored with and without padding.

    python benchmarks/padding.py --dataset iemocap --preprocessed_feature IEMOCAP_p.pkl --seeds 24 26

The context is PyTorch's own encoder on padded batches. Scored after each of the last 15 epochs, whose mean counts: in
the usual batches, and one dialogue at a time, where there is no padding. Also the share of each dev dialogue's turns
that are right.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from cogmen.network.model import FEED_FORWARD_WIDTH, num_heads
from cogmen.options import TrainOptions
from cogmen.run import build_network, prepare
from cogmen.training import dialogue_set, predict, train
from erc.corpus.corpora import CORPORA
from erc.corpus.metrics import scores
from erc.options import option, parse, run

LAST = 15  # epochs that count


@dataclass
class Options:
    preprocessed_feature: Path = option(help="what preprocess.py wrote")
    dataset: str = option("iemocap", "corpus, for its emotions and speakers", choices=sorted(CORPORA))
    modalities: str = option("t", "features to use")
    seeds: list[int] = option([24, 26], "of weights, dropout and order")
    epochs: int = option(55, "passes over the training dialogues")
    batch_size: int = option(32, "dialogues in a batch")


class PaddedContext(nn.Module):
    """A transformer context over padded dialogues, which attends to the padding or not."""

    def __init__(self, a, masked):
        super().__init__()
        self.width, self.masked = a.hidden_size, masked
        shape = (a.feature_size, num_heads(a.feature_size), FEED_FORWARD_WIDTH, a.drop_rate)
        layer = nn.TransformerEncoderLayer(*shape, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, a.seqcontext_nlayer, enable_nested_tensor=False)
        self.out = nn.Linear(a.feature_size, a.hidden_size)

    def forward(self, turns, layout):
        padding = ~layout.mask if self.masked else None
        return self.out(layout.unpad(self.layers(layout.pad(turns), src_key_padding_mask=padding)))


def main(argv=None):
    options = parse(Options, argv, __doc__)
    data = prepare(train_options(options, seed=0))
    turns_right = {}
    print("| mask | seed | dev, batches | dev, one by one | test, batches | test, one by one |")
    print("| --- " * 6 + "|")
    for seed in options.seeds:
        for masked in (True, False):
            weighted_f1, turns_right[seed, masked] = train_and_score(train_options(options, seed), data, masked)
            cells = " | ".join(f"{100 * value:.1f}" for value in weighted_f1)
            print(f"| {'masked' if masked else 'unmasked'} | {seed} | {cells} |", flush=True)
    print("\n| dev dialogue | turns | right, masked | right, unmasked |\n| --- | --- | --- | --- |")
    for place, dialogue in enumerate(data.dialogues["dev"]):
        right = (np.mean([turns_right[seed, masked][place] for seed in options.seeds]) for masked in (True, False))
        print(f"| {dialogue.id} | {len(dialogue)} | " + " | ".join(f"{100 * value:.0f}" for value in right) + " |")


def train_options(options, seed):
    shared = {name: value for name, value in vars(options).items() if name != "seeds"}
    return TrainOptions(from_begin=True, device="cpu", seed=seed, **shared)


def train_and_score(options, data, masked):
    """Weighted F1 (4,) on dev and test, in batches and one by one; and each dev dialogue's share of right turns."""
    network = build_network(options, data)
    network.rnn = PaddedContext(network.architecture, masked)
    dev, test = (
        dialogue_set(data.dialogues[name], network, data.corpus, options, data.device) for name in ("dev", "test")
    )
    results, right = [], []

    def score(row):
        if row["epoch"] <= options.epochs - LAST:
            return
        results.append([])
        for dialogues, size in ((dev, options.batch_size), (dev, 1), (test, options.batch_size), (test, 1)):
            log_probs, labels = predict(network, dialogues, size)
            predictions = log_probs.argmax(1)
            results[-1].append(scores(labels, predictions, range(len(data.corpus.emotions)))["weighted_f1"])
            if dialogues is dev and size != 1:
                lengths = dev.lengths.tolist()
                right.append([own.float().mean().item() for own in (predictions == labels).split(lengths)])

    train(network, data.dialogues["train"], data.dialogues["dev"], data.corpus, options, data.device, score)
    return np.mean(results, axis=0), np.mean(right, axis=0)


if __name__ == "__main__":
    run(main)
