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
        counted: 1 for the pairs that take part, float ``(b, m)``: both rows are labelled, and no row meets itself.
        overlap: Jaccard index of the label sets of similar pairs, 1 for other pairs and single labels, ``(b, m)``.
    """

    same: Tensor
    counted: Tensor
    overlap: Tensor

    @property
    def weights(self) -> Tensor:
        """HashNet's weights, float ``(b, m)``: rare kinds of pairs count as much, by the overlap of their labels."""
        return balanced_weights(self.same, self.counted) * self.overlap

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of values ``(b, m)`` over the pairs that count; 0 without any."""
        return (self.counted * values).sum() / self.counted.sum().clamp_min(1)


def pairs_within(labels: Tensor, self_pairs: bool = False) -> LabelledPairs:
    """Pair all rows of a batch.

    Args:
        labels: int64 ``(b,)`` or multi-hot ``(b, C)``.
        self_pairs: Let each row meet itself, too.
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
        self_pairs: Let each row meet itself, too.
    """
    same = similar(one, two)
    counted = labelled(one).float()[:, None] * labelled(two).float()
    if not self_pairs:
        counted = counted * (rows[:, None] != columns)
    return LabelledPairs(same, counted, _overlap(one, two, same))


def pair_nll(theta: Tensor, same: Tensor) -> Tensor:
    """Return -log P(same) with P(similar) = sigmoid(theta), pair by pair; finite for any theta."""
    return F.softplus(theta) - same * theta


def balanced_weights(same: Tensor, counted: Tensor) -> Tensor:
    """Weigh similar and other pairs inversely to their number, float ``(b, m)``; 1 if one kind is missing."""
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
    """Return the rows that a step compares with, int64: all of n, or a fresh draw of ``most`` where there are more."""
    return torch.arange(n, device=device) if n <= most else torch.randint(n, (most,), device=device)


def cosine_misfit(codes: Tensor, features: Tensor) -> Tensor:
    """Return mean_i (cos(b_i, b_j) - cos(f_i, f_j))^2, where j is half a batch further than i, in a circle.

    With an even number of rows these are the pairs of the first half with the second; with an odd one no row is left
    out, and each takes part twice.

    Args:
        codes: float ``(n, bits)``.
        features: float ``(n, d)``; no gradient goes into them.
    """
    step = len(codes) // 2
    wanted = F.cosine_similarity(features, features.roll(step, 0)).detach()
    return (F.cosine_similarity(codes, codes.roll(step, 0)) - wanted).square().mean()
