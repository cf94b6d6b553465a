"""A trained extractor over many utterances, in batches of alike lengths."""

import contextlib
import math

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from cogmen.options import UserError
from mirai.audio import SAMPLE_RATE
from mirai.dataset import MAX_WINDOW, UtteranceDataset

_MAX_WINDOW = MAX_WINDOW / SAMPLE_RATE  # seconds


def plan_batches(utterances, lengths, batch_size, batch_seconds=math.inf):
    """Batches of alike lengths, the longest first: if memory does not suffice, that shows at once.

    Args:
        lengths: of each utterance: seconds, or, without speech, anything.
        batch_size: utterances of a batch, at most.
        batch_seconds: seconds of a batch, padding included, at most; an utterance longer than that is alone in its
            batch.
    Returns:
        list[list[int]]: places in `utterances`, each once. The order of `utterances` changes nothing else.
    """
    # Longer speech is cut into equal windows, and it is windows that are padded.
    windows = [max(1, math.ceil(length / _MAX_WINDOW)) if batch_seconds < math.inf else 1 for length in lengths]
    longest = [length / count for length, count in zip(lengths, windows, strict=True)]
    batches, held = [], 0  # windows of the last batch
    for k in sorted(range(len(utterances)), key=lambda k: (-longest[k], utterances[k].segment_id)):
        batch = batches[-1] if batches else None
        if batch and len(batch) < batch_size and (held + windows[k]) * longest[batch[0]] <= batch_seconds:
            batch.append(k)
            held += windows[k]
        else:
            batches.append([k])
            held = windows[k]
    return batches


@torch.inference_mode()
def run_batches(extractor, dataset, batches, device, precision="32-true", num_workers=0):
    """What the extractor makes of some batches.

    Args:
        extractor: an `Extractor`; moved to `device`.
        dataset: `UtteranceDataset` with the extractor's settings.
        batches: lists of places in `dataset`, as `plan_batches` gives them.
    Yields:
        dict: for each batch, `text` and `audio` (those in use): (B, D) float32; `probabilities`: (B, C) float32.
    Raises:
        UserError: a file cannot be read, or memory does not suffice.
    """
    with _advice_on_memory("the network itself"):
        extractor = extractor.to(device).eval()
    loader = DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=dataset.collate,
        num_workers=num_workers,
        pin_memory=device.type == "cuda",
    )
    with tqdm(total=sum(map(len, batches)), desc="extracting", unit="utterance", disable=None) as progress:
        for batch in loader:
            with _advice_on_memory(f"{len(batch)} utterances in a batch"):
                result = _run(extractor, batch.to(device, non_blocking=True), precision)
            progress.update(len(batch))
            yield result


def _run(extractor, batch, precision):
    with torch.autocast(batch.labels.device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
        result = extractor.embed(batch)
        result["probabilities"] = extractor.classify(result).float().softmax(dim=1)
    return {name: rows.float().cpu().numpy() for name, rows in result.items()}


def predict(extractor, utterances, options, device):
    """The probabilities of every utterance, whatever its length: (N, C) float32, rows as `utterances`.

    Args:
        options: `PredictionOptions`.
    """
    dataset = UtteranceDataset(utterances, options.txt_wav, **extractor.dataset_settings(), cache=options.cache)
    batches = plan_batches(utterances, dataset.lengths, options.batch_size, seconds_limit(extractor, options))
    table = np.empty((len(utterances), len(extractor.description["emotions"])), dtype=np.float32)
    results = run_batches(extractor, dataset, batches, device, options.precision, options.num_workers)
    for batch, result in zip(batches, results, strict=True):
        table[batch] = result["probabilities"]
    return table


def seconds_limit(extractor, options):
    """`--batch_seconds`, which says nothing about text."""
    return options.batch_seconds if "audio" in extractor.modalities else math.inf


@contextlib.contextmanager
def _advice_on_memory(what):
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        on_cpu = isinstance(error, MemoryError) or "can't allocate memory" in str(error)
        if not (on_cpu or isinstance(error, torch.OutOfMemoryError)):
            raise
        raise UserError(
            f"out of {'memory' if on_cpu else 'GPU memory'} with {what}: give a smaller --batch_seconds (of speech in "
            "a batch) or --batch_size"
        ) from error
