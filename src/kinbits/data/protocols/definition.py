"""Protocols and splits: the definition of a benchmark, and its train, query and database parts."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from kinbits.data.dataset import Dataset, Skipped
from kinbits.data.ground_truth import GroundTruth
from kinbits.data.labels import LabelSpace
from kinbits.data.protocols.required_files import RequiredFiles
from kinbits.data.shown import as_html
from kinbits.errors import DataError

SAME_CLASS = "same class"
SHARED_LABEL = "at least one shared label"
CLASS_TREE = f"{SAME_CLASS}; hp and mahp count nearness in the class tree"
LISTED = "ground-truth list of the query"
PARTNER = "the query's own text or image"
DEFAULT_METRICS = ("map@all", "map@1000", "precision@100", "precision@r2")
PARTNER_METRICS = ("recall@1", "recall@5", "recall@10", "mrr")
TIES = "expected value over random order of equal distances"
NO_ANSWER = "queries without a relevant item are left out of every mean, and counted"
PARTS = ("train", "query", "database")


@dataclass(frozen=True)
class Protocol:
    """Definition of a retrieval benchmark: data, split sizes, relevance and metrics.

    Attributes:
        name: Name for `load_protocol`.
        version: Version number; it increases with every change of the definition.
        summary: One line about the origin of the rows.
        train: Number of train rows.
        query: Number of queries.
        database: Number of database rows.
        checksum: SHA-256 of the sorted names of the three parts for ``seed``. Empty if it is not fixed: before a split
            of a user's data is drawn, or if no complete copy of the lists was available.
        relevance: Relevance rule in words.
        overlap: Whether train rows are also in the database. Queries are in no other part, except if `paired`.
        metrics: Metrics that `kinbits.evaluate` reports; published tables use the first one, with its cut-off.
        seed: Seed of the split.
        classes: Number of classes or labels; 0 if it depends on the user's data, or without classes.
        unlabelled: Part -> number of its rows without a label; parts that are not listed are not checked.
        legacy: Metric definition (``legacy=`` of the metrics) of most published tables of this split.
        source: Origin of the split, and what was checked.
        required_files: The required files; None if the user gives the source.
    """

    name: str
    version: int
    summary: str
    train: int
    query: int
    database: int
    checksum: str = ""
    relevance: str = SAME_CLASS
    overlap: bool = False
    metrics: tuple[str, ...] = DEFAULT_METRICS
    seed: int = 0
    classes: int = 0
    unlabelled: Mapping[str, int] = field(default_factory=dict, hash=False)
    legacy: str = ""
    source: str = ""
    required_files: RequiredFiles | None = None

    @property
    def paired(self) -> bool:
        """Whether the only relevant item of an image is its text, and of a text its image."""
        return self.relevance == PARTNER

    @property
    def cutoff(self) -> int | None:
        """Cut-off of the first metric; None if it uses the complete ranking."""
        cut = self.metrics[0].partition("@")[2]
        return int(cut) if cut.isdigit() else None

    def card(self) -> str:
        """Return the definition as text: sizes, relevance, metrics, ties, checksum, source, and required files."""
        graded = "; ndcg, acg and wmap count the shared labels" if self.relevance == SHARED_LABEL else ""
        facts = {
            **{part: self._size(part) for part in PARTS},
            "relevant": self.relevance + graded + (f"; {self.classes:,} classes" if self.classes else ""),
            "metric": self._metric(),
            "ties": TIES + (f'; published tables: legacy="{self.legacy}"' if self.legacy else ""),
            "no answer": NO_ANSWER,
            "checksum": self.checksum or "not fixed; that of the data at hand is shown when they are opened",
            "source": self.source,
            "files": self.required_files.describe() if self.required_files is not None else "any labelled source",
        }
        lines = [_folded(f"{name:<10} {value}") for name, value in facts.items() if value]
        return "\n".join([_folded(f"{self.name} (version {self.version}, seed {self.seed}): {self.summary}"), *lines])

    def _size(self, part: str) -> str:
        count, blank = getattr(self, part), self.unlabelled.get(part, 0)
        if not count:
            return "none" if part == "train" and self.required_files is not None else "as the source has it"
        extra = f", {blank:,} of them without a label" if blank else ""
        inside = ", the train rows among them" if part == "database" and self.overlap else ""
        return f"{count:,}{extra}{inside}"

    def _metric(self) -> str:
        cut = "the whole database" if self.cutoff is None else f"the first {self.cutoff:,} of the ranking"
        others = f"; also {', '.join(self.metrics[1:])}" if self.metrics[1:] else ""
        return f"{self.metrics[0]} over {cut}{others}"


@dataclass(frozen=True)
class Splits:
    """Train, query and database parts of a protocol.

    Attributes:
        train: Items to learn from; empty if a protocol has no training data.
        query: Items to search with.
        database: Items to search in.
        protocol: The definition, with the checksum of these parts.
        skipped: Items that are in no part, with the reasons.
        ground_truth: Relevant rows of each query; None if labels define relevance.
        notes: Descriptions of faults in the source that were corrected, e.g. repeated lines of a list.
        collection: The collection before a random split; None if the protocol fixes the rows of each part.
    """

    train: Dataset
    query: Dataset
    database: Dataset
    protocol: Protocol
    skipped: tuple[Skipped, ...] = ()
    ground_truth: GroundTruth | None = None
    notes: tuple[str, ...] = ()
    collection: Dataset | None = None

    def __repr__(self) -> str:
        sizes = (
            f"{len(self.train):,} to learn from, {len(self.query):,} queries, {len(self.database):,} in the database"
        )
        return f"Splits({self.protocol.name}: {sizes})"

    def _repr_html_(self) -> str:
        parts = {part: getattr(self, part) for part in PARTS}
        return as_html(self.describe(), {part: data.preview() for part, data in parts.items() if data.kind == "image"})

    @property
    def label_space(self) -> LabelSpace:
        """Label space of all parts.

        Raises:
            DataError: If the data have no labels.
        """
        if self.train.label_space is None:
            raise DataError(f"protocol '{self.protocol.name}' has no labels; open data with labels")
        return self.train.label_space

    @property
    def unlabelled(self) -> dict[str, int]:
        """Part -> number of its rows without a label, which are not relevant to any query."""
        return {part: count_unlabelled(getattr(self, part)) for part in PARTS}

    def describe(self) -> str:
        """Return a description in a few lines: sizes, relevance, metrics, checksum, and notes."""
        protocol = self.protocol
        lines = [
            f"{protocol.name} (version {protocol.version}, seed {protocol.seed}): {protocol.summary}",
            f"train {len(self.train)}, query {len(self.query)}, database {len(self.database)}; {self._relation()}",
            f"relevant: {protocol.relevance}; {self._labels()}",
            f"metrics: {', '.join(protocol.metrics)}; ties: {TIES}",
            f"checksum {protocol.checksum}",
        ]
        unlabelled = {} if self.ground_truth is not None else self.unlabelled
        if any(unlabelled.values()):
            counts = ", ".join(f"{count:,} {part}" for part, count in unlabelled.items() if count)
            lines.append(f"without a label: {counts} rows; {NO_ANSWER}")
        lines += [f"note: {note}" for note in self.notes]
        if self.skipped:
            lines.append(f"left out: {len(self.skipped)} (first: {self.skipped[0].id}: {self.skipped[0].reason})")
        return "\n".join(lines)

    def _relation(self) -> str:
        shared = int(np.isin(self.train.ids, self.database.ids).sum())
        if self.protocol.paired:
            return f"the queries are also in the database{', the train rows too' if shared else ''}"
        if not shared:
            return "no row is in two parts"
        return f"{'the' if shared == len(self.train) else f'{shared:,}'} train rows are also in the database"

    def _labels(self) -> str:
        texts = ", with texts" if self.train.texts is not None else ""
        if self.ground_truth is not None:
            return self.ground_truth.describe() + texts
        return self.label_space.describe() + texts


def count_unlabelled(part: Dataset) -> int:
    """Return the number of rows without any label."""
    if part.labels is None:
        return len(part)
    return int((~part.labels.any(axis=1)).sum() if part.labels.ndim == 2 else (part.labels < 0).sum())


def _folded(text: str) -> str:
    return textwrap.fill(text, 98, subsequent_indent=" " * 11, break_long_words=False, break_on_hyphens=False)
