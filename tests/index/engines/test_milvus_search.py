"""Exact answers out of a server that returns any of equal distances, without a server."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinbits import hamming
from kinbits.errors import UsageError
from kinbits.index.engines.milvus_filter import FilterWriter
from kinbits.index.engines.milvus_search import Searcher
from kinbits.index.filters import bind, comparisons, parse_where


class Server:
    """Answers as Milvus does: nearest first, at most so many, equal distances in an order of its own."""

    def __init__(self, codes, ids, seed):
        self.codes, self.ids, self.rng, self.asked = codes, ids, np.random.default_rng(seed), 0

    def __call__(self, codes, expression, limit, parameters):
        return [self._answer(np.frombuffer(code, np.uint8), expression, limit, parameters) for code in codes]

    def _answer(self, code, expression, limit, parameters):
        self.asked += 1
        near = hamming.distances(code[None], self.codes)[0].astype(int)
        keep = (near < parameters.get("radius", 10**6)) & (near >= parameters.get("range_filter", 0))
        if bound := re.search(r"id < (-?\d+)", expression):
            keep &= self.ids < int(bound[1])
        order = np.lexsort((self.rng.random(len(near)), near))
        return [(int(self.ids[row]), float(near[row])) for row in order if keep[row]][:limit]


def expected(server, code, k, radius):
    near = hamming.distances(code[None], server.codes)[0].astype(int)
    pairs = sorted(zip(near.tolist(), server.ids.tolist(), strict=True))
    return [pair for pair in pairs if radius is None or pair[0] <= radius][:k]


@settings(max_examples=150, deadline=None)
@given(
    items=st.integers(0, 300),
    bits=st.sampled_from([3, 8, 20]),
    words=st.integers(1, 5),
    k=st.integers(1, 40),
    radius=st.none() | st.integers(0, 20),
    most=st.integers(41, 80),
    seed=st.integers(0, 10**6),
)
def test_the_nearest_are_ours_however_ties_come(items, bits, words, k, radius, most, seed):
    rng = np.random.default_rng(seed)
    codes = hamming.pack((rng.random((words, bits)) < 0.5)[rng.integers(0, words, items)])
    server = Server(codes, rng.permutation(items) * 3 - 50, seed)
    queries = hamming.pack(rng.random((2, bits)) < 0.5)
    searcher = Searcher(server, FilterWriter(lite=False), exact=True, parameters={}, most=most)
    for query, (ids, near) in zip(queries, searcher.nearest(queries, k, radius, ""), strict=True):
        assert list(zip(near.tolist(), ids.tolist(), strict=True)) == expected(server, query, k, radius)


def test_a_hundred_thousand_equal_codes_take_few_requests():
    server = Server(np.zeros((100_000, 1), np.uint8), np.random.default_rng(0).permutation(100_000), 0)
    searcher = Searcher(server, FilterWriter(lite=False), exact=True, parameters={})
    ((ids, near),) = searcher.nearest(np.ones((1, 1), np.uint8), 1000, None, "")
    assert ids.tolist() == list(range(1000))
    assert set(near.tolist()) == {1}
    assert server.asked <= 5


def test_a_ball_that_milvus_would_cut_is_refused():
    server = Server(np.zeros((50, 1), np.uint8), np.arange(50), 0)
    assert (
        len(Searcher(server, FilterWriter(lite=False), True, {}, most=51).ball(np.zeros((1, 1), np.uint8), 0, "")[0][0])
        == 50
    )
    with pytest.raises(UsageError, match="smaller radius"):
        Searcher(server, FilterWriter(lite=False), True, {}, most=50).ball(np.zeros((1, 1), np.uint8), 0, "")


PRESENT = '($meta["n"] >= "" or $meta["n"] >= 0 or $meta["n"] < 0 or $meta["n"] == true or $meta["n"] == false)'
IN = '$meta["t"] in [true] or $meta["t"] in [1, 2] or $meta["t"] in [1.5] or $meta["t"] in ["x"]'


@pytest.mark.parametrize(
    ("where", "expression"),
    [
        ({"year": 2020}, '$meta["year"] == 2020'),
        ({"year": {">=": 2020, "<": 2022.5}}, '($meta["year"] >= 2020) and ($meta["year"] < 2022.5)'),
        ({"t": 'a" or id > 0 or "'}, '$meta["t"] == "a\\" or id > 0 or \\""'),
        ({'t"] == 1 or id': 2}, '$meta["t\\"] == 1 or id"] == 2'),
        ({"t": "\\"}, '$meta["t"] == "\\\\"'),
        ({"t": "a\nb"}, '$meta["t"] == "a\\nb"'),
        ({"t": {"in": [1, "x", 2, 1.5, True]}}, IN),
        ({"t": {"not in": [1, "x"]}}, '($meta["t"] not in [1]) and ($meta["t"] not in ["x"])'),
        ({"n": -(2**63)}, '$meta["n"] == -9.223372036854776e+18'),
        ({"n": {"not in": []}}, ""),
        ("n=1 or not n in ()", ""),
        ("f=true", '$meta["f"] in [true] or $meta["f"] in ["true"]'),
        ("n>1 or (t='a' and not n>2)", '($meta["n"] > 1) or (($meta["t"] == "a") and (not ($meta["n"] > 2)))'),
        ("not (n>1 or t='a')", '(not ($meta["n"] > 1)) and ($meta["t"] != "a")'),
        ("not (n is missing and t='a')", f'({PRESENT}) or ($meta["t"] != "a")'),
        (None, ""),
    ],
)  # fmt: skip
def test_filters_are_quoted_and_never_spliced(where, expression):
    assert FilterWriter(lite=False).filter(bound(where)) == expression


def bound(where):
    """Read a filter on columns that hold values of several types."""
    parsed = parse_where(where)
    return None if parsed is None else bind(parsed, {one.column: "mixed" for one in comparisons(parsed)})


def test_what_milvus_cannot_be_asked_is_refused_with_the_remedy():
    with pytest.raises(UsageError, match="does not support 'contains'"):
        FilterWriter(lite=False).filter(bound("t contains x"))
    with pytest.raises(UsageError, match="Milvus server"):
        FilterWriter(lite=True).filter(bound("t is missing"))
    with pytest.raises(UsageError, match="line breaks"):
        FilterWriter(lite=True).filter(bound({"t": "a\nb"}))
    with pytest.raises(UsageError, match="write t <= 2, which omits items without a value"):
        FilterWriter(lite=True).filter(bound("not t>2"))
