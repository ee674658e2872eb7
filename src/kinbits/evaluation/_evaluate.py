"""Evaluate a model: its codes, baselines on the same features, and the features' own ranking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np

from kinbits import metrics
from kinbits._code_rows import rows_of_ids
from kinbits._errors import UsageError
from kinbits._inputs import without_unreadable
from kinbits._progress import Bar, reporter
from kinbits.backbones import Backbone, extract
from kinbits.data import Dataset, FeatureCache, Splits
from kinbits.data._ground_truth import Difficulty
from kinbits.data._protocols._definition import DEFAULT_METRICS
from kinbits.evaluation._baselines import ACROSS, BASELINES, across_towers, baseline_codes, codes_of, cosine_block
from kinbits.evaluation._details import gather
from kinbits.evaluation._judged import chosen_difficulty, judged
from kinbits.evaluation._report import Report
from kinbits.evaluation._row import Row
from kinbits.heads import Head
from kinbits.methods._base import Modality
from kinbits.model import HashModel

METRICS = DEFAULT_METRICS
WAYS: tuple[tuple[Modality, Modality], ...] = (("image", "text"), ("text", "image"), ("text", "text"))
UNCOMPRESSED = "features (cosine)"


def evaluate(
    model: HashModel,
    splits: Splits,
    *,
    metric_names: Sequence[str] | None = None,
    difficulty: Difficulty | None = None,
    baselines: bool = True,
    beside: Sequence[HashModel] = (),
    details: bool = False,
    database_codes: Literal["encoded", "learned"] = "encoded",
    cache: FeatureCache | None = None,
    progress: bool = False,
) -> Report:
    """Measure a model on a protocol.

    Every number is the expectation over random order of ties (see `kinbits.metrics`). Baselines are computed on
    the same backbone's features with the same number of bits, fitted on the protocol's training part.

    Args:
        model: The model.
        splits: What `kinbits.load_dataset` or `kinbits.data.split` returned.
        metric_names: Names that `kinbits.metrics.parse_metric` knows; None for those of the protocol, the one of
            published tables first.
        difficulty: ``"easy"``, ``"medium"`` or ``"hard"`` where the protocol's answers are graded (revisited Oxford and
            Paris, see `kinbits.data.GroundTruth`); None for medium there.
        baselines: Whether to put LSH, PCA, PCA with random rotation, ITQ and the uncompressed features beside, and CCA
            between images and texts for a model that encodes both.
        beside: Other models to compare with, e.g. of other lengths.
        details: Whether to gather what `Report.html` shows beside the numbers: the best and worst queries with their
            neighbours, classes taken for each other, statistics of the codes.
        database_codes: ``"learned"`` takes, for images of the database that the model was trained on, the codes that
            training gave them (`HashModel.train_codes`), as papers on asymmetric hashing do; all else is encoded.
        cache: Where features are kept between runs, or None for the default place.
        progress: Show progress on standard error.

    Returns:
        A `Report`: prints as a table, writes JSON and a plot.

    Raises:
        UsageError: Learned codes are asked for, and the model has none, or not of this protocol's training part; or a
            difficulty, and the protocol's answers are not graded; or a metric or difficulty is unknown.
        DataError: The protocol has neither labels nor lists of answers, or no query has a relevant item.
    """
    asked = splits.protocol.metrics if metric_names is None else metric_names
    names = [metrics.parse_metric(name).name for name in asked]
    if not names:
        raise UsageError("give at least one metric, e.g. map@all")
    if database_codes not in ("encoded", "learned"):
        raise UsageError(f"database_codes '{database_codes}': give encoded or learned")
    learned = database_codes == "learned"
    if learned:
        _check_learned(model, splits)
    chosen = chosen_difficulty(splits, difficulty)
    evaluation = _Evaluation(model, splits, names, chosen, cache or FeatureCache(), progress)
    return evaluation.run(baselines, beside, details, learned)


def _check_learned(model: HashModel, splits: Splits) -> None:
    """Refuse codes that were learned for other images, or none."""
    if model.train_codes is None:
        name = model.method.get("name", "its method")
        raise UsageError(f"this model has no learned codes: '{name}' learns none; adsh and exchnet do")
    if model.training.get("data_fingerprint") != splits.train.fingerprint:
        raise UsageError(
            f"this model was trained on {model.training.get('data', 'other data')}, not on the training part of "
            f"{splits.protocol.name}; train on that, or leave the learned codes out"
        )


class _Evaluation:
    """One evaluation, with the features it has computed."""

    def __init__(
        self,
        model: HashModel,
        splits: Splits,
        names: list[str],
        difficulty: Difficulty | None,
        cache: FeatureCache,
        progress: bool,
    ) -> None:
        self.model, self.splits, self.names, self.cache = model, splits, names, cache
        self.difficulty, self.progress = difficulty, progress
        self.skipped: list[dict[str, str]] = []
        self.notes: list[str] = []

    def run(self, baselines: bool, beside: Sequence[HashModel], details: bool, learned: bool) -> Report:
        query, queries = self._read(self.splits.query)
        database, items = self._read(self.splits.database)
        relevance = self._judged(queries, items)
        codes = self.model.codes(query), self.model.codes(database)
        if learned:
            self._put_learned(codes[1], items.ids)
        names = _names([self.model, *beside])
        rows = [self._row(names[0], *codes, relevance, self.model.bits)]
        rows += [self._other(name, model, relevance) for name, model in zip(names[1:], beside, strict=True)]
        if baselines:
            rows += self._baselines(query, database, relevance)
        if "text" in self.model.towers and queries.captioned.any() and items.captioned.any():
            rows += self._cross(_Side(queries, query), _Side(items, database), baselines)
        facts = self._facts(len(query), len(database))
        shown = gather(queries, items, codes, self.model.bits, relevance) if details else None
        return Report(self.splits.protocol.name, facts, self.names, rows, self.skipped, shown, self.notes)

    def _judged(self, queries: Dataset, items: Dataset) -> metrics.Relevance:
        return judged(self.splits, queries, items, difficulty=self.difficulty or "medium")

    def _put_learned(self, codes: np.ndarray, ids: np.ndarray) -> None:
        """Replace codes of the database by those that training gave these images."""
        places, learned = rows_of_ids(self.model.train_codes, ids)
        if not len(places):
            raise UsageError("no image of the database was trained on, so it has no learned codes; leave them out")
        codes[places] = learned
        self.notes.append(f"codes of {len(places):,} of {len(ids):,} database images as learned in training")

    def _other(self, name: str, model: HashModel, relevance: metrics.Relevance) -> Row:
        """Measure another model; it may see images through another backbone."""
        found = [
            model.features(part, cache=self.cache, progress=self.progress)
            for part in (self.splits.query, self.splits.database)
        ]
        query, database = (model.codes(np.asarray(one.array[one.valid])) for one in found)
        return self._row(name, query, database, relevance, model.bits)

    def _features(self, dataset: Dataset, backbone: Backbone) -> np.ndarray:
        with reporter("reading images", self.progress) as report:
            found = extract(dataset, backbone, cache=self.cache, progress=report)
        return np.asarray(found.array[found.valid])

    def _read(self, dataset: Dataset) -> tuple[np.ndarray, Dataset]:
        found = self.model.features(dataset, cache=self.cache, progress=self.progress)
        kept = without_unreadable(dataset, found)
        self.skipped += [vars(s) for s in kept.skipped]
        return np.asarray(found.array[found.valid]), kept

    def _baselines(self, query: np.ndarray, database: np.ndarray, relevance: metrics.Relevance) -> list[Row]:
        """Measure what needs no training, on pooled features also where the model reads maps."""
        backbone = self.model.towers["image"].backbone
        train = self._features(self.splits.train, backbone.pooled)
        if backbone.pooled is not backbone:
            parts = self.splits.query, self.splits.database
            query, database = (self._features(part, backbone.pooled) for part in parts)
        rows, left_out = [], []
        with Bar("measuring baselines", len(BASELINES) + 1, self.progress) as bar:
            for number, name in enumerate(BASELINES):
                bar.update(number, text=name)
                found = baseline_codes(name, self.model.bits, train, query, database)
                if found is None:
                    left_out.append(name)
                    continue
                rows.append(self._row(name, found[0], found[1], relevance, self.model.bits))
            bar.update(len(BASELINES), text=UNCOMPRESSED)
            scores = metrics.evaluate_scores(cosine_block(query, database), relevance, self._rankable())
        if left_out:
            most = f"make at most as many bits as there are features, {train.shape[1]}, and these codes have"
            few = f"are fitted on the training part, and that of {self.splits.protocol.name} has"
            why = f"{few} {len(train)} images" if len(train) < 2 else f"{most} {self.model.bits}"
            self.notes.append(f"{', '.join(left_out)} left out: they {why}")
        elif len(train) <= self.model.bits:
            self.notes.append(
                f"bits of pca and itq beyond {len(train) - 1} are arbitrary with {len(train)} training images"
            )
        return [*rows, Row(UNCOMPRESSED, dict(scores), excluded=scores.excluded)]

    def _row(self, name: str, query: np.ndarray, database: np.ndarray, relevance: metrics.Relevance, bits: int) -> Row:
        result = metrics.evaluate(query, database, relevance, self.names)
        by_rank = metrics.precision_recall_curve(query, database, relevance, by="rank")
        by_radius = metrics.precision_recall_curve(query, database, relevance, by="radius")
        return Row(
            name,
            dict(result),
            excluded=result.excluded,
            empty_balls=result.empty_balls,
            curve=list(zip(by_rank.recall.tolist(), by_rank.precision.tolist(), strict=True)),
            by_radius=by_radius.precision[: bits + 1].tolist(),
            intervals={name: result.interval(name) for name in self.names},
            bits=bits,
        )

    def _cross(self, query: _Side, database: _Side, baselines: bool) -> list[Row]:
        """Search one modality by the other, and texts by texts; what has no text takes no part there."""
        encoders: dict[str, Callable[[np.ndarray, Modality], np.ndarray]] = {"": self.model.codes}
        fitted = self._across() if baselines else None
        if fitted is not None:
            encoders[f"{ACROSS}, "] = lambda features, modality: codes_of(fitted[modality], features)
        backbone = self.model.towers["text"].backbone
        sides: dict[Modality, tuple[_Side, _Side]] = {
            "image": (query, database),
            "text": (query.spoken(backbone, self.cache), database.spoken(backbone, self.cache)),
        }
        rows = []
        for (name, encode), (a, b) in product(encoders.items(), WAYS):
            one, two = sides[a][0], sides[b][1]
            codes = encode(one.features, a), encode(two.features, b)
            relevance = self._judged(one.dataset, two.dataset)
            rows.append(self._row(f"{name}{a} to {b}", *codes, relevance, self.model.bits))
        return rows

    def _across(self) -> dict[Modality, Head] | None:
        """Fit the baseline between modalities on the training pairs; None where it cannot be."""
        part, image = self.splits.train, self.model.towers["image"].backbone
        if image.pooled is not image or not part.captioned.any():
            return None
        found = extract(part, image, cache=self.cache)
        texts = extract(part, self.model.towers["text"].backbone, cache=self.cache)
        kept = found.valid & part.captioned
        return across_towers(self.model.bits, np.asarray(found.array[kept]), np.asarray(texts.array[kept]))

    def _rankable(self) -> list[str]:
        return [name for name in self.names if metrics.parse_metric(name).radius is None]

    def _facts(self, queries: int, database: int) -> dict[str, Any]:
        protocol = self.splits.protocol
        return {
            "version": protocol.version,
            "checksum": protocol.checksum,
            "relevance": protocol.relevance,
            **({"difficulty": self.difficulty} if self.difficulty else {}),
            "queries": queries,
            "database": database,
            "bits": self.model.bits,
            "method": self.model.method.get("name", "?"),
            "backbone": self.model.towers["image"].backbone.name,
            "fingerprint": self.model.fingerprint,
            "ties": "expected",
        }


@dataclass(frozen=True)
class _Side:
    """One side of a search: the rows that take part, and their features ``(n, d)``."""

    dataset: Dataset
    features: np.ndarray

    def spoken(self, backbone: Backbone, cache: FeatureCache) -> _Side:
        """Return the rows that have a text, and the features of their texts."""
        told = self.dataset.captioned
        return _Side(self.dataset.select(told), np.asarray(extract(self.dataset, backbone, cache=cache).array)[told])


def _names(models: Sequence[HashModel]) -> list[str]:
    """Name models by their method; by their bits too where several are compared."""
    methods = [str(model.method.get("name", "model")) for model in models]
    if len(models) == 1:
        return methods
    names = [f"{name}, {model.bits} bits" for name, model in zip(methods, models, strict=True)]
    return [f"{name} (model {place})" if names.count(name) > 1 else name for place, name in enumerate(names, 1)]
