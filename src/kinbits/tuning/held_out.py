"""The rows that no candidate learns from, and the score of a method on them."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kinbits import metrics
from kinbits.data import Dataset, as_pairs
from kinbits.errors import DataError
from kinbits.fitting import FitSettings, Job
from kinbits.heads import rank_outputs
from kinbits.methods import get_method
from kinbits.training import held_out_relevance, train, views_needed
from kinbits.tuning.settings import MOST_HELD

if TYPE_CHECKING:
    from kinbits.training import TrainingSet

METRIC = "map@all"
NEIGHBOURS = "the ten nearest by features"
Relevance = metrics.LeaveOneOut | metrics.LabelRelevance | metrics.MatrixRelevance


class HeldOut:
    """A share of the rows, the same for all candidates; each candidate learns from the others.

    The rows are drawn as `fit` draws those of ``validation``. A row stays with the others if it is the last one of its
    class there.

    Args:
        dataset: The data.
        settings: Options of `fit`, with the method that decides which rows can be used.
        share: Share of the rows to hold out; of large collections, `MOST_HELD` rows.
        text: Score searches between images and texts.

    Attributes:
        ids: Ids of the held-out rows.
        rows: Number of rows that can be learned from when nothing is held out.
        relevant: What makes a row relevant, in words.
        seconds: Time from the data to the first epoch of a run, with all features in the cache.

    Raises:
        DataError: If no held-out row has another one to find.
    """

    def __init__(self, dataset: Dataset, settings: FitSettings, share: float, *, text: bool = False) -> None:
        self._dataset, self._text = dataset, text
        self._jobs: dict[tuple[str, bool, bool, bool], Job] = {}
        first = Job.from_dataset(dataset, settings.with_options(validation=min(share, MOST_HELD / len(dataset))))
        self.rows = len(first.train) + len(first.rows.validation)
        self.ids = first.dataset.ids[_spared(first)]
        if len(self.ids) < 2:
            raise DataError(_nothing_to_find(len(self.ids), dataset.kind))
        started = time.perf_counter()
        job = self.job(settings)
        self.seconds = time.perf_counter() - started
        self.relevant, self._relevance = self._targets(job, settings)

    def job(self, settings: FitSettings) -> Job:
        """Return what a run needs, with its rows; methods that read the same share what was computed."""
        method = get_method(settings.method or "")
        views = views_needed(method, settings.training) > 0
        kind = (method.supervision, method.reads_text, method.reads_maps, views)
        job = self._jobs.get(kind)
        if job is None:
            job = Job.from_dataset(self._dataset, settings, held_out=self.ids)
            if job.train.frozen:  # else a run changes the backbone
                self._jobs[kind] = job
        return replace(job, settings=settings)

    def fit_and_score(self, job: Job) -> metrics.RankingResult:
        """Fit a method, and return its tie-aware mAP@all of each held-out row."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of the best candidate come when it is fitted to all rows
            method = job.build_method()
            train(method, job.train, job.settings.training)
        held = job.validation_set
        assert held is not None
        held.device = job.train.device
        towers = method.towers().items()
        made = {modality: (head, method.outputs(held, modality)) for modality, head in towers}
        if not self._text:
            return rank_outputs(made["image"], made["image"], self._relevance, [METRIC])
        found = rank_outputs(made["image"], made["text"], self._relevance, [METRIC])
        back = rank_outputs(made["text"], made["image"], self._relevance, [METRIC])
        return replace(found, per_query={METRIC: (found.per_query[METRIC] + back.per_query[METRIC]) / 2})

    def _targets(self, job: Job, settings: FitSettings) -> tuple[str, Relevance]:
        """Return what makes a held-out row relevant to another one."""
        held = job.validation_set
        assert held is not None
        labels = None if held.labels is None else held.labels.long().cpu().numpy()
        if self._text:
            if labels is None:
                return "the other half of the pair", metrics.MatrixRelevance(np.eye(len(held), dtype=bool))
            return "a shared label", metrics.LabelRelevance(labels, labels)
        if labels is not None:
            return "a shared label", self._by_labels(held)
        if settings.supervision.pairs is not None:
            return "a given pair", metrics.LeaveOneOut(metrics.MatrixRelevance(self._paired(job, settings)))
        return NEIGHBOURS, held_out_relevance(held, by_labels=False)

    def _by_labels(self, held: TrainingSet) -> metrics.LeaveOneOut:
        try:
            return held_out_relevance(held, by_labels=True)
        except DataError:
            raise DataError(_nothing_to_find(len(held), self._dataset.kind)) from None

    def _paired(self, job: Job, settings: FitSettings) -> np.ndarray:
        """Return which held-out rows are similar by the given pairs and clusters, bool ``(v, v)``."""
        given = as_pairs(settings.supervision.pairs, self._dataset, **settings.supervision.limits)
        pairs = given.select(self._dataset.rows_of(job.dataset)[job.rows.validation])
        similar = (pairs.clusters[:, None] == pairs.clusters) & (pairs.clusters >= 0)
        similar[pairs.a, pairs.b] = similar[pairs.b, pairs.a] = pairs.similar
        np.fill_diagonal(similar, False)
        if not similar.any():
            raise DataError(
                f"no two of the {len(similar)} held-out {self._dataset.kind}s are a similar pair, so codes cannot be "
                f"judged; raise validation, or give more pairs"
            )
        return np.asarray(similar)


def _nothing_to_find(held: int, kind: str) -> str:
    return (
        f"candidates cannot be scored: of {held} held-out {kind}s, none has another one to find; give more of each "
        f"class, raise validation, or fit a method without tuning"
    )


def _spared(job: Job) -> np.ndarray:
    """Return the held-out rows without those whose class would have no row to learn from."""
    held, labels = job.rows.validation, job.dataset.labels
    if labels is None:
        return held
    known = labels[job.rows.train]
    if labels.ndim == 1:
        spared = np.isin(labels[held], known) | (labels[held] < 0)
    else:
        spared = ~(labels[held].astype(bool) & ~known.any(0)).any(1)
    return np.asarray(held[spared])
