"""RaBitQ: rotate vectors at random, keep few bits of each dimension, and estimate distances without bias."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from kinbits.heads import ScaledHead, whole_bits
from kinbits.methods.base import Method, Recipe, Spec, TrainView
from kinbits.methods.blocks.projection import principal_axes, random_rotation
from kinbits.methods.registry import register


@register("rabitq")
class Rabitq(Method):
    """Rotate the centred vectors at random, and keep B bits of each dimension and three factors.

    With c the mean, P a random orthogonal matrix, o = x - c and u the point of a grid of B bits with the smallest angle
    to P o (its signs, for one bit)::

        <o, q>  is about  <u, P q> |o|^2 / <u, P o>

    the estimate being without bias over P, and its error bounded with a probability near 1. `kinbits.heads.ScaledHead`
    has the distances and the bound.

    Differences: a code of fewer bits than the dimensions need keeps the first principal axes, and of more is that of
    vectors filled up with zeros. A query is not rounded: the search reads its numbers. The three factors take 96 bits
    of a code.

    Args:
        spec: The task.
        bits_per_dim: B, 1 to 8; a code has ``bits - 96`` bits for B of each dimension.
        metric: ``"cosine"``, ``"euclidean"``, or ``"inner"``: the distance that is estimated.

    Reference: J. Gao, C. Long, "RaBitQ: Quantizing High-Dimensional Vectors with a Theoretical Error Bound for
    Approximate Nearest Neighbor Search", SIGMOD 2024, for B = 1; J. Gao et al., "Practical and Asymptotically Optimal
    Quantization of High-Dimensional Vectors in Euclidean Space for Approximate Nearest Neighbor Search", SIGMOD 2025.
    """

    supervision: ClassVar = "none"
    recipe = Recipe(epochs=0)
    head: ScaledHead

    def __init__(self, spec: Spec, *, bits_per_dim: int = 1, metric: str = "cosine") -> None:
        super().__init__(spec)
        self.head = ScaledHead(spec.feature_dim, spec.bits, bits_per_dim, metric)

    @classmethod
    def default_bits(cls, features: int, params: Mapping[str, Any]) -> int:
        """Return the length that holds all dimensions."""
        return whole_bits(features, params.get("bits_per_dim", 1))

    @torch.no_grad()
    def prepare(self, train: TrainView) -> None:
        """Set the rotation, after the principal axes if not all dimensions are kept."""
        dims, features = self.head.dims, self.spec.feature_dim
        whole = whole_bits(features, self.head.bits_per_dim)
        if self.spec.bits != whole:
            held = f"only {dims} of" if dims < features else "more than"
            warnings.warn(
                f"{self.spec.bits} bits hold {held} {features} dimensions; {whole} bits hold all", stacklevel=2
            )
        rotation = random_rotation(dims, self.spec)
        if dims < features:
            rotation = rotation @ principal_axes(self.head, train, dims).cpu()
        layer = self.head.layers
        assert isinstance(layer, nn.Linear)
        layer.weight.copy_(rotation[:, :features])
