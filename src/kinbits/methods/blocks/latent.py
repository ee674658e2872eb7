"""Base class of SSDH and RV-SSDH: sigmoid bits as latent attributes that a linear classifier reads."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from kinbits.errors import UsageError
from kinbits.methods.base import Batch, Method, Spec, TrainView
from kinbits.methods.blocks.classifier import label_cross_entropy, start_from_log_odds
from kinbits.methods.blocks.labels import labelled


class LatentClassifier(Method):
    """Base class of methods whose bits are latent attributes, which a linear classifier reads.

    Args:
        spec: The task.
        beta: Weight of `saturation`, which is maximised, at least 0.
        gamma: Weight of `imbalance`, which is minimised, at least 0.
    """

    def __init__(self, spec: Spec, beta: float, gamma: float) -> None:
        super().__init__(spec)
        if beta < 0 or gamma < 0:
            raise UsageError(f"beta {beta} and gamma {gamma} weigh terms of the loss; neither may be negative")
        self.beta, self.gamma = beta, gamma
        self.classifier = nn.Linear(spec.bits, spec.classes)
        nn.init.normal_(self.classifier.weight, std=0.2)
        nn.init.zeros_(self.classifier.bias)

    def prepare(self, train: TrainView) -> None:
        """Start the classifier of label sets from the log-odds of each label."""
        start_from_log_odds(self.classifier, train.labels)

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return E1 (`label_cross_entropy`), -beta E2, and gamma E3 if it has weight, over rows with a label."""
        known = labelled(batch.require_labels())
        activations = torch.sigmoid(logits[known])
        terms = {
            "classification": label_cross_entropy(self.classifier(activations), batch.require_labels()[known]),
            "quantization": -self.beta * saturation(activations),
        }
        if self.gamma:
            terms["balance"] = self.gamma * imbalance(activations)
        return terms


def saturation(activations: Tensor) -> Tensor:
    """Return E2 = mean (a_ik - 1/2)^2, from 0 to 1/4, of activations ``(n, K)``; 0 without rows."""
    return (activations - 0.5).square().sum() / max(activations.numel(), 1)


def imbalance(activations: Tensor) -> Tensor:
    """Return E3 = mean_i (mean_k a_ik - 1/2)^2 of activations ``(n, K)``: 0 if half of the bits in each row are 1."""
    return (activations.mean(1) - 0.5).square().sum() / max(len(activations), 1)
