"""Clusters of all training rows: k-means by faiss, spectral clustering by scikit-learn; both learn on a sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from kinbits.errors import DataError
from kinbits.methods.blocks.graphs import nearest_points

Kind = Literal["kmeans", "spectral"]
Points = Callable[[np.ndarray | None], Iterable[Tensor]]
PER_CLUSTER, SPECTRAL_ROWS, LINKS = 256, 5_000, 10


def cluster_rows(
    points: Points, n: int, count: int, kind: Kind, rng: np.random.Generator, *, spectral_rows: int = SPECTRAL_ROWS
) -> np.ndarray:
    """Cluster n points.

    k-means learns its centres on 256 points per cluster; then each point is assigned to the nearest centre, in
    O(n count d) time. Spectral clustering works on the graph of the 10 nearest neighbours of at most ``spectral_rows``
    points. The others are assigned to the cluster of the nearest of these, in O(spectral_rows n d) time. Memory is that
    of the sample and of the result.

    Args:
        points: Function that yields the points of some rows, or of all for None, in parts ``(c, d)``.
        n: Number of points.
        count: Number of clusters, 2 to n - 1.
        kind: ``"kmeans"`` or ``"spectral"``.
        rng: Generator of the sample and of the first centres.
        spectral_rows: Size of the sample for spectral clustering, but at least 10 points per cluster.

    Returns:
        Cluster numbers, int64 ``(n,)``.

    Raises:
        DataError: If ``count`` is not in 2..n-1, or all points are in one cluster.
    """
    if not 2 <= count < n:
        fewer = f"clusters from 2 to {n - 1}" if n > 2 else "more images"
        raise DataError(f"{count} clusters of {n} training images; give {fewer}, some images for each cluster")
    most = max(PER_CLUSTER * count, 10_000) if kind == "kmeans" else max(spectral_rows, 10 * count)
    rows = np.sort(rng.choice(n, min(n, most), replace=False))
    some = _array(points(rows))
    seed = int(rng.integers(1 << 30))
    found = (_kmeans if kind == "kmeans" else _spectral)(some, count, seed, points(None))
    if len(np.unique(found)) < 2:
        raise DataError("the images fall into one cluster; there are too many copies of too few different images")
    return found


def _kmeans(some: np.ndarray, count: int, seed: int, everything: Iterable[Tensor]) -> np.ndarray:
    import faiss

    means = faiss.Kmeans(
        some.shape[1], count, niter=25, nredo=3, seed=seed, min_points_per_centroid=1, max_points_per_centroid=len(some)
    )
    means.train(some)
    return _assigned(means.index, everything)


def _spectral(some: np.ndarray, count: int, seed: int, everything: Iterable[Tensor]) -> np.ndarray:
    import faiss
    from sklearn.cluster import SpectralClustering

    links = min(LINKS, len(some) - 1)
    near = nearest_points(lambda: [torch.from_numpy(some)], len(some), links + 1)[:, 1:]
    starts = np.arange(len(some) + 1) * links
    graph = sp.csr_matrix((np.ones(near.size), near.ravel(), starts), shape=(len(some), len(some)))
    model = SpectralClustering(count, affinity="precomputed", assign_labels="cluster_qr", random_state=seed)
    labels = model.fit_predict((graph + graph.T) / 2)
    index = faiss.IndexFlatL2(some.shape[1])
    index.add(some)
    found: np.ndarray = np.asarray(labels, np.int64)[_assigned(index, everything)]
    return found


def _assigned(index: Any, everything: Iterable[Tensor]) -> np.ndarray:
    """Return the number of the stored vector that is nearest to each point."""
    found = [index.search(part.float().cpu().numpy(), 1)[1][:, 0] for part in everything]
    return np.concatenate(found).astype(np.int64)


def _array(parts: Iterable[Tensor]) -> np.ndarray:
    return np.concatenate([part.float().cpu().numpy() for part in parts])
