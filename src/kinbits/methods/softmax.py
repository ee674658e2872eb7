"""Softmax: a classifier on relaxed codes, the plain baseline of every method that learns from labels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from kinbits.heads import Linear
from kinbits.methods.base import Batch, Method, Recipe, Spec, TrainView
from kinbits.methods.blocks.classifier import label_cross_entropy, start_from_log_odds
from kinbits.methods.blocks.labels import labelled
from kinbits.methods.registry import register


@register("softmax")
class Softmax(Method):
    """Classify from tanh of a linear layer, and take its signs as the code.

    With v the logits ``(b, K)``, W ``(C, K)`` and c ``(C,)`` a linear classifier, and y the class::

        L = mean_i cross-entropy(W tanh(v_i) + c, y_i)     several labels: sum over labels of the binary cross-entropy

    This is no published method, but a baseline: a loss made for hashing should be better. Nothing in it asks for binary
    values or balanced bits. The classifier is used in training only. For sets of labels it starts from the log-odds of
    each label; otherwise rare labels are learned too late. Unlabelled rows are left out.
    """

    baseline = True
    standalone_loss = True
    recipe = Recipe(
        epochs=20,
        batch_size=128,
        lr=1e-3,
        optimizer="adamw",
        weight_decay=3.0,
        backbone_weight_decay=5e-4,
        min_steps=1250,
    )

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.head = Linear(spec.feature_dim, spec.bits)
        self.classifier = nn.Linear(spec.bits, spec.classes)

    def prepare(self, train: TrainView) -> None:
        """Start the classifier of label sets from the log-odds of each label."""
        start_from_log_odds(self.classifier, train.labels)

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the cross-entropy over the rows with a label."""
        known = labelled(batch.require_labels())
        scores = self.classifier(torch.tanh(logits[known]))
        return {"classification": label_cross_entropy(scores, batch.require_labels()[known])}
