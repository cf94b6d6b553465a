"""What attending to padding does: the graph network with and without its mask, scored with and without padding.

    python benchmarks/padding.py --dataset iemocap --preprocessed_feature IEMOCAP_p.pkl --seeds 24 26

The context is PyTorch's own encoder on padded batches. Scored after each of the last 15 epochs, whose mean counts: in
the usual batches, and one dialogue at a time, where there is no padding. Also the share of each dev dialogue's turns
that are right.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import trange

from cogmen.network.batching import DialogueSet
from cogmen.network.model import CGNN, FEED_FORWARD_WIDTH, Architecture, num_heads
from cogmen.training import TrainOptions, predict, seed_everything
from erc.corpus.corpora import CORPORA
from erc.corpus.dialogues import SPLITS, read_preprocessed
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
    splits = read_preprocessed(options.preprocessed_feature, CORPORA[options.dataset])
    turns_right = {}
    print("| mask | seed | dev, batches | dev, one by one | test, batches | test, one by one |")
    print("| --- " * 6 + "|")
    for seed in options.seeds:
        for masked in (True, False):
            weighted_f1, turns_right[seed, masked] = train(options, splits, seed, masked)
            cells = " | ".join(f"{100 * value:.1f}" for value in weighted_f1)
            print(f"| {'masked' if masked else 'unmasked'} | {seed} | {cells} |", flush=True)
    print("\n| dev dialogue | turns | right, masked | right, unmasked |\n| --- | --- | --- | --- |")
    for place, dialogue in enumerate(splits["dev"]):
        right = (np.mean([turns_right[seed, masked][place] for seed in options.seeds]) for masked in (True, False))
        print(f"| {dialogue.id} | {len(dialogue)} | " + " | ".join(f"{100 * value:.0f}" for value in right) + " |")


def train(options, splits, seed, masked):
    """Weighted F1 (4,) on dev and test, in batches and one by one; and each dev dialogue's share of right turns."""
    corpus = CORPORA[options.dataset]
    chosen = TrainOptions(from_begin=True)
    num_speakers = corpus.count_speakers([dialogue for name in SPLITS for dialogue in splits[name]])
    train_set, *scored = (
        DialogueSet(splits[name], options.modalities, corpus, chosen.wp, chosen.wf, num_speakers) for name in SPLITS
    )
    seed_everything(seed)
    width = splits["train"][0].joined(options.modalities).shape[1]
    network = CGNN(Architecture.from_options(chosen, width, len(corpus.emotions), num_speakers))
    network.rnn = PaddedContext(network.architecture, masked)
    optimizer = torch.optim.Adam(network.parameters(), lr=chosen.learning_rate, weight_decay=chosen.weight_decay)
    order, results, right = torch.Generator().manual_seed(seed), [], []
    for epoch in trange(options.epochs, desc=f"seed {seed}, {'masked' if masked else 'unmasked'}", disable=None):
        network.train()
        for numbers in train_set.order(options.batch_size, order):
            batch = train_set.batch(numbers)
            loss = F.nll_loss(network(batch), batch.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch < options.epochs - LAST:
            continue
        results.append([])
        for dialogues in scored:
            for size in (options.batch_size, 1):
                log_probs, labels = predict(network, dialogues, size)
                predictions = log_probs.argmax(1)
                results[-1].append(scores(labels, predictions, range(len(corpus.emotions)))["weighted_f1"])
                if dialogues is scored[0] and size == options.batch_size:
                    lengths = dialogues.lengths.tolist()
                    right.append([own.float().mean().item() for own in (predictions == labels).split(lengths)])
    return np.mean(results, axis=0), np.mean(right, axis=0)


if __name__ == "__main__":
    run(main)
