"""Nearest neighbours of all training rows, for methods that learn from a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from kinbits._util import Modality, neighbours
from kinbits.errors import DataError
from kinbits.methods.base import TrainSet


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
    return nearest_points(lambda: train.chunks(modality), len(train), count, f"{modality} features")


def nearest_points(points: Callable[[], Iterable[Tensor]], n: int, count: int, what: str = "features") -> np.ndarray:
    """Find each point's nearest points by Euclidean distance.

    Exact up to 200,000 points, O(n^2 d) time and 4nd bytes; beyond by inverted lists, O(n^1.5 d) time and 2nd bytes.
    The answer takes 12 n count bytes while it is made.

    Args:
        points: Gives n points in order, in parts, float ``(c, d)`` each; called once, or twice beyond 200,000.
        n: Their number.
        count: Neighbours per point, 1 to n; the point itself is always one of them.
        what: What errors call the points.

    Returns:
        int64 ``(n, count)``, the point itself first, and again where inverted lists held no other.

    Raises:
        DataError: There are fewer points than neighbours, or a value is not finite.
    """
    if n < count:
        raise DataError(f"{count} neighbours of {n} training rows; ask for fewer, or give more rows")

    def read() -> Iterator[np.ndarray]:
        for part in points():
            if not torch.isfinite(part).all():
                raise DataError(f"the {what} hold values that are not finite; remove those rows")
            yield part.float().cpu().numpy()

    found = neighbours.nearest(read, n, count)[0]
    return np.where(found < 0, found[:, :1], found)
