"""A second, naive training of the graph network: what train.py must do, option by option, in one plain loop.

It takes the dialogue file's ten items, and of the program only the network itself, without dropout.
"""

from functools import partial
from types import SimpleNamespace

import torch
from sklearn.metrics import f1_score
from torch.nn.utils.rnn import pad_sequence

from cogmen.network.model import CGNN, Architecture
from tests.oracles import naive_graph

# Rounded as in the program: Adam makes whole steps of gradients that are 0 but for rounding (biases before BatchNorm).
OPTIMIZERS = {
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True),
    "sgd": partial(torch.optim.SGD, fused=True),
    "rmsprop": torch.optim.RMSprop,
}


class Layout:
    """Dialogues of these lengths, packed or each in a row of its own."""

    def __init__(self, lengths):
        self.lengths = torch.tensor(lengths)
        self.mask = torch.arange(max(lengths)) < self.lengths[:, None]

    def pad(self, turns):
        return pad_sequence(turns.split(self.lengths.tolist()), batch_first=True)

    def unpad(self, rows):
        return torch.cat([row[:length] for row, length in zip(rows, self.lengths.tolist(), strict=True)])


def batch_of(items, ids, wp, wf):
    """Dialogues as the network takes them: audio before text, M = 0, F = 1."""
    _, speakers, labels, text, audio, *_ = items
    lengths = [len(labels[name]) for name in ids]
    numbers = ["MF".index(speaker) for name in ids for speaker in speakers[name]]
    edges, relations = naive_graph(lengths, numbers, wp, wf, num_speakers=2)
    rows = [[*a, *t] for name in ids for a, t in zip(audio[name], text[name], strict=True)]
    return SimpleNamespace(
        features=torch.tensor(rows, dtype=torch.float32),
        labels=torch.tensor([label for name in ids for label in labels[name]]),
        edge_index=torch.tensor(edges).T.contiguous(),
        edge_type=torch.tensor(relations),
        layout=Layout(lengths),
    )


def naive_training(
    items,
    epochs,
    batch_size=8,
    optimizer="adam",
    scheduler=None,
    learning_rate=0.003,
    weight_decay=1e-8,
    max_grad_value=None,
    class_weight=False,
    wp=5,
    wf=5,
    seed=24,
    watched="dev_loss",
):
    """Train as the options say; `watched` is the column of the history that reduceLR looks at.

    Returns:
        namespace: `history`, a dict per epoch; `rates`, the learning rate of each; of the first epoch of the best dev
        weighted F1 `epoch` and, of the test dialogues' turns, `probabilities`.
    """
    ids, test_ids = items[7], items[8]
    dev_ids, train_ids = ids[: len(ids) // 10], ids[len(ids) // 10 :]
    train, dev, test = (batch_of(items, names, wp, wf) for names in (train_ids, dev_ids, test_ids))
    torch.manual_seed(seed)
    network = CGNN(Architecture(train.features.shape[1], 7, 2, rnn="gru", hidden_size=8, drop_rate=0.0))
    optimizer = OPTIMIZERS[optimizer](network.parameters(), lr=learning_rate, weight_decay=weight_decay)
    if scheduler == "reduceLR":
        plan = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    else:
        plan = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9 if scheduler == "expLR" else 1.0)
    counts = torch.tensor([(train.labels == emotion).sum() for emotion in range(7)])
    loss_of = torch.nn.NLLLoss(len(train.labels) / counts if class_weight else None)
    shuffler = torch.Generator().manual_seed(seed)
    result = SimpleNamespace(history=[], rates=[], epoch=0)
    best = -1
    for epoch in range(1, epochs + 1):
        result.rates.append(optimizer.param_groups[0]["lr"])
        network.train()
        order, losses = torch.randperm(len(train_ids), generator=shuffler).tolist(), []
        for first in range(0, len(order), batch_size):
            batch = batch_of(items, [train_ids[k] for k in order[first : first + batch_size]], wp, wf)
            loss = loss_of(network(batch), batch.labels)
            optimizer.zero_grad()
            loss.backward()
            if max_grad_value:
                for weights in network.parameters():
                    weights.grad.clamp_(-max_grad_value, max_grad_value)
            optimizer.step()
            losses += [loss.item()] * len(batch.labels)
        network.eval()
        with torch.no_grad():
            log_probs = network(dev)
        found = log_probs.argmax(1)
        row = {
            "epoch": epoch,
            "train_loss": sum(losses) / len(losses),
            "dev_loss": loss_of(log_probs, dev.labels).item(),
            "dev_accuracy": (found == dev.labels).float().mean().item(),
            "dev_weighted_f1": f1_score(dev.labels, found, average="weighted", zero_division=0),
        }
        result.history.append(row)
        if scheduler == "reduceLR":
            plan.step(row[watched])
        else:
            plan.step()
        if row["dev_weighted_f1"] > best:
            best, result.epoch = row["dev_weighted_f1"], epoch
            with torch.no_grad():
                result.probabilities = network(test).exp()
    return result
