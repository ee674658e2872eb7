"""Methods that need no training, fitted on features: what every learned result is compared with."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from kinbits import hamming
from kinbits._util import Modality
from kinbits.heads import Head
from kinbits.methods import Spec, build_method
from kinbits.training import FeatureSet, TrainingSettings, train

BASELINES = ("lsh", "pca", "pca-rotation", "itq")
CROSS_MODAL_BASELINE = "cca"


def image_head(name: str, bits: int, images: np.ndarray, *, seed: int = 0) -> Head | None:
    """Fit one of `BASELINES` on features of images.

    Args:
        name: The method.
        bits: Code length.
        images: Features to fit on, float ``(n, d)``.
        seed: Seed of random projections and rotations.

    Returns:
        The head; None where there are fewer than two rows, or the method makes at most d bits and more are asked for.
    """
    if len(images) < 2 or (name != "lsh" and bits > images.shape[1]):
        return None
    return _fitted(name, bits, images, None, seed)["image"]


def cross_modal_heads(bits: int, images: np.ndarray, texts: np.ndarray) -> dict[Modality, Head] | None:
    """Fit `CROSS_MODAL_BASELINE` on features of images and of their texts.

    Args:
        bits: Code length.
        images: Image features, float ``(n, d)``.
        texts: Features of the texts of these images, float ``(n, t)``.

    Returns:
        One head per modality; None where there are fewer than two rows, or more bits than features.
    """
    if bits > min(images.shape[1], texts.shape[1]) or len(images) < 2:
        return None
    return _fitted(CROSS_MODAL_BASELINE, bits, images, texts, 0)


def codes_of(head: Head, features: np.ndarray) -> hamming.Codes:
    """Return packed codes, uint8 ``(n, w)``, of features ``(n, d)``."""
    return head.codes(torch.from_numpy(np.asarray(features, np.float32)))


def _fitted(name: str, bits: int, images: np.ndarray, texts: np.ndarray | None, seed: int) -> dict[Modality, Head]:
    text_dim = None if texts is None else texts.shape[1]
    method = build_method(name, Spec(bits, images.shape[1], len(images), text_dim=text_dim, seed=seed))
    data = FeatureSet(images, texts=texts)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="principal axes")  # a note of the report says it once for all of them
        train(method, data, TrainingSettings(seed=seed, progress=False, accelerator="cpu"))
    return method.eval().towers()
