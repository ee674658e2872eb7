"""Exact results from Milvus, which returns any of several items of equal distance; kinbits orders them by id.

A request asks for more than k hits. All hits nearer than the farthest one are then complete; items of the farthest
distance may be missing. If some of these are needed, further requests ask for the smallest ids with a filter on the id,
whose bound falls until one response has them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming
from kinbits.errors import UsageError
from kinbits.hamming import Codes
from kinbits.index.engines.base import share_found
from kinbits.index.engines.milvus_filter import FilterWriter, join
from kinbits.index.store.ids import Ids, as_ids, concatenate, decode_ids

MOST = 16_384  # maximum number of hits of one query
_AT_ONCE = 1 << 16  # hits of one request
_SPARE = 64

Found = tuple[Ids, NDArray[np.int32]]


@dataclass(frozen=True)
class Searcher:
    """Searches one collection.

    Attributes:
        ask: ``(codes as bytes, expression, limit, parameters) ->`` one list of (id, distance) per query.
        expressions: Writer of expressions for the server.
        exact: Whether Milvus searches all vectors; otherwise there are no further requests.
        parameters: Parameters of every search, e.g. ``nprobe``; ``ef`` rises to the number of hits that are asked for.
        most: Maximum number of hits of one query.
    """

    ask: Callable[[list[bytes], str, int, dict[str, Any]], list[list[tuple[Any, float]]]]
    expressions: FilterWriter
    exact: bool
    parameters: dict[str, Any]
    most: int = MOST

    def nearest(self, codes: Codes, k: int, radius: int | None, where: str) -> list[Found]:
        """Return the k nearest of each query, within the radius if there is one, ordered by distance, then id."""
        limit = min(self.most, 2 * k + _SPARE)
        found = self._asked(codes, limit, where, {} if radius is None else {"radius": radius + 1})
        if self.exact:
            found = [
                one if len(one[0]) < limit else self._settled(one, code, k, where)
                for one, code in zip(found, codes, strict=True)
            ]
        return [(ids[:k], near[:k]) for ids, near in found]

    def ball(self, codes: Codes, radius: int, where: str) -> list[Found]:
        """Return all hits within the radius of each query.

        Raises:
            UsageError: If there are more than Milvus can return.
        """
        found = self._asked(codes, self.most, where, {"radius": radius + 1})
        if any(len(ids) >= self.most for ids, _ in found):
            raise UsageError(
                f"radius={radius} finds {self.most:,} items or more, which Milvus cannot return for one query; "
                "use a smaller radius, a filter, or k"
            )
        return found

    def _settled(self, found: Found, code: NDArray[np.uint8], k: int, where: str) -> Found:
        """Complete the hits of the farthest distance, as far as k needs them."""
        ids, near = found
        last = int(near[-1])
        sure = int(np.searchsorted(near, last))
        need = k - sure
        if need <= 0:
            return found
        shell = ids[sure:]
        while True:
            bound = decode_ids(shell[need - 1 : need]).tolist()[0]
            below = join(where, self.expressions.ids_below(bound))
            ((more, _),) = self._asked(code[None], self.most, below, {"radius": last + 1, "range_filter": last})
            shell = np.unique(concatenate([shell[:need], more]))[:need]
            if len(more) < self.most:
                return concatenate([ids[:sure], shell]), np.append(near[:sure], np.full(need, last, np.int32))

    def _asked(self, codes: Codes, limit: int, where: str, parameters: dict[str, Any]) -> list[Found]:
        step = max(1, _AT_ONCE // limit)
        chosen = {name: max(value, limit) if name == "ef" else value for name, value in self.parameters.items()}
        answers: list[list[tuple[Any, float]]] = []
        for start in range(0, len(codes), step):
            queries = [code.tobytes() for code in codes[start : start + step]]
            answers += self.ask(queries, where, limit, {**chosen, **parameters})
        return [_ordered(answer) for answer in answers]


def measured_recall(
    pages: Callable[[], Iterable[Codes]],
    find: Callable[[Codes, int], Sequence[NDArray[np.int32]]],
    k: int,
    sample: int,
    rows: int,
) -> float:
    """Return the share of the k nearest of some stored codes that a search finds.

    Args:
        pages: Reads all codes, some at a time, in the same order each time.
        find: Returns the distances that a search of k items finds for each query.
        k: Items to find.
        sample: Number of queries.
        rows: Number of stored codes.
    """
    if not (rows and k and sample):
        return 1.0
    picked = np.sort(np.random.default_rng(0).choice(rows, min(sample, rows), replace=False))
    starts, drawn = 0, []
    for page in pages():
        drawn.append(page[picked[(picked >= starts) & (picked < starts + len(page))] - starts])
        starts += len(page)
    queries = np.concatenate(drawn)
    true = np.zeros((len(queries), 0), np.int32)
    for page in pages():
        near, _ = hamming.topk(queries, page, min(k, len(page)))
        true = np.sort(np.concatenate([true, near.astype(np.int32)], axis=1), axis=1)[:, :k]
    return share_found(find(queries, k), list(true))


def _ordered(answer: Sequence[tuple[Any, float]]) -> Found:
    ids = as_ids([id_ for id_, _ in answer])
    near = np.array([distance for _, distance in answer], np.int32)
    order = np.lexsort((ids, near))
    return ids[order], near[order]
