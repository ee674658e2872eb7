"""Barlow Twins: bits that survive a change of view and do not repeat each other."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from kinbits.errors import UsageError
from kinbits.heads import Linear
from kinbits.methods.base import Batch, Recipe, Spec, TrainView
from kinbits.methods.blocks.views import Projector, TwoViews
from kinbits.methods.registry import register


@register("barlow-twins")
class BarlowTwins(TwoViews):
    """Bring the cross-correlation of two views' logits close to the identity.

    With z1, z2 the logits of both views ``(b, K)``, each column standardised over the batch (divisor b), and
    C = z1^T z2 / b the cross-correlation ``(K, K)``::

        L = sum_k (1 - C_kk)^2 + redundancy sum_k sum_{l != k} C_kl^2

    The first term makes bits stable, the second makes them differ. The loss depends neither on the mean nor on the
    scale of a logit. After each epoch the threshold of every bit is set to the median of its logits over the training
    set, so that all bits are balanced.

    It also trains backbones and other methods' heads before they learn (`can_pretrain`): there the logits are the
    outputs of a projector, or of that head.

    Differences: the paper learns features of a ResNet-50 through a projector of 8,192 outputs, with LARS and 1,000
    epochs. It does not learn codes: the hash head, the thresholds and the smaller settings are ours. Both views form
    one batch for batch norm; the authors pass them one after the other. Their two views come from different
    distributions of transforms, ours from one.

    Args:
        spec: The task.
        redundancy: lambda >= 0. The default is the paper's value, and near the best for 32 bits on deep features.
        dropout: Share of features that is set to 0 in each view. For vectors, which have no views, it makes them.

    Reference: J. Zbontar, L. Jing, I. Misra, Y. LeCun, S. Deny, "Barlow Twins: Self-Supervised Learning via
    Redundancy Reduction", ICML 2021, eqs. 1 and 2.
    """

    can_pretrain = True
    drop_last = True
    recipe = Recipe(
        epochs=50, batch_size=256, lr=1e-3, weight_decay=1e-6, optimizer="adamw", schedule="cosine", min_steps=780
    )

    def __init__(self, spec: Spec, *, redundancy: float = 0.0051, dropout: float = 0.0) -> None:
        super().__init__(spec, dropout=dropout)
        if redundancy < 0:
            raise UsageError(f"redundancy is {redundancy}; it must not be negative, 0.001 to 0.1 is usual")
        self.redundancy = redundancy
        self.head = Linear(spec.feature_dim, spec.bits)
        self._warned = False

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the terms of the diagonal and of the rest.

        Args:
            batch: The rows of this step.
            logits: The head's output on the first views, then on the second views, float ``(2b, bits)``.
        """
        self._check_size(len(batch), logits.shape[1])
        correlation = cross_correlation(*self.both(batch, logits))
        diagonal = correlation.diagonal()
        rest = correlation - torch.diag(diagonal)
        return {"change": (1 - diagonal).square().sum(), "redundancy": self.redundancy * rest.square().sum()}

    @torch.no_grad()
    def end_epoch(self, epoch: int, train: TrainView) -> None:
        """Balance the bits; the outputs of a projector make no codes."""
        if isinstance(self.head, Projector):
            return
        logits = self.outputs(train)
        if logits.shape[1] == self.head.bits:  # a head that is merged later gets its thresholds then
            self.head.threshold += logits.median(0).values

    def _check_size(self, rows: int, width: int) -> None:
        if rows < 2:
            raise UsageError("method 'barlow-twins' compares the images of a batch; set batch_size to 2 at least")
        if 4 * rows < width and not self._warned:
            self._warned = True
            warnings.warn(
                f"correlations of {width} outputs over batches of {rows} are mostly noise; set batch_size to "
                f"{-(-width // 4)} at least",
                stacklevel=2,
            )


def cross_correlation(one: Tensor, two: Tensor) -> Tensor:
    """Return the correlation of every column of one ``(b, K)`` with every column of two, ``(K, K)``.

    A column without variance has correlation 0 with all.
    """
    standard = [F.batch_norm(part, None, None, training=True) for part in (one, two)]
    return standard[0].T @ standard[1] / len(one)
