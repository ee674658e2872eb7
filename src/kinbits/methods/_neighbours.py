"""Exact nearest neighbours of all training rows, for methods that learn from a graph."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from kinbits._errors import DataError
from kinbits.methods._base import Modality, TrainSet

CHUNK = 4096


def nearest(train: TrainSet, count: int, modality: Modality = "image") -> np.ndarray:
    """Find each row's nearest rows by Euclidean distance; see `nearest_points` for the cost.

    Args:
        train: The training set.
        count: Neighbours per row, 1 to n; the row itself is always one of them.
        modality: Whose features are compared.

    Returns:
        int64 ``(n, count)``, the row itself first.

    Raises:
        DataError: There are fewer rows than neighbours, or a feature is not finite.
    """
    return nearest_points(train.chunks(modality), len(train), count, f"{modality} features")


def nearest_points(points: Iterable[Tensor], n: int, count: int, what: str = "features") -> np.ndarray:
    """Find each point's nearest points by Euclidean distance.

    O(n^2 d) time. Memory: the points once, as 4 n d bytes, and the answer, 8 n count bytes.

    Args:
        points: n points in parts, float ``(c, d)`` each; read once.
        n: Their number.
        count: Neighbours per point, 1 to n; the point itself is always one of them.
        what: What errors call the points.

    Returns:
        int64 ``(n, count)``, the point itself first.

    Raises:
        DataError: There are fewer points than neighbours, or a value is not finite.
    """
    import faiss

    if n < count:
        raise DataError(f"{count} neighbours of {n} training rows; ask for fewer, or give more rows")
    index, centre = None, torch.empty(0)
    for part in points:
        if not torch.isfinite(part).all():
            raise DataError(f"the {what} hold values that are not finite; remove those rows")
        if index is None:
            # The squared distance is expanded into products; centring keeps their rounding small.
            index, centre = faiss.IndexFlatL2(part.shape[1]), part.float().mean(0)
        index.add((part.float() - centre).cpu().numpy())
    assert index is not None, "a training set has rows"
    found = np.empty((n, count), np.int64)
    for start in range(0, n, CHUNK):
        asked = index.reconstruct_n(start, min(CHUNK, n - start))
        found[start : start + CHUNK] = _self_first(index.search(asked, count)[1], start)
    return found


def _self_first(found: np.ndarray, start: int) -> np.ndarray:
    """Move each row's own number to the front; among equal points it may be elsewhere or missing."""
    own = np.arange(start, start + len(found))[:, None]
    order = np.argsort(found != own, axis=1, kind="stable")
    found = np.take_along_axis(found, order, axis=1)
    missing = found[:, 0] != own[:, 0]
    found[missing, 1:] = found[missing, :-1]
    found[missing, 0] = own[missing, 0]
    return found
