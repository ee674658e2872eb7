"""THA: to the prototype that a network learned for the target label."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from kinbits._util import check_at_least
from kinbits.attacks.base import EPSILON, AttackBatch
from kinbits.attacks.blocks.prototypes import PrototypeNet, circle, train_prototypes
from kinbits.attacks.blocks.steps import SignSteps, towards
from kinbits.attacks.blocks.trained import TrainedAttack
from kinbits.attacks.registry import register_attack
from kinbits.attacks.victim import Reference, Victim


@register_attack("tha")
class THA(SignSteps, TrainedAttack):
    """Move a code to the prototype of the target label, which a network learned from codes and labels.

    The network's loss is the circle loss of the likeness of prototype and codes (`prototypes.circle`). Then sign steps
    lower L = -mean_k h_k c_k with c the signs of the prototype and h the relaxed codes (`SignSteps`).

    X. Wang, Z. Zhang, G. Lu, Y. Xu, "Targeted Attack and Defense for Deep Hashing", SIGIR 2021; constants from the
    re-implementation in the code of Yuan et al. (TIFS 2023).

    Args:
        epsilon: Largest change of a pixel in [0, 1].
        steps: Number of steps; 100 of 1/255 in the code of Yuan et al.
        step_size: Change of a pixel in one step; None for epsilon / 10.
        random_start: Whether to start from random pixels within the budget.
        rising: Whether the scale of the logits rises, see `SignSteps`.
        prototype_steps: Steps that the network learns.

    Raises:
        UsageError: If a number is out of range.
    """

    aims = "target"

    def __init__(
        self,
        *,
        epsilon: float = EPSILON,
        steps: int = 40,
        step_size: float | None = None,
        random_start: bool = False,
        rising: bool = False,
        prototype_steps: int = 1000,
    ) -> None:
        SignSteps.__init__(
            self, epsilon=epsilon, steps=steps, step_size=step_size, random_start=random_start, rising=rising
        )
        check_at_least(1, prototype_steps=prototype_steps)
        self.prototype_steps = prototype_steps

    def build(self, *, bits: int, size: int, classes: int) -> dict[str, nn.Module]:
        """Return the network of prototypes."""
        return {"prototypes": PrototypeNet(classes, bits)}

    def learn(
        self, victim: Victim, images: np.ndarray, labels: Tensor, reference: Reference, *, seed: int, progress: bool
    ) -> None:
        """Train the network of prototypes; it reads no images."""
        generator = torch.Generator().manual_seed(seed)
        net = self.networks["prototypes"]
        assert isinstance(net, PrototypeNet)
        train_prototypes(net, reference, circle, steps=self.prototype_steps, generator=generator)

    def perturb(self, batch: AttackBatch) -> Tensor:
        """Return images whose codes are near the prototype of the target label."""
        targets = batch.require_targets()
        net = self.require_networks(batch.victim, targets, batch.reference)["prototypes"]
        assert isinstance(net, PrototypeNet)
        return self.descend(batch, towards(net.codes(targets)))
