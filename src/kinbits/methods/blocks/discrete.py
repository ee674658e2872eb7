"""Codes of a whole training set as free variables: sums by label, sweeps over bits, binary quadratic problems."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from kinbits.errors import DataError
from kinbits.methods.base import Method, TrainView
from kinbits.methods.blocks.labels import labelled, similar

CHUNK = 4096


def row_chunks(n: int) -> Iterator[slice]:
    """Yield slices of at most 4,096 rows that cover n rows in order."""
    for start in range(0, n, CHUNK):
        yield slice(start, min(start + CHUNK, n))


def training_labels(method: Method, train: TrainView) -> Tensor:
    """Return the labels of all rows that the method keeps codes of.

    Raises:
        DataError: If there are no labels, or the set has another size than ``spec.n_train``.
    """
    if train.labels is None or len(train) != method.spec.n_train:
        raise DataError(
            f"method '{method.name}' was made for {method.spec.n_train} labelled rows; the set has {len(train)}"
        )
    return train.labels


def labelled_rows(method: Method, labels: Tensor, least: int = 1) -> np.ndarray:
    """Return the numbers of the rows that have a label, int64 ``(l,)``.

    Raises:
        DataError: If fewer than ``least`` rows have a label.
    """
    rows = labelled(labels).nonzero().flatten().cpu().numpy()
    if len(rows) < least:
        few = "no training row has one" if not len(rows) else f"only {len(rows)} of {len(labels)} rows have one"
        raise DataError(f"method '{method.name}' learns from labels, and {few}; label at least {least} rows")
    return rows


def sum_over_similar(labels: Tensor, others: Tensor, values: Tensor, classes: int) -> Tensor:
    """Sum up, for every row, the values of the others that share a label with it.

    Args:
        labels: int64 ``(n,)`` or multi-hot ``(n, C)``; unlabelled rows share with none.
        others: The same form, ``(m,)`` or ``(m, C)``.
        values: float ``(m, w)``.
        classes: Number C of classes.

    Returns:
        float ``(n, w)``. Single labels use sums by class: O((n + m) w), without an n x m array.
    """
    if labels.ndim == 1:
        return _by_class(others, values, classes)[labels % (classes + 1)] * labelled(labels)[:, None]
    return similar(labels, others) @ values


def _by_class(labels: Tensor, values: Tensor, classes: int) -> Tensor:
    """Sum up values by their single labels, float ``(C + 1, w)``; the last row is for unlabelled rows."""
    table = torch.zeros(classes + 1, values.shape[1], device=values.device)
    return table.index_add_(0, labels % (classes + 1), values)


def similarity_ratio(labels: Tensor, sample: Tensor, classes: int) -> float:
    """Return r = similar / other pairs between the labelled rows and a sample of them; 1 if one kind is missing."""
    one = torch.ones(len(sample), 1, device=labels.device)
    parts = row_chunks(len(labels))
    alike = sum(float(sum_over_similar(labels[part], labels[sample], one, classes).sum()) for part in parts)
    other = len(sample) * float(labelled(labels).sum()) - alike
    return alike / other if alike and other else 1.0


class CodeSums:
    """Sums over the codes of some rows, which replace a similarity matrix of all rows.

    Args:
        labels: int64 ``(n,)`` or multi-hot ``(n, C)``. codes: int8 ``(n, K)`` of -1 and +1. Later changes have no
        effect with single labels; with sets of labels they do. counts: Rows that are summed, bool ``(n,)``. classes:
        Number C of classes.

    Attributes:
        gram: Sum of v v^T over the rows, with v a code and an appended 1, float ``(K + 1, K + 1)``.
    """

    def __init__(self, labels: Tensor, codes: Tensor, counts: Tensor, classes: int) -> None:
        self._labels, self._codes, self._counts, self._classes = labels, codes, counts, classes
        width = codes.shape[1] + 1
        self.gram = torch.zeros(width, width, device=codes.device)
        self._table = torch.zeros(classes + 1, width, device=codes.device)
        for part in row_chunks(len(codes)):
            values = self._values(part)
            self.gram += values.T @ values
            if labels.ndim == 1:
                self._table += _by_class(labels[part], values, classes)

    def near(self, labels: Tensor) -> Tensor:
        """Return the sum of v over the rows that share a label with each given one, float ``(b, K + 1)``."""
        if labels.ndim == 1:
            return self._table[labels % (self._classes + 1)] * labelled(labels)[:, None]
        near = torch.zeros(len(labels), len(self.gram), device=labels.device)
        for part in row_chunks(len(self._codes)):
            near += similar(labels, self._labels[part]) @ self._values(part)
        return near

    def _values(self, part: slice) -> Tensor:
        ones = torch.nn.functional.pad(self._codes[part].float(), (0, 1), value=1.0)
        return ones * self._counts[part, None]


def sweep_bits(V: Tensor, G: Tensor, Q: Tensor) -> Tensor:
    """Lower tr(V G V^T) + sum(Q * V) over codes: set one column after another to its exact minimiser.

    Args:
        V: Codes of -1 and +1, float ``(n, K)``; changed in place. A bit without influence is kept.
        G: Symmetric, ``(K, K)``.
        Q: ``(n, K)``.
    """
    for k in range(V.shape[1]):
        slope = 2 * (V @ G[:, k] - V[:, k] * G[k, k]) + Q[:, k]
        V[:, k] = torch.where(slope == 0, V[:, k], -slope.sign())
    return V


def balanced_minimum(Q: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return the best of m + 1 codes that each have exactly round((m + 1) / 2) - 1 values of +1.

    With x = (b + 1) / 2, f is x^T 4Q x + q^T x up to a constant, q = 2p - 4 Q 1. A dummy is appended to x, always 1,
    whose products with the others are q / 2. The columns of a Cholesky factor of lambda I minus these products are
    points, whose squared distances are 2 lambda plus 2 times the product. H points have squared distances
    (H - 1) lambda + (f - const) / H to their mean. So neither lambda nor the factor is needed. Each candidate is a
    point, the dummy, and the points with the smallest products with it. Ties are broken by the distance to the dummy.

    Args:
        Q: Symmetric with a zero diagonal, float64 ``(m, m)``.
        p: float64 ``(m,)``.

    Returns:
        float64 ``(m,)`` of -1 and +1. Reference: W.-C. Kang, W.-J. Li, Z.-H. Zhou, "Column Sampling based Discrete
        Supervised Hashing", AAAI 2016.
    """
    m = len(p)
    q = 2 * p - 4 * Q.sum(1)
    products = np.concatenate([4 * Q, q[None] / 2])
    np.fill_diagonal(products[:m], -np.inf)  # a point is nearest to itself
    order = np.argsort(q, kind="stable")
    near = order[np.argsort(products[:, order], axis=1, kind="stable")]
    chosen = np.zeros((m + 1, m))
    np.put_along_axis(chosen, near[:, : math.floor((m + 1) / 2 + 0.5) - 1], 1.0, axis=1)
    values = ((chosen @ (4 * Q)) * chosen).sum(1) + chosen @ q
    return np.asarray(2 * chosen[values.argmin()] - 1)


def flipped_minimum(Q: np.ndarray, p: np.ndarray, starts: list[np.ndarray]) -> np.ndarray:
    """Take the best start and flip the value that lowers f most until no flip does.

    Args:
        Q: Symmetric with a zero diagonal, float64 ``(m, m)``.
        p: float64 ``(m,)``.
        starts: Codes of -1 and +1, ``(m,)`` each.

    Returns:
        float64 ``(m,)`` with f no larger than at any start.
    """
    b = min(starts, key=lambda start: float(start @ (Q @ start + p))).copy()
    slope = 2 * Q @ b + p
    least = 1e-9 * max(np.abs(slope).max(), np.abs(p).max(), 1.0)
    while True:
        gains = b * slope
        i = int(gains.argmax())
        if gains[i] <= least:
            return b
        b[i] = -b[i]
        slope += 4 * b[i] * Q[:, i]
