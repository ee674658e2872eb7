"""The attacked model as attacks see it, and what an attacker knows besides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from kinbits import hamming
from kinbits.data import Dataset
from kinbits.errors import DataError, UsageError
from kinbits.methods import signs


class Victim:
    """An attacked network: pixels in, logits with gradients out.

    Preprocessing by mean and deviation is inside, so that all budgets are in units of pixels in [0, 1]. Attacks leave
    weights, batch statistics and modes as they are. `kinbits.robustness.victim_of` makes one of a model.

    Args:
        network: Maps images, float ``(b, 3, s, s)`` in [0, 1], to logits ``(b, K)``; in evaluation mode.
        bits: Code length K.
        size: Side s of the images in pixels.
        name: What its images are read by, for messages.
        fingerprint: Identity of the model, which attacks that are trained on it note.

    Attributes:
        network, bits, size, name, fingerprint: As given.

    Raises:
        UsageError: If no gradient reaches the pixels.
    """

    def __init__(self, network: nn.Module, *, bits: int, size: int, name: str = "", fingerprint: str = "") -> None:
        self.network, self.bits, self.size, self.name, self.fingerprint = network, bits, size, name, fingerprint
        self._check_gradient()

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return next(self.network.parameters()).device

    def _check_gradient(self) -> None:
        pixels = torch.full((1, 3, self.size, self.size), 0.5, device=self.device, requires_grad=True)
        try:
            with torch.enable_grad():
                (gradient,) = torch.autograd.grad(self.logits(pixels).sum(), pixels, allow_unused=True)
        except RuntimeError:  # nothing in the output depends on a tensor with a gradient
            gradient = None
        if gradient is None:
            raise UsageError(
                f"no gradient reaches the pixels through {self.name or 'this network'}; attack one that PyTorch runs, "
                f"and give its images to this one"
            )

    def logits(self, images: Tensor) -> Tensor:
        """Return logits, float32 ``(b, K)``, of images ``(b, 3, s, s)`` in [0, 1]; gradients reach the pixels."""
        found: Tensor = self.network(images)
        return found

    @torch.no_grad()
    def codes(self, images: Tensor) -> Tensor:
        """Return codes, float +1 or -1 ``(b, K)``, of images ``(b, 3, s, s)`` in [0, 1]."""
        return signs(self.logits(images.to(self.device)))


@dataclass(frozen=True)
class Reference:
    """Images that an attacker knows, such as those that the model was trained on: their codes and labels.

    Attributes:
        codes: float +1 or -1 ``(n, K)``.
        labels: float multi-hot ``(n, C)``; rows without a label are all 0.
        names: The C class names.

    Raises:
        DataError: If the shapes do not fit, or a code is neither +1 nor -1.
    """

    codes: Tensor
    labels: Tensor
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.codes.ndim != 2 or self.labels.ndim != 2 or len(self.codes) != len(self.labels) or not len(self.codes):
            raise DataError(
                f"codes {tuple(self.codes.shape)} and labels {tuple(self.labels.shape)} must be (n, bits) and "
                f"(n, classes), with n of at least 1"
            )
        if not bool((self.codes.abs() == 1).all()):
            raise DataError("codes of a reference are +1 and -1; unpack bits and map 0 to -1")

    @classmethod
    def from_codes(cls, codes: hamming.Codes, dataset: Dataset, bits: int) -> Self:
        """Make a reference of packed codes, uint8 ``(n, ceil(bits / 8))``, and the data set that they were made of.

        Raises:
            DataError: If the data have no labels.
        """
        if dataset.labels is None or dataset.label_space is None:
            raise DataError(f"{dataset.name} has no labels, and target codes follow them; give labelled data")
        unpacked = torch.from_numpy(hamming.unpack(codes, bits)).float() * 2 - 1
        names = dataset.label_space.names
        return cls(unpacked, multi_hot(dataset.labels, len(names)), tuple(names))

    def with_label(self, label: Tensor) -> Tensor:
        """Return the rows that have a label, multi-hot ``(C,)``, or else share most classes with it, int64 ``(m,)``."""
        wanted = label.to(self.labels)
        exact = (self.labels == wanted).all(dim=1)
        common = self.labels @ wanted
        return torch.nonzero(exact if bool(exact.any()) else (common > 0) & (common == common.max())).flatten()

    def distinct_labels(self) -> Tensor:
        """Return the distinct label rows ``(r, C)``, without the empty one.

        Raises:
            DataError: If there is none.
        """
        rows: Tensor = torch.unique(self.labels, dim=0)
        rows = rows[rows.any(dim=1)]
        if not len(rows):
            raise DataError("no known image has a label; give a reference of labelled images")
        return rows

    def to(self, device: torch.device) -> Reference:
        """Return a copy on a device."""
        return Reference(self.codes.to(device), self.labels.to(device), self.names)


def multi_hot(labels: np.ndarray, classes: int) -> Tensor:
    """Return labels as float multi-hot ``(n, C)``: of int ``(n,)``, where -1 is no label, or multi-hot ``(n, C)``."""
    given = torch.from_numpy(np.ascontiguousarray(labels))
    if given.ndim == 2:
        return given.float()
    return torch.zeros(len(given), classes + 1).scatter_(1, given.long()[:, None] + 1, 1.0)[:, 1:].contiguous()
