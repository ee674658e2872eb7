"""SDHA: a smooth distance to all images of a label, by Adam on the pixels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kinbits._util import check_at_least
from kinbits.attacks.base import EPSILON, Attack, AttackBatch, within
from kinbits.attacks.registry import register_attack
from kinbits.methods import signs

WEIGHT = 25  # of the distances, divided by the bits, beside the squared change of the pixels
OfProduct = Callable[[Tensor], Tensor]
Distances = Callable[[Tensor, Tensor], Tensor]  # relaxed codes (b, K) and codes (n, K) to numbers (b, n)


class AdamSteps(Attack):
    """An attack by Adam on the pixels, with the change cut to epsilon after each step.

    Args:
        epsilon: Largest change of a pixel in [0, 1].
        steps: Number of steps.
        lr: Rate of Adam, in units of pixels in [0, 1].

    Raises:
        UsageError: If a number is out of range.
    """

    epsilon: float

    def __init__(self, *, epsilon: float = EPSILON, steps: int = 200, lr: float = 0.01) -> None:
        super().__init__(epsilon=epsilon)
        check_at_least(1, steps=steps)
        check_at_least(0, lr=lr)
        self.steps, self.lr = steps, lr

    def descend(self, batch: AttackBatch, labels: Tensor, distances: Distances) -> Tensor:
        """Return images after steps that lower their change plus the mean distance to the known images of labels.

        Args:
            batch: The images.
            labels: float multi-hot ``(b, C)``; images that share a class with them count.
            distances: The distances, weighted.
        """
        reference, clean, victim = batch.require_reference(), batch.images, batch.victim
        alike = (reference.shared(labels) > 0).float()
        images = clean.clone().requires_grad_()
        adam = torch.optim.Adam([images], lr=self.lr)
        for _ in range(self.steps):
            adam.zero_grad()
            each = distances(torch.tanh(victim.logits(images)), reference.codes)
            mean = (alike * each).sum(dim=1) / alike.sum(dim=1).clamp(min=1)
            change = (images - clean).square().mean(dim=(1, 2, 3))
            (change + WEIGHT / victim.bits * mean).sum().backward()  # type: ignore[no-untyped-call]
            adam.step()
            with torch.no_grad():
                images.copy_(within(images, clean, self.epsilon))
        return images.detach()


@register_attack("sdha")
class SDHA(AdamSteps):
    """Raise a smooth distance to all known images that share a label.

    With q the relaxed code tanh(z) of an image and R the codes of the known images that share its label:

    L = |x' - x|^2 / (3 s^2) - (25 / K) mean_{r in R} d(q, r) / sqrt(H + 1e-8)
    d(q, r) = sum_k [ |q_k - r_k| sigmoid(5 q_k r_k) / 2 + 1 - sigmoid(5 q_k r_k) ]

    H is the Hamming distance of the signs of q and r. Adam, with the change cut to epsilon after each step.

    J. Lu, M. Chen, Y. Sun, W. Wang, Y. Wang, X. Yang, "A Smart Adversarial Attack on Deep Hashing Based Image
    Retrieval", ICMR 2021; constants from the re-implementation in the code of Yuan et al. (TIFS 2023), which takes
    1,500 steps. Differences: fewer steps. An image whose label no known image shares stays as it is. `sdha-targeted`
    is the targeted form.

    Args:
        epsilon: Largest change of a pixel in [0, 1].
        steps: Number of steps.
        lr: Rate of Adam, in units of pixels in [0, 1].

    Raises:
        UsageError: If a number is out of range.
    """

    def perturb(self, batch: AttackBatch) -> Tensor:
        """Return images whose codes are far from those of images that share their label."""
        return self.descend(batch, batch.require_labels(), lambda relaxed, codes: -smooth_distances(relaxed, codes))


@register_attack("sdha-targeted")
class TargetedSDHA(AdamSteps):
    """Lower a smooth distance to all known images that share the target label.

    With q the relaxed code tanh(z) of an image and R the codes of the known images that share the target label:

    L = |x' - x|^2 / (3 s^2) + (25 / K) mean_{r in R} d(q, r) (H + 1e-8)^.3
    d(q, r) = sum_k |q_k - r_k| sigmoid(-10 q_k r_k) / 2

    H is the Hamming distance of the signs of q and r, so images that are still far weigh more. Adam, with the change
    cut to epsilon after each step.

    J. Lu, M. Chen, Y. Sun, W. Wang, Y. Wang, X. Yang, "A Smart Adversarial Attack on Deep Hashing Based Image
    Retrieval", ICMR 2021; constants from the re-implementation in the code of Yuan et al. (TIFS 2023), which takes
    1,500 steps. Differences: fewer steps.

    Args:
        epsilon: Largest change of a pixel in [0, 1].
        steps: Number of steps.
        lr: Rate of Adam, in units of pixels in [0, 1].

    Raises:
        UsageError: If a number is out of range.
    """

    aims = "target"

    def perturb(self, batch: AttackBatch) -> Tensor:
        """Return images whose codes are near those of images that share the target label."""
        return self.descend(batch, batch.require_targets(), smooth_distances_to_target)


def smooth_distances(relaxed: Tensor, codes: Tensor) -> Tensor:
    """Return d(q, r) / sqrt(H + 1e-8) of `SDHA`, ``(b, n)``, for relaxed codes ``(b, K)`` and codes ``(n, K)``.

    Example:
        >>> one, other = torch.tensor([[0.5, -0.5]]), torch.tensor([[1.0, 1.0]])
        >>> round(float(smooth_distances(one, other)), 6)  # .25 s + 1 - s and .75 (1 - s) + s, s = sigmoid(2.5)
        1.287929
    """
    return _sums(relaxed, codes, _smooth) / (_hamming(relaxed, codes) + 1e-8).sqrt()


def smooth_distances_to_target(relaxed: Tensor, codes: Tensor) -> Tensor:
    """Return d(q, r) (H + 1e-8)^.3 of `TargetedSDHA`, ``(b, n)``, for relaxed ``(b, K)`` and codes ``(n, K)``.

    Example:
        >>> one, other = torch.tensor([[0.5, -0.5]]), torch.tensor([[1.0, 1.0]])
        >>> round(float(smooth_distances_to_target(one, other)), 6)  # .25 (1 - s) + .75 s, s = sigmoid(5)
        0.746654
    """
    return _sums(relaxed, codes, _smooth_to_target) * (_hamming(relaxed, codes) + 1e-8) ** 0.3


def _hamming(relaxed: Tensor, codes: Tensor) -> Tensor:
    return _sums(signs(relaxed.detach()), codes, lambda product: (1 - product) / 2)


def _smooth(product: Tensor) -> Tensor:
    """Return the smooth distance of a bit by the product q r, where |q - r| = 1 - q r."""
    agreeing = torch.sigmoid(5 * product)
    return (1 - product) / 2 * agreeing + 1 - agreeing


def _smooth_to_target(product: Tensor) -> Tensor:
    return (1 - product) / 2 * torch.sigmoid(-10 * product)


def _sums(relaxed: Tensor, codes: Tensor, of_product: OfProduct) -> Tensor:
    """Return the sums over bits of a function of q r: r is +1 or -1, so two matrix products do."""
    ones = (codes + 1) / 2
    return of_product(relaxed) @ ones.T + of_product(-relaxed) @ (1 - ones).T
