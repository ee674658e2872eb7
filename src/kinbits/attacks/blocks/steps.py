"""Projected sign steps: the search that most attacks share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kinbits._util import check_at_least
from kinbits.attacks.base import EPSILON, Attack, AttackBatch, within
from kinbits.errors import UsageError

Loss = Callable[[Tensor], Tensor]  # relaxed codes (b, K) to one number for each image, (b,)
FLIPPED = -0.5  # a product of relaxed bit and code below it counts as flipped
RISE = (0.2, 0.3, 0.5, 0.7, 1.0)  # scales of the last five tenths of the steps


class SignSteps(Attack):
    """An attack by sign gradient steps with projection: d <- clip(d - step sign(gradient)), as Madry et al. (2018).

    With z the logits, losses read the relaxed codes h = tanh(a z), where a is 1 or rises.

    Args:
        epsilon: Largest change of a pixel in [0, 1].
        steps: Number of steps.
        step_size: Change of a pixel in one step; None for epsilon / 10.
        random_start: Whether to start from random pixels within the budget instead of the image itself.
        rising: Whether a rises, from .1 in the first half of the steps to 1 in the last tenth: for models whose logits
            are so large that tanh has no gradient left.

    Raises:
        UsageError: If a number is out of range.
    """

    epsilon: float

    def __init__(
        self,
        *,
        epsilon: float = EPSILON,
        steps: int = 40,
        step_size: float | None = None,
        random_start: bool = False,
        rising: bool = False,
    ) -> None:
        super().__init__(epsilon=epsilon)
        check_at_least(1, steps=steps)
        if step_size is not None and not step_size > 0:
            raise UsageError(f"step_size={step_size}: give a positive number, e.g. 1/255, or leave it out")
        self.steps, self.step_size, self.random_start, self.rising = steps, step_size, random_start, rising

    def descend(self, batch: AttackBatch, loss: Loss) -> Tensor:
        """Return images ``(b, 3, s, s)`` after steps that lower a loss of their relaxed codes."""
        clean, size = batch.images, self.epsilon / 10 if self.step_size is None else self.step_size
        images = clean
        if self.random_start:
            images = within(clean + self.epsilon * (2 * batch.random(*clean.shape[1:]) - 1), clean, self.epsilon)
        for step in range(self.steps):
            images = images.detach().requires_grad_()
            relaxed = torch.tanh(self.scale(step) * batch.victim.logits(images))
            (gradient,) = torch.autograd.grad(loss(relaxed).sum(), images)
            images = within(images - size * gradient.sign(), clean, self.epsilon)
        return images.detach()

    def scale(self, step: int) -> float:
        """Return the scale a of the logits in a step."""
        done = 10 * step // self.steps
        return 1.0 if not self.rising else RISE[done - 5] if done >= 5 else 0.1


def towards(codes: Tensor) -> Loss:
    """Return the loss that moves relaxed codes to codes ``(b, K)``: minus their mean product."""
    return lambda relaxed: -(relaxed * codes).mean(dim=1)


def away_from(codes: Tensor) -> Loss:
    """Return the loss that moves relaxed codes away from codes ``(b, K)``: their mean product."""
    return lambda relaxed: (relaxed * codes).mean(dim=1)


def sharply_away_from(codes: Tensor) -> Loss:
    """Return the sharp loss of `PGD` for codes ``(b, K)``.

    Example:
        >>> import torch
        >>> loss = sharply_away_from(torch.tensor([[1.0, 1, -1, 1]]))
        >>> round(float(loss(torch.tensor([[0.9, -0.2, -0.6, 0.1]]))), 6)
        1.005
    """

    def loss(relaxed: Tensor) -> Tensor:
        products = relaxed * codes
        counted = (products > FLIPPED).float()
        return (counted * (products + 2) * products).sum(dim=1) / counted.sum(dim=1).clamp(min=1)

    return loss
