"""Random signs: what a change of this size does that was not aimed."""

from __future__ import annotations

import torch
from torch import Tensor

from kinbits.attacks.base import Attack, AttackBatch
from kinbits.attacks.registry import register_attack


@register_attack("noise")
class Noise(Attack):
    """Add +epsilon or -epsilon to every number of every pixel, at random.

    x' = x + epsilon s with s uniform in {-1, +1}. It is the bar for attacks: one that does no more is none.

    Args:
        epsilon: Largest change of a pixel in [0, 1].
    """

    version = 2

    def perturb(self, batch: AttackBatch) -> Tensor:
        """Return images with random signs added."""
        assert self.epsilon is not None
        return batch.images + self.epsilon * torch.sign(batch.random(*batch.images.shape[1:]) - 0.5)
