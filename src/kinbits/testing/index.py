"""The conformance check of indexes, the same for every engine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming
from kinbits.errors import ArtefactError, DataError, UsageError
from kinbits.index import SearchIndex, Supports
from kinbits.testing.assertions import hit_pairs, require, require_equal, require_raises, true_hits
from kinbits.testing.asymmetric import check_asymmetric
from kinbits.testing.reranking import check_reranking
from kinbits.testing.toy_models import ToyModel

_BITS = (4, 13, 64, 70)  # below, between and on byte borders, and above 64 bits


MakeIndex = Callable[..., SearchIndex]


def check_index(
    make_index: MakeIndex,
    *,
    open_index: MakeIndex | None = None,
    folder: str | Path | None = None,
    bits: Sequence[int] = _BITS,
    recall: float = 0.8,
) -> None:
    """Check that an index behaves like `kinbits.index.Index`.

    An index may have an attribute ``supports`` (`kinbits.index.Supports`). Unsupported calls must raise a UsageError.
    Approximate results must be correct hits in order, with enough of the nearest.

    Args:
        make_index: Called as ``make_index(path, bits=..., model=...)``; returns a new empty index.
        open_index: Called as ``open_index(path, model=...)``; by default the method ``open`` of the class.
        folder: Folder for the indexes; None for indexes in memory.
        bits: Code lengths to check; fewer for a slow engine.
        recall: Minimum share of the 10 nearest items that an approximate engine finds.

    Raises:
        AssertionError: If a promise is broken; the message names it.

    Example:
        >>> from kinbits.index import Index
        >>> check_index(Index.create)
    """
    with tempfile.TemporaryDirectory() as scratch:
        maker = _Maker(make_index, open_index, Path(folder) if folder else None, Path(scratch))
        for length in bits:
            for ids in (_int_ids(60), _str_ids(60)):
                case = _Case(maker, length, ids)
                if not case.supports.string_ids and isinstance(ids[0], str):
                    _check_no_string_ids(case)
                    continue
                for check in _CASE_CHECKS:
                    check(case)
        for check_maker in _MAKER_CHECKS:
            check_maker(maker)
        _check_recall(maker, recall)


class _Maker:
    """Creates and reopens indexes, each at a new location."""

    def __init__(self, make: MakeIndex, open_index: MakeIndex | None, folder: Path | None, scratch: Path) -> None:
        self._make, self._open, self._folder, self._scratch = make, open_index, folder, scratch
        self._number = count()
        self.supports = Supports()
        self.supports = getattr(self.new(8), "supports", self.supports)

    def new(self, bits: int, model: Any = None, ids: Sequence[Any] = ()) -> Any:
        path = self._folder / f"check-{next(self._number)}" if self._folder else None
        kind = {} if self.supports.either_ids else {"ids": "str" if ids and isinstance(ids[0], str) else "int"}
        return self._make(path, bits=bits, model=model, **kind)

    def reopened(self, index: Any, model: Any = None) -> Any:
        if not self.supports.save:
            return (self._open or type(index).open)(index.info()["path"], model=model)
        path = self._scratch / f"copy-{next(self._number)}"
        index.save(path)
        return (self._open or type(index).open)(path, model=model)


class _Case:
    """Random codes with many ties, ids, a column, and the hits by brute force."""

    def __init__(self, maker: _Maker, bits: int, ids: Sequence[Any]) -> None:
        rng = np.random.default_rng(bits)
        self.maker, self.bits, self.ids = maker, bits, list(ids)
        self.supports = maker.supports
        words = rng.random((9, bits)) < 0.5  # 60 items with 9 codes
        self.codes = hamming.pack(words[rng.integers(0, 9, len(ids))])
        self.queries = hamming.pack(np.concatenate([words[:2], rng.random((2, bits)) < 0.5]))
        self.years = rng.integers(2000, 2010, len(ids)).tolist()

    def filled(self, parts: int = 3) -> Any:
        """Make an index of all items, added in random order and several parts."""
        index = self.maker.new(self.bits, ids=self.ids)
        order = np.random.default_rng(0).permutation(len(self.ids))
        for rows in np.array_split(order, parts):
            self.add(index, rows)
        return index

    def add(self, index: Any, rows: NDArray[np.int64], **options: Any) -> None:
        ids, years = [self.ids[row] for row in rows], [self.years[row] for row in rows]
        index.add(self.codes[rows], ids=ids, metadata={"year": years} if self.supports.metadata else None, **options)

    def expected(
        self, query: NDArray[np.uint8], k: int | None = None, radius: int | None = None, keep: Any = None
    ) -> list[tuple[int, Any]]:
        near = hamming.distances(query[None], self.codes)[0].tolist()
        kept = range(len(self.ids)) if keep is None else keep
        found = sorted((near[row], self.ids[row]) for row in kept if radius is None or near[row] <= radius)
        return found[:k]

    def compare(self, index: Any, promise: str, keep: Any = None, where: Any = None, **asked: Any) -> None:
        """Search for every query, alone and in a batch."""
        exact = self.supports.exact_radius if "radius" in asked else self.supports.exact
        if where is not None:
            exact = exact and self.supports.exact_filters if "radius" in asked else self.supports.exact_filters
        alone = [index.search(query, where=where, **asked) for query in self.queries]
        together = index.search(self.queries, where=where, **asked)
        for query, *answers in zip(self.queries, alone, together, strict=True):
            for hits in answers:
                expected = self.expected(query, keep=keep, **asked)
                if not exact:
                    whole = self.expected(query, radius=asked.get("radius"), keep=keep)
                    expected = true_hits(hit_pairs(hits), whole, len(expected))
                require_equal(hit_pairs(hits), expected, f"{promise}, {self.bits} bits")


def _check_order(case: _Case) -> None:
    index = case.filled()
    require(isinstance(index, SearchIndex), "an index has the calls of kinbits.index.SearchIndex")
    require(len(index) == len(case.ids), "len() is the number of items")
    for k in (0, 1, 7, len(case.ids), 10 * len(case.ids)):
        case.compare(index, f"k={k} gives the nearest, ordered by distance, then id", k=k)
    if not case.supports.radius:
        require_raises(UsageError, lambda: index.search(case.queries[0], radius=1), "a radius, which is not supported,")
        return
    for radius in (0, 1, case.bits // 2, case.bits):
        case.compare(index, f"radius={radius} gives the whole ball, ordered", radius=radius)
    case.compare(index, "k and radius together give the nearest of the ball", k=5, radius=case.bits // 2)


def _check_empty(case: _Case) -> None:
    index = case.maker.new(case.bits, ids=case.ids)
    require(len(index) == 0, "a new index is empty")
    for asked in ({"k": 5}, {"radius": case.bits}) if case.supports.radius else ({"k": 5},):
        require_equal(hit_pairs(index.search(case.queries[0], **asked)), [], "an empty index finds nothing")
    index.add(case.codes[:0], ids=[])
    require(len(index) == 0, "adding nothing changes nothing")
    require(len(index.search(case.queries[:0], k=3)) == 0, "no query gives no answer")


def _check_filter(case: _Case) -> None:
    index = case.filled()
    if not case.supports.metadata:
        add = partial(index.add, case.codes[:1], ids=[10**6], metadata={"year": [1]}, upsert=case.supports.upsert)
        require_raises(UsageError, add, "metadata, which are not supported,")
    if not (case.supports.metadata and case.supports.filters):
        require_raises(
            UsageError, lambda: index.search(case.queries[0], where="year=1"), "a filter that is not supported"
        )
        return
    keep = [row for row, year in enumerate(case.years) if year >= 2005]
    for where in ({"year": {">=": 2005}}, "year>=2005"):
        case.compare(index, f"filter {where!r} acts inside the search", keep=keep, where=where, k=8)
    one_of = [row for row, year in enumerate(case.years) if year in (2001, 2002)]
    case.compare(index, "filter 'in'", keep=one_of, where={"year": {"in": [2001, 2002]}}, k=60)
    others = [row for row, year in enumerate(case.years) if year not in (2001, 2002)]
    case.compare(index, "filter 'not in'", keep=others, where={"year": {"not in": [2001, 2002]}}, k=60)
    case.compare(index, "a list of no values meets nothing", keep=[], where={"year": {"in": []}}, k=60)
    if not case.supports.contains:
        contains = partial(index.search, case.queries[0], where={"year": {"contains": "2"}})
        require_raises(UsageError, contains, "'contains', which is not supported,")
    case.compare(index, "a filter that nothing meets", keep=[], where={"year": 1900}, k=3)
    require_raises(UsageError, lambda: index.search(case.queries[0], where="yaer=1"), "a column that is not there")
    years = {hit["id"]: hit["year"] for hit in index.search(case.queries[0], k=10**6).to_dicts()}
    known = dict(zip(case.ids, case.years, strict=True))
    require(years.items() <= known.items(), "hits carry their metadata")
    require(len(years) == len(known) or not case.supports.exact, "a large k finds all items")


def _check_delete(case: _Case) -> None:
    index = case.filled()
    if not case.supports.delete:
        require_raises(UsageError, lambda: index.delete(case.ids[0]), "deleting, which is not supported,")
        return
    index.delete(case.ids[:20])
    rest = range(20, len(case.ids))
    require(len(index) == len(rest), "delete lowers len()")
    case.compare(index, "deleted items are not found", keep=rest, k=30)
    if case.supports.radius:
        case.compare(index, "deleted items are not found by radius", keep=rest, radius=case.bits)
    require_raises(DataError, lambda: index.delete(case.ids[0]), "deleting an id that is not there")
    case.add(index, np.arange(20))
    case.compare(index, "add, delete, add gives the first results again", k=30)
    index.delete(case.ids)
    case.compare(index, "an index can be emptied", keep=[], k=3)


def _check_upsert(case: _Case) -> None:
    index = case.filled()
    require_raises(UsageError, lambda: case.add(index, np.arange(3)), "adding an id that exists")
    require_raises(DataError, lambda: index.add(case.codes[:2], ids=[case.ids[0]] * 2), "one id twice")
    case.compare(index, "a refused addition changes nothing", k=30)
    if not case.supports.upsert:
        require_raises(
            UsageError, lambda: case.add(index, np.arange(3), upsert=True), "upsert, which is not supported,"
        )
        return
    flipped = ~case.codes[:5] & hamming.pack(np.ones((1, case.bits), bool))
    new = {"year": [1] * 5} if case.supports.metadata else None
    index.add(flipped, ids=case.ids[:5], metadata=new, upsert=True)
    require(len(index) == len(case.ids), "upsert replaces")
    hits = index.search(flipped[0], k=10**6).to_dicts()
    found = {hit["id"]: (hit["distance"], hit.get("year")) for hit in hits}
    require(found[case.ids[0]] == (0, 1 if case.supports.metadata else None), "upsert replaces code and metadata")
    case.add(index, np.arange(5), upsert=True)
    case.compare(index, "replacing back gives the first results again", k=30)


def _check_invariances(case: _Case) -> None:
    mask = hamming.pack(np.random.default_rng(1).random((1, case.bits)) < 0.5)
    masked = case.maker.new(case.bits, ids=case.ids)
    masked.add(case.codes ^ mask, ids=case.ids)
    whole, parts = case.filled(parts=1), case.filled(parts=20)
    if not case.supports.exact:  # hits may depend on the order of additions, but must be correct
        for index in (whole, parts):
            case.compare(index, "splitting the additions gives correct hits", k=25)
        return
    for query in case.queries:
        expected = case.expected(query, k=25)
        require_equal(
            hit_pairs(masked.search(query ^ mask[0], k=25)), expected, "an XOR mask on all codes changes nothing"
        )
        for index in (whole, parts):
            require_equal(hit_pairs(index.search(query, k=25)), expected, "splitting the additions changes nothing")


def _check_bit_permutation(case: _Case) -> None:
    if not case.supports.exact:  # approximate search may find other hits
        return
    order = np.random.default_rng(2).permutation(case.bits)
    index = case.maker.new(case.bits, ids=case.ids)
    index.add(_permuted(case.codes, order), ids=case.ids)
    for query in case.queries:
        hits = index.search(_permuted(query[None], order)[0], k=25)
        require_equal(hit_pairs(hits), case.expected(query, k=25), "the order of bits changes nothing")


def _check_other_ids(case: _Case) -> None:
    if not case.supports.exact:
        return
    names = {old: 3 * place - 70 for place, old in enumerate(sorted(case.ids))}  # in the same order
    index = case.maker.new(case.bits, ids=list(names.values()))
    index.add(case.codes, ids=[names[old] for old in case.ids])
    for query in case.queries:
        expected = [(distance, names[old]) for distance, old in case.expected(query, k=25)]
        require_equal(hit_pairs(index.search(query, k=25)), expected, "other ids in the same order change nothing else")


def _check_round_trip(case: _Case) -> None:
    index = case.filled(parts=2)
    keep = list(range(len(case.ids)))
    if case.supports.delete:
        index.delete(case.ids[5:9])
        keep = [row for row in keep if not 5 <= row < 9]
    copy = case.maker.reopened(index)
    require(len(copy) == len(index), "a saved index has all its items")
    case.compare(copy, "a saved index answers as before", keep=keep, k=30)
    if case.supports.filters and case.supports.metadata:
        case.compare(copy, "a saved index filters as before", keep=keep, where="year>=2000", k=30)
    if case.supports.delete:
        case.add(copy, np.arange(5, 9))
        case.compare(copy, "a reopened index takes more items", k=30)
    if case.supports.save:
        case.compare(index, "and the first one stays as it was", keep=keep, k=30)
    else:
        require_raises(UsageError, lambda: index.save("copy"), "save, which is not supported,")


def _check_wrong_codes(case: _Case) -> None:
    index = case.filled()
    wider = np.zeros((1, case.codes.shape[1] + 1), np.uint8)
    require_raises(DataError, lambda: index.add(wider, ids=_unused(case)), "adding codes too wide")
    require_raises(DataError, lambda: index.search(wider, k=1), "searching with codes too wide")
    if case.bits % 8:
        padded = np.full((1, case.codes.shape[1]), 255, np.uint8)
        require_raises(DataError, lambda: index.search(padded, k=1), "bits beyond the code length")
    wrong: list[dict[str, Any]] = [{"k": -1}, {"radius": -1}, {"k": 1.5}]
    for asked in wrong:
        require_raises(UsageError, partial(index.search, case.queries[0], **asked), f"{asked}")


def _unused(case: _Case) -> list[Any]:
    """Return an id that no item has."""
    return ["unused"] if isinstance(case.ids[0], str) else [10**9]


def _check_no_string_ids(case: _Case) -> None:
    index = case.maker.new(case.bits, ids=case.ids)
    require_raises(
        UsageError, lambda: index.add(case.codes, ids=case.ids), "ids that are text, which are not supported,"
    )


def _check_recall(maker: _Maker, least: float) -> None:
    """Check the recall of an approximate engine; ties count as found."""
    if maker.supports.exact:
        return
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (2000, 8), dtype=np.uint8)
    queries = codes[:50] ^ (rng.integers(0, 256, (50, 8), dtype=np.uint8) & rng.integers(0, 4, (50, 8), dtype=np.uint8))
    index = maker.new(64)
    index.add(codes, ids=list(range(2000)))
    exact, _ = hamming.topk(queries, codes, 10)
    found = sum(
        int((hits.distances <= near[-1]).sum()) for hits, near in zip(index.search(queries, k=10), exact, strict=True)
    )
    require(found >= least * exact.size, f"{found / exact.size:.2f} of the 10 nearest found, at least {least} wanted")


def _check_fingerprint(maker: _Maker) -> None:
    mine, other = ToyModel("a" * 64), ToyModel("b" * 64)
    ids: list[Any] = ["kin", "bits"] if maker.supports.string_ids else [1, 2]
    index = maker.new(16, model=mine, ids=ids)
    index.add(["kin", "bits"], ids=ids)
    hits = index.search("kin", k=1)
    require_equal(hit_pairs(hits), [(0, ids[0])], "a model encodes items and queries")
    require_equal(
        hit_pairs(maker.reopened(index, model=mine).search("bits", k=1)), [(0, ids[1])], "the same model fits"
    )
    require_raises(ArtefactError, lambda: maker.reopened(index, model=other), "a model of another fingerprint")
    require_raises(UsageError, lambda: maker.reopened(index).search("kin"), "items without a model")
    require_raises(UsageError, lambda: index.search(text="kin"), "a text, where the model encodes none,")
    require_raises(UsageError, lambda: index.search(), "a search without a query")


def _check_automatic_ids(maker: _Maker) -> None:
    index = maker.new(8)
    codes = np.arange(6, dtype=np.uint8)[:, None]
    if not maker.supports.automatic_ids:
        require_raises(UsageError, lambda: index.add(codes[:3]), "adding without ids, which is not supported,")
        return
    index.add(codes[:3])
    index.add(codes[3:4], ids=[10])
    index.add(codes[4:])
    found = sorted(np.asarray(index.search(codes[0], k=9).ids).tolist())
    require(found == [0, 1, 2, 10, 11, 12], "ids that are not given continue the largest one")
    if maker.supports.string_ids:
        require_raises(UsageError, lambda: index.add(codes[:1], ids=["a"]), "ids of both kinds in one index")


_CASE_CHECKS = (
    _check_order,
    _check_empty,
    _check_filter,
    _check_delete,
    _check_upsert,
    _check_invariances,
    _check_bit_permutation,
    _check_other_ids,
    _check_round_trip,
    _check_wrong_codes,
)
_MAKER_CHECKS = (_check_fingerprint, _check_automatic_ids, check_asymmetric, check_reranking)


def _int_ids(rows: int) -> list[int]:
    return [int(i) for i in np.random.default_rng(0).permutation(rows) * 7 - 100]


def _str_ids(rows: int) -> list[str]:
    return [f"{'é' * (i % 3)}photo {i}.jpg" for i in _int_ids(rows)]


def _permuted(codes: NDArray[np.uint8], order: NDArray[np.int64]) -> NDArray[np.uint8]:
    return hamming.pack(hamming.unpack(codes, len(order))[:, order])
