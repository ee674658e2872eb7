"""Losses over rankings in a batch: Hamming distances should order rows as features do."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

COPY, NEVER = 1e-5, -1e9


def neighbours_within(points: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Find each row's nearest rows by squared Euclidean distance.

    Args:
        points: float ``(b, d)``.
        count: Number of rows, at least 1; half of the other rows in a batch of fewer than 2 count + 1.

    Returns:
        The nearest rows, and the rows that are ranked, bool ``(b, b)`` each. A row itself and its exact copies are not
        ranked, since their codes are equal.
    """
    centred = points - points.mean(0)
    squares = centred.square().sum(1)
    sums = squares[:, None] + squares
    distances = sums - 2 * centred @ centred.T
    others = (distances > COPY * sums) & ~torch.eye(len(points), dtype=torch.bool, device=points.device)
    count = min(count, max(1, (len(points) - 1) // 2))
    found = distances.masked_fill(~others, torch.inf).topk(count, dim=1, largest=False).indices
    return torch.zeros_like(others).scatter(1, found, True) & others, others


def listwise_loss(hamming: Tensor, near: Tensor, others: Tensor, temperature: float) -> Tensor:
    """Return the cross-entropy of each row's ranking, float ``(b,)``.

    Args:
        hamming: Distances in bits, float ``(b, b)``.
        near: The rows that should come first, bool ``(b, b)``, with equal weights.
        others: The rows that are ranked, bool ``(b, b)``.
        temperature: Of the softmax over minus the distances, in bits.
    """
    scores = (-hamming / temperature).masked_fill(~others, NEVER)
    target = near / near.sum(1, keepdim=True).clamp_min(1)
    return -(target * F.log_softmax(scores, dim=1)).sum(1)


def pairwise_hinge(hamming: Tensor, near: Tensor, others: Tensor, margin: float, count: int) -> Tensor:
    """Return the mean hinge of each row's drawn pairs, one near and one not, float ``(b,)``.

    Args:
        hamming: Distances in bits, float ``(b, b)``.
        near: The rows that should come first, bool ``(b, b)``.
        others: The rows that are ranked, bool ``(b, b)``.
        margin: In bits.
        count: Pairs drawn per row, with replacement. A row without either kind has loss 0.
    """
    far = others & ~near
    usable = near.any(1) & far.any(1)
    drawn = [torch.multinomial(kind.float() + ~usable[:, None], count, replacement=True) for kind in (near, far)]
    gap = hamming.gather(1, drawn[0]) - hamming.gather(1, drawn[1])
    return (margin + gap).clamp_min(0).mean(1) * usable
