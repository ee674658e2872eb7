"""DHTA: to the anchor code of several images of the target label."""

from __future__ import annotations

from torch import Tensor

from kinbits._util import check_at_least
from kinbits.attacks.base import EPSILON, AttackBatch
from kinbits.attacks.blocks.centres import anchor_codes
from kinbits.attacks.blocks.steps import SignSteps, towards
from kinbits.attacks.registry import register_attack


@register_attack("dhta")
class DHTA(SignSteps):
    """Move a code to the anchor code of some random images of the target label ("point to set").

    The anchor takes each bit by vote (`anchor_codes`), which minimises the mean Hamming distance to the images.
    L = -mean_k h_k c_k with c the anchor and h the relaxed codes (`SignSteps`).

    J. Bai, B. Chen, Y. Li, D. Wu, W. Guo, S.-T. Xia, E.-H. Yang, "Targeted Attack for Deep Hashing based Retrieval",
    ECCV 2020. Differences: the authors' code keeps its budget of 0.032 on normalised pixels, about 0.007 of [0, 1], and
    steps along the normalised gradient 2,000 times; here sign steps within epsilon of [0, 1].

    Args:
        epsilon: Largest change of a pixel in [0, 1].
        steps: Number of steps.
        step_size: Change of a pixel in one step; None for epsilon / 10.
        random_start: Whether to start from random pixels within the budget.
        rising: Whether the scale of the logits rises, see `SignSteps`.
        images: n_t: number of images that vote.

    Raises:
        UsageError: If a number is out of range.
    """

    aims = "target"
    version = 2

    def __init__(
        self,
        *,
        epsilon: float = EPSILON,
        steps: int = 40,
        step_size: float | None = None,
        random_start: bool = False,
        rising: bool = False,
        images: int = 9,
    ) -> None:
        super().__init__(epsilon=epsilon, steps=steps, step_size=step_size, random_start=random_start, rising=rising)
        check_at_least(1, images=images)
        self.images = images

    def perturb(self, batch: AttackBatch) -> Tensor:
        """Return images whose codes are near the anchor of the target label."""
        anchors = anchor_codes(batch.require_targets(), batch.require_reference(), batch.generators, self.images)
        return self.descend(batch, towards(anchors))
