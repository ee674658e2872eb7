"""Drawing train, query and database from a collection, the same on every machine and in any file order."""

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
    """Rows of a collection, one array a part.

    Attributes:
        train: int64 rows to learn from.
        query: int64 rows to search with.
        database: int64 rows to search in.
        ground_truth: What answers each query, by its place in ``database``; None where labels decide.
        notes: What was found in the source and put right.
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

    Rows are sorted by name first, so the order in the file has no influence. Keys are raw PCG64 output, whose
    stream NumPy guarantees for ever; `Generator.permutation` may change between versions (NEP 19).

    Args:
        names: str ``(n,)``, unique.
        seed: Any whole number >= 0.
    """

    def __init__(self, names: np.ndarray, seed: int) -> None:
        if seed < 0:
            raise UsageError(f"seed {seed}; give a whole number from 0")
        self._bits = np.random.PCG64(seed)
        self._rank = np.empty(len(names), np.int64)
        self._rank[np.argsort(names, kind="stable")] = np.arange(len(names))

    def shuffled(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows in a random order that depends on their names and the seed only."""
        rows = rows[np.argsort(self._rank[rows])]
        keys = self._bits.random_raw(len(rows))
        return rows[np.argsort(np.atleast_1d(keys), kind="stable")]


def draw_per_class(draw: Draw, labels: np.ndarray, rows: np.ndarray, counts: Iterable[int]) -> list[np.ndarray]:
    """Draw disjoint parts with a fixed number of rows of every class.

    Args:
        draw: The shuffler.
        labels: int64 ``(n,)`` labels of all rows.
        rows: int64 rows to draw from.
        counts: Rows a class for each part.

    Returns:
        One array for each count, and the rest as the last.

    Raises:
        DataError: If a class has too few rows.
    """
    ends = np.cumsum([0, *counts])
    parts: list[list[np.ndarray]] = [[] for _ in range(len(ends))]
    for label in np.unique(labels[rows]):
        own = draw.shuffled(rows[labels[rows] == label])
        if len(own) < ends[-1]:
            raise DataError(f"class {label} has {len(own)} images, the protocol needs {ends[-1]}; get the full data")
        for part, piece in zip(parts, np.split(own, ends[1:]), strict=True):
            part.append(piece)
    return [draw.shuffled(np.concatenate(part)) for part in parts]


def checksum(names: np.ndarray, parts: SplitRows) -> str:
    """Hash which names stand in which part, in any order, and the ground truth if there is one; sha256 hex."""
    state = hashlib.sha256()
    for part, rows in parts.named().items():
        state.update(f"{part} {len(rows)}\n".encode())
        state.update("".join(f"{name}\n" for name in sorted(names[rows].tolist())).encode())
    if parts.ground_truth is not None:
        for line in sorted(_answers(names, parts, parts.ground_truth)):
            state.update(line.encode())
    return state.hexdigest()


def _answers(names: np.ndarray, parts: SplitRows, truth: GroundTruth) -> Iterator[str]:
    """Write the ground truth of each query by names, so that the order of the rows has no influence."""
    database = names[parts.database]
    for query, lists in zip(names[parts.query], zip(truth.easy, truth.hard, truth.junk, strict=True), strict=True):
        yield f"{query}: {'; '.join(' '.join(sorted(database[rows].tolist())) for rows in lists)}\n"


def draw_shares(
    dataset: Dataset, *, seed: int, query: float, train: float, train_in_database: bool
) -> tuple[SplitRows, np.ndarray]:
    """Split any labelled collection, class by class.

    A multi-label row counts as of its rarest label. A class with one image goes to the database; of any
    other class at least one image becomes a query and at least one stays in the database.

    Args:
        dataset: With labels.
        seed: As in `Draw`.
        query: Share (below 1) or number of rows of each class to search with.
        train: Share (up to 1) or number of rows of each class to learn from.
        train_in_database: Whether the train rows are also searched.

    Returns:
        The parts, and the rows without a label, which are in none.

    Raises:
        DataError: If no labels, one class only, or too few images.
        UsageError: If a share or number is out of range.
    """
    _check_share("query", query)
    _check_share("train", train)
    strata = _strata(dataset)
    names = dataset.ids.astype(np.str_)
    draw = Draw(names, seed)
    queries, trains, rest = [], [], []
    for label in np.unique(strata[strata >= 0]):
        own = draw.shuffled(np.flatnonzero(strata == label))
        n_query = _amount(query, len(own), at_least=1, at_most=len(own) - 1)
        left = len(own) - n_query
        n_train = _amount(train, len(own), at_least=0, at_most=left if train_in_database else left - 1)
        queries.append(own[:n_query])
        trains.append(own[n_query : n_query + n_train])
        rest.append(own[n_query if train_in_database else n_query + n_train :])
    chosen = [draw.shuffled(np.concatenate(rows)) for rows in (trains, queries, rest)]
    parts = SplitRows(chosen[0], chosen[1], chosen[2])
    for name, rows in parts.named().items():
        if not len(rows):
            raise DataError(
                f"{dataset.name}: no image is left for the {name} part ({len(dataset)} images, "
                f"{len(queries)} classes); give more images a class, or other shares"
            )
    return parts, np.flatnonzero(strata < 0)


def draw_pairs(
    dataset: Dataset, *, seed: int, query: float, train: float, train_in_database: bool
) -> tuple[SplitRows, np.ndarray]:
    """Split images with texts by chance; the answer to each query is its own row of the database.

    Args:
        dataset: With texts.
        seed: As in `Draw`.
        query: Share (below 1) or number of pairs to search with.
        train: Share (below 1) or number of pairs to learn from, of those that are no queries.
        train_in_database: Whether the train rows are also searched; the queries and the rest always are.

    Returns:
        The parts with their ground truth, and the rows without a text, which are in none.

    Raises:
        DataError: If fewer than three images have a text.
        UsageError: If a share or number is out of range.
    """
    _check_share("query", query)
    _check_share("train", train)
    with_text = np.flatnonzero(dataset.has_text)
    if len(with_text) < 3:
        raise DataError(
            f"{dataset.name}: no labels, and {len(with_text)} of {len(dataset)} images with a text; a split of "
            f"images with texts needs 3 or more"
        )
    rows = Draw(dataset.ids.astype(np.str_), seed).shuffled(with_text)
    n_query = _amount(query, len(rows), at_least=1, at_most=len(rows) - 1)
    n_train = _amount(train, len(rows), at_least=1, at_most=len(rows) - n_query)
    queries, trained, rest = np.split(rows, [n_query, n_query + n_train])
    database = np.concatenate([queries, rest, trained[: n_train if train_in_database else 0]])
    truth = GroundTruth.of([[row] for row in range(n_query)], database=len(database))
    return SplitRows(trained, queries, database, truth), np.flatnonzero(~dataset.has_text)


def _check_share(name: str, share: float) -> None:
    whole = isinstance(share, (int, np.integer)) and not isinstance(share, bool)
    if share <= 0 or (not whole and share >= 1):
        raise UsageError(f"{name}={share}; give a share between 0 and 1, or a whole number of images a class from 1")


def _amount(share: float, size: int, *, at_least: int, at_most: int) -> int:
    wanted = int(share) if isinstance(share, (int, np.integer)) else round(float(share) * size)
    return max(0, min(max(wanted, at_least), at_most))


def _strata(dataset: Dataset) -> np.ndarray:
    """Give each row one class: its label, or the rarest of its labels; -1 without."""
    labels, name = dataset.labels, dataset.name
    if labels is None:
        raise DataError(
            f"{name}: no labels, so no split; put images in one subfolder a class, name a label column, or give "
            f"captions for search between images and texts"
        )
    if labels.ndim == 2:
        frequency = labels.sum(axis=0, dtype=np.int64)
        rarity = np.where(labels > 0, frequency, np.iinfo(np.int64).max)
        labels = np.where(labels.any(axis=1), rarity.argmin(axis=1), -1)
    used = np.unique(labels[labels >= 0])
    if len(used) < 2:
        raise DataError(f"{name}: {len(used)} class with labelled images; relevance needs two classes or more")
    return labels
