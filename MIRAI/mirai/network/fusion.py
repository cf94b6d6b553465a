"""The cross-modal network of MMER (arXiv 2203.16794): tokens of the text that have attended to the speech.

With h the frames of the speech and e the tokens of the text, and block(x, y) a transformer block whose queries are x
and whose keys and values are y:

    p = block1(h, e)    speech that has attended to the text
    r = block2(e, p)    text that has attended to that
    q = block3(e, h)    text that has attended to the speech itself
    g = sigmoid(Linear [r; q])
    z = Linear [r; g], without bias

Padded frames and tokens are masked in every attention.

Shapes: `B` utterances, `L` frames, `T` tokens, `D` width.
"""

import torch
from torch import nn

HEADS = 12
DROPOUT = 0.3


class CrossModalBlock(nn.Module):
    """A post-norm transformer block: x = norm(x + dropout(attention(x, memory))), x = norm(x + dropout(FF(x))), where
    FF(x) = Linear(dropout(GELU(Linear(x)))) is 4 times as wide inside.

    Shapes: x (B, N, D), memory (B, M, D), memory_mask (B, M), True where there is something -> (B, N, D).
    """

    def __init__(self, width):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, HEADS, batch_first=True)
        self.attention_norm = nn.LayerNorm(width)
        # Activation and dropout are one step, so that the weights keep the names that checkpoints have.
        activation = nn.Sequential(nn.GELU(), nn.Dropout(DROPOUT))
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), activation, nn.Linear(4 * width, width))
        self.feed_forward_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x, memory, memory_mask):
        attended, _ = self.attention(x, memory, memory, key_padding_mask=~memory_mask, need_weights=False)
        x = self.attention_norm(x + self.dropout(attended))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))


class CrossModalFusion(nn.Module):
    """The network above, as z.

    Args:
        width: of frames and tokens; a multiple of 12, the number of attention heads.

    Shapes: frames (B, L, D), frame_mask (B, L), tokens (B, T, D), token_mask (B, T) -> z (B, T, D); a mask is True
    where there is a frame or token, at least once for every utterance.
    """

    def __init__(self, width):
        super().__init__()
        self.speech_asks_text = CrossModalBlock(width)
        self.text_asks_that = CrossModalBlock(width)
        self.text_asks_speech = CrossModalBlock(width)
        self.gate = nn.Linear(2 * width, width)
        self.join = nn.Linear(2 * width, width, bias=False)

    def forward(self, frames, frame_mask, tokens, token_mask):
        p = self.speech_asks_text(frames, tokens, token_mask)  # (B, L, D)
        r = self.text_asks_that(tokens, p, frame_mask)  # (B, T, D)
        q = self.text_asks_speech(tokens, frames, frame_mask)  # (B, T, D)
        g = self.gate(torch.cat([r, q], dim=2)).sigmoid()  # (B, T, D)
        return self.join(torch.cat([r, g], dim=2))


def masked_mean(rows, mask):
    """The mean of rows (B, N, D) over those that are True in mask (B, N) -> (B, D)."""
    return (rows * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]
