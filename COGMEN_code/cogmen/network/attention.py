"""Attention of several members over packed dialogues, one dialogue after the other, with its derivative by hand.

K members, N turns in the batch, L turns of the longest dialogue, l of one, W width, H heads, 2 F + 1 distances. On a CPU
nothing is gained by padding dialogues to one length: of the scores in a batch, two fifths would be padding. A loop of
small operations costs more to record for autograd than to compute, hence the derivative here; it also needs no copies
of the scores for the mask and the bias, which are what the product of queries and keys is added to.
"""

import torch


class PackedAttention(torch.autograd.Function):
    """softmax(Q K' / sqrt(W/H) + a bias for each distance, where a turn is seen) V, for each member and head.

    Args of `apply`:
        projected: (K, N, 3 W) queries, keys and values, of all heads each.
        distance: (K, H, 2 F + 1) bias for the turns that are F before, ..., F after, or farther.
        steps: (L, L) which of them each pair of turns has.
        hidden: (B, H, L, L) float, added to the scores: 0 where a turn is seen, else so low that nothing is left.
        lengths: turns of each dialogue, ints.
    Returns:
        (K, N, W)
    """

    @staticmethod
    def forward(ctx, projected, distance, steps, hidden, lengths):
        members, heads, _ = distance.shape
        number, width = projected.shape[1], projected.shape[2] // 3
        # (3, K H, N, W/H): so the rows of a dialogue are a view, for all members and heads at once
        parts = projected.view(members, number, 3, heads, -1).permute(2, 0, 3, 1, 4).reshape(3, members * heads, number, -1)
        query, key, value = parts
        query *= (width // heads) ** -0.5
        bias = distance[:, :, steps]  # (K, H, L, L)
        attended, weights = torch.empty_like(value), []
        for rows, length, start in _dialogues(lengths, hidden):
            own = slice(start, start + length)
            scores = (bias[:, :, :length, :length] + rows).flatten(0, 1)  # (K H, l, l)
            weights.append(scores.baddbmm_(query[:, own], key[:, own].transpose(1, 2)).softmax(dim=2))
            attended[:, own] = weights[-1] @ value[:, own]
        ctx.save_for_backward(parts, attended, steps, *weights)
        ctx.lengths, ctx.shape = lengths, distance.shape
        return _merge(attended, members)

    @staticmethod
    def backward(ctx, gradient):
        parts, attended, steps, *weights = ctx.saved_tensors
        query, key, value = parts
        members, heads, distances = ctx.shape
        number, width = gradient.shape[1:]
        gradient = gradient.view(members, number, heads, -1).transpose(1, 2).reshape(value.shape)
        total = (gradient * attended).sum(dim=2, keepdim=True)  # (K H, N, 1), what the softmax takes off its gradient
        result, start = torch.empty_like(parts), 0
        of_bias = gradient.new_zeros(members * heads, *steps.shape)
        for length, kept in zip(ctx.lengths, weights, strict=True):
            own = slice(start, start + length)
            start += length
            scores = torch.baddbmm(total[:, own], gradient[:, own], value[:, own].transpose(1, 2), beta=-1).mul_(kept)
            result[0, :, own] = scores @ key[:, own]
            result[1, :, own] = scores.transpose(1, 2) @ query[:, own]
            result[2, :, own] = kept.transpose(1, 2) @ gradient[:, own]
            of_bias[:, :length, :length] += scores
        result[0] *= (width // heads) ** -0.5
        projected = result.view(3, members, heads, number, -1).permute(1, 3, 0, 2, 4).reshape(members, number, 3 * width)
        of_distance = gradient.new_zeros(members * heads, distances).index_add_(1, steps.flatten(), of_bias.flatten(1))
        return projected, of_distance.view(ctx.shape), None, None, None


def _dialogues(lengths, hidden):
    """Of each dialogue what is added to its scores, (H, l, l), its length, and where its turns begin."""
    start = 0
    for rows, length in zip(hidden, lengths, strict=True):
        yield rows[:, :length, :length], length, start
        start += length


def _merge(attended, members):
    """(K H, N, W/H) -> (K, N, W)"""
    return attended.unflatten(0, (members, -1)).transpose(1, 2).flatten(2)
