"""Running a trained extractor over many utterances, in batches of similar duration."""

import contextlib
import math

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from erc.corpus.feelings import from_network
from erc.options import UserError
from mirai.dataset import MAX_WINDOW, UtteranceDataset
from mirai.speech import SAMPLE_RATE

# Small batches keep a CPU's caches warm, large ones a GPU busy.
BATCH_SECONDS = {"cpu": 25.0, "cuda": 200.0}
_MAX_WINDOW = MAX_WINDOW / SAMPLE_RATE  # seconds


def plan_batches(dataset, places, options, device):
    """Divide utterances into batches of similar duration, the longest first, so that too little memory shows at once.

    Args:
        dataset: `UtteranceDataset`.
        places: in the dataset; their order does not matter.
        options: `PredictionOptions`. A batch has at most `batch_size` utterances and, padding included, `batch_seconds`
            of speech; an utterance longer than that is alone in its batch.
    Returns:
        list[list[int]]: every place once.
    """
    seconds = math.inf  # they say nothing about text
    if dataset.speech:
        seconds = options.batch_seconds or BATCH_SECONDS[device.type]
    lengths = {k: dataset.length(k) for k in places}
    # Longer speech is cut into equal windows, and it is windows that are padded.
    windows = {k: max(1, math.ceil(lengths[k] / _MAX_WINDOW)) if dataset.speech else 1 for k in places}
    padded = {k: lengths[k] / windows[k] for k in places}
    batches, held = [], 0  # windows of the last batch
    for k in sorted(places, key=lambda k: (-padded[k], dataset.utterances[k].segment_id)):
        batch = batches[-1] if batches else None
        if batch and len(batch) < options.batch_size and (held + windows[k]) * padded[batch[0]] <= seconds:
            batch.append(k)
            held += windows[k]
        else:
            batches.append([k])
            held = windows[k]
    return batches


@torch.inference_mode()
def run_batches(extractor, dataset, batches, device, options, loader=DataLoader, quiet=False):
    """Embeddings and probabilities of some batches.

    Args:
        extractor: an `Extractor`; moved to `device`.
        dataset: `UtteranceDataset` with the extractor's settings.
        batches: lists of places in `dataset`, as `plan_batches` gives them.
        options: `PredictionOptions`; `precision` and `num_workers` count.
        loader: a `DataLoader` class, such as one that measures.
        quiet: show no progress.
    Yields:
        dict: for each batch, `text` and `audio` (those in use): (B, D) float32; where none is missing `probabilities`:
        (B, C) float32, and `feelings`, (B, 2) of an extractor that says them.
    Raises:
        UserError: a file cannot be read, or memory does not suffice.
    """
    with _advice_on_memory("the network itself"):
        extractor = extractor.to(device).eval()
    loaded = loader(
        dataset,
        batch_sampler=batches,
        collate_fn=dataset.collate,
        num_workers=options.num_workers,
        pin_memory=device.type == "cuda",
    )
    with tqdm(total=sum(map(len, batches)), desc="extracting", unit="utterance", disable=quiet or None) as progress:
        for batch in loaded:
            with _advice_on_memory(f"{len(batch)} utterances in a batch"):
                result = _run(extractor, batch.to(device, non_blocking=True), options.precision)
            progress.update(len(batch))
            yield result


def _run(extractor, batch, precision):
    with torch.autocast(batch.labels.device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
        result = extractor.embed(batch)
        if result.keys() == set(extractor.modalities):
            embeddings = dict(result)
            result["probabilities"] = extractor.classify(embeddings).float().softmax(dim=1)
            if extractor.description["valence_arousal"]:
                result["feelings"] = extractor.feel(embeddings)
    return {name: rows.float().cpu().numpy() for name, rows in result.items()}


def predict(extractor, utterances, options, device):
    """What an extractor says of every utterance, whatever its length.

    Args:
        options: `PredictionOptions`.
    Returns:
        ((N, C) float32 probabilities, (N, 2) valence and arousal of 1 to 5, or None), rows as `utterances`.
    """
    dataset = UtteranceDataset(utterances, options.txt_wav, **extractor.dataset_settings())
    batches = plan_batches(dataset, range(len(dataset)), options, device)
    results = run_batches(extractor, dataset, batches, device, options)
    table = np.empty((len(dataset), len(extractor.description["emotions"])), dtype=np.float32)
    feelings = np.empty((len(dataset), 2), dtype=np.float32) if extractor.description["valence_arousal"] else None
    for batch, result in zip(batches, results, strict=True):
        table[batch] = result["probabilities"]
        if feelings is not None:
            feelings[batch] = from_network(result["feelings"])
    return table, feelings


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
