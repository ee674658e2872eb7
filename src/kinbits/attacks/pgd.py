"""Untargeted sign steps: away from the own code, or from the code of the label."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from kinbits._util import checked
from kinbits.attacks.base import EPSILON, AttackBatch
from kinbits.attacks.blocks.centres import mainstay_codes
from kinbits.attacks.blocks.steps import SignSteps, away_from, sharply_away_from
from kinbits.attacks.registry import register_attack


@register_attack("pgd")
class PGD(SignSteps):
    """Move codes away from a code c by projected sign steps.

    L = mean_k h_k c_k, with h the relaxed codes (`SignSteps`). c is the image's own code, or the mainstay code of its
    label, which lies in the middle of all codes of the label (`mainstay_codes`). With ``form="sharp"``, bits that are
    flipped by a margin no longer count, and others the more the farther they are from that:
    L = sum_k w_k (s_k + 2) s_k / sum_k w_k with s = h c and w = [s > -0.5].

    A. Madry, A. Makelov, L. Schmidt, D. Tsipras, A. Vladu, "Towards Deep Learning Models Resistant to Adversarial
    Attacks", ICLR 2018; own code: E. Yang et al. (see `hag`); mainstay code and sharp form: X. Yuan, Z. Zhang,
    X. Wang, L. Wu, "Semantic-Aware Adversarial Training for Reliable Deep Hashing Retrieval", TIFS 2023.

    Differences: the released code of the sharp form sums over all images of a batch, here each image has its own mean,
    so that an image's change does not depend on the others.

    Args:
        epsilon: Largest change of a pixel in [0, 1].
        steps: Number of steps; 100 of 1/255 with a random start in Yuan et al.
        step_size: Change of a pixel in one step; None for epsilon / 10.
        random_start: Whether to start from random pixels within the budget. Without it, the first gradient at an
            image's own code is as good as any.
        rising: Whether the scale of the logits rises, see `SignSteps`.
        code: ``"own"`` or ``"mainstay"``; the second needs labels and a reference.
        form: ``"mean"`` or ``"sharp"``.

    Raises:
        UsageError: If a number is out of range, or a name is unknown.
    """

    def __init__(
        self,
        *,
        epsilon: float = EPSILON,
        steps: int = 40,
        step_size: float | None = None,
        random_start: bool = False,
        rising: bool = False,
        code: Literal["own", "mainstay"] = "own",
        form: Literal["mean", "sharp"] = "mean",
    ) -> None:
        super().__init__(epsilon=epsilon, steps=steps, step_size=step_size, random_start=random_start, rising=rising)
        self.code = checked(code, Literal["own", "mainstay"], "code")
        self.form = checked(form, Literal["mean", "sharp"], "form")

    def perturb(self, batch: AttackBatch) -> Tensor:
        """Return images whose codes are away from their own code or from that of their label."""
        if self.code == "own":
            codes = batch.victim.codes(batch.images)
        else:
            codes = mainstay_codes(batch.require_labels(), batch.require_reference())
        return self.descend(batch, away_from(codes) if self.form == "mean" else sharply_away_from(codes))
