"""Codes that stand for a label: where an attack drives codes to, or away from."""

from __future__ import annotations

import torch
from torch import Tensor

from kinbits.attacks.victim import Reference
from kinbits.methods import signs


def mainstay_codes(labels: Tensor, reference: Reference) -> Tensor:
    """Return the code that is near the codes of similar images and far from those of others.

    c = sign(sum_i w+_i b_i - sum_i w-_i b_i). w+_i is the cosine of the label with label i, w-_i is 1 where they share
    no class; both are scaled to sum 1, or 0 where there is no image of the kind. X. Yuan, Z. Zhang, X. Wang, L. Wu,
    "Semantic-Aware Adversarial Training for Reliable Deep Hashing Retrieval", TIFS 2023.

    Args:
        labels: float multi-hot ``(b, C)``.
        reference: The n images that are known.

    Returns:
        float +1 or -1 ``(b, K)``.

    Example:
        >>> codes = torch.tensor([[1.0, 1, -1, -1], [1, -1, -1, 1], [-1, 1, 1, 1]])
        >>> labels = torch.tensor([[1.0, 0], [1, 1], [0, 1]])
        >>> mainstay_codes(torch.tensor([[1.0, 0]]), Reference(codes, labels)).tolist()
        [[1.0, -1.0, -1.0, -1.0]]
    """
    distinct, which = torch.unique(labels.to(reference.labels), dim=0, return_inverse=True)
    lengths = reference.labels.norm(dim=1).clamp(min=1e-12)
    cosine = (distinct @ reference.labels.T) / (distinct.norm(dim=1, keepdim=True).clamp(min=1e-12) * lengths)
    return _weighed(cosine, reference)[which]


def centre_codes(labels: Tensor, reference: Reference) -> Tensor:
    """Return the code in the middle of similar images, weighed by the share of classes in common, and of no others.

    As `mainstay_codes`, with w+_i = |y and y_i| / |y or y_i| (Jaccard). For images of one class each, the two are
    equal. X. Wang, Y. Lin, X. Li, "CgAT: Center-Guided Adversarial Training for Deep Hashing-Based Retrieval", WWW
    2023.

    Args:
        labels: float multi-hot ``(b, C)``.
        reference: The n images that are known.

    Returns:
        float +1 or -1 ``(b, K)``.
    """
    distinct, which = torch.unique(labels.to(reference.labels), dim=0, return_inverse=True)
    common = distinct @ reference.labels.T
    either = distinct.sum(dim=1, keepdim=True) + reference.labels.sum(dim=1) - common
    return _weighed(common / either.clamp(min=1), reference)[which]


def _weighed(alike: Tensor, reference: Reference) -> Tensor:
    """Return the signs of the mean of similar codes minus the mean of all others, by weights ``(r, n)``."""
    other = (alike == 0).float()
    return signs((_to_one(alike) - _to_one(other)) @ reference.codes)


def _to_one(weights: Tensor) -> Tensor:
    total = weights.sum(dim=1, keepdim=True)
    return weights / torch.where(total > 0, total, 1)


def anchor_codes(targets: Tensor, reference: Reference, generator: torch.Generator, count: int = 9) -> Tensor:
    """Return the code with the smallest mean distance to some random images of each target label.

    c = sign(sum of their codes), bit by bit; a tie takes the bit of the first of them. J. Bai et al., "Targeted Attack
    for Deep Hashing based Retrieval", ECCV 2020.

    Args:
        targets: float multi-hot ``(b, C)``; each shares a class with an image of the reference.
        reference: The images that are known.
        generator: Draws the images, with replacement where a label has fewer than ``count``.
        count: Number n_t of images.

    Returns:
        float +1 or -1 ``(b, K)``.
    """
    return torch.stack([vote(reference.codes[_drawn(reference, one, generator, count)]) for one in targets])


def vote(codes: Tensor) -> Tensor:
    """Return the majority of codes ``(n, K)``, bit by bit; a tie takes the bit of the first.

    Example:
        >>> vote(torch.tensor([[1.0, 1, -1, 1], [1, -1, -1, 1], [1, 1, -1, -1]])).tolist()
        [1.0, 1.0, -1.0, 1.0]
    """
    total = codes.sum(dim=0)
    return torch.where(total == 0, codes[0], signs(total))


def _drawn(reference: Reference, target: Tensor, generator: torch.Generator, count: int) -> Tensor:
    rows = reference.with_label(target).cpu()
    if len(rows) < count:
        return rows[torch.randint(len(rows), (count,), generator=generator)]
    return rows[torch.randperm(len(rows), generator=generator)[:count]]
