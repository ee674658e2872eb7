"""What needs no training: the rows that every learned result stands beside."""

from __future__ import annotations

import numpy as np
import torch

from kinbits import hamming
from kinbits.methods import Spec, build_method
from kinbits.metrics._ranking import ScoreBlock
from kinbits.training import FeatureSet, Training, train

BASELINES = ("lsh", "pca", "pca-rotation", "itq")


def baseline_codes(
    name: str, bits: int, fitted: np.ndarray, *parts: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, ...] | None:
    """Fit a training-free method on features and encode others.

    Args:
        name: One of `BASELINES`.
        bits: Code length.
        fitted: Features to fit on, float ``(n, d)``.
        parts: Features to encode, float ``(m, d)`` each.
        seed: Seed of random projections and rotations.

    Returns:
        One array of packed codes per part; None where the method cannot make this many bits of d features.
    """
    if name != "lsh" and bits > fitted.shape[1]:
        return None
    data = FeatureSet(fitted)
    method = build_method(name, Spec(bits, fitted.shape[1], len(fitted), seed=seed))
    train(method, data, Training(seed=seed, progress=False, accelerator="cpu"))
    with torch.no_grad():
        method.eval()
        return tuple(
            hamming.pack(method.head.encode(torch.from_numpy(np.asarray(part, np.float32))).numpy()) for part in parts
        )


def cosine_block(query: np.ndarray, database: np.ndarray) -> ScoreBlock:
    """Return the cosine of queries ``start`` to ``stop`` with the whole database, float32 ``(b, n)``."""
    query, database = _unit(query), _unit(database)
    return lambda start, stop: query[start:stop] @ database.T


def _unit(features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, np.float32)
    return np.asarray(features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12))
