"""HashNet: weighted pairwise likelihood, with a tanh that approaches the sign."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from kinbits.errors import UsageError
from kinbits.heads import Linear
from kinbits.methods.base import Batch, Method, Recipe, Spec, TrainView
from kinbits.methods.blocks.pairwise import pair_nll, pairs_within
from kinbits.methods.registry import register


@register("hashnet")
class HashNet(Method):
    """Make the inner products of codes predict which images share a label, with a tanh that approaches the sign.

    With z the logits, h = tanh(beta z), theta_ij = alpha h_i . h_j and s_ij = 1 for a shared label::

        L = sum_ij w_ij (softplus(theta_ij) - s_ij theta_ij) / pairs

    w_ij = |S| / |S1| for similar pairs and |S| / |S0| for the others, so that rare positives count as much;
    with sets of labels the positives are further weighted by |y_i & y_j| / |y_i | y_j|. beta = sqrt(1 + epoch
    / grow) replaces the official step schedule, (1 + 0.005 step)^0.5, by one that does not depend on batch
    size.

    Differences: self pairs are left out (``self_pairs=True`` keeps them as the authors' code does); a batch
    with one kind of pair only has weight 1; unlabelled rows are in no pair.

    Args:
        spec: The task.
        alpha: Scale of the inner product; 0 means 10 / K, as in the authors' code.
        grow: Epochs over which beta squared grows by 1.
        self_pairs: Keep i = j.

    Reference: Z. Cao, M. Long, J. Wang, P. S. Yu, "HashNet: Deep Learning to Hash by Continuation", ICCV
    2017.
    """

    standalone_loss = True
    recipe = Recipe(
        epochs=20,
        batch_size=128,
        lr=1e-3,
        weight_decay=0.02,
        backbone_weight_decay=5e-4,
        schedule="step",
        min_steps=1250,
    )
    beta: Tensor

    def __init__(self, spec: Spec, *, alpha: float = 0.0, grow: float = 20.0, self_pairs: bool = False) -> None:
        super().__init__(spec)
        if alpha < 0 or grow <= 0:
            raise UsageError(f"alpha {alpha} and grow {grow}: need alpha >= 0 and grow > 0")
        self.alpha, self.grow, self.self_pairs = alpha or 10 / spec.bits, grow, self_pairs
        self.head = Linear(spec.feature_dim, spec.bits, std=0.01)
        self.register_buffer("beta", torch.ones(()))

    def start_epoch(self, epoch: int, train: TrainView) -> None:
        """Set the slope of the tanh."""
        self.beta.fill_(math.sqrt(1 + epoch / self.grow))

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the weighted likelihood of the batch's pairs."""
        codes = torch.tanh(self.beta * logits.float())
        pairs = pairs_within(batch.require_labels(), self.self_pairs)
        values = pair_nll(self.alpha * codes @ codes.T, pairs.same)
        return {"likelihood": pairs.mean(pairs.weights * values)}
