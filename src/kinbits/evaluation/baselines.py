"""What needs no training: the rows that every learned result stands beside."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from kinbits import hamming
from kinbits._util import Modality
from kinbits.heads import Head
from kinbits.methods import Spec, build_method
from kinbits.metrics import ScoreBlock
from kinbits.training import FeatureSet, Training, train

BASELINES = ("lsh", "pca", "pca-rotation", "itq")
ACROSS = "cca"


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
        One array of packed codes per part; None where there are fewer than two rows to fit on, or the method cannot
        make this many bits of d features.
    """
    if len(fitted) < 2 or (name != "lsh" and bits > fitted.shape[1]):
        return None
    head = _towers(name, bits, fitted, None, seed)["image"]
    return tuple(codes_of(head, part) for part in parts)


def across_towers(bits: int, images: np.ndarray, texts: np.ndarray) -> dict[Modality, Head] | None:
    """Fit what needs no training and makes codes of images and of texts.

    Args:
        bits: Code length.
        images: Image features to fit on, float ``(n, d)``.
        texts: Features of their texts, float ``(n, t)``.

    Returns:
        One head per modality; None where so many bits cannot be made.
    """
    if bits > min(images.shape[1], texts.shape[1]) or len(images) < 2:
        return None
    return _towers(ACROSS, bits, images, texts, 0)


@torch.no_grad()
def codes_of(head: Head, features: np.ndarray) -> np.ndarray:
    """Return packed codes of features ``(n, d)``."""
    return hamming.pack(head.encode(torch.from_numpy(np.asarray(features, np.float32))).numpy())


def _towers(name: str, bits: int, images: np.ndarray, texts: np.ndarray | None, seed: int) -> dict[Modality, Head]:
    width = None if texts is None else texts.shape[1]
    method = build_method(name, Spec(bits, images.shape[1], len(images), text_dim=width, seed=seed))
    data = FeatureSet(images, texts=texts)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="principal axes")  # a note of the report says it once for all of them
        train(method, data, Training(seed=seed, progress=False, accelerator="cpu"))
    return method.eval().towers()


def cosine_block(query: np.ndarray, database: np.ndarray) -> ScoreBlock:
    """Return the cosine of queries ``start`` to ``stop`` with the whole database, float32 ``(b, n)``."""
    query, database = _unit(query), _unit(database)
    return lambda start, stop: query[start:stop] @ database.T


def _unit(features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, np.float32)
    return np.asarray(features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12))
