"""GreedyHash: a classifier on the signs, with a straight-through gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from kinbits.errors import UsageError
from kinbits.heads import build_head
from kinbits.methods.base import Batch, Method, Recipe, Spec
from kinbits.methods.blocks.binary import quantization_error, signs, straight_through
from kinbits.methods.blocks.labels import labelled
from kinbits.methods.registry import register


@register("greedyhash")
class GreedyHash(Method):
    """Classify the signs of the logits, and pass the gradient of the signs to the logits unchanged.

    With u the logits, b = sign(u), db/du = 1 everywhere, W a linear classifier without bias and y the class::

        L = cross-entropy(W b, y) + alpha mean_ik | |u_ik| - 1 |^power

    The penalty keeps u near b, so that the gradient at b is valid for u. W is used in training only.

    Differences: sets of labels, which are not in the paper, use one binary cross-entropy per class, averaged over the
    classes. Unlabelled rows are not classified. The sign of 0 is +1. On few features, or on features that are not
    centred, the batch-normalised head is far better. The recipe is for a head on frozen features; the paper trains a
    whole network with SGD.

    Args:
        spec: The task.
        alpha: Weight of the penalty; the authors use 0.1 on CIFAR-10 and 1 on ImageNet.
        power: Exponent p of the penalty, at least 1.
        head: A linear layer as in the paper, or one with batch normalisation.

    Reference: S. Su, C. Zhang, K. Han, Y. Tian, "Greedy Hash: Towards Fast Optimization for Accurate Hash Coding in
    CNN", NeurIPS 2018.
    """

    standalone_loss = True
    recipe = Recipe(
        epochs=20,
        batch_size=128,
        lr=1e-3,
        optimizer="adamw",
        weight_decay=3.0,
        backbone_weight_decay=5e-4,
        schedule="step",
        min_steps=1250,
    )

    def __init__(
        self,
        spec: Spec,
        *,
        alpha: float = 0.1,
        power: float = 3.0,
        head: Literal["linear", "linear-batchnorm"] = "linear",
    ) -> None:
        super().__init__(spec)
        if alpha < 0 or power < 1:
            raise UsageError(f"alpha {alpha} and power {power}: need alpha >= 0 and power >= 1")
        self.alpha, self.power = alpha, power
        self.head = build_head({"name": head, "features": spec.feature_dim, "bits": spec.bits})
        self.classifier = nn.Linear(spec.bits, spec.classes, bias=False)

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the classification loss of the signs, and the penalty on values away from -1 and +1."""
        codes = straight_through(logits, signs(logits))
        scores, known = self.classifier(codes), labelled(batch.require_labels())
        if batch.require_labels().ndim == 1:
            each = F.cross_entropy(scores, batch.require_labels().clamp_min(0), reduction="none")
        else:
            each = F.binary_cross_entropy_with_logits(scores, batch.require_labels().float(), reduction="none").mean(1)
        return {
            "classes": (each * known).sum() / known.sum().clamp_min(1),
            "penalty": self.alpha * quantization_error(logits, self.power),
        }
