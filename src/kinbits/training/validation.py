"""A score on a held-out part of the training set: the only thing that may choose an epoch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kinbits import hamming, metrics
from kinbits.methods import Method, TrainSet
from kinbits.training.training_sets import Trainable

NEIGHBOURS = 10


def score(method: Method, train: Trainable, held: Trainable) -> float:
    """Score codes of held-out rows as queries against codes of the training rows; higher is better.

    Tie-aware mAP@all by labels, where the method learns from them. For methods without labels, and without any at hand,
    the ten nearest images by cosine of the features count as relevant: labels that chose the epoch would make a
    method with labels of it. Training rows whose label is only a guess judge nothing.
    """
    rows = None if train.true is None else np.flatnonzero(train.true)
    queries, database = _codes(method, held), _codes(method, train, rows)
    if method.supervision != "none" and held.labels is not None and train.labels is not None:
        labels = _integers(train.labels)
        judges = labels if rows is None else labels[rows]
        relevance: metrics.Relevance = metrics.LabelRelevance(_integers(held.labels), judges)
    else:
        relevance = metrics.MatrixRelevance(_neighbours(held, train))
    return metrics.evaluate(queries, database, relevance, ["map@all"])["map@all"]


def _integers(labels: Tensor) -> np.ndarray:
    return labels.long().cpu().numpy()


def _codes(method: Method, data: TrainSet, rows: np.ndarray | None = None) -> np.ndarray:
    return hamming.pack((method.outputs(data, rows=rows) >= 0).cpu().numpy())


def _neighbours(held: Trainable, train: Trainable) -> np.ndarray:
    """Mark each held-out row's nearest training rows by cosine, bool ``(held, train)``."""
    best: Tensor = torch.nn.functional.normalize(held.features()) @ torch.nn.functional.normalize(train.features()).T
    near = best.topk(min(NEIGHBOURS, best.shape[1]), dim=1).indices.cpu().numpy()
    marked = np.zeros(tuple(best.shape), bool)
    np.put_along_axis(marked, near, True, axis=1)
    return marked
