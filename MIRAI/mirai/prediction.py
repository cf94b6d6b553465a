"""A trained extractor over many utterances, in batches of alike lengths."""

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from mirai.dataset import UtteranceDataset


@torch.inference_mode()
def extract(extractor, utterances, folder, batch_size, device):
    """Embeddings and probabilities of every utterance, whatever its length.

    Args:
        extractor: an `Extractor`; moved to `device`.
        utterances: list of `Utterance`; its order does not change what an utterance gets.
        folder: where `<segment_id>.wav` and `<segment_id>.txt` are.
    Returns:
        dict: `text` and `audio` (those in use): (N, D) float32; `probabilities`: (N, C) float32, rows as `utterances`.
    """
    extractor = extractor.to(device).eval()
    dataset = UtteranceDataset(utterances, folder, **extractor.dataset_settings())
    # The longest first: if memory does not suffice, that shows at once.
    order = sorted(range(len(dataset)), key=lambda k: (-dataset.lengths[k], utterances[k].segment_id))
    loader = DataLoader(dataset, batch_size=batch_size, sampler=order, collate_fn=dataset.collate)
    result = {}
    with tqdm(total=len(dataset), desc="extracting", unit="utterance", disable=None) as progress:
        for batch in loader:
            embeddings = extractor.embed(batch.to(device))
            probabilities = extractor.classify(embeddings).softmax(dim=1)
            for name, rows in {**embeddings, "probabilities": probabilities}.items():
                table = result.setdefault(name, np.empty((len(dataset), rows.shape[1]), dtype=np.float32))
                table[batch.index] = rows.float().cpu().numpy()
            progress.update(len(batch))
    return result
