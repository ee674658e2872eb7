"""A score on a held-out part of the training set: the only thing that may choose an epoch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kinbits import hamming, metrics
from kinbits.methods import Method, TrainView
from kinbits.training.training_set import TrainingSet

NEIGHBOURS = 10


def score(method: Method, train: TrainingSet, validation_set: TrainingSet) -> float:
    """Score codes of held-out rows as queries against codes of the training rows; higher is better.

    The score is tie-aware mAP@all by labels, where the method learns from them. Otherwise the ten nearest images by
    cosine of the features are relevant: with labels that choose the epoch, the method would learn from labels. Training
    rows whose label is a guess are left out.
    """
    rows = None if train.is_true is None else np.flatnonzero(train.is_true)
    queries, database = _codes(method, validation_set), _codes(method, train, rows)
    if method.supervision != "none" and validation_set.labels is not None and train.labels is not None:
        labels = _integers(train.labels)
        known = labels if rows is None else labels[rows]
        relevance: metrics.Relevance = metrics.LabelRelevance(_integers(validation_set.labels), known)
    else:
        relevance = metrics.MatrixRelevance(_neighbours(validation_set, train))
    return metrics.evaluate(queries, database, relevance, ["map@all"])["map@all"]


def _integers(labels: Tensor) -> np.ndarray:
    return labels.long().cpu().numpy()


def _codes(method: Method, data: TrainView, rows: np.ndarray | None = None) -> np.ndarray:
    return hamming.pack((method.outputs(data, rows=rows) >= 0).cpu().numpy())


def _neighbours(validation_set: TrainingSet, train: TrainingSet) -> np.ndarray:
    """Mark the nearest training rows of each held-out row by cosine, bool ``(v, n)``."""
    queries, rows = (torch.nn.functional.normalize(part.features()) for part in (validation_set, train))
    best: Tensor = queries @ rows.T
    near = best.topk(min(NEIGHBOURS, best.shape[1]), dim=1).indices.cpu().numpy()
    marked = np.zeros(tuple(best.shape), bool)
    np.put_along_axis(marked, near, True, axis=1)
    return marked
