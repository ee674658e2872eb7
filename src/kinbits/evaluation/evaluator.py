"""Evaluate a model: its codes, baselines on the same features, and the features' own ranking."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from kinbits import metrics
from kinbits._util import Bar, Modality, reporter
from kinbits.backbones import Backbone, extract
from kinbits.data import DEFAULT_METRICS, Dataset, Difficulty, FeatureCache, Splits
from kinbits.encoding import rows_of_ids
from kinbits.errors import DataError, UsageError
from kinbits.evaluation.baselines import ACROSS, BASELINES, across_towers, baseline_codes, codes_of, cosine_block
from kinbits.evaluation.relevance import chosen_difficulty, judged
from kinbits.evaluation.report.details import gather
from kinbits.evaluation.report.report import Report
from kinbits.evaluation.report.row import Row
from kinbits.model import HashModel

METRICS = DEFAULT_METRICS
Way = tuple[Modality, Modality]
PICTURES: Way = ("image", "image")
WAYS: tuple[Way, ...] = (PICTURES, ("image", "text"), ("text", "image"), ("text", "text"))
ACROSS_WAYS = WAYS[1:3]
FIXED = ("precision", "acg")  # divided by the length of the list, however many items there are
UNCOMPRESSED = "features (cosine)"


def evaluate(
    model: HashModel,
    splits: Splits,
    *,
    metric_names: Sequence[str] | None = None,
    at: Sequence[str] = (),
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
        splits: What `kinbits.load_protocol` or `kinbits.data.split_folder` returned. Where a query's answer is its own
            partner (images with texts and without labels), only the directions between images and texts are measured.
        metric_names: Names that `kinbits.metrics.parse_metric` knows; None for those of the protocol, the one of
            published tables first.
        at: Targets of operating points, e.g. ``["precision=0.95", "recall=0.9"]``. For each, the radius is chosen on
            half of the queries and measured on the other half, drawn by seed 0; see `kinbits.metrics.operating_point`.
        difficulty: ``"easy"``, ``"medium"`` or ``"hard"`` where the protocol's answers are graded (revisited Oxford and
            Paris, see `kinbits.data.GroundTruth`); None for medium there.
        baselines: Whether to put LSH, PCA, PCA with random rotation, ITQ and the uncompressed features beside, and CCA
            in the directions with texts for a model that encodes both.
        beside: Other models to compare with, e.g. of other lengths.
        details: Whether to gather what `Report.html` shows beside the numbers: the best and worst queries with their
            neighbours, classes taken for each other, statistics of the codes.
        database_codes: ``"learned"`` takes, for images of the database that the model was trained on, the codes that
            training gave them (`HashModel.train_codes`), as papers on asymmetric hashing do; all else is encoded.
        cache: Where features are kept between runs, or None for the default place.
        progress: Show progress on standard error.

    Returns:
        A `Report`: prints as a table, writes JSON and a plot. Where queries have labels, it holds the metrics of the
        first row for each class too.

    Raises:
        UsageError: Learned codes are asked for, and the model has none, or not of this protocol's training part; or a
            difficulty, and the protocol's answers are not graded; or a metric, target or difficulty is unknown.
        DataError: The protocol has neither labels nor lists of answers, or no query has a relevant item; or its answers
            are partners, and the model reads no text.
    """
    asked = splits.protocol.metrics if metric_names is None else metric_names
    names = [metrics.parse_metric(name).name for name in asked]
    if not names:
        raise UsageError("give at least one metric, e.g. map@all")
    targets = [str(metrics.parse_target(text)) for text in ([at] if isinstance(at, str) else at)]
    if database_codes not in ("encoded", "learned"):
        raise UsageError(f"database_codes '{database_codes}': give encoded or learned")
    learned = database_codes == "learned"
    if learned:
        _check_learned(model, splits)
    chosen = chosen_difficulty(splits, difficulty)
    evaluation = _Evaluation(model, splits, names, targets, chosen, cache or FeatureCache(), progress)
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


@dataclass(frozen=True)
class _Side:
    """One side of a search: the rows that take part, and their features ``(n, d)``."""

    dataset: Dataset
    features: np.ndarray

    def spoken(self, backbone: Backbone, cache: FeatureCache) -> _Side:
        """Return the rows that have a text, and the features of their texts."""
        told = self.dataset.captioned
        return _Side(self.dataset.select(told), np.asarray(extract(self.dataset, backbone, cache=cache).array)[told])


@dataclass(frozen=True)
class _Ranking:
    """A search: what is searched with and in, the codes of both, and which items answer which query."""

    queries: Dataset
    items: Dataset
    codes: tuple[np.ndarray, np.ndarray]
    relevance: metrics.Relevance


Sides = Mapping[Modality, tuple[_Side, _Side]]
Encode = Callable[[np.ndarray, Modality], np.ndarray]


class _Evaluation:
    """One evaluation, with the features it has computed."""

    def __init__(
        self,
        model: HashModel,
        splits: Splits,
        names: list[str],
        targets: list[str],
        difficulty: Difficulty | None,
        cache: FeatureCache,
        progress: bool,
    ) -> None:
        self.model, self.splits, self.names, self.cache = model, splits, names, cache
        self.targets = list(dict.fromkeys(targets))
        self.difficulty, self.progress = difficulty, progress
        self.skipped: list[dict[str, str]] = []
        self.notes: list[str] = []

    def run(self, baselines: bool, beside: Sequence[HashModel], details: bool, learned: bool) -> Report:
        paired = self.splits.protocol.paired
        ways = ACROSS_WAYS if paired else WAYS
        names = _names([self.model, *beside])
        sides = self._sides(self.model)
        self.skipped += [vars(skipped) for side in sides["image"] for skipped in side.dataset.skipped]
        if paired and "text" not in sides:
            raise DataError(
                f"{self.splits.protocol.name} has no labels, so a text is to find its image and an image its text, and "
                f"this model reads no text; fit one with a method that does, such as djsrh, or name a label column"
            )
        first = self._ranking(self.model.codes, sides, ways[0])
        if learned:
            self._put_learned(first.codes[1], first.items.ids)
        rows = [self._row(_label(names[0], self.model, ways[0]), first, self.model.bits, ways[0])]
        rows += self._ranked(names[0], self.model, sides, ways[1:])
        for name, model in zip(names[1:], beside, strict=True):
            found = self._ranked(name, model, self._sides(model), ways)
            if not found:
                self.notes.append(f"{name} left out: it reads no text")
            rows += found
        if baselines and not paired:
            rows += self._baselines(sides["image"], first)
        if baselines and "text" in sides:
            rows += self._across(sides, [way for way in ways if way != PICTURES])
        rows.sort(key=lambda row: row.direction != _direction(PICTURES))  # the others stand below the baselines
        self._note_cuts(len(first.items))
        facts = self._facts(*(len(side.features) for side in sides["image"]))
        shown = None
        if details:
            shown = gather(first.queries, first.items, first.codes, self.model.bits, first.relevance)
        classes = self._classes(first)
        return Report(self.splits.protocol.name, facts, self.names, rows, self.skipped, shown, self.notes, classes)

    def _sides(self, model: HashModel) -> Sides:
        """Read queries and database as a model sees them, in each modality that it reads and the data have."""
        images = self._read(model, self.splits.query), self._read(model, self.splits.database)
        sides: dict[Modality, tuple[_Side, _Side]] = {"image": images}
        if "text" in model.towers and all(side.dataset.captioned.any() for side in images):
            backbone = model.towers["text"].backbone
            sides["text"] = images[0].spoken(backbone, self.cache), images[1].spoken(backbone, self.cache)
        return sides

    def _read(self, model: HashModel, dataset: Dataset) -> _Side:
        found = model.features(dataset, cache=self.cache, progress=self.progress)
        return _Side(found.readable_part(dataset), np.asarray(found.array[found.valid]))

    def _ranking(self, encode: Encode, sides: Sides, way: Way) -> _Ranking:
        a, b = way
        one, two = sides[a][0], sides[b][1]
        codes = encode(one.features, a), encode(two.features, b)
        return _Ranking(one.dataset, two.dataset, codes, self._judged(one.dataset, two.dataset))

    def _ranked(self, name: str, model: HashModel, sides: Sides, ways: Sequence[Way]) -> list[Row]:
        """Measure a model in every direction that it can search."""
        able = [way for way in ways if set(way) <= set(sides)]
        found = ((way, self._ranking(model.codes, sides, way)) for way in able)
        return [self._row(_label(name, model, way), ranking, model.bits, way) for way, ranking in found]

    def _judged(self, queries: Dataset, items: Dataset) -> metrics.Relevance:
        return judged(self.splits, queries, items, difficulty=self.difficulty or "medium")

    def _put_learned(self, codes: np.ndarray, ids: np.ndarray) -> None:
        """Replace codes of the database by those that training gave these images."""
        places, learned = rows_of_ids(self.model.train_codes, ids)
        if not len(places):
            raise UsageError("no image of the database was trained on, so it has no learned codes; leave them out")
        codes[places] = learned
        self.notes.append(f"codes of {len(places):,} of {len(ids):,} database images as learned in training")

    def _features(self, dataset: Dataset, backbone: Backbone) -> np.ndarray:
        with reporter("reading images", self.progress) as report:
            found = extract(dataset, backbone, cache=self.cache, progress=report)
        return np.asarray(found.array[found.valid])

    def _note_cuts(self, items: int) -> None:
        """Say which metrics look further down the ranking than there are items."""
        parsed = [metrics.parse_metric(name) for name in self.names]
        beyond = [metric for metric in parsed if metric.k is not None and metric.k > items]
        missing = [metric.name for metric in beyond if metric.family in FIXED]
        whole = [metric.name for metric in beyond if metric.family not in FIXED]
        told = [f"{', '.join(missing)}: places beyond them count as misses"] if missing else []
        told += [f"{', '.join(whole)}: over all of them"] if whole else []
        if told:
            self.notes.append(f"only {items:,} items in the database, so {' and '.join(told)}")

    def _baselines(self, images: tuple[_Side, _Side], first: _Ranking) -> list[Row]:
        """Measure what needs no training, on pooled features also where the model reads maps."""
        query, database = (side.features for side in images)
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
                rows.append(self._row(name, replace(first, codes=(found[0], found[1])), self.model.bits))
            bar.update(len(BASELINES), text=UNCOMPRESSED)
            scores = metrics.evaluate_scores(cosine_block(query, database), first.relevance, self._rankable())
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

    def _row(self, name: str, ranking: _Ranking, bits: int, way: Way = PICTURES) -> Row:
        pair, relevance = ranking.codes, ranking.relevance
        result = metrics.evaluate(*pair, relevance, self.names)
        by_rank = metrics.precision_recall_curve(*pair, relevance, by="rank")
        by_radius = metrics.precision_recall_curve(*pair, relevance, by="radius")
        return Row(
            name,
            dict(result),
            excluded=result.excluded,
            empty_balls=result.empty_balls,
            curve=list(zip(by_rank.recall.tolist(), by_rank.precision.tolist(), strict=True)),
            by_radius=by_radius.precision[: bits + 1].tolist(),
            intervals={name: result.interval(name) for name in self.names},
            bits=bits,
            direction=_direction(way),
            operating_points=[metrics.operating_point(*pair, relevance, target) for target in self.targets],
        )

    def _classes(self, ranking: _Ranking) -> list[metrics.ClassResult]:
        """Measure the queries of each class; none where they have no labels."""
        queries = ranking.queries
        if queries.labels is None:
            return []
        result = metrics.evaluate(*ranking.codes, ranking.relevance, self.names)
        return metrics.by_class(result, queries.labels, None if queries.space is None else queries.space.names)

    def _across(self, sides: Sides, ways: Sequence[Way]) -> list[Row]:
        """Measure the baseline between modalities, fitted on the training pairs; no rows where it cannot be."""
        part, image = self.splits.train, self.model.towers["image"].backbone
        if image.pooled is not image or not part.captioned.any():
            return []
        found = extract(part, image, cache=self.cache)
        texts = extract(part, self.model.towers["text"].backbone, cache=self.cache)
        kept = found.valid & part.captioned
        towers = across_towers(self.model.bits, np.asarray(found.array[kept]), np.asarray(texts.array[kept]))
        if towers is None:
            return []
        bits, encode = self.model.bits, lambda features, modality: codes_of(towers[modality], features)
        rankings = ((_direction(way), way, self._ranking(encode, sides, way)) for way in ways)
        return [self._row(f"{ACROSS}, {told}", ranking, bits, way) for told, way, ranking in rankings]

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


def _direction(way: Way) -> str:
    return f"{way[0]} to {way[1]}"


def _label(name: str, model: HashModel, way: Way) -> str:
    """Name a row; by its direction too where the model has several."""
    return f"{name}, {_direction(way)}" if "text" in model.towers else name


def _names(models: Sequence[HashModel]) -> list[str]:
    """Name models by their method; by their bits too where several are compared."""
    methods = [str(model.method.get("name", "model")) for model in models]
    if len(models) == 1:
        return methods
    names = [f"{name}, {model.bits} bits" for name, model in zip(methods, models, strict=True)]
    return [f"{name} (model {place})" if names.count(name) > 1 else name for place, name in enumerate(names, 1)]
