"""DSH: a contrastive loss on real-valued codes, which pulls every value to -1 or +1."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from kinbits.errors import UsageError
from kinbits.heads import LinearBatchNorm
from kinbits.methods.base import Batch, Method, Recipe, Spec
from kinbits.methods.blocks.pairwise import pairs_within
from kinbits.methods.registry import register


@register("dsh")
class Dsh(Method):
    """Pull codes of one class together, push others a margin apart, and pull all values to -1 or +1.

    With u the logits ``(b, K)``, d_ij = |u_i - u_j|^2, s_ij = 1 for a shared label and m the margin::

        L = mean over pairs of s_ij d_ij / 2 + (1 - s_ij) max(m - d_ij, 0) / 2
            + alpha mean_i sum_k | |u_ik| - 1 |

    Opposite codes are 4K apart, so m = K asks for K / 4 different bits.

    Differences: the head is batch-normalised. A plain linear one nearly collapses to one code if features are not
    centred, e.g. in a trained network. Unlabelled rows are in no pair; their values are still pulled to -1 and +1. Some
    other code uses the mean over bits in the second term; alpha is then K times greater. The recipe is for a head on
    frozen features; the paper trains a whole network with SGD.

    Args:
        spec: The task.
        margin: m; 0 means K. The paper has 2K.
        alpha: Weight of the pull to -1 and +1.
        self_pairs: Keep i = j, which only lowers the mean.

    Reference: H. Liu, R. Wang, S. Shan, X. Chen, "Deep Supervised Hashing for Fast Image Retrieval", CVPR 2016.
    """

    version = 2
    standalone_loss = True
    recipe = Recipe(epochs=30, batch_size=128, lr=3e-3, weight_decay=5e-4, schedule="step", min_steps=1875)

    def __init__(self, spec: Spec, *, margin: float = 0.0, alpha: float = 0.01, self_pairs: bool = False) -> None:
        super().__init__(spec)
        if margin < 0 or alpha < 0:
            raise UsageError(f"margin {margin} and alpha {alpha}: need both >= 0; margin 0 means the number of bits")
        self.margin, self.alpha, self.self_pairs = margin or spec.bits, alpha, self_pairs
        self.head = LinearBatchNorm(spec.feature_dim, spec.bits)

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the contrastive term of the batch's pairs, and the pull to -1 and +1."""
        pairs = pairs_within(batch.require_labels(), self.self_pairs)
        square = logits.square().sum(1)
        apart = (square[:, None] + square - 2 * logits @ logits.T).clamp_min(0)
        values = torch.where(pairs.same > 0, apart, (self.margin - apart).clamp_min(0)) / 2
        pull = (logits.abs() - 1).abs().sum(1).mean()
        return {"contrast": pairs.mean(values), "quantization": self.alpha * pull}
