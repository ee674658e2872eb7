"""Target labels of targeted attacks."""

from __future__ import annotations

import torch
from torch import Tensor

from kinbits.attacks.given import Numbers
from kinbits.attacks.label_rows import CELLS, LabelRows
from kinbits.attacks.victim import Reference, multi_hot


def draw_targets(labels: Numbers, reference: Reference, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw for each image a label that shares no class with its own, so that clean images reach it by chance only.

    Args:
        labels: float multi-hot ``(b, C)``.
        reference: The images whose distinct labels are drawn from.
        generator: Draws, on the CPU.

    Returns:
        Targets, float multi-hot ``(b, C)``, and which images have one, bool ``(b,)``: of images that share a class with
        all labels, the target is their own label.

    Raises:
        DataError: If no image of the reference has a label, or the labels are of other classes.
    """
    own = multi_hot(labels, reference.classes)
    rows = reference.distinct_labels().to(own.device)
    parts = [_drawn(some, rows, generator) for some in torch.split(own, max(1, CELLS // len(rows)))]
    targets, found = (torch.cat(side) for side in zip(*parts, strict=True))
    return targets, found


def _drawn(own: Tensor, rows: LabelRows, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    free = rows.shared(own) == 0
    found = free.any(dim=1)
    keys = torch.rand(free.shape, generator=generator).to(own.device)
    chosen = torch.where(free, keys, -1).argmax(dim=1)
    return torch.where(found[:, None], rows[chosen].dense(), own), found
