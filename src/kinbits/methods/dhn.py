"""DHN: pairwise likelihood of inner products, and a smooth pull of every value to -1 or +1."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from kinbits.errors import UsageError
from kinbits.heads import LinearBatchNorm
from kinbits.methods.base import Batch, Method, Recipe, Spec
from kinbits.methods.blocks.pairwise import pair_nll, pairs_within
from kinbits.methods.registry import register


@register("dhn")
class Dhn(Method):
    """Make inner products of codes predict which images share a label, with a log-cosh pull to -1 and +1.

    With u = tanh of the logits, theta_ij = u_i . u_j / 2 and s_ij = 1 for a shared label::

        L = mean over pairs of softplus(theta_ij) - s_ij theta_ij
            + quantization mean_ik log cosh(|u_ik| - 1)

    The second term is a smooth form of | |u_ik| - 1 |: a bimodal Laplace prior on the values.

    Differences: both terms are means (over pairs, and over rows and bits) instead of sums, so that the weight does not
    depend on batch size and bits. Its default 0.1 is the value of third-party code; the paper tunes it. The head is
    batch-normalised, since a plain linear one collapses on features that are not centred. Pairs come from the batch, as
    in the authors' code. Self pairs, which that code keeps, are left out. Unlabelled rows are in no pair.

    Args:
        spec: The task.
        quantization: Weight of the pull to -1 and +1.
        tanh: Apply tanh to the logits, as in the paper; much third-party code does not.
        weighted: Use HashNet's weights, so that rare similar pairs count as much as all others.
        self_pairs: Keep i = j.

    Reference: H. Zhu, M. Long, J. Wang, Y. Cao, "Deep Hashing Network for Efficient Similarity Retrieval", AAAI
    2016.
    """

    standalone_loss = True
    recipe = Recipe(
        epochs=20,
        batch_size=128,
        lr=1e-3,
        optimizer="adamw",
        weight_decay=5.0,
        backbone_weight_decay=5e-4,
        schedule="step",
        min_steps=1250,
    )

    def __init__(
        self,
        spec: Spec,
        *,
        quantization: float = 0.1,
        tanh: bool = True,
        weighted: bool = False,
        self_pairs: bool = False,
    ) -> None:
        super().__init__(spec)
        if quantization < 0:
            raise UsageError(f"quantization is {quantization}; its weight must be at least 0")
        self.quantization, self.tanh, self.weighted, self.self_pairs = quantization, tanh, weighted, self_pairs
        self.head = LinearBatchNorm(spec.feature_dim, spec.bits)

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the likelihood of the batch's pairs, and the pull to -1 and +1."""
        codes = torch.tanh(logits) if self.tanh else logits
        pairs = pairs_within(batch.require_labels(), self.self_pairs)
        values = pair_nll(codes @ codes.T / 2, pairs.same)
        if self.weighted:
            values = pairs.weights * values
        return {"likelihood": pairs.mean(values), "quantization": self.quantization * log_cosh(codes.abs() - 1).mean()}


def log_cosh(values: Tensor) -> Tensor:
    """Return log cosh, also where cosh overflows."""
    size = values.abs()
    return size + F.softplus(-2 * size) - math.log(2)
