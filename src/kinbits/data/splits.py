"""Random splits of a collection into train, query and database; independent of the machine and the file order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from kinbits.data.dataset import Dataset
from kinbits.data.ground_truth import GroundTruth
from kinbits.errors import DataError, UsageError


@dataclass(frozen=True)
class SplitRows:
    """Rows of the parts of a collection.

    Attributes:
        train: int64 rows to learn from.
        query: int64 rows of the queries.
        database: int64 rows of the database.
        ground_truth: Relevant rows of each query, as positions in ``database``; None if labels define relevance.
        notes: Descriptions of faults in the source that were corrected.
    """

    train: np.ndarray
    query: np.ndarray
    database: np.ndarray
    ground_truth: GroundTruth | None = None
    notes: tuple[str, ...] = ()

    def named(self) -> dict[str, np.ndarray]:
        """Return the parts by name."""
        return {"train": self.train, "query": self.query, "database": self.database}


class Draw:
    """Seeded shuffling of rows by their names.

    Rows are sorted by name first, so their order in the file has no effect. The sort keys are raw PCG64 output, which
    NumPy guarantees to stay the same; `Generator.permutation` may change between versions (NEP 19).

    Args:
        names: Names of all rows, str ``(n,)``, unique.
        seed: Any integer >= 0.

    Raises:
        UsageError: If the seed is negative.
    """

    def __init__(self, names: np.ndarray, seed: int) -> None:
        if seed < 0:
            raise UsageError(f"seed {seed}; give a whole number from 0")
        self._bits = np.random.PCG64(seed)
        self._rank = np.empty(len(names), np.int64)
        self._rank[np.argsort(names, kind="stable")] = np.arange(len(names))

    def shuffled(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows in a random order that depends only on their names and the seed."""
        rows = rows[np.argsort(self._rank[rows])]
        keys = self._bits.random_raw(len(rows))
        return rows[np.argsort(np.atleast_1d(keys), kind="stable")]


def draw_per_class(draw: Draw, labels: np.ndarray, rows: np.ndarray, counts: Iterable[int]) -> list[np.ndarray]:
    """Draw disjoint parts with a fixed number of rows per class.

    Args:
        draw: The shuffler.
        labels: int64 ``(n,)`` labels of all rows.
        rows: int64 rows to draw from.
        counts: Rows per class for each part.

    Returns:
        One array of rows per count; the last array holds the remaining rows.

    Raises:
        DataError: If a class has too few rows.
    """
    ends = np.cumsum([0, *counts])
    parts: list[list[np.ndarray]] = [[] for _ in range(len(ends))]
    for label in np.unique(labels[rows]):
        members = draw.shuffled(rows[labels[rows] == label])
        if len(members) < ends[-1]:
            raise DataError(
                f"class {label} has {len(members)} images, the protocol needs {ends[-1]}; get the full data"
            )
        for part, piece in zip(parts, np.split(members, ends[1:]), strict=True):
            part.append(piece)
    return [draw.shuffled(np.concatenate(part)) for part in parts]


def checksum(names: np.ndarray, parts: SplitRows) -> str:
    """Return the SHA-256 (hex) of the names in each part and of the ground truth; the order has no effect."""
    state = hashlib.sha256()
    for part, rows in parts.named().items():
        state.update(f"{part} {len(rows)}\n".encode())
        state.update("".join(f"{name}\n" for name in sorted(names[rows].tolist())).encode())
    if parts.ground_truth is not None:
        for line in sorted(_answers(names, parts, parts.ground_truth)):
            state.update(line.encode())
    return state.hexdigest()


def _answers(names: np.ndarray, parts: SplitRows, truth: GroundTruth) -> Iterator[str]:
    """Yield the ground truth of each query as sorted names, so that the order of the rows has no effect."""
    database = names[parts.database]
    for query, lists in zip(names[parts.query], zip(truth.easy, truth.hard, truth.junk, strict=True), strict=True):
        yield f"{query}: {'; '.join(' '.join(sorted(database[rows].tolist())) for rows in lists)}\n"


def draw_shares(
    dataset: Dataset, *, seed: int, query: float, train: float, train_in_database: bool
) -> tuple[SplitRows, np.ndarray]:
    """Split a labelled collection, class by class.

    A multi-label row counts for its rarest label. A class with one image goes to the database. Of every other class, at
    least one image becomes a query and at least one stays in the database.

    Args:
        dataset: A collection with labels.
        seed: As in `Draw`.
        query: Queries per class: a fraction below 1, or a number of rows.
        train: Train rows per class: a fraction below 1, or a number of rows.
        train_in_database: Whether the database includes the train rows.

    Returns:
        The parts, and the rows without a label, which are in no part.

    Raises:
        DataError: If there are no labels, only one class, or too few images.
        UsageError: If a fraction or number is out of range.
    """
    _check_share("query", query)
    _check_share("train", train)
    strata = _strata(dataset)
    names = dataset.ids.astype(np.str_)
    draw = Draw(names, seed)
    queries, trains, rest = [], [], []
    for label in np.unique(strata[strata >= 0]):
        members = draw.shuffled(np.flatnonzero(strata == label))
        n_query = _amount(query, len(members), at_least=1, at_most=len(members) - 1)
        left = len(members) - n_query
        n_train = _amount(train, len(members), at_least=0, at_most=left if train_in_database else left - 1)
        queries.append(members[:n_query])
        trains.append(members[n_query : n_query + n_train])
        rest.append(members[n_query if train_in_database else n_query + n_train :])
    chosen = [draw.shuffled(np.concatenate(rows)) for rows in (trains, queries, rest)]
    parts = SplitRows(chosen[0], chosen[1], chosen[2])
    for name, rows in parts.named().items():
        if not len(rows):
            raise DataError(
                f"{dataset.name}: no image is left for the {name} part ({len(dataset)} images, "
                f"{len(queries)} classes); give more images per class, or other shares"
            )
    return parts, np.flatnonzero(strata < 0)


def draw_pairs(
    dataset: Dataset, *, seed: int, query: float, train: float, train_in_database: bool
) -> tuple[SplitRows, np.ndarray]:
    """Split image-text pairs at random; the relevant database row of a query is the query itself.

    Args:
        dataset: A collection with texts.
        seed: As in `Draw`.
        query: Queries: a fraction below 1 of all pairs, or a number of pairs.
        train: Train pairs, which are not queries: a fraction below 1 of all pairs, or a number of pairs.
        train_in_database: Whether the database includes the train rows; it always includes all other rows.

    Returns:
        The parts with their ground truth, and the rows without a text, which are in no part.

    Raises:
        DataError: If fewer than three images have a text.
        UsageError: If a fraction or number is out of range.
    """
    _check_share("query", query)
    _check_share("train", train)
    with_text = np.flatnonzero(dataset.has_text)
    if len(with_text) < 3:
        raise DataError(
            f"{dataset.name}: no labels, and {len(with_text)} of {len(dataset)} images with a text; a split of "
            f"image-text pairs needs 3 or more"
        )
    rows = Draw(dataset.ids.astype(np.str_), seed).shuffled(with_text)
    n_query = _amount(query, len(rows), at_least=1, at_most=len(rows) - 1)
    n_train = _amount(train, len(rows), at_least=1, at_most=len(rows) - n_query)
    queries, trained, rest = np.split(rows, [n_query, n_query + n_train])
    database = np.concatenate([queries, rest, trained[: n_train if train_in_database else 0]])
    truth = GroundTruth.from_rows([[row] for row in range(n_query)], database=len(database))
    return SplitRows(trained, queries, database, truth), np.flatnonzero(~dataset.has_text)


def _check_share(name: str, share: float) -> None:
    is_count = isinstance(share, (int, np.integer)) and not isinstance(share, bool)
    if share <= 0 or (not is_count and share >= 1):
        raise UsageError(f"{name}={share}; give a share between 0 and 1, or a number of images per class from 1")


def _amount(share: float, size: int, *, at_least: int, at_most: int) -> int:
    wanted = int(share) if isinstance(share, (int, np.integer)) else round(float(share) * size)
    return max(0, min(max(wanted, at_least), at_most))


def _strata(dataset: Dataset) -> np.ndarray:
    """Return one class per row: its label, or its rarest label; -1 without a label."""
    labels, name = dataset.labels, dataset.name
    if labels is None:
        raise DataError(
            f"{name}: no labels, so no split; put the images of each class into one subfolder, name a label column, "
            f"or give captions for search between images and texts"
        )
    if labels.ndim == 2:
        frequency = labels.sum(axis=0, dtype=np.int64)
        rarity = np.where(labels > 0, frequency, np.iinfo(np.int64).max)
        labels = np.where(labels.any(axis=1), rarity.argmin(axis=1), -1)
    used = np.unique(labels[labels >= 0])
    if len(used) < 2:
        raise DataError(f"{name}: {len(used)} class with labelled images; relevance needs two classes or more")
    return labels
