"""How many of the nearest neighbours of the features the codes of a model keep, beside ITQ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from kinbits.data import Dataset
from kinbits.errors import DataError
from kinbits.evaluation.training_free import image_head
from kinbits.heads import Head, rank_outputs
from kinbits.metrics import LeaveOneOut, MatrixRelevance
from kinbits.model import HashModel
from kinbits.training import FeatureSet, held_out_relevance, mark_nearest

NEIGHBOURS = 10
_NAMES = {"cosine": "cosine", "euclidean": "Euclidean distance", "inner": "inner product"}
_CLEARLY = 0.02  # more; a second ITQ of the same rows differs by less
_SAMPLE, _LEARNED = 2_000, 20_000  # rows that are searched, and rows that ITQ learns from


@dataclass(frozen=True)
class NeighboursKept:
    """The share of the ten nearest rows that are among the first ten by codes; the mean over rows and ties.

    Attributes:
        rows: Rows that were searched among each other.
        share: Of the model.
        itq: Of ITQ at as many bits, learned from these and further rows; None where it cannot make them.
        metric: What rows are nearest by: what codes of the model stand for, or the cosine.
    """

    rows: int
    share: float
    itq: float | None
    metric: str = "cosine"

    def __str__(self) -> str:
        beside = "" if self.itq is None else f"; itq {self.itq:.0%}"
        return (
            f"{self.share:.0%} of the {NEIGHBOURS} nearest by {_NAMES[self.metric]}, among {self.rows:,} rows{beside}"
        )

    @property
    def advice(self) -> str:
        """What to do where ITQ keeps clearly more; empty where it does not."""
        if self.itq is None or self.itq <= self.share + _CLEARLY:
            return ""
        return (
            f"itq keeps more of the nearest by {_NAMES[self.metric]}; if they count, try --normalise, more bits, or "
            "--method itq"
        )


def neighbours_kept(model: HashModel, dataset: Dataset, *, seed: int = 0) -> NeighboursKept:
    """Measure how well codes keep the neighbours of the features.

    Args:
        model: The model.
        dataset: Images or vectors; at most 2,000 rows are drawn from it, and 20,000 others for ITQ, which learns from
            both, as the model may have done.
        seed: Of the rows.

    Raises:
        DataError: If fewer than three rows can be read.
    """
    rows = np.random.default_rng(seed).permutation(len(dataset))[: _SAMPLE + _LEARNED]
    sample = min(_SAMPLE, max(3, len(rows) // 2))
    searched, learned = (
        np.asarray(model.encode(dataset.select(part), output="features", on_error="skip").array, np.float32)
        for part in (np.sort(rows[:sample]), np.sort(rows[sample:]))
    )
    if len(searched) < 3:
        raise DataError(f"{len(searched)} rows have no neighbours to keep; give 3 or more")
    head = model.tower().head
    metric = head.features_metric or "cosine"
    relevance = _relevance(searched, metric)
    itq = image_head("itq", model.bits, np.concatenate([searched, learned]))
    own = _share(head, searched, relevance)
    return NeighboursKept(len(searched), own, None if itq is None else _share(itq, searched, relevance), metric)


def _relevance(features: np.ndarray, metric: str) -> LeaveOneOut:
    """Return which rows are among the ten nearest of each other row."""
    if metric == "cosine":
        return held_out_relevance(FeatureSet(features), by_labels=False)
    exact = torch.from_numpy(features).double()
    scores = exact @ exact.T
    if metric == "euclidean":
        scores -= exact.square().sum(1) / 2
    return LeaveOneOut(MatrixRelevance(mark_nearest(scores)))


@torch.no_grad()
def _share(head: Head, features: np.ndarray, relevance: LeaveOneOut) -> float:
    made = head, head(torch.from_numpy(features).to(head.threshold.device))
    name = f"precision@{min(NEIGHBOURS, len(features) - 1)}"
    return rank_outputs(made, made, relevance, [name])[name]
