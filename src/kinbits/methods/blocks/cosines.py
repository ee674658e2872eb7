"""Codes whose cosines follow those of the features: the aim that label-free methods share."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


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
