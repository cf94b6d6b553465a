"""Attention of several members over packed dialogues, one dialogue after the other, with its derivative by hand.

K members, N turns in the batch, L turns of the longest dialogue, l of one, W width, H heads, 2 F + 1 distances. On a
CPU nothing is gained by padding dialogues to one length: two fifths of a batch's scores would be padding. A loop of
small operations costs more to record for autograd than to compute, hence the derivative here; it also needs no copies
of the scores for the mask and the bias, which are what the product of queries and keys is added to.
"""

from itertools import accumulate, pairwise

import torch
from torch.autograd.function import once_differentiable


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
        (members, heads, _), turns = distance.shape, projected.shape[1]
        # (K H, N, W/H) each: so the rows of a dialogue are a view, for all members and heads at once
        parts = projected.view(members, turns, 3, heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts.reshape(3, members * heads, turns, -1)
        query = query * query.shape[2] ** -0.5
        bias = distance.flatten(0, 1).index_select(1, steps.flatten()).view(members, heads, *steps.shape)
        attended, weights = torch.empty_like(value), []
        for rows, own_hidden in zip(_rows(lengths), hidden, strict=True):
            seen = slice(rows.stop - rows.start)
            scores = (bias[:, :, seen, seen] + own_hidden[:, seen, seen]).flatten(0, 1)  # (K H, l, l)
            weights.append(scores.baddbmm_(query[:, rows], key[:, rows].transpose(1, 2)).softmax(dim=2))
            attended[:, rows] = weights[-1] @ value[:, rows]
        ctx.save_for_backward(query, key, value, attended, steps, *weights)
        ctx.lengths, ctx.shape = lengths, distance.shape
        return attended.unflatten(0, (members, heads)).transpose(1, 2).flatten(2)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        query, key, value, attended, steps, *weights = ctx.saved_tensors
        members, heads, distances = ctx.shape
        gradient = gradient.unflatten(2, (heads, -1)).transpose(1, 2).reshape(value.shape)
        total = (gradient * attended).sum(dim=2, keepdim=True)  # (K H, N, 1): of weight times its derivative, by row
        result = value.new_empty(3, *value.shape)
        of_bias = value.new_zeros(members * heads, *steps.shape)
        for rows, own in zip(_rows(ctx.lengths), weights, strict=True):
            seen = slice(rows.stop - rows.start)
            scores = torch.baddbmm(total[:, rows], gradient[:, rows], value[:, rows].transpose(1, 2), beta=-1)
            scores *= own  # (K H, l, l), the derivative of what the softmax took
            result[0, :, rows] = scores @ key[:, rows]
            result[1, :, rows] = scores.transpose(1, 2) @ query[:, rows]
            result[2, :, rows] = own.transpose(1, 2) @ gradient[:, rows]
            of_bias[:, seen, seen] += scores
        result[0] *= value.shape[2] ** -0.5
        of_projected = result.unflatten(1, (members, heads)).permute(1, 3, 0, 2, 4).flatten(2)
        of_distance = value.new_zeros(members * heads, distances).index_add_(1, steps.flatten(), of_bias.flatten(1))
        return of_projected, of_distance.view(ctx.shape), None, None, None


def _rows(lengths):
    """The turns of each dialogue among those of the batch, slices."""
    return [slice(*ends) for ends in pairwise(accumulate(lengths, initial=0))]
