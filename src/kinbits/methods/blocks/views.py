"""Methods that learn from two random views of each image: their base class, and a projector for pre-training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinbits.errors import DataError, UsageError
from kinbits.heads import Head
from kinbits.methods.base import Batch, Method, Optimizer, Spec, full_precision


class TwoViews(Method):
    """Base of methods whose loss reads the logits of both views, stacked ``(2b, bits)``.

    Args:
        spec: The task.
        dropout: Share of features that is set to 0 in each view. For vectors, which have no views, it makes them.
    """

    supervision: ClassVar = "none"
    views = 2

    def __init__(self, spec: Spec, *, dropout: float = 0.0) -> None:
        super().__init__(spec)
        if not 0 <= dropout < 1:
            raise UsageError(f"dropout is {dropout}; it is a share of the features from 0 to below 1")
        self.dropout = dropout

    def step(self, batch: Batch, optimizers: Sequence[Optimizer]) -> Mapping[str, Tensor]:
        """Train on the two views of a batch's images."""
        logits = self.head(F.dropout(torch.cat(self._views(batch)), self.dropout))
        with full_precision(logits):
            terms = self.loss(batch, logits.float())
        optimizers[0].minimise(torch.stack(list(terms.values())).sum())
        return terms

    def _views(self, batch: Batch) -> tuple[Tensor, ...]:
        if len(batch.views) == 2:
            return batch.views
        if not self.dropout:
            raise DataError(
                f"method '{self.name}' learns from two random views of each image, and these data have none; train on "
                "images, or make views of vectors by the parameter dropout, e.g. 0.2"
            )
        return (batch.features, batch.features)

    def both(self, batch: Batch, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of the first views and of the second, float ``(b, bits)`` each."""
        if len(logits) != 2 * len(batch):
            raise UsageError(f"{len(logits)} rows of logits for {len(batch)} images; give both views, stacked")
        one, two = logits.chunk(2)
        return one, two


def contrast(scores: Tensor) -> Tensor:
    """Return the mean cross-entropy of finding each row's other view among all rows but itself.

    Args:
        scores: Of all pairs of 2b rows, float ``(2b, 2b)``; rows i and b + i are views of one image.

    Reference: T. Chen, S. Kornblith, M. Norouzi, G. Hinton, "A Simple Framework for Contrastive Learning of Visual
    Representations", ICML 2020, eq. 1.
    """
    others = scores.masked_fill(torch.eye(len(scores), dtype=torch.bool, device=scores.device), -torch.inf)
    return F.cross_entropy(others, torch.arange(len(scores), device=scores.device).roll(len(scores) // 2))


WIDTH = 512


class Projector(Head):
    """Three linear layers with batch norm and ReLU, which replace the hash head while a backbone is pre-trained.

    It is dropped afterwards, so that saved models do not contain it.

    Args:
        features: Length of one feature vector.
        width: Length of the hidden layers and of the output.
    """

    def __init__(self, features: int, width: int = WIDTH) -> None:
        super().__init__(features, width)
        hidden = (*_layer(features, width), *_layer(width, width))
        self.layers = nn.Sequential(*hidden, nn.Linear(width, width, bias=False))


def _layer(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()]
