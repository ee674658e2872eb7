"""Softmax with a quantization loss: the baseline that `kinbits new method` writes."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from kinbits.errors import UsageError
from kinbits.heads import LinearBatchNorm
from kinbits.methods.base import Batch, Recipe, Spec
from kinbits.methods.blocks.binary import quantization_error
from kinbits.methods.registry import register
from kinbits.methods.softmax import Softmax


@register("softmax-quantization")
class SoftmaxQuantization(Softmax):
    """Classify from tanh of a batch-normalised layer, whose values a quantization loss pulls to -1 and +1.

    With v the logits ``(b, K)``, W ``(C, K)`` and c ``(C,)`` a linear classifier, and y the class::

        L = mean_i cross-entropy(W tanh(v_i) + c, y_i) + quantization mean_ik (|v_ik| - 1)^2

    The first term is that of `softmax`. This is no published method, but a baseline of the two usual terms, and the
    file that `kinbits new method` writes: a loss made for hashing should be better. Batch normalisation balances the
    bits. Unlabelled rows have only the second term.

    Args:
        spec: The task.
        quantization: Weight of the second term, at least 0.
    """

    recipe = Recipe(
        epochs=10,
        batch_size=128,
        lr=1e-3,
        optimizer="adamw",
        weight_decay=3.0,
        backbone_weight_decay=5e-4,
        min_steps=625,
    )

    def __init__(self, spec: Spec, *, quantization: float = 0.1) -> None:
        super().__init__(spec)
        if quantization < 0:
            raise UsageError(f"quantization is {quantization}; it must not be negative")
        self.quantization = quantization
        self.head = LinearBatchNorm(spec.feature_dim, spec.bits)

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the cross-entropy, and the pull to -1 and +1."""
        return {
            **super().loss(batch, logits),
            "quantization": self.quantization * quantization_error(logits, 2),
        }
