"""The searches of a model on a protocol: codes of queries and database, and which items are relevant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from kinbits import hamming
from kinbits._util import Modality, reporter
from kinbits.backbones import Backbone, extract
from kinbits.data import Dataset, Difficulty, FeatureCache, Skipped, Splits
from kinbits.errors import DataError
from kinbits.evaluation.directions import CROSS_MODAL, DIRECTIONS, Direction
from kinbits.evaluation.relevance import relevance_of
from kinbits.metrics import GradedRelevance, RankingResult, evaluate, evaluate_scores, parse_metric
from kinbits.model import HashModel

Encode = Callable[[np.ndarray, Modality], hamming.Codes]


@dataclass(frozen=True)
class Part:
    """The queries or the database, as one tower of a model reads them.

    Attributes:
        dataset: The rows that could be read; for texts, those that have one.
        features: Their features, float ``(n, d)``.
    """

    dataset: Dataset
    features: np.ndarray


@dataclass(frozen=True)
class Search:
    """A search of the database with all queries.

    Attributes:
        direction: What is searched with, and what is searched.
        queries: The q queries.
        items: The n items of the database.
        codes: Packed codes of both, uint8 ``(q, w)`` and ``(n, w)``.
        relevance: Which items are relevant to which query.
        words: The kind of the codes (`kinbits.hamming`): bits are ranked by Hamming distance, others by tables.
        tables: Returns the look-up tables of some queries, given their row numbers; None where there are codes alone.
    """

    direction: Direction
    queries: Dataset
    items: Dataset
    codes: tuple[hamming.Codes, hamming.Codes]
    relevance: GradedRelevance
    words: int = hamming.BITS
    tables: Callable[[np.ndarray], hamming.Tables] | None = field(default=None, repr=False)

    def measure(self, metric_names: Sequence[str]) -> RankingResult:
        """Measure the ranking of all queries; of codes that are no bits without the metrics within a radius."""
        if self.words == hamming.BITS:
            return evaluate(*self.codes, self.relevance, metric_names)
        return evaluate_scores(self.scores, self.relevance, without_radius(metric_names))

    def scores(self, start: int, stop: int) -> np.ndarray:
        """Return the scores of real-valued queries against the codes of all items, float32 ``(stop - start, n)``."""
        return -hamming.table_distances(self._tables(np.arange(start, stop)), self.codes[1])

    def nearest(self, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the distances and the rows of the nearest items of some queries, ``(r, k)`` each."""
        if self.words == hamming.BITS:
            return hamming.topk(self.codes[0][rows], self.codes[1], k)
        return hamming.table_topk(self._tables(rows), self.codes[1], k)

    def _tables(self, rows: np.ndarray) -> hamming.Tables:
        assert self.tables is not None  # codes alone are bits
        return self.tables(rows)


class Searches:
    """All directions in which a model can search a protocol. Features are computed once, codes for each direction.

    Args:
        model: The model.
        splits: The protocol.
        cache: Where features are kept between runs; None keeps none.
        difficulty: Which listed answers count, see `relevance_of`.
        progress: Show progress on standard error.

    Attributes:
        model: The model.
        splits: The protocol.
        cache: Where features are kept.
        progress: Whether to show progress.
        directions: Image to image first. Where a query's answer is its own partner, only the directions between images
            and texts; none at all for a model that reads no text.
        skipped: Images that could not be read.
    """

    def __init__(
        self,
        model: HashModel,
        splits: Splits,
        *,
        cache: FeatureCache | None,
        difficulty: Difficulty | None = None,
        progress: bool = False,
    ) -> None:
        self.model, self.splits, self.cache, self.progress = model, splits, cache, progress
        self._difficulty = difficulty
        backbone = model.tower("image").backbone
        images = self.read(splits.query, backbone), self.read(splits.database, backbone)
        self._parts: dict[Modality, tuple[Part, Part]] = {"image": images}
        self.skipped: list[Skipped] = [skipped for part in images for skipped in part.dataset.skipped]
        if "text" in model.towers and all(part.dataset.has_text.any() for part in images):
            self._parts["text"] = self._texts(images[0].dataset), self._texts(images[1].dataset)
        offered = CROSS_MODAL if splits.protocol.paired else DIRECTIONS
        self.directions = tuple(direction for direction in offered if set(direction) <= set(self._parts))

    def __getitem__(self, direction: Direction) -> Search:
        search = self.encoded(direction, lambda features, modality: self.model.tower(modality).compute(features))
        tower, queries = self.model.tower(direction.query), self._parts[direction.query][0].features
        tables = lambda rows: tower.compute(queries[rows], "tables")  # noqa: E731
        return replace(search, words=self.model.words, tables=tables)

    @property
    def first(self) -> Direction:
        """The direction of the main number.

        Raises:
            DataError: If the queries' answers are their partners, and the model reads no text.
        """
        if not self.directions:
            raise reads_no_text(self.splits, f"'{self.model.method.get('name', 'this model')}'")
        return self.directions[0]

    def encoded(self, direction: Direction, encode: Encode) -> Search:
        """Return the search with codes that a function makes of features ``(n, d)`` of a modality."""
        queries, items = self._parts[direction.query][0], self._parts[direction.items][1]
        codes = encode(queries.features, direction.query), encode(items.features, direction.items)
        relevance = relevance_of(self.splits, queries.dataset, items.dataset, difficulty=self._difficulty or "medium")
        return Search(direction, queries.dataset, items.dataset, codes, relevance)

    def image_features(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the features of the images of queries and database, float ``(q, d)`` and ``(n, d)``."""
        query, database = self._parts["image"]
        return query.features, database.features

    def read(self, dataset: Dataset, backbone: Backbone) -> Part:
        """Return the images of a data set that can be read, and their features."""
        with reporter("reading images", self.progress) as report:
            found = extract(dataset, backbone, cache=self.cache, progress=report)
        return Part(found.readable_part(dataset), np.asarray(found.array[found.valid]))

    def _texts(self, images: Dataset) -> Part:
        """Return the images that have a text, and the features of their texts."""
        found = extract(images, self.model.tower("text").backbone, cache=self.cache)
        return Part(images.select(images.has_text), np.asarray(found.array)[images.has_text])


def without_radius(metric_names: Sequence[str]) -> list[str]:
    """Return the metrics that real-valued distances have too: those without a radius in bits."""
    return [name for name in metric_names if parse_metric(name).radius is None]


def reads_no_text(splits: Splits, reader: str) -> DataError:
    """Return the error for a model that reads no text on a protocol of images with their own texts."""
    return DataError(
        f"{splits.protocol.name} has no labels, so a text is to find its image and an image its text, and {reader} "
        f"reads no text; take a method that does, such as djsrh, or data with labels"
    )
