"""Codes that stand for a label: where an attack drives codes to, or away from."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kinbits.attacks.given import Generators, Numbers, as_tensor, one_for_each
from kinbits.attacks.label_rows import CELLS
from kinbits.attacks.victim import Reference, multi_hot
from kinbits.methods import signs

Alike = Callable[[Tensor, Tensor], Tensor]  # labels (r, C) and classes in common (r, n) to likeness (r, n)


def mainstay_codes(labels: Numbers, reference: Reference) -> Tensor:
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
    lengths = reference.label_rows.sizes.sqrt().clamp(min=1e-12)

    def cosines(rows: Tensor, common: Tensor) -> Tensor:
        found: Tensor = common / (rows.norm(dim=1, keepdim=True).clamp(min=1e-12) * lengths)
        return found

    return _weighed(labels, reference, cosines)


def centre_codes(labels: Numbers, reference: Reference) -> Tensor:
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
    sizes = reference.label_rows.sizes

    def shares(rows: Tensor, common: Tensor) -> Tensor:
        return common / (rows.sum(dim=1, keepdim=True) + sizes - common).clamp(min=1)

    return _weighed(labels, reference, shares)


def _weighed(labels: Numbers, reference: Reference, alike: Alike) -> Tensor:
    """Return the signs of the mean of similar codes minus the mean of all others."""
    rows = multi_hot(labels, reference.classes).to(reference.codes.device)
    distinct, which = torch.unique(rows, dim=0, return_inverse=True)
    parts = []
    for some in torch.split(distinct, max(1, CELLS // len(reference.codes))):
        weights = alike(some, reference.shared(some))
        parts.append(signs((_to_one(weights) - _to_one((weights == 0).float())) @ reference.codes))
    return torch.cat(parts)[which]


def _to_one(weights: Tensor) -> Tensor:
    total = weights.sum(dim=1, keepdim=True)
    return weights / torch.where(total > 0, total, 1)


def anchor_codes(targets: Numbers, reference: Reference, generators: Generators, count: int = 9) -> Tensor:
    """Return the code with the smallest mean distance to some random images of each target label.

    c = sign(sum of their codes), bit by bit; a tie takes the bit of the first of them. J. Bai et al., "Targeted Attack
    for Deep Hashing based Retrieval", ECCV 2020.

    Args:
        targets: float multi-hot ``(b, C)``; each shares a class with an image of the reference.
        reference: The images that are known.
        generators: Draw the images, with replacement where a label has fewer than ``count``: one for each target, or
            one that draws for them one after another.
        count: Number n_t of images.

    Returns:
        float +1 or -1 ``(b, K)``.
    """
    wanted = multi_hot(targets, reference.classes)
    draws = zip(wanted, one_for_each(generators, len(wanted)), strict=True)
    return torch.stack([vote(reference.codes[_drawn(reference, target, one, count)]) for target, one in draws])


def vote(codes: Numbers) -> Tensor:
    """Return the majority of codes ``(n, K)``, bit by bit; a tie takes the bit of the first.

    Example:
        >>> vote(torch.tensor([[1.0, 1, -1, 1], [1, -1, -1, 1], [1, 1, -1, -1]])).tolist()
        [1.0, 1.0, -1.0, 1.0]
    """
    voters = as_tensor(codes, "codes").float()
    total = voters.sum(dim=0)
    return torch.where(total == 0, voters[0], signs(total))


def _drawn(reference: Reference, target: Tensor, generator: torch.Generator, count: int) -> Tensor:
    rows = reference.with_label(target).cpu()
    if len(rows) < count:
        return rows[torch.randint(len(rows), (count,), generator=generator)]
    return rows[torch.randperm(len(rows), generator=generator)[:count]]
