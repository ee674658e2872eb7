"""Cosine similarity of features as scores for `evaluate_scores`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinbits.metrics.ranking import ScoreBlock


def cosine_scores(query_features: ArrayLike, database_features: ArrayLike) -> ScoreBlock:
    """Return the cosine of each query with each item of the database, computed block by block.

    Args:
        query_features: Float ``(q, d)``.
        database_features: Float ``(n, d)``.

    Returns:
        A function of ``(start, stop)``: the cosines of these queries with the whole database, float32
        ``(stop - start, n)``.

    Example:
        >>> import numpy as np
        >>> from kinbits.metrics import LabelRelevance, cosine_scores, evaluate_scores
        >>> query, database = np.array([[1.0, 0.0]]), np.array([[0.0, 2.0], [3.0, 0.0]])
        >>> evaluate_scores(cosine_scores(query, database), LabelRelevance([1], [0, 1]), ["mrr"])["mrr"]
        1.0
    """
    query, database = _unit(query_features), _unit(database_features)
    return lambda start, stop: query[start:stop] @ database.T


def _unit(features: ArrayLike) -> NDArray[np.float32]:
    rows = np.asarray(features, np.float32)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))
