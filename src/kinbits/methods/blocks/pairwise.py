"""Losses over the pairs of a batch: which pairs count, their weights, their likelihood, and the fit of cosines."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from kinbits.methods.blocks.labels import labelled, similar


@dataclass(frozen=True)
class LabelledPairs:
    """Pairs of b rows with m rows.

    Attributes:
        same: 1 where the two share a label, else 0, float ``(b, m)``.
        counted: 1 for the pairs that count, float ``(b, m)``: two different rows with labels.
        overlap: Jaccard index of the label sets of similar pairs, 1 for other pairs and single labels, ``(b, m)``.
    """

    same: Tensor
    counted: Tensor
    overlap: Tensor

    @property
    def weights(self) -> Tensor:
        """HashNet's weights, float ``(b, m)``: `balanced_weights` times the overlap of the labels."""
        return balanced_weights(self.same, self.counted) * self.overlap

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of values ``(b, m)`` over the counted pairs; 0 if there are none."""
        return (self.counted * values).sum() / self.counted.sum().clamp_min(1)


def pairs_within(labels: Tensor, self_pairs: bool = False) -> LabelledPairs:
    """Pair all rows of a batch.

    Args:
        labels: int64 ``(b,)`` or multi-hot ``(b, C)``.
        self_pairs: Count pairs of a row with itself.
    """
    rows = torch.arange(len(labels), device=labels.device)
    return pairs_between(labels, labels, rows, rows, self_pairs)


def pairs_between(one: Tensor, two: Tensor, rows: Tensor, columns: Tensor, self_pairs: bool = False) -> LabelledPairs:
    """Pair rows with other rows.

    Args:
        one: Labels of the rows, int64 ``(b,)`` or multi-hot ``(b, C)``.
        two: Labels of the others, ``(m,)`` or ``(m, C)``.
        rows: Row numbers, int64 ``(b,)``.
        columns: Row numbers of the others, int64 ``(m,)``.
        self_pairs: Count pairs of a row with itself.
    """
    same = similar(one, two)
    counted = labelled(one).float()[:, None] * labelled(two).float()
    if not self_pairs:
        counted = counted * (rows[:, None] != columns)
    return LabelledPairs(same, counted, _overlap(one, two, same))


def pair_nll(theta: Tensor, same: Tensor) -> Tensor:
    """Return the negative log-likelihood of each pair, with P(similar) = sigmoid(theta); finite for any theta.

    Args:
        theta: Scaled inner products, float of any shape.
        same: 1 for similar pairs, else 0, float of the same shape.
    """
    return F.softplus(theta) - same * theta


def balanced_weights(same: Tensor, counted: Tensor) -> Tensor:
    """Return weights that give similar and other pairs the same total, float ``(b, m)``; 1 if one kind is missing."""
    positives = (same * counted).sum()
    negatives = counted.sum() - positives
    if positives == 0 or negatives == 0:
        return torch.ones_like(same)
    total = counted.sum()
    return torch.where(same > 0, total / positives, total / negatives)


def _overlap(one: Tensor, two: Tensor, same: Tensor) -> Tensor:
    """Return the Jaccard index of label sets for similar pairs, 1 for all others."""
    if one.ndim == 1:
        return torch.ones_like(same)
    shared = one.float() @ two.float().T
    sizes = one.float().sum(1)[:, None] + two.float().sum(1)
    return torch.where(same > 0, shared / (sizes - shared).clamp_min(1), 1.0)


def draw_partners(n: int, most: int, device: torch.device) -> Tensor:
    """Return the rows that a step compares with, int64: all n, or a random sample of ``most`` of more rows."""
    return torch.arange(n, device=device) if n <= most else torch.randint(n, (most,), device=device)


def cosine_misfit(codes: Tensor, features: Tensor) -> Tensor:
    """Return mean_i (cos(b_i, b_j) - cos(f_i, f_j))^2, where j is half a batch after i, cyclically.

    With an even number of rows, these are the pairs of the first half with the second. With an odd number, each row is
    in two pairs.

    Args:
        codes: float ``(n, bits)``.
        features: float ``(n, d)``, without a gradient.
    """
    step = len(codes) // 2
    target = F.cosine_similarity(features, features.roll(step, 0)).detach()
    return (F.cosine_similarity(codes, codes.roll(step, 0)) - target).square().mean()
