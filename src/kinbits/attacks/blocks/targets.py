"""Target labels of targeted attacks."""

from __future__ import annotations

import torch
from torch import Tensor

from kinbits.attacks.victim import Reference


def draw_targets(labels: Tensor, reference: Reference, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw for each image a label that shares no class with its own, so that clean images reach it by chance only.

    Args:
        labels: float multi-hot ``(b, C)``.
        reference: The images whose distinct labels are drawn from.
        generator: Draws, on the CPU.

    Returns:
        Targets, float multi-hot ``(b, C)``, and which images have one, bool ``(b,)``: of images that share a class with
        all labels, the target is their own label.

    Raises:
        DataError: If no image of the reference has a label.
    """
    rows = reference.distinct_labels().to(labels)
    free = labels @ rows.T == 0
    found = free.any(dim=1)
    keys = torch.rand(free.shape, generator=generator).to(labels.device)
    chosen = torch.where(free, keys, -1).argmax(dim=1)
    return torch.where(found[:, None], rows[chosen], labels), found
