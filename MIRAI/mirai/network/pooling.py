"""Pooling of an encoder by learnt weights: over its layers, and over the tokens or frames of an utterance.

Shapes: `B` utterances (or windows of speech), `N` tokens or frames, `H` width, `K` an encoder's layers and its input.
"""

import torch
from torch import nn
from torch.nn.functional import layer_norm

ATTENTION_WIDTH = 128


class LayerSum(nn.Module):
    """The sum of what all layers say, with learnt weights that sum to 1 (as in SUPERB, arXiv 2105.01051):

        y = sum over k of softmax(w)_k norm(x_k)

    A layer is first normalised over its width, because layers of a pre-norm encoder differ in size by far. All weights
    begin alike.

    Shapes: K tensors (B, N, H) -> (B, N, H).
    """

    def __init__(self, layers):
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(layers))

    @property
    def weights(self):
        """(K,) that sum to 1."""
        return self.scores.softmax(dim=0)

    def forward(self, hidden_states):
        summed = 0.0
        for weight, hidden in zip(self.weights, hidden_states, strict=True):
            summed = summed + weight * layer_norm(hidden.float(), hidden.shape[-1:])
        return summed


class AttentivePooling(nn.Module):
    """The mean with learnt weights over what is no padding (self-attentive pooling, arXiv 1703.03130):

        a = softmax over n of v tanh(W x_n + b)
        y = sum over n of a_n x_n

    v begins as 0, so that y begins as the plain mean.

    Shapes: rows (B, N, H), mask (B, N), True where there is a token or frame, at least once a row -> (B, H).
    """

    def __init__(self, width):
        super().__init__()
        self.hidden = nn.Linear(width, ATTENTION_WIDTH)
        self.score = nn.Linear(ATTENTION_WIDTH, 1, bias=False)
        nn.init.zeros_(self.score.weight)

    def forward(self, rows, mask):
        scores = self.score(self.hidden(rows).tanh())[..., 0].float()  # (B, N)
        shares = scores.masked_fill(~mask, -torch.inf).softmax(dim=1)
        return (shares[:, :, None] * rows).sum(dim=1)
