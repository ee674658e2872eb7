"""Heads on feature maps that aggregate local descriptors around centres (VLAD)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinbits.errors import UsageError
from kinbits.heads.base import MapHead, register_head


class Vlad(nn.Module):
    """Sum the deviations of local descriptors from the centres to which they are softly assigned.

    With x_i the descriptors of one map, each of unit length, and centres c_k::

        s_k(x) = softmax_k(w_k . x + b_k)      V_k = sum_i s_k(x_i) (x_i - c_k)

    Each V_k is normalised to unit length, then all of them together. At the start w_k = 2 alpha c_k and b_k = -alpha
    |c_k|^2, so that s is the softmax of -alpha |x - c_k|^2. Then w, b and c are learned independently, or are fixed.
    The centres are random unit vectors, unless `start` sets others.

    Args:
        channels: Length D of a descriptor.
        centres: Number P of centres.
        alpha: Sharpness of the first assignment, above 0.
        trainable: Learn w, b and c.
    """

    centres: Tensor
    weights: Tensor
    biases: Tensor

    def __init__(self, channels: int, centres: int, alpha: float, trainable: bool) -> None:
        super().__init__()
        shapes = {"centres": (centres, channels), "weights": (centres, channels), "biases": (centres,)}
        for name, shape in shapes.items():
            if trainable:
                self.register_parameter(name, nn.Parameter(torch.zeros(shape)))
            else:
                self.register_buffer(name, torch.zeros(shape))
        self.start(F.normalize(torch.randn(centres, channels), dim=1), alpha)

    @torch.no_grad()
    def start(self, centres: Tensor, alpha: float) -> None:
        """Set the centres ``(P, D)`` and the sharpness of the first assignment."""
        self.centres.copy_(centres)
        self.weights.copy_(2 * alpha * centres)
        self.biases.copy_(-alpha * centres.square().sum(1))

    def forward(self, maps: Tensor) -> Tensor:
        """Return the aggregated vectors, float ``(n, P D)``, of maps ``(n, D, h, w)``."""
        x = descriptors(maps)
        shares = torch.softmax(x @ self.weights.T + self.biases, dim=2)
        sums = shares.transpose(1, 2) @ x - shares.sum(1).unsqueeze(2) * self.centres
        return F.normalize(F.normalize(sums, dim=2).flatten(1), dim=1)


def descriptors(maps: Tensor) -> Tensor:
    """Return the local descriptors of maps ``(n, D, h, w)``, each of unit length, float ``(n, h w, D)``."""
    return F.normalize(maps.flatten(2).transpose(1, 2), dim=2)


@register_head("vlad")
class VladHead(MapHead):
    """`Vlad`, then a transform (linear, batch normalisation, ReLU), then one linear layer to the bits.

    Without batch normalisation the unit vector of P D numbers gives logits close to 0.

    Args:
        features: Length of one flattened map.
        bits: Code length.
        shape: ``(c, h, w)``.
        clusters: Number P of centres.
        alpha: Sharpness of the first assignment.
        trainable: Learn the centres and their assignment.
        transform: Width of the transform.
    """

    layers: nn.Sequential

    def __init__(
        self,
        features: int,
        bits: int,
        shape: Sequence[int],
        clusters: int = 8,
        alpha: float = 5.0,
        trainable: bool = True,
        transform: int = 256,
    ) -> None:
        super().__init__(
            features, bits, shape, clusters=clusters, alpha=alpha, trainable=trainable, transform=transform
        )
        if clusters < 2 or alpha <= 0 or transform < 1:
            raise UsageError(
                f"clusters {clusters}, alpha {alpha}, transform {transform}: need clusters >= 2, alpha > 0 and "
                f"transform >= 1"
            )
        channels = self.shape[0]
        self.layers = nn.Sequential(
            Vlad(channels, clusters, alpha, trainable),
            nn.Linear(clusters * channels, transform),
            nn.BatchNorm1d(transform),
            nn.ReLU(),
            nn.Linear(transform, bits),
        )

    @property
    def vlad(self) -> Vlad:
        """The first layer; as an attribute of its own, each of its tensors would have two names in a file."""
        return cast(Vlad, self.layers[0])
