"""Minimise f(b) = b^T Q b + p^T b over b in {-1, +1}^m: a balanced start, and flips of single values."""

from __future__ import annotations

import math

import numpy as np


def balanced_minimum(Q: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return the best of m + 1 codes that each have exactly round((m + 1) / 2) - 1 values of +1.

    With x = (b + 1) / 2, f is x^T 4Q x + q^T x up to a constant, q = 2p - 4 Q 1. Behind x stands a dummy, always 1,
    whose products with the others are q / 2. The columns of a Cholesky factor of lambda I minus these products are
    points whose squared distances are 2 lambda + 2 times the product, and a set of H points around its mean has
    squared distances (H - 1) lambda + (f - const) / H. So neither lambda nor the factor is needed: each candidate
    is a point, the dummy, and the points with the smallest products with it; equal ones by their nearness to the dummy.

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
