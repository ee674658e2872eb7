"""A score of images that no step learned from: the only thing that may choose an epoch."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kinbits import metrics
from kinbits.errors import DataError
from kinbits.heads import rank_outputs
from kinbits.methods import Method
from kinbits.training.training_set import TrainingSet

NEIGHBOURS = 10


class Validation:
    """Held-out rows, ranked among each other.

    Every row is a query once, and finds all other held-out rows but not itself; rows that were trained on take no part:
    their codes fit their labels better than those of any new image, so a score with them would reward overfitting.

    Relevant are rows with a shared label, where the method learns from labels. Otherwise they are the ten nearest
    held-out rows by cosine of the features: with labels that choose the epoch, the method would learn from labels. A
    row without another one of its class has nothing to find and does not count.

    Args:
        method: The method that is judged.
        held: The held-out rows.

    Raises:
        DataError: If no row has another one to find.
    """

    def __init__(self, method: Method, held: TrainingSet) -> None:
        self.method, self.held = method, held
        self.by_labels = method.supervision != "none" and held.labels is not None
        # labels and stored features stay as they are; a backbone that is trained moves its features
        self._kept = self._relevance() if self.by_labels or held.frozen else None
        _check_size(held)

    def describe(self) -> dict[str, Any]:
        """Return how many rows are held out, and whether their labels or their neighbours make them relevant."""
        return {"rows": len(self.held), "relevance": "labels" if self.by_labels else "neighbours"}

    def score(self) -> float:
        """Return the tie-aware mAP@all; higher is better."""
        made = self.method.head, self.method.outputs(self.held)
        return rank_outputs(made, made, self._kept or self._relevance(), ["map@all"])["map@all"]

    def _relevance(self) -> metrics.LeaveOneOut:
        return held_out_relevance(self.held, by_labels=self.by_labels)


def held_out_relevance(held: TrainingSet, *, by_labels: bool) -> metrics.LeaveOneOut:
    """Return which held-out rows are relevant to each other, as `Validation` counts them.

    Args:
        held: The v held-out rows.
        by_labels: Whether rows with a shared label are relevant, or else the ten nearest by cosine of the features.

    Raises:
        DataError: If no row has another one to find.
    """
    _check_size(held)
    if not by_labels:
        return metrics.LeaveOneOut(metrics.MatrixRelevance(_neighbours(held)))
    assert held.labels is not None
    labels = held.labels.long().cpu().numpy()
    relevance = metrics.LeaveOneOut(metrics.LabelRelevance(labels, labels))
    _check_partners(relevance)
    return relevance


def _check_size(held: TrainingSet) -> None:
    if len(held) < 2:
        raise DataError(
            f"{len(held)} image is held out, and has no other one to find; raise validation, or leave it out"
        )


def _check_partners(relevance: metrics.LeaveOneOut) -> None:
    n = relevance.queries
    step = max(1, (1 << 24) // n)
    alone = n - sum(int(relevance.block(i, min(i + step, n)).any(axis=1).sum()) for i in range(0, n, step))
    if alone == n:
        raise DataError(
            f"no two of the {n} held-out images share a label, so their codes cannot be judged; raise validation, or "
            f"leave it out"
        )
    if 2 * alone > n:
        warnings.warn(
            f"{alone} of the {n} held-out images share no label with another one and do not count; raise validation "
            f"for a score that can be trusted",
            stacklevel=2,
        )


def _neighbours(held: TrainingSet) -> np.ndarray:
    """Mark the nearest other rows of each row by cosine, bool ``(v, v)``."""
    rows = torch.nn.functional.normalize(held.features())
    return mark_nearest(rows @ rows.T)


def mark_nearest(scores: Tensor) -> np.ndarray:
    """Mark the ten other rows with the highest scores of each row, bool ``(v, v)``, given the scores of all pairs."""
    near = scores.fill_diagonal_(-torch.inf)
    best = near.topk(min(NEIGHBOURS, len(near) - 1), dim=1).indices.cpu().numpy()
    marked = np.zeros(tuple(near.shape), bool)
    np.put_along_axis(marked, best, True, axis=1)
    return marked
