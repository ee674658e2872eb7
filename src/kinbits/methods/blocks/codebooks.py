"""Base class of the methods whose codes are numbers of words, and k-means for their codebooks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kinbits.errors import DataError
from kinbits.heads import ProductHead
from kinbits.methods.base import Method, Spec, TrainView

PER_WORD, ITERATIONS = 256, 25  # training vectors of k-means, and its passes: more are no better


class ProductMethod(Method):
    """Base of methods with a `kinbits.heads.ProductHead`: M parts, each with a codebook of K words.

    Args:
        spec: The task.
        words: K, 16 or 256; codes of K = 256 keep more at equal length, those of K = 16 are searched faster.
        dims: Length D of the vectors that are cut into parts; 0 for that of the features.
        metric: Of the head.
        head: Another head, instead of one that these arguments describe.

    Raises:
        UsageError: If the words do not fill the bits, or the parts do not divide D.
        DataError: If there are fewer training rows than words.
    """

    head: ProductHead

    def __init__(
        self, spec: Spec, *, words: int, dims: int = 0, metric: str = "euclidean", head: ProductHead | None = None
    ) -> None:
        super().__init__(spec)
        self.head = head or ProductHead(spec.feature_dim, spec.bits, words, dims, metric)
        if spec.n_train < words:
            fewer = f", or words={min(16, words)}" if spec.n_train >= 16 else ""
            raise DataError(
                f"{spec.n_train} training rows are too few for codebooks of {words} words; give {words} or more{fewer}"
            )

    @torch.no_grad()
    def fit_books(self, z: Tensor, rng: np.random.Generator) -> None:
        """Set the codebooks by k-means on vectors, float ``(n, D)``."""
        parts = self.head.split(z).transpose(0, 1)
        found = [kmeans(part, self.head.words, rng) for part in parts]
        self.head.books.copy_(torch.stack(found))

    @torch.no_grad()
    def update_books(self, z: Tensor, rng: np.random.Generator) -> None:
        """Move the codebooks by four passes of k-means from where they are."""
        for book, part in zip(self.head.books, self.head.split(z).transpose(0, 1), strict=True):
            book.copy_(kmeans(part, self.head.words, rng, start=book, iterations=4))

    def sample(self, train: TrainView, rng: np.random.Generator) -> np.ndarray:
        """Return the rows that codebooks are learned from, sorted, int64: all, or 256 for each word."""
        most = min(len(train), PER_WORD * self.head.words)
        return np.sort(rng.choice(len(train), most, replace=False))


def kmeans(
    points: Tensor, count: int, rng: np.random.Generator, *, start: Tensor | None = None, iterations: int = ITERATIONS
) -> Tensor:
    """Return the centres that k-means finds, float32 ``(count, d)``.

    Args:
        points: Float ``(n, d)``, with n of at least ``count``.
        count: Number of centres.
        rng: Generator of the first centres.
        start: First centres ``(count, d)`` instead.
        iterations: Passes.
    """
    import faiss

    rows = np.ascontiguousarray(points.float().cpu().numpy())
    means = faiss.Kmeans(
        rows.shape[1],
        count,
        niter=iterations,
        seed=int(rng.integers(1 << 30)),
        min_points_per_centroid=1,
        max_points_per_centroid=len(rows),
    )
    means.train(rows, init_centroids=None if start is None else start.float().cpu().numpy())
    return torch.from_numpy(means.centroids).to(points.device)
