"""The conformance check of indexes, the same for every engine."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming
from kinbits.errors import ArtefactError, DataError, UsageError
from kinbits.index import SearchIndex
from kinbits.testing.assertions import hit_pairs, require, require_equal, require_raises
from kinbits.testing.asymmetric import check_asymmetric
from kinbits.testing.index_cases import Case, MakeIndex, Maker, random_codes
from kinbits.testing.reranking import check_reranking
from kinbits.testing.toy_models import ToyModel

_BITS = {
    hamming.BITS: (4, 13, 64, 70),  # below, between and on byte borders, and above 64 bits
    16: (4, 12, 64),
    256: (8, 24, 72),
    hamming.SCALED: (104, 120, 168),
}


def check_index(
    make_index: MakeIndex,
    *,
    open_index: MakeIndex | None = None,
    folder: str | Path | None = None,
    bits: Sequence[int] | None = None,
    words: int = hamming.BITS,
    recall: float = 0.8,
) -> None:
    """Check that an index behaves like `kinbits.index.Index`.

    An index may have an attribute ``supports`` (`kinbits.index.Supports`). Unsupported calls must raise a UsageError.
    Approximate results must be correct hits in order, with enough of the nearest.

    Args:
        make_index: Called as ``make_index(path, bits=..., model=...)``, and ``words=...`` for codes that are no bits;
            returns a new empty index.
        open_index: Called as ``open_index(path, model=...)``; by default the method ``open`` of the class.
        folder: Folder for the indexes; None for indexes in memory.
        bits: Code lengths to check; fewer for a slow engine. None takes four of all sorts.
        words: Kind of the codes, as of `kinbits.Index.create`; those that are no bits are searched by tables.
        recall: Minimum share of the 10 nearest items that an approximate engine finds.

    Raises:
        AssertionError: If a promise is broken; the message names it.
        UsageError: If a length or kind of codes cannot be.

    Example:
        >>> from kinbits.index import Index
        >>> check_index(Index.create)
    """
    lengths = _BITS[hamming.check_words(words, 128)] if bits is None else bits
    for length in lengths:
        hamming.check_words(words, length)
    with tempfile.TemporaryDirectory() as scratch:
        maker = Maker(make_index, open_index, Path(folder) if folder else None, Path(scratch))
        for length in lengths:
            for ids in (_int_ids(60), _str_ids(60)):
                case = Case(maker, length, ids, words)
                if not case.supports.string_ids and isinstance(ids[0], str):
                    _check_no_string_ids(case)
                    continue
                for check in _CASE_CHECKS if words == hamming.BITS else _CASE_CHECKS_OF_ALL:
                    check(case)
        if words == hamming.BITS:
            for check_maker in _MAKER_CHECKS:
                check_maker(maker)
            _check_recall(maker, recall)


def _check_order(case: Case) -> None:
    index = case.filled()
    require(isinstance(index, SearchIndex), "an index has the calls of kinbits.index.SearchIndex")
    require(len(index) == len(case.ids), "len() is the number of items")
    for k in (0, 1, 7, len(case.ids), 10 * len(case.ids)):
        case.compare(index, f"k={k} gives the nearest, ordered by distance, then id", k=k)
    if not case.supports.radius:
        require_raises(UsageError, lambda: case.ask(index, case.queries[0], radius=1), "a radius, not supported,")
        return
    for radius in case.radii:
        case.compare(index, f"radius={radius} gives the whole ball, ordered", radius=radius)
    case.compare(index, "k and radius together give the nearest of the ball", k=5, radius=case.radii[-2])


def _check_empty(case: Case) -> None:
    index = case.new()
    require(len(index) == 0, "a new index is empty")
    asked: list[dict[str, Any]] = [{"k": 5}, *([{"radius": case.radii[-1]}] if case.supports.radius else [])]
    for one in asked:
        require_equal(hit_pairs(case.ask(index, case.queries[0], **one)), [], "an empty index finds nothing")
    index.add(case.codes[:0], ids=[])
    require(len(index) == 0, "adding nothing changes nothing")
    require(len(index.search(case.queries[:0], k=3)) == 0, "no query gives no answer")


def _check_filter(case: Case) -> None:
    index = case.filled()
    if not case.supports.metadata:
        add = partial(index.add, case.codes[:1], ids=[10**6], metadata={"year": [1]}, upsert=case.supports.upsert)
        require_raises(UsageError, add, "metadata, which are not supported,")
    if not (case.supports.metadata and case.supports.filters):
        require_raises(
            UsageError, lambda: case.ask(index, case.queries[0], where="year=1"), "a filter that is not supported"
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
        contains = partial(case.ask, index, case.queries[0], where={"year": {"contains": "2"}})
        require_raises(UsageError, contains, "'contains', which is not supported,")
    case.compare(index, "a filter that nothing meets", keep=[], where={"year": 1900}, k=3)
    require_raises(UsageError, lambda: case.ask(index, case.queries[0], where="yaer=1"), "a column that is not there")
    years = {hit["id"]: hit["year"] for hit in case.ask(index, case.queries[0], k=10**6).to_dicts()}
    known = dict(zip(case.ids, case.years, strict=True))
    require(years.items() <= known.items(), "hits carry their metadata")
    require(len(years) == len(known) or not case.supports.exact, "a large k finds all items")


def _check_delete(case: Case) -> None:
    index = case.filled()
    if not case.supports.delete:
        require_raises(UsageError, lambda: index.delete(case.ids[0]), "deleting, which is not supported,")
        return
    index.delete(case.ids[:20])
    rest = range(20, len(case.ids))
    require(len(index) == len(rest), "delete lowers len()")
    case.compare(index, "deleted items are not found", keep=rest, k=30)
    if case.supports.radius:
        case.compare(index, "deleted items are not found by radius", keep=rest, radius=case.radii[-1])
    require_raises(DataError, lambda: index.delete(case.ids[0]), "deleting an id that is not there")
    case.add(index, np.arange(20))
    case.compare(index, "add, delete, add gives the first results again", k=30)
    index.delete(case.ids)
    case.compare(index, "an index can be emptied", keep=[], k=3)


def _check_upsert(case: Case) -> None:
    index = case.filled()
    require_raises(UsageError, lambda: case.add(index, np.arange(3)), "adding an id that exists")
    require_raises(DataError, lambda: index.add(case.codes[:2], ids=[case.ids[0]] * 2), "one id twice")
    case.compare(index, "a refused addition changes nothing", k=30)
    if not case.supports.upsert:
        require_raises(
            UsageError, lambda: case.add(index, np.arange(3), upsert=True), "upsert, which is not supported,"
        )
        return
    others = random_codes(np.random.default_rng(4), 5, case.bits, case.words)
    new = {"year": [1] * 5} if case.supports.metadata else None
    index.add(others, ids=case.ids[:5], metadata=new, upsert=True)
    require(len(index) == len(case.ids), "upsert replaces")
    query = others[0] if case.words == hamming.BITS else case.queries[0]
    hits = case.ask(index, query, k=10**6).to_dicts()
    found = {hit["id"]: (hit["distance"], hit.get("year")) for hit in hits}
    replaced = (case.near(query, others[:1]).item(), 1 if case.supports.metadata else None)
    require(found[case.ids[0]] == replaced, "upsert replaces code and metadata")
    case.add(index, np.arange(5), upsert=True)
    case.compare(index, "replacing back gives the first results again", k=30)


def _check_mask(case: Case) -> None:
    if not case.supports.exact:  # hits may depend on it, but must be correct
        return
    mask = hamming.pack(np.random.default_rng(1).random((1, case.bits)) < 0.5)
    masked = case.new()
    masked.add(case.codes ^ mask, ids=case.ids)
    for query in case.queries:
        hits = masked.search(query ^ mask[0], k=25)
        require_equal(hit_pairs(hits), case.expected(query, k=25), "an XOR mask on all codes changes nothing")


def _check_invariances(case: Case) -> None:
    whole, parts = case.filled(parts=1), case.filled(parts=20)
    if not case.supports.exact:  # hits may depend on the order of additions, but must be correct
        for index in (whole, parts):
            case.compare(index, "splitting the additions gives correct hits", k=25)
        return
    for query in case.queries:
        expected = case.expected(query, k=25)
        for index in (whole, parts):
            require_equal(hit_pairs(case.ask(index, query, k=25)), expected, "splitting the additions changes nothing")


def _check_bit_permutation(case: Case) -> None:
    if not case.supports.exact:  # approximate search may find other hits
        return
    order = np.random.default_rng(2).permutation(case.bits)
    index = case.maker.new(case.bits, ids=case.ids)
    index.add(_permuted(case.codes, order), ids=case.ids)
    for query in case.queries:
        hits = index.search(_permuted(query[None], order)[0], k=25)
        require_equal(hit_pairs(hits), case.expected(query, k=25), "the order of bits changes nothing")


def _check_other_ids(case: Case) -> None:
    if not case.supports.exact:
        return
    names = {old: 3 * place - 70 for place, old in enumerate(sorted(case.ids))}  # in the same order
    index = case.maker.new(case.bits, ids=list(names.values()), words=case.words)
    index.add(case.codes, ids=[names[old] for old in case.ids])
    for query in case.queries:
        expected = [(distance, names[old]) for distance, old in case.expected(query, k=25)]
        require_equal(
            hit_pairs(case.ask(index, query, k=25)), expected, "other ids in the same order change nothing else"
        )


def _check_round_trip(case: Case) -> None:
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


def _check_wrong_codes(case: Case) -> None:
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


def _unused(case: Case) -> list[Any]:
    """Return an id that no item has."""
    return ["unused"] if isinstance(case.ids[0], str) else [10**9]


def _check_no_string_ids(case: Case) -> None:
    index = case.maker.new(case.bits, ids=case.ids)
    require_raises(
        UsageError, lambda: index.add(case.codes, ids=case.ids), "ids that are text, which are not supported,"
    )


def _check_recall(maker: Maker, least: float) -> None:
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


def _check_fingerprint(maker: Maker) -> None:
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


def _check_automatic_ids(maker: Maker) -> None:
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


_CASE_CHECKS_OF_ALL = (
    _check_order,
    _check_empty,
    _check_filter,
    _check_delete,
    _check_upsert,
    _check_invariances,
    _check_other_ids,
    _check_round_trip,
)
_CASE_CHECKS = (*_CASE_CHECKS_OF_ALL, _check_mask, _check_bit_permutation, _check_wrong_codes)
_MAKER_CHECKS = (_check_fingerprint, _check_automatic_ids, check_asymmetric, check_reranking)


def _int_ids(rows: int) -> list[int]:
    return [int(i) for i in np.random.default_rng(0).permutation(rows) * 7 - 100]


def _str_ids(rows: int) -> list[str]:
    return [f"{'é' * (i % 3)}photo {i}.jpg" for i in _int_ids(rows)]


def _permuted(codes: NDArray[np.uint8], order: NDArray[np.int64]) -> NDArray[np.uint8]:
    return hamming.pack(hamming.unpack(codes, len(order))[:, order])
