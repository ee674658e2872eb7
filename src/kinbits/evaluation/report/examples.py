"""Examples behind the numbers: the best and worst queries with their neighbours, and confused classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming
from kinbits._util import shortened
from kinbits.data import Dataset, data_uri
from kinbits.evaluation.searches import Search

NEIGHBOURS = 10
SHOWN = 5  # queries, of the best and of the worst
SIDE = 96  # pixels of a picture
TEXT_LENGTH = 60  # characters of a text


@dataclass(frozen=True)
class Neighbour:
    """One hit of a query.

    Attributes:
        picture: A data URI; empty where the data are no images.
        label: Its classes.
        distance: In bits; of product codes, by the query's tables.
        relevant: Whether it is relevant to the query.
    """

    picture: str
    label: str
    distance: float
    relevant: bool


@dataclass(frozen=True)
class Example:
    """A query and its nearest items.

    Attributes:
        name: Id of the query.
        picture: A data URI; empty where the data are no images.
        label: Its classes.
        score: Its average precision.
        neighbours: The nearest items, by distance, then by row.
    """

    name: str
    picture: str
    label: str
    score: float
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True)
class Confusion:
    """The classes among the first hits of the queries of each class.

    Attributes:
        names: Class names, C of them.
        shares: Row c: the classes of the first hits of queries of class c, as shares, float64 ``(C, C)``; NaN for a
            class without queries.
    """

    names: tuple[str, ...]
    shares: NDArray[np.float64]

    def worst(self, most: int = 10) -> list[tuple[str, str, float]]:
        """Return the largest shares off the diagonal: query class, hit class, share."""
        off = np.where(np.eye(len(self.names), dtype=bool) | np.isnan(self.shares), 0.0, self.shares)
        places = np.argsort(-off, axis=None, kind="stable")[:most]
        rows, columns = np.unravel_index(places, off.shape)
        found = zip(rows.tolist(), columns.tolist(), strict=True)
        return [(self.names[a], self.names[b], float(off[a, b])) for a, b in found if off[a, b] > 0]


def confusion(queries: Dataset, database: Dataset, nearest: NDArray[np.int64]) -> Confusion | None:
    """Count the classes of the first hits; None where an item may have several labels.

    Args:
        queries: With labels ``(q,)``.
        database: With labels ``(n,)``.
        nearest: Rows of the first hits, int64 ``(q, k)``.
    """
    a, b = queries.labels, database.labels
    if a is None or b is None or a.ndim != 1 or b.ndim != 1 or queries.label_space is None or not nearest.size:
        return None
    names = tuple(map(str, queries.label_space.names))
    hits = b[nearest]
    pairs = np.repeat(a, nearest.shape[1])[hits.ravel() >= 0] * len(names) + hits.ravel()[hits.ravel() >= 0]
    counts = np.bincount(pairs[pairs >= 0], minlength=len(names) ** 2).reshape(len(names), -1).astype(float)
    totals = counts.sum(1, keepdims=True)
    return Confusion(names, np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0))


def examples(search: Search, scores: NDArray[np.float64]) -> tuple[list[Example], list[Example]]:
    """Return the best and the worst queries with their neighbours; equal scores in order of the rows.

    Queries of one code have the same neighbours, so each code is shown once.

    Args:
        search: The search.
        scores: Average precision of each query, NaN where nothing is relevant.
    """
    codes = search.codes[0]
    order = np.argsort(-scores, kind="stable")[: int((~np.isnan(scores)).sum())]
    shown = min(SHOWN, max(1, len(np.unique(codes[order], axis=0)) // 2))
    best = _one_per_code(codes, order, shown)
    others = order[~(codes[order][:, None] == codes[best]).all(-1).any(1)]
    worst = _one_per_code(codes, others[::-1], shown)
    pictures = Pictures(search.items)
    found = [[example_of(search, row, scores[row], pictures) for row in rows.tolist()] for rows in (best, worst)]
    return found[0], found[1]


def example_of(search: Search, query: int, score: float, pictures: Pictures | None = None) -> Example:
    """Return a query with its nearest items.

    Args:
        search: The search.
        query: Row of the query.
        score: Its average precision.
        pictures: Pictures of the items; those that several examples share are made once.
    """
    queries, items, pictures = search.queries, search.items, pictures or Pictures(search.items)
    near, rows = search.nearest(np.array([query]), NEIGHBOURS)
    relevant = search.relevance.block(query, query + 1)[0]
    hits = zip(rows[0].tolist(), near[0].tolist(), strict=True)
    found = tuple(Neighbour(pictures[row], _label(items, row), apart, bool(relevant[row])) for row, apart in hits)
    return Example(str(queries.ids[query]), Pictures(queries)[query], _label(queries, query), float(score), found)


def _one_per_code(codes: hamming.Codes, order: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return the first rows of an order, each of another code."""
    _, first = np.unique(codes[order], axis=0, return_index=True)
    return order[np.sort(first)[:most]]


class Pictures:
    """Thumbnails as data URIs; each is made once."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.known: dict[int, str] = {}

    def __getitem__(self, row: int) -> str:
        if self.dataset.kind == "vector":
            return ""
        if row not in self.known:
            self.known[row] = data_uri(self.dataset.image(row), 2 * SIDE)
        return self.known[row]


def _label(dataset: Dataset, row: int) -> str:
    if dataset.labels is None:
        return "" if dataset.texts is None else shortened(dataset.texts[row], TEXT_LENGTH)
    return dataset.label_text(row) or "no label"
