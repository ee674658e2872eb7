"""CCA: signs of projections that are most correlated between images and their texts."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from kinbits._util import Modality
from kinbits.errors import DataError, UsageError
from kinbits.heads import Head, Linear
from kinbits.methods.base import Method, Recipe, Spec, TrainView
from kinbits.methods.registry import register


@register("cca")
class Cca(Method):
    """Project both modalities on their canonical directions, and take signs.

    With X ``(n, d)`` and Y ``(n, t)`` the centred features of the pairs, C_xx, C_yy, C_xy their covariances, and
    R_x = C_xx + ridge tr(C_xx) / d I, R_y likewise, the directions are

        U = R_x^-1/2 P,    V = R_y^-1/2 Q,    from the singular value decomposition P S Q^T of R_x^-1/2 C_xy R_y^-1/2

    The first K columns of U and V belong to the K largest canonical correlations S. Covariances are summed chunk by
    chunk: O(n (d + t)^2) time, and O((d + t)^2) memory in addition to the features.

    Args:
        spec: The task, with text. The number of bits is at most the length of the shorter features.
        ridge: Added to the diagonals, as a share of their mean.

    Reference: H. Hotelling, "Relations Between Two Sets of Variates", Biometrika 1936; with signs as codes: Y. Gong,
    S. Lazebnik, "Iterative Quantization: A Procrustean Approach to Learning Binary Codes", CVPR 2011, section 4.
    """

    supervision: ClassVar = "none"
    reads_text: ClassVar[bool] = True
    recipe = Recipe(epochs=0)

    def __init__(self, spec: Spec, *, ridge: float = 1e-2) -> None:
        super().__init__(spec)
        if ridge <= 0:
            raise UsageError(f"ridge is {ridge}; it must be greater than 0, 0.01 is usual")
        if spec.bits > min(spec.feature_dim, spec.require_text_dim()):
            raise UsageError(
                f"method 'cca' makes at most as many bits as there are features: {spec.feature_dim} of an image, "
                f"{spec.require_text_dim()} of a text; {spec.bits} given"
            )
        self.ridge = ridge
        self.head: Head = Linear(spec.feature_dim, spec.bits)
        self.text_head = Linear(spec.require_text_dim(), spec.bits)

    @torch.no_grad()
    def prepare(self, train: TrainView) -> None:
        """Set both heads to the canonical directions of centred features."""
        if len(train) < 2:
            raise DataError("canonical directions need at least two pairs of image and text")
        means = [self._mean(train, modality) for modality in self.towers()]
        own, other, across = self._covariances(train, means)
        left, right = canonical(own, other, across, self.ridge, self.spec.bits)
        for head, mean, directions in zip(self.towers().values(), means, (left, right), strict=True):
            layer = head.layers
            assert isinstance(layer, torch.nn.Linear)
            weight = directions.T.float()
            layer.weight.copy_(weight)
            layer.bias.copy_(-(weight @ mean.float()))

    def _inputs(self, chunk: Tensor, modality: Modality) -> Tensor:
        return self.towers()[modality].standard(chunk).double()

    def _mean(self, train: TrainView, modality: Modality) -> Tensor:
        sums = [self._inputs(chunk, modality).sum(0) for chunk in train.chunks(modality)]
        return torch.stack(sums).sum(0) / len(train)

    def _covariances(self, train: TrainView, means: list[Tensor]) -> list[Tensor]:
        """Return the covariances of images, of texts, and between them."""
        sums: list[Tensor] = []
        for chunks in zip(train.chunks("image"), train.chunks("text"), strict=True):
            x, y = (self._inputs(c, m) - mean for c, m, mean in zip(chunks, self.towers(), means, strict=True))
            products = [x.T @ x, y.T @ y, x.T @ y]
            sums = [a + b for a, b in zip(sums, products, strict=True)] if sums else products
        return [total / (len(train) - 1) for total in sums]


def canonical(own: Tensor, other: Tensor, across: Tensor, ridge: float, count: int) -> tuple[Tensor, Tensor]:
    """Return the first canonical directions of two views, ``(d, count)`` and ``(t, count)``.

    Args:
        own: Covariance of the first view, ``(d, d)``.
        other: Of the second, ``(t, t)``.
        across: Between them, ``(d, t)``.
        ridge: Added to the diagonals, as a share of their mean.
        count: Number of directions.
    """
    roots = [inverse_root(view, ridge) for view in (own, other)]
    left, _, right = torch.linalg.svd(roots[0] @ across @ roots[1], full_matrices=False)
    one, two = roots[0] @ left[:, :count], roots[1] @ right[:count].T
    # the sign of a direction is arbitrary: fix it, so that every machine gives the same codes
    turn = torch.gather(one, 0, one.abs().argmax(0, keepdim=True)).sign()
    return one * turn, two * turn


def inverse_root(covariance: Tensor, ridge: float) -> Tensor:
    """Return (C + ridge mean(diagonal) I)^-1/2, symmetric ``(d, d)``."""
    values, vectors = torch.linalg.eigh(covariance)
    kept = values.clamp_min(0) + ridge * covariance.diagonal().mean().clamp_min(1e-12)
    root: Tensor = (vectors / kept.sqrt()) @ vectors.T
    return root
