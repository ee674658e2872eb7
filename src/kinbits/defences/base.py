"""The contract of defences: `Defence`, and the batch that it receives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from kinbits._util import Parameterised, check_at_least
from kinbits.attacks import EPSILON, AttackBatch, Reference, Victim, blocks
from kinbits.errors import UsageError
from kinbits.methods import evaluating


@dataclass(frozen=True)
class DefendedBatch:
    """Training images that a defence attacks.

    Attributes:
        victim: The network as it is now; gradients reach its weights.
        images: float ``(b, 3, s, s)`` in [0, 1], after augmentation.
        labels: float multi-hot ``(b, C)``, each with a class.
        reference: All training images: their latest codes, and their labels.
        generator: Draws everything random, on the CPU.
    """

    victim: Victim
    images: Tensor
    labels: Tensor
    reference: Reference
    generator: torch.Generator


class Defence(Parameterised, nn.Module, ABC):
    """A way to train on attacked images: terms that are added to the loss of any method.

    A subclass defines `terms`. What it learns itself are its parameters and buffers, which a checkpoint keeps; their
    optimizer goes through `extra_state`.

    Attributes:
        name: Name in the registry.
        version: Raise it when the results of the same settings change.
        params: What it was made with.

    Args:
        epsilon: Largest change of a pixel in [0, 1] in training.
        steps: Steps of the attack in training.
        step_size: Change of a pixel in one step.
        weight: Weight of the adversarial term.
        start: Share of the epochs that are trained without attacks first.

    Raises:
        UsageError: If a number is out of range.
    """

    name: ClassVar[str] = ""
    version: ClassVar[int] = 1

    def __init__(
        self,
        *,
        epsilon: float = EPSILON,
        steps: int = 7,
        step_size: float = 2 / 255,
        weight: float = 1.0,
        start: float = 0.5,
    ) -> None:
        super().__init__()
        check_at_least(0, weight=weight, start=start)
        if start >= 1:
            raise UsageError(f"start={start}: give a share of the epochs below 1")
        self.attack = _Steps(epsilon=epsilon, steps=steps, step_size=step_size, random_start=True)
        self.weight, self.start = weight, start

    def setup(self, *, bits: int, classes: int) -> None:
        """Build what the defence learns itself, for codes of K bits and C classes."""

    @abstractmethod
    def terms(self, batch: DefendedBatch) -> Mapping[str, Tensor]:
        """Return named terms of the loss, weighted; gradients reach the network through ``batch.victim``."""

    def attacked(self, batch: DefendedBatch, loss: Any, targets: Tensor | None = None) -> Tensor:
        """Return images after sign steps that lower a loss of relaxed codes ``(b, K)``; made in evaluation mode."""
        draws = [batch.generator] * len(batch.images)
        given = AttackBatch(batch.victim, batch.images, batch.labels, targets, batch.reference, draws)
        with evaluating(batch.victim.network):
            return self.attack.descend(given, loss)


class _Steps(blocks.SignSteps):
    """Sign steps with the loss of a defence."""

    def perturb(self, batch: AttackBatch) -> Tensor:
        """Refuse: a defence gives the loss."""
        raise NotImplementedError
