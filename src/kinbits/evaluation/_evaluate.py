"""Evaluate a model: its codes, baselines on the same features, and the features' own ranking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kinbits import metrics
from kinbits._errors import DataError, UsageError
from kinbits._inputs import without_unreadable
from kinbits._progress import Bar
from kinbits.data import Dataset, FeatureCache, Splits
from kinbits.evaluation._baselines import BASELINES, baseline_codes, cosine_block
from kinbits.evaluation._report import Report
from kinbits.evaluation._row import Row
from kinbits.methods._base import Modality
from kinbits.model import HashModel

METRICS = ("map@all", "map@1000", "precision@100", "precision@r2")
UNCOMPRESSED = "features (cosine)"


def evaluate(
    model: HashModel,
    splits: Splits,
    *,
    metric_names: Sequence[str] = METRICS,
    baselines: bool = True,
    cache: FeatureCache | None = None,
    progress: bool = False,
) -> Report:
    """Measure a model on a protocol.

    Every number is the expectation over random order of ties (see `kinbits.metrics`). Baselines are computed on
    the same backbone's features with the same number of bits, fitted on the protocol's training part.

    Args:
        model: The model.
        splits: What `kinbits.load_dataset` or `kinbits.data.split` returned.
        metric_names: Names that `kinbits.metrics.parse_metric` knows.
        baselines: Whether to put LSH, PCA, PCA with random rotation, ITQ and the uncompressed features beside.
        cache: Where features are kept between runs, or None for the default place.
        progress: Show progress on standard error.

    Returns:
        A `Report`: prints as a table, writes JSON and a plot.

    Raises:
        DataError: The protocol has no labels, or no query has a relevant item.
    """
    if splits.query.labels is None or splits.database.labels is None:
        raise DataError(f"protocol {splits.protocol.name} has no labels, so nothing says which images are relevant")
    names = [metrics.parse_metric(name).name for name in metric_names]
    if not names:
        raise UsageError("give at least one metric, e.g. map@all")
    return _Evaluation(model, splits, names, cache or FeatureCache(), progress).run(baselines)


class _Evaluation:
    """One evaluation, with the features it has computed."""

    def __init__(self, model: HashModel, splits: Splits, names: list[str], cache: FeatureCache, progress: bool) -> None:
        self.model, self.splits, self.names, self.cache = model, splits, names, cache
        self.progress = progress
        self.skipped: list[dict[str, str]] = []

    def run(self, baselines: bool) -> Report:
        query, queries = self._read(self.splits.query)
        database, items = self._read(self.splits.database)
        assert queries.labels is not None
        assert items.labels is not None
        relevance = metrics.LabelRelevance(queries.labels, items.labels)
        own = str(self.model.method.get("name", "model"))
        rows = [self._row(own, self.model.codes(query), self.model.codes(database), relevance)]
        if baselines:
            rows += self._baselines(query, database, relevance)
        if "text" in self.model.towers and queries.texts is not None and items.texts is not None:
            rows += self._cross(queries, items, query, database, relevance)
        return Report(self.splits.protocol.name, self._facts(len(query), len(database)), self.names, rows, self.skipped)

    def _read(self, dataset: Dataset) -> tuple[np.ndarray, Dataset]:
        found = self.model.features(dataset, cache=self.cache, progress=self.progress)
        kept = without_unreadable(dataset, found)
        self.skipped += [vars(s) for s in kept.skipped]
        return np.asarray(found.array[found.valid]), kept

    def _baselines(self, query: np.ndarray, database: np.ndarray, relevance: metrics.Relevance) -> list[Row]:
        train, _ = self._read(self.splits.train)
        rows = []
        with Bar("measuring baselines", len(BASELINES) + 1, self.progress) as bar:
            for number, name in enumerate(BASELINES):
                bar.update(number, text=name)
                found = baseline_codes(name, self.model.bits, train, query, database)
                if found is not None:
                    rows.append(self._row(name, found[0], found[1], relevance))
            bar.update(len(BASELINES), text=UNCOMPRESSED)
            scores = metrics.evaluate_scores(cosine_block(query, database), relevance, self._rankable())
        return [*rows, Row(UNCOMPRESSED, dict(scores), excluded=scores.excluded)]

    def _row(self, name: str, query: np.ndarray, database: np.ndarray, relevance: metrics.Relevance) -> Row:
        result = metrics.evaluate(query, database, relevance, self.names)
        curve = metrics.precision_recall_curve(query, database, relevance, by="rank")
        points = list(zip(curve.recall.tolist(), curve.precision.tolist(), strict=True))
        return Row(name, dict(result), excluded=result.excluded, empty_balls=result.empty_balls, curve=points)

    def _cross(
        self,
        queries: Dataset,
        items: Dataset,
        query: np.ndarray,
        database: np.ndarray,
        relevance: metrics.Relevance,
    ) -> list[Row]:
        """Search one modality by the other, and texts by texts."""
        codes: dict[tuple[str, Modality], Any] = {
            ("query", "image"): self.model.codes(query),
            ("database", "image"): self.model.codes(database),
            ("query", "text"): self.model.encode(text=queries.texts),
            ("database", "text"): self.model.encode(text=items.texts),
        }
        ways: list[tuple[Modality, Modality]] = [("image", "text"), ("text", "image"), ("text", "text")]
        return [self._row(f"{a} to {b}", codes["query", a], codes["database", b], relevance) for a, b in ways]

    def _rankable(self) -> list[str]:
        return [name for name in self.names if metrics.parse_metric(name).radius is None]

    def _facts(self, queries: int, database: int) -> dict[str, Any]:
        protocol = self.splits.protocol
        return {
            "version": protocol.version,
            "checksum": protocol.checksum,
            "relevance": protocol.relevance,
            "queries": queries,
            "database": database,
            "bits": self.model.bits,
            "method": self.model.method.get("name", "?"),
            "backbone": self.model.towers["image"].backbone.name,
            "fingerprint": self.model.fingerprint,
            "ties": "expected",
        }
