"""HAG: flip every bit by a margin, and keep the flipped bits balanced."""

from __future__ import annotations

from torch import Tensor

from kinbits._util import check_at_least
from kinbits.attacks.base import EPSILON, AttackBatch
from kinbits.attacks.blocks.steps import Loss, SignSteps
from kinbits.attacks.registry import register_attack


@register_attack("hag")
class HAG(SignSteps):
    """Move codes away from their own, bit by bit, until each is flipped by a margin.

    With g the relaxed code of the clean image, c its signs and h the present relaxed code, the bits that count are
    m_k = [|h_k - c_k| < 1 + t]:

    L = (sum_k m_k h_k g_k / sum_k m_k + 1)^2 + beta (mean_k m_k h_k)^2

    E. Yang, T. Liu, C. Deng, D. Tao, "Adversarial Examples for Hamming Space Search", IEEE Transactions on Cybernetics
    2018. The authors' code is not public; the loss is that of the re-implementation in the code of Yuan et al. (TIFS
    2023), which steps by SGD with momentum for 2,000 iterations. Differences: sign steps, as the other attacks.

    Args:
        epsilon: Largest change of a pixel in [0, 1].
        steps: Number of steps.
        step_size: Change of a pixel in one step; None for epsilon / 10.
        random_start: Whether to start from random pixels within the budget.
        rising: Whether the scale of the logits rises, see `SignSteps`.
        margin: t: how far beyond 0 a flipped bit must be.
        balance: beta: weight of the balance of the bits that count.

    Raises:
        UsageError: If a number is out of range.
    """

    def __init__(
        self,
        *,
        epsilon: float = EPSILON,
        steps: int = 40,
        step_size: float | None = None,
        random_start: bool = False,
        rising: bool = True,
        margin: float = 0.5,
        balance: float = 1.0,
    ) -> None:
        super().__init__(epsilon=epsilon, steps=steps, step_size=step_size, random_start=random_start, rising=rising)
        check_at_least(0, margin=margin, balance=balance)
        self.margin, self.balance = margin, balance

    def perturb(self, batch: AttackBatch) -> Tensor:
        """Return images whose bits are flipped by a margin."""
        clean = batch.victim.logits(batch.images).detach()
        return self.descend(batch, flipping(clean.tanh(), batch.victim.codes(batch.images), self.margin, self.balance))


def flipping(clean: Tensor, codes: Tensor, margin: float, balance: float) -> Loss:
    """Return the loss of `HAG` for the relaxed codes ``(b, K)`` of the clean images and their signs.

    Example:
        >>> import torch
        >>> loss = flipping(torch.tensor([[0.8, 0.7, -0.9, 0.6]]), torch.tensor([[1.0, 1, -1, 1]]), 0.5, balance=1)
        >>> round(float(loss(torch.tensor([[0.9, -0.8, -0.6, 0.1]]))), 6)  # 2.0736 + 0.01
        2.0836
    """

    def loss(relaxed: Tensor) -> Tensor:
        counted = ((relaxed - codes).abs() < 1 + margin).float()
        agreement = (counted * relaxed * clean).sum(dim=1) / counted.sum(dim=1).clamp(min=1)
        return (agreement + 1) ** 2 + balance * (counted * relaxed).mean(dim=1) ** 2

    return loss
