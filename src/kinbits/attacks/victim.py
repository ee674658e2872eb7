"""The attacked model as attacks see it, and what an attacker knows besides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from kinbits import hamming
from kinbits._util import lazy
from kinbits.attacks.given import Numbers, as_tensor
from kinbits.attacks.label_rows import LabelRows, handy_labels
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
    def codes(self, images: Numbers) -> Tensor:
        """Return codes, float +1 or -1 ``(b, K)``, of images ``(b, 3, s, s)`` in [0, 1].

        Raises:
            DataError: If the images have another size, or are no floats.
        """
        return signs(self.logits(checked_images(images, self)))


def checked_images(images: Numbers, victim: Victim) -> Tensor:
    """Return images as a model takes them, float32 ``(b, 3, s, s)``, on its device.

    Raises:
        DataError: If they have another size, or are no floats.
    """
    given, side = as_tensor(images, "images"), victim.size
    if given.ndim != 4 or tuple(given.shape[1:]) != (3, side, side) or not given.is_floating_point():
        raise DataError(
            f"images are {given.dtype} {tuple(given.shape)}; attacks on this model take floats (b, 3, {side}, {side})"
        )
    return given.float().to(victim.device)


@dataclass(frozen=True)
class Reference:
    """Images that an attacker knows, such as those that the model was trained on: their codes and labels.

    Attributes:
        codes: float +1 or -1 ``(n, K)``.
        labels: float multi-hot ``(n, C)``, or `LabelRows` where that would be large; rows without a label are all 0.
        names: The C class names.

    Raises:
        DataError: If the shapes do not fit, or a code is neither +1 nor -1.
    """

    codes: Tensor
    labels: Tensor | LabelRows
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("codes", "labels"):
            given = getattr(self, name)
            if not isinstance(given, LabelRows):
                object.__setattr__(self, name, as_tensor(given, f"{name} of a reference").float())
        if (
            self.codes.ndim != 2
            or len(self.labels.shape) != 2
            or len(self.codes) != len(self.labels)
            or not len(self.codes)
        ):
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
        return cls(unpacked, handy_labels(dataset.labels, len(names)), tuple(names))

    @property
    def classes(self) -> int:
        """Number C of classes."""
        return int(self.labels.shape[1])

    @lazy
    def label_rows(self) -> LabelRows:
        """The labels without their zeros."""
        return LabelRows.from_labels(self.labels, self.classes)

    def shared(self, labels: Numbers) -> Tensor:
        """Return how many classes the known images have in common with labels ``(b, C)``, float ``(b, n)``."""
        return self.label_rows.shared(multi_hot(labels, self.classes).to(self.codes.device))

    def select(self, rows: Tensor) -> Reference:
        """Return some of the known images, by their rows or a mask."""
        return Reference(self.codes[rows], self.labels[rows], self.names)

    def with_label(self, label: Numbers) -> Tensor:
        """Return the rows that have a label, multi-hot ``(C,)``, or else share most classes with it, int64 ``(m,)``."""
        wanted = as_tensor(label, "labels")[None]
        common, size = self.shared(wanted)[0], float((wanted != 0).sum())
        exact = (common == size) & (self.label_rows.sizes == size)
        return torch.nonzero(exact if bool(exact.any()) else (common > 0) & (common == common.max())).flatten()

    def distinct_labels(self) -> LabelRows:
        """Return the distinct labels ``(r, C)``, without the empty one.

        Raises:
            DataError: If there is none.
        """
        if not len(self.label_rows.distinct):
            raise DataError("no known image has a label; give a reference of labelled images")
        return self.label_rows.distinct

    def to(self, device: torch.device) -> Reference:
        """Return a copy on a device."""
        return Reference(self.codes.to(device), self.labels.to(device), self.names)


def multi_hot(labels: Numbers, classes: int) -> Tensor:
    """Return labels as float multi-hot ``(n, C)``: of int ``(n,)``, where -1 is no label, or multi-hot ``(n, C)``.

    Raises:
        DataError: If they have another form, or one is of no class.
    """
    given = as_tensor(labels, "labels")
    if given.ndim == 2 and given.shape[1] == classes:
        return given.float()
    return LabelRows.from_labels(given, classes).dense()
