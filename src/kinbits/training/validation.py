"""A score of images that no step learned from: the only thing that may choose an epoch."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from kinbits import hamming, metrics
from kinbits.errors import DataError
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
        self._check()

    def score(self) -> float:
        """Return the tie-aware mAP@all; higher is better."""
        codes = hamming.pack((self.method.outputs(self.held) >= 0).cpu().numpy())
        return metrics.evaluate(codes, codes, self._relevance(), ["map@all"])["map@all"]

    def _relevance(self) -> metrics.LeaveOneOut:
        if not self.by_labels:  # anew each time: a backbone that is trained moves its features
            return metrics.LeaveOneOut(metrics.MatrixRelevance(_neighbours(self.held)))
        labels = self._labels()
        return metrics.LeaveOneOut(metrics.LabelRelevance(labels, labels))

    def _labels(self) -> np.ndarray:
        assert self.held.labels is not None
        return self.held.labels.long().cpu().numpy()

    def _check(self) -> None:
        n = len(self.held)
        if n < 2:
            raise DataError(f"{n} image is held out, and has no other one to find; raise validation, or leave it out")
        if not self.by_labels:
            return
        relevance = self._relevance()
        step = max(1, (1 << 24) // n)
        alone = n - sum(int(relevance.block(i, min(i + step, n)).any(axis=1).sum()) for i in range(0, n, step))
        if alone == n:
            raise DataError(
                f"no two of the {n} held-out images share a label, so their codes cannot be judged; raise validation, "
                f"or leave it out"
            )
        if 2 * alone > n:
            warnings.warn(
                f"{alone} of the {n} held-out images share no label with another one and do not count; raise "
                f"validation for a score that can be trusted",
                stacklevel=2,
            )


def _neighbours(held: TrainingSet) -> np.ndarray:
    """Mark the nearest other rows of each row by cosine, bool ``(v, v)``."""
    rows = torch.nn.functional.normalize(held.features())
    near = (rows @ rows.T).fill_diagonal_(-torch.inf)
    best = near.topk(min(NEIGHBOURS, len(rows) - 1), dim=1).indices.cpu().numpy()
    marked = np.zeros(tuple(near.shape), bool)
    np.put_along_axis(marked, best, True, axis=1)
    return marked
