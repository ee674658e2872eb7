"""The contract of attacks: `Attack`, and the batch that it receives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from kinbits._util import Parameterised
from kinbits.attacks.given import Numbers, as_tensor, image_generators
from kinbits.attacks.victim import Reference, Victim, checked_images
from kinbits.errors import DataError, UsageError

EPSILON = 8 / 255


@dataclass(frozen=True)
class AttackBatch:
    """Images to change, and what an attack knows about them.

    Attributes:
        victim: The attacked model.
        images: float ``(b, 3, s, s)`` in [0, 1].
        labels: Their labels, float multi-hot ``(b, C)``, or None.
        targets: The labels whose images are to be found instead, float multi-hot ``(b, C)``, or None.
        reference: Codes and labels that the attacker knows, or None.
        generators: Draw everything random, on the CPU: one for each image.
    """

    victim: Victim
    images: Tensor
    labels: Tensor | None
    targets: Tensor | None
    reference: Reference | None
    generators: Sequence[torch.Generator]

    def require_labels(self) -> Tensor:
        """Return the labels.

        Raises:
            DataError: If there are none.
        """
        if self.labels is None:
            raise DataError("this attack follows the labels of the images; give labels")
        return self.labels

    def require_targets(self) -> Tensor:
        """Return the target labels.

        Raises:
            DataError: If there are none, or one is a label that no known image shares.
        """
        if self.targets is None:
            raise DataError("a targeted attack needs a target label for each image; give targets")
        if self.reference is not None:
            known = self.reference.label_rows.present.float()
            unknown = torch.nonzero(self.targets @ known == 0).flatten()
            if len(unknown):
                raise DataError(
                    f"the target of image {int(unknown[0])} is of no known image; choose labels of the reference"
                )
        return self.targets

    def require_reference(self) -> Reference:
        """Return the codes and labels that the attacker knows.

        Raises:
            DataError: If there are none.
        """
        if self.reference is None:
            raise DataError("this attack follows codes of labelled images; give a reference, e.g. of training images")
        return self.reference

    def random(self, *shape: int) -> Tensor:
        """Return uniform numbers in [0, 1) of a shape for each image, ``(b, *shape)``, on the device of the images.

        They follow from the seed and the row number of an image, and not from the other images of the batch.
        """
        return torch.stack([torch.rand(shape, generator=one) for one in self.generators]).to(self.images.device)


class Attack(Parameterised, ABC):
    """A way to change images so that their codes change: one published attack each.

    A subclass defines `perturb`. Calling an attack checks its input, and cuts its result to the budget and to [0, 1],
    so that no attack can exceed either.

    Attributes:
        name: Name in the registry.
        aims: ``"away"``: images of the same label are lost; ``"target"``: images of a given label are found instead.
        trained: Whether it learns a network first, see `TrainedAttack`.
        can_be_free: Whether epsilon may be None.
        version: Raise it when the results of the same settings change: results of experiments are then made anew.
        params: What it was made with.
        epsilon: Largest change of a pixel in [0, 1]; None for an attack that is not limited.

    Args:
        epsilon: As above.

    Raises:
        UsageError: If epsilon is out of range.
    """

    name: ClassVar[str] = ""
    aims: ClassVar[Literal["away", "target"]] = "away"
    trained: ClassVar[bool] = False
    can_be_free: ClassVar[bool] = False
    version: ClassVar[int] = 1
    epsilon: float | None

    def __init__(self, *, epsilon: float | None = EPSILON) -> None:
        if not (self.can_be_free if epsilon is None else 0 <= epsilon <= 1):
            raise UsageError(f"epsilon={epsilon}: give a share of the pixels' range, e.g. 8/255")
        self.epsilon = epsilon

    @abstractmethod
    def perturb(self, batch: AttackBatch) -> Tensor:
        """Return changed images ``(b, 3, s, s)``; what exceeds the budget or [0, 1] is cut off afterwards."""

    def __call__(
        self,
        victim: Victim,
        images: Numbers,
        *,
        labels: Numbers | None = None,
        targets: Numbers | None = None,
        reference: Reference | None = None,
        seed: int = 0,
        rows: Sequence[int] | None = None,
    ) -> Tensor:
        """Return changed images, float ``(b, 3, s, s)`` in [0, 1], at most epsilon from the given ones.

        Args:
            victim: The attacked model.
            images: Tensor or array, float ``(b, 3, s, s)`` in [0, 1].
            labels: Their labels, float multi-hot ``(b, C)``, for attacks that follow them.
            targets: Labels whose images are to be found instead, float multi-hot ``(b, C)``, for targeted attacks.
            reference: Codes and labels that the attacker knows.
            seed: Seed of everything random.
            rows: Row numbers of the images; None for 0 to b - 1. What is drawn for an image follows from the seed and
                its row, so images may be attacked in batches of any size.

        Raises:
            UsageError: If the seed is negative.
            DataError: If the images have another size or range, labels or codes do not fit, what the attack needs is
                missing, or it makes pixels that are no numbers.
        """
        clean = _checked(victim, images)
        if not len(clean):
            return clean
        found = reference if reference is None else reference.to(victim.device)
        if found is not None and found.codes.shape[1] != victim.bits:
            raise DataError(f"codes of the reference have {found.codes.shape[1]} bits, and the model has {victim.bits}")
        parts = {"labels": labels, "targets": targets}
        given = {name: _classes(name, part, len(clean), found, victim.device) for name, part in parts.items()}
        draws = image_generators(seed, range(len(clean)) if rows is None else rows)
        if len(draws) != len(clean):
            raise DataError(f"{len(draws)} rows are given for {len(clean)} images; give one for each")
        batch = AttackBatch(victim, clean, reference=found, generators=draws, **given)
        with torch.enable_grad():
            made = self.perturb(batch).detach()
        if not bool(made.isfinite().all()):
            raise DataError(f"attack '{self.name}' made pixels that are no numbers; if it learned, train it again")
        return within(made, clean, self.epsilon)


def within(images: Tensor, clean: Tensor, epsilon: float | None) -> Tensor:
    """Return images cut to at most epsilon from the clean ones, and to [0, 1]."""
    if epsilon is not None:
        images = clean + (images - clean).clamp(-epsilon, epsilon)
    return images.clamp(0, 1)


def _checked(victim: Victim, given: Numbers) -> Tensor:
    images = checked_images(given, victim)
    if not bool(((images >= 0) & (images <= 1)).all()):  # also false for NaN
        raise DataError("images must lie in [0, 1]; divide bytes by 255, and leave mean and deviation to the model")
    return images.detach()


def _classes(
    name: str, given: Numbers | None, rows: int, reference: Reference | None, device: torch.device
) -> Tensor | None:
    if given is None:
        return None
    labels = as_tensor(given, name)
    if labels.ndim != 2 or len(labels) != rows:
        raise DataError(f"{name} are {tuple(labels.shape)}; give multi-hot rows ({rows}, classes)")
    if reference is not None and labels.shape[1] != reference.classes:
        raise DataError(f"{name} have {labels.shape[1]} classes, and the reference has {reference.classes}")
    return labels.float().to(device)
