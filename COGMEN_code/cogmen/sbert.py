"""Sentence-transformers embeddings as text features (COGMEN's own choice for its corpora)."""

import numpy as np

from erc.options import UserError
from erc.runtime import find_device


def embed_sentences(sentences, model, device="auto"):
    """Embed every sentence; each distinct one once, longest first, so that a batch holds sentences of like length.

    Args:
        sentences: N strings.
        model: hub name or directory of a sentence-transformers model.
    Returns:
        (N, D) float32.
    Raises:
        UserError: the model can be neither found nor fetched.
    """
    from sentence_transformers import SentenceTransformer

    try:
        encoder = SentenceTransformer(str(model), device=str(find_device(device)))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"--sbert {model}: cannot be loaded ({reason}). Give a directory, or fetch it where there is a network: "
            f"hf download {model}"
        ) from None
    distinct = sorted(set(sentences), key=lambda sentence: (-len(sentence), sentence))
    vectors = encoder.encode(distinct, batch_size=32, show_progress_bar=True, convert_to_numpy=True)
    place = {sentence: k for k, sentence in enumerate(distinct)}
    return np.asarray(vectors, dtype=np.float32)[[place[sentence] for sentence in sentences]]
