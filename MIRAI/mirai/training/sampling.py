"""The batches of an epoch: which utterances share a batch, an optimizer step and a process.

The order of an epoch comes from the seed and the epoch alone, so that a resumed run takes the same steps. Every
utterance is in it once. Utterances are drawn at random into pools; a pool is sorted by length before it is cut, so that
little padding is computed, and the pieces are shuffled. An utterance thus meets others of similar length, but other
ones in every epoch.

- By number: a pool is the utterances of 8 optimizer steps and is cut into steps of `batch_size` x `batches_per_step`
  utterances. Only this product decides which utterances share a step: how a step is divided over batches and processes
  changes nothing but rounding.
- By duration: a batch is filled, the longest utterance first, while (its longest utterance x their number) stays within
  `max_seconds`, padding included. A pool is the utterances of about 64 batches, but at most a quarter of all, so that
  even utterances of nearly the same length are in different batches in most epochs. A step is `batches_per_step`
  batches in random order.

The last step of an epoch may be smaller. It is divided over the processes as evenly as can be; a process for which
nothing is left gets an utterance that counts 0: in no gradient and no metric.
"""

import math

import torch
from torch.utils.data import Sampler

POOLED_STEPS = 8  # optimizer steps whose utterances are sorted by length together
POOLED_BATCHES = 64  # batches of limited duration whose utterances are sorted together
POOLS = 4  # at least, of batches of limited duration


class EpochBatches(Sampler):
    """The batches of this process in an epoch, as lists of places.

    Args:
        lengths: of each utterance; seconds, where `max_seconds` is given.
        batch_size: utterances of a batch, at most; None: no limit.
        batches_per_step: batches of an optimizer step, of all processes together; a multiple of `world_size`.
        seed: with the epoch, decides the order.
        max_seconds: longest duration of a batch, padding included; at least that of the longest utterance.
        rank, world_size: which process this is, of how many.

    Attributes:
        shares: for each batch, how many of its utterances count, and how many do in the whole optimizer step.
    """

    def __init__(self, lengths, batch_size, batches_per_step, seed, max_seconds=None, rank=0, world_size=1):
        self.lengths = torch.as_tensor(lengths)
        self.batch_size, self.max_seconds = batch_size, max_seconds
        self.batches_per_step, self.seed = batches_per_step, seed
        self.rank, self.world_size = rank, world_size
        self.sampler = self  # where Lightning looks for set_epoch
        self.set_epoch(0)

    def set_epoch(self, epoch):
        """Draw the batches of an epoch."""
        generator = torch.Generator().manual_seed(self.seed * 100_003 + epoch)
        order = torch.randperm(len(self.lengths), generator=generator)
        steps = self._steps_by_number if self.max_seconds is None else self._steps_by_duration
        self.batches, self.shares = [], []
        for step in steps(order, generator):
            total = sum(len(batch) for batch in step)
            for batch in step[self.rank :: self.world_size]:
                self.batches.append((batch if len(batch) else step[0][:1]).tolist())
                self.shares.append((len(batch), total))

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        return iter(self.batches)

    def _steps_by_number(self, order, generator):
        """Each optimizer step as its batches, those of all processes."""
        size = self.batch_size * self.batches_per_step
        steps = []
        for pool in order.split(size * POOLED_STEPS):
            pieces = self._sorted(pool).split(size)
            steps += [pieces[k] for k in torch.randperm(len(pieces), generator=generator)]
        steps.sort(key=lambda step: len(step) < size)  # the one that is not full comes last
        for step in steps:
            rounds = math.ceil(len(step) / (self.batch_size * self.world_size))
            yield step.tensor_split(rounds * self.world_size)

    def _steps_by_duration(self, order, generator):
        mean = max(float(self.lengths.double().mean()), 1e-3)
        pools = max(POOLS, round(len(order) * mean / (POOLED_BATCHES * self.max_seconds)))
        batches = []
        for pool in order.tensor_split(min(pools, len(order))):
            pieces = cut(self._sorted(pool), self.lengths, self.batch_size, self.max_seconds)
            batches += [pieces[k] for k in torch.randperm(len(pieces), generator=generator)]
        for first in range(0, len(batches), self.batches_per_step):
            step = batches[first : first + self.batches_per_step]
            while len(step) % self.world_size:
                largest = max(range(len(step)), key=lambda k: len(step[k]))
                step[largest : largest + 1] = step[largest].tensor_split(2)
            yield step

    def _sorted(self, pool):
        return pool[self.lengths[pool].argsort(stable=True)]


def batches_in_order(lengths, batch_size, max_seconds=None, rank=0, world_size=1):
    """The validation batches of this process, as lists of places: sorted by length, then cut."""
    lengths = torch.as_tensor(lengths)
    order = lengths.argsort(stable=True)[rank::world_size]
    batches = order.split(batch_size) if max_seconds is None else cut(order, lengths, batch_size, max_seconds)
    return [batch.tolist() for batch in batches]


def cut(places, lengths, batch_size, max_seconds):
    """Cut places that are sorted by length into batches of at most `batch_size` (None: any number) utterances and
    `max_seconds`, padding included; an utterance that is longer has a batch of its own."""
    batches, end = [], len(places)
    limit = len(places) if batch_size is None else batch_size
    while end:
        longest = float(lengths[places[end - 1]])
        fitting = int(max_seconds / longest) if longest * limit > max_seconds else limit
        first = max(0, end - max(1, fitting))
        batches.append(places[first:end])
        end = first
    return batches


def padding_share(lengths, batches):
    """The share of padding in batches (lists of places), each padded to its longest utterance."""
    lengths = torch.as_tensor(lengths).double()
    padded = sum(float(lengths[batch].max()) * len(batch) for batch in batches)
    spoken = sum(float(lengths[batch].sum()) for batch in batches)
    return 1 - spoken / padded
