"""Base class of the training-free methods: a linear head whose weights are computed."""

from __future__ import annotations

import warnings
from typing import ClassVar

import torch
from torch import Tensor

from kinbits.errors import DataError, UsageError
from kinbits.heads import Head, Linear
from kinbits.methods.base import Method, Recipe, Spec, TrainView


class Projection(Method):
    """Base of methods that compute a projection ``(bits, d)`` from the centred features."""

    supervision: ClassVar = "none"
    recipe = Recipe(epochs=0)

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.head = Linear(spec.feature_dim, spec.bits)

    def projection(self, train: TrainView) -> Tensor:
        """Return the projection vectors, float ``(bits, d)``."""
        raise NotImplementedError

    @torch.no_grad()
    def prepare(self, train: TrainView) -> None:
        """Set the head to the computed projection of centred features."""
        weight = self.projection(train).float().to(self.head.centre.device)
        layer = self.head.layers
        assert isinstance(layer, torch.nn.Linear)
        layer.weight.copy_(weight)
        # the head subtracts the mean of frozen features; the bias covers all cases
        layer.bias.copy_(-(weight @ inputs_mean(self.head, train).float()))

    def principal(self, train: TrainView) -> Tensor:
        """Return the first ``bits`` principal axes, orthonormal ``(bits, d)``, largest variance first."""
        d = self.spec.feature_dim
        if self.spec.bits > d:
            raise UsageError(
                f"method '{self.name}' makes at most as many bits as there are features, {d}; {self.spec.bits} given. "
                f"Take fewer bits, or a method without this limit, such as lsh or bihalf"
            )
        return principal_axes(self.head, train, self.spec.bits)


def inputs_mean(head: Head, train: TrainView) -> Tensor:
    """Return the mean of what a head's layers read, float64 ``(d,)``."""
    total = torch.zeros(head.features, dtype=torch.float64, device=head.centre.device)
    for chunk in train.chunks():
        total += head.standard(chunk).double().sum(0)
    return total / len(train)


def principal_axes(head: Head, train: TrainView, count: int) -> Tensor:
    """Return the first principal axes of what a head's layers read, orthonormal ``(count, d)``, largest variance first.

    Raises:
        DataError: If there are fewer than two rows.
    """
    rows, mean = len(train), inputs_mean(head, train)
    if rows < 2:
        raise DataError("principal axes need at least two training images")
    if rows <= count:
        warnings.warn(
            f"principal axes (pca, pca-rotation, itq, rabitq): {rows} training images vary along {rows - 1} "
            f"directions; the others of {count} are arbitrary. Give more images, or take fewer bits",
            stacklevel=3,
        )
    covariance = torch.zeros(head.features, head.features, dtype=torch.float64, device=head.centre.device)
    for chunk in train.chunks():
        centred = head.standard(chunk).double() - mean
        covariance += centred.T @ centred
    _, vectors = torch.linalg.eigh(covariance / rows)
    axes = vectors.T.flip(0)[:count]
    # the sign of an eigenvector is arbitrary: fix it, so that every machine gives the same codes
    largest = axes.abs().argmax(1, keepdim=True)
    return torch.mul(axes, axes.gather(1, largest).sign()).float()


def random_rotation(bits: int, spec: Spec) -> Tensor:
    """Return a random orthogonal matrix, float ``(bits, bits)``, uniform over rotations and reflections."""
    gauss = torch.from_numpy(spec.rng.standard_normal((bits, bits)))
    q, r = torch.linalg.qr(gauss)
    return torch.mul(q, r.diagonal().sign()).float()
