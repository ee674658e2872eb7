"""How the answers of two indexes of the same items differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming
from kinbits.errors import DataError, KinbitsError
from kinbits.index.index import Index
from kinbits.index.query.recall import drawn
from kinbits.index.store.ids import concatenate, decode_ids
from kinbits.metrics import LabelRelevance, evaluate

K, QUERIES, RANKED = 10, 200, 100_000


@dataclass(frozen=True)
class Comparison:
    """Answers of an index before and after a migration, to some of its own items; each leaves itself out.

    Attributes:
        queries: Number of items that were searched with.
        k: Length of the lists.
        overlap: Mean share of the k nearest before that are among the k nearest after; None if one of the indexes
            cannot be searched by its codes, e.g. since the model of product codes is gone.
        label: Column of the labels; None without labels.
        precision: Mean share of the k nearest that have the query's label, before and after.
        map: Tie-aware mAP by label before and after, ranking up to 100,000 other items (`kinbits.metrics.evaluate`);
            None where codes are not compared by Hamming distance.
    """

    queries: int
    k: int = K
    overlap: float | None = None
    label: str | None = None
    precision: tuple[float, float] | None = None
    map: tuple[float, float] | None = None

    def __str__(self) -> str:
        lines = [f"{self.queries:,} items as queries, each without itself"]
        if self.overlap is not None:
            lines.append(f"the same among the nearest {self.k}: {self.overlap:.0%}")
        for name, pair in ((f"precision@{self.k}", self.precision), ("map@all", self.map)):
            if pair is not None:
                lines.append(f"{name} by {self.label}: {pair[0]:.3f} before, {pair[1]:.3f} after")
        return "\n".join(lines)


def compare(before: Index, after: Index, label: str | None, seed: int = 0) -> Comparison:
    """Search both indexes with the same items.

    Args:
        before: The index before the migration.
        after: The one after it, with the same items or fewer.
        label: Column of the labels; None for no measure by labels.
        seed: Of the sample.

    Raises:
        ArtefactError: If a file is damaged.
    """
    k, ids = min(K, len(after) - 1), _drawn(after, min(QUERIES, (len(after) + 1) // 2), seed)
    if k < 1:
        return Comparison(0)
    pair = before, after
    try:
        found = [_nearest(index, ids, k) for index in pair]
    except KinbitsError:  # without a model that is gone
        return Comparison(len(ids), k)
    same = [np.isin(*both).sum() / k for both in zip(*([near for near, _ in side] for side in found), strict=True)]
    overlap = float(np.mean(same))
    if label is None:
        return Comparison(len(ids), k, overlap)
    own = after.to_codes([label], ids=ids).columns[label]
    precision = [_precision(own, [rows for _, rows in side], label) for side in found]
    if np.isnan(precision).any():  # no query has a label
        return Comparison(len(ids), k, overlap)
    ranked = _ranked(pair, ids, own, label, seed)
    return Comparison(len(ids), k, overlap, label, (precision[0], precision[1]), ranked)


def _drawn(index: Index, count: int, seed: int) -> NDArray[Any]:
    """Return the ids of some items."""
    segments = index._state.segments
    if not segments:
        return np.zeros(0, np.int64)
    origin, rows = drawn(index._state, count, seed)
    return decode_ids(concatenate([segments[at].ids[rows[origin == at]] for at in np.unique(origin).tolist()]))


def _nearest(index: Index, ids: NDArray[Any], k: int) -> list[tuple[NDArray[Any], Sequence[dict[str, Any]]]]:
    """Return the ids and metadata of the nearest other items of each item."""
    found = []
    for own, hits in zip(ids, index.search(index.to_codes([], ids=ids).codes, k + 1), strict=True):
        other = hits.take(np.flatnonzero(hits.ids != own)[:k])
        found.append((other.ids, other.rows))
    return found


def _precision(own: Sequence[Any], rows: Sequence[Sequence[dict[str, Any]]], label: str) -> float:
    shares = [
        np.mean([row.get(label) == known for row in near])
        for known, near in zip(own, rows, strict=True)
        if known is not None
    ]
    return float(np.mean(shares)) if shares else np.nan


def _ranked(
    pair: tuple[Index, Index], ids: NDArray[Any], own: Sequence[Any], label: str, seed: int
) -> tuple[float, float] | None:
    """Return the mAP of both indexes; None for codes that are no bits, or where no query has another item's label."""
    if any(index.words != hamming.BITS for index in pair):
        return None
    others = np.setdiff1d(_drawn(pair[1], RANKED, seed + 1), ids)
    values = pair[1].to_codes([label], ids=others).columns[label] if len(others) else []
    names = {value: number for number, value in enumerate(dict.fromkeys([*own, *values])) if value is not None}
    labelled = [[at for at, value in enumerate(side) if value is not None] for side in (own, values)]
    query, base = ([names[side[at]] for at in rows] for side, rows in zip((own, values), labelled, strict=True))
    chosen = ids[labelled[0]], others[labelled[1]]

    def measured(index: Index) -> float:
        codes = [index.to_codes([], ids=some).codes for some in chosen]
        return float(evaluate(codes[0], codes[1], LabelRelevance(query, base), ["map@all"])["map@all"])

    try:
        return measured(pair[0]), measured(pair[1])
    except DataError:
        return None
