"""Exact nearest neighbours of all training rows, for methods that learn from a graph."""

from __future__ import annotations

import numpy as np
import torch

from kinbits._errors import DataError
from kinbits.methods._base import Modality, TrainSet

CHUNK = 4096


def nearest(train: TrainSet, count: int, modality: Modality = "image") -> np.ndarray:
    """Find each row's nearest rows by Euclidean distance; O(n^2 d) time, O(n (d + count)) memory.

    Args:
        train: The training set.
        count: Neighbours per row, 1 to n; the row itself is always one of them.
        modality: Whose features are compared.

    Returns:
        int64 ``(n, count)``, the row itself first.

    Raises:
        DataError: There are fewer rows than neighbours, or a feature is not finite.
    """
    import faiss

    features = train.features(modality).float()
    if len(features) < count:
        raise DataError(f"{count} neighbours of {len(features)} training rows; ask for fewer, or give more rows")
    if not torch.isfinite(features).all():
        raise DataError(f"the {modality} features hold values that are not finite; remove those rows")
    # The squared distance is expanded into products; centring keeps their rounding small.
    points = (features - features.mean(0)).cpu().numpy()
    index = faiss.IndexFlatL2(points.shape[1])
    index.add(points)
    parts = [index.search(points[start : start + CHUNK], count)[1] for start in range(0, len(points), CHUNK)]
    return _self_first(np.concatenate(parts).astype(np.int64))


def _self_first(found: np.ndarray) -> np.ndarray:
    """Move each row's own number to the front; among equal points it may be elsewhere or missing."""
    own = np.arange(len(found))[:, None]
    order = np.argsort(found != own, axis=1, kind="stable")
    found = np.take_along_axis(found, order, axis=1)
    missing = found[:, 0] != own[:, 0]
    found[missing, 1:] = found[missing, :-1]
    found[missing, 0] = own[missing, 0]
    return found
