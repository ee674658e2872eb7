"""DCH: a Cauchy likelihood of distances, which brings similar codes within a small Hamming radius."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from kinbits.errors import UsageError
from kinbits.heads import Linear
from kinbits.methods.base import Batch, Method, Recipe, Spec
from kinbits.methods.blocks.pairwise import pairs_within
from kinbits.methods.registry import register

NEAREST = 1e-6


@register("dch")
class Dch(Method):
    """Model the probability that a pair is similar by a Cauchy law of the distance of its codes.

    With u = tanh of the logits, d_ij = K / 2 (1 - cos(u_i, u_j)), which on signs is the Hamming distance, the
    probability gamma / (gamma + d_ij) that i and j are similar, and s_ij = 1 for a shared label::

        L = mean over pairs of w_ij (s_ij log(1 + d_ij / gamma) + (1 - s_ij) log(1 + gamma / d_ij))
            + quantization mean_i log(1 + d(|u_i|, 1) / gamma)

    w_ij are HashNet's weights. The law falls fast near 0. So similar codes move into a ball of radius about 2, where a
    hash table finds them. gamma is the distance at which the probability is 1/2.

    Differences: the authors' code uses squared Euclidean distances and the pull (|u| - 1)^2, and weights only the
    similar pairs. ``distance="euclidean"`` uses their distance and pull, with a quarter of the squared distance, so
    that gamma is in bits (their 20 is 5). Distances are at least 1e-6. Self pairs are left out, as in their code, and
    unlabelled rows are in no pair. The recipe is for a head on frozen features. A plain linear head is enough: cosine
    and weights prevent the collapse that older losses have without batch normalisation.

    Args:
        spec: The task.
        gamma: Scale in bits, 2 to 50 in the paper. Small values make classes tighter, large ones order them better.
        quantization: Weight of the pull to -1 and +1.
        distance: ``"cosine"`` of the paper, or ``"euclidean"``.
        tanh: Apply tanh to the logits; without it only the pull keeps values near -1 and +1.
        self_pairs: Keep i = j.

    Reference: Y. Cao, M. Long, B. Liu, J. Wang, "Deep Cauchy Hashing for Hamming Space Retrieval", CVPR 2018.
    """

    standalone_loss = True
    recipe = Recipe(
        epochs=10,
        batch_size=128,
        lr=1e-3,
        optimizer="adamw",
        weight_decay=1.0,
        backbone_weight_decay=5e-4,
        schedule="step",
        min_steps=625,
    )

    def __init__(
        self,
        spec: Spec,
        *,
        gamma: float = 20.0,
        quantization: float = 0.1,
        distance: Literal["cosine", "euclidean"] = "cosine",
        tanh: bool = True,
        self_pairs: bool = False,
    ) -> None:
        super().__init__(spec)
        if gamma <= 0 or quantization < 0:
            raise UsageError(f"gamma {gamma} and quantization {quantization}: need gamma > 0 and quantization >= 0")
        if distance not in ("cosine", "euclidean"):
            raise UsageError(f"distance is '{distance}'; use cosine or euclidean")
        self.gamma, self.quantization, self.distance = gamma, quantization, distance
        self.tanh, self.self_pairs = tanh, self_pairs
        self.head = Linear(spec.feature_dim, spec.bits, std=0.01)

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the weighted Cauchy likelihood of the batch's pairs, and the pull to -1 and +1."""
        codes = torch.tanh(logits) if self.tanh else logits
        pairs = pairs_within(batch.require_labels(), self.self_pairs)
        apart = self.apart(codes, codes)
        values = torch.where(pairs.same > 0, torch.log1p(apart / self.gamma), torch.log1p(self.gamma / apart))
        return {
            "likelihood": pairs.mean(pairs.weights * values),
            "quantization": self.quantization * self._rounding(codes),
        }

    def apart(self, one: Tensor, two: Tensor) -> Tensor:
        """Return distances in bits of codes ``(n, K)`` and ``(m, K)``, float ``(n, m)``."""
        if self.distance == "cosine":
            found = self.spec.bits / 2 * (1 - F.normalize(one, dim=1) @ F.normalize(two, dim=1).T)
        else:
            found = (one.square().sum(1)[:, None] + two.square().sum(1) - 2 * one @ two.T) / 4
        return found.clamp_min(NEAREST)

    def _rounding(self, codes: Tensor) -> Tensor:
        if self.distance == "euclidean":
            return (codes.abs() - 1).square().mean()
        ones = torch.ones(1, self.spec.bits, device=codes.device)
        return torch.log1p(self.apart(codes.abs(), ones) / self.gamma).mean()
