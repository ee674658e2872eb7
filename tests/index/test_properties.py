"""Whatever is done to an index, in whatever order, its answers are those of a plain list."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kinbits import hamming
from kinbits.errors import DataError, UsageError
from kinbits.index import Index, IndexOptions

QUIET = settings(max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
LENGTHS = st.sampled_from([1, 4, 7, 8, 9, 13, 64, 65, 70, 128, 200])
SEEDS = st.integers(0, 2**32 - 1)


def some_codes(seed, rows, bits, distinct):
    """Random codes with ties: all equal if ``distinct`` is 1."""
    rng = np.random.default_rng(seed)
    return hamming.pack(rng.random((distinct, bits)) < 0.5)[rng.integers(0, distinct, rows)]


class Changes(RuleBasedStateMachine):
    """An index in a folder beside a dict of the same items; small limits, so that merging happens."""

    @initialize(bits=LENGTHS, text=st.booleans(), small=st.sampled_from([4, 1 << 18]))
    def start(self, bits, text, small):
        self.scratch = Path(tempfile.mkdtemp())
        self.options = IndexOptions(merge_rows=small, table_rows=5, block_rows=8)
        self.bits, self.text, self.items = bits, text, {}
        self.place = self.scratch / "index"
        self.index, self.reader = Index.create(self.place, bits=bits, options=self.options), self.opened()
        self.read = {}

    def opened(self):
        return Index.open(self.place, options=self.options)

    def name(self, numbers):
        return [f"item {'é' * (n % 3)}{n}" for n in numbers] if self.text else list(numbers)

    def items_of(self, numbers, seed, distinct):
        codes = some_codes(seed, len(numbers), self.bits, distinct)
        years = np.random.default_rng(seed).integers(2000, 2010, len(numbers)).tolist()
        ids = self.name(numbers)
        return codes, ids, years, dict(zip(ids, zip(codes, years, strict=True), strict=True))

    @rule(numbers=st.lists(st.integers(-40, 40), unique=True, max_size=20), seed=SEEDS, distinct=st.integers(1, 9))
    def add(self, numbers, seed, distinct):
        codes, ids, years, items = self.items_of(numbers, seed, distinct)
        if set(ids) & set(self.items):
            with pytest.raises(UsageError, match="upsert replaces"):
                self.index.add(codes, ids=ids, metadata={"year": years})
        self.index.add(codes, ids=ids, metadata={"year": years}, upsert=True)
        self.items |= items

    @rule(numbers=st.lists(st.integers(-40, 40), unique=True, min_size=1, max_size=9), seed=SEEDS)
    def merge(self, numbers, seed):
        codes, ids, years, items = self.items_of(numbers, seed, 3)
        other = Index.create(bits=self.bits)
        for rows in np.array_split(np.arange(len(ids)), 2):
            metadata = {"year": [years[row] for row in rows]}
            other.add(codes[rows], ids=[ids[row] for row in rows], metadata=metadata)
        if set(ids) & set(self.items):
            with pytest.raises(UsageError, match="upsert replaces"):
                self.index.merge(other)
        self.index.merge(other, upsert=True)
        self.items |= items

    @precondition(lambda self: self.items)
    @rule(data=st.data())
    def delete(self, data):
        chosen = data.draw(st.lists(st.sampled_from(sorted(self.items)), min_size=1, unique=True))
        self.index.delete(chosen)
        for id_ in chosen:
            del self.items[id_]
        with pytest.raises(DataError, match="not in the index"):
            self.index.delete(chosen[0])

    @rule()
    def delete_everything(self):
        self.index.delete(list(self.items))
        self.items = {}

    @rule()
    def compact(self):
        self.index.compact()

    @rule()
    def optimize(self):
        self.index.optimize()

    @rule()
    def reopen(self):
        self.index = self.opened()

    @rule()
    def save_and_go_on_with_the_copy(self):
        self.place = self.place.with_name(f"{self.place.name} copied")
        self.index.save(self.place)
        self.index, self.reader, self.read = self.opened(), self.opened(), dict(self.items)

    @rule()
    def refresh(self):
        self.reader.refresh()
        self.read = dict(self.items)

    @invariant()
    def counts(self):
        if hasattr(self, "index"):
            assert len(self.index) == len(self.items)
            assert len(self.reader) == len(self.read)

    @rule(
        seed=SEEDS,
        k=st.none() | st.integers(0, 50),
        radius=st.none() | st.integers(0, 64),
        year=st.integers(1999, 2010),
        strategy=st.sampled_from(["auto", "scan", "grouped", "multi-index"]),
    )
    def search(self, seed, k, radius, year, strategy):
        query = some_codes(seed, 1, self.bits, 1)[0]
        known = "year" in self.index.info()["columns"]
        strategy = strategy if self.index.info()["tables"] else "auto"
        where = f"year>={year}" if known else None
        hits = self.index.search(query, k=k, radius=radius, where=where, strategy=strategy)
        k = 10 if k is None and radius is None else k
        self.compare(hits, self.expected(self.items, query, radius, year)[:k])
        hits = self.reader.search(query, radius=self.bits)
        self.compare(hits, self.expected(self.read, query, self.bits, 0))

    def expected(self, items, query, radius, year):
        found = []
        for id_, (code, own) in items.items():
            distance = int(np.unpackbits(query ^ code).sum())
            if (radius is None or distance <= radius) and own >= year:
                found.append((distance, id_, own))
        return sorted(found)

    def compare(self, hits, expected):
        assert [(hit["distance"], hit["id"], hit["year"]) for hit in hits] == expected

    def teardown(self):
        if hasattr(self, "index"):
            self.index.verify()
            shutil.rmtree(self.scratch)


TestChanges = pytest.mark.slow(Changes.TestCase)
TestChanges.settings = QUIET


@given(
    bits=LENGTHS,
    rows=st.integers(0, 40),
    distinct=st.integers(1, 20),
    k=st.integers(0, 100),
    radius=st.sampled_from(["none", "zero", "half", "bits"]),
    parts=st.integers(1, 4),
    seed=SEEDS,
)
@settings(max_examples=150, deadline=None)
def test_search_equals_sorting_all_distances(bits, rows, distinct, k, radius, parts, seed):
    codes, query = some_codes(seed, rows, bits, distinct), some_codes(seed + 1, 1, bits, 1)[0]
    reach = {"none": None, "zero": 0, "half": bits // 2, "bits": bits}[radius]
    ids = np.random.default_rng(seed).permutation(rows)
    index = Index.create(bits=bits)
    for part in np.array_split(np.arange(rows), parts):
        index.add(codes[part], ids=ids[part])
    near = [int(np.unpackbits(query ^ code).sum()) for code in codes]
    inside = [(d, i) for d, i in zip(near, ids.tolist(), strict=True) if reach is None or d <= reach]
    hits = index.search(query, k=k, radius=reach)
    assert list(zip(hits.distances.tolist(), hits.ids.tolist(), strict=True)) == sorted(inside)[:k]
