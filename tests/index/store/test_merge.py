"""Merging adds the items of another index, as if they had been added one batch after the other."""

import numpy as np
import pytest

from kinbits.errors import ArtefactError, UsageError
from kinbits.index import Index, IndexOptions


class Model:
    bits = 8

    def __init__(self, fingerprint):
        self.fingerprint = fingerprint

    def encode(self, items, /):
        return np.asarray(items, np.uint8)[:, None]


DEFAULT = IndexOptions()


def numbered(ids, options=DEFAULT, **columns):
    codes = np.array([[id_ % 256] for id_ in ids], np.uint8)
    return Index.create(bits=8, options=options).add(codes, ids=list(ids), metadata={"n": list(ids), **columns})


def contents(index):
    return index.search(np.zeros(1, np.uint8), k=10**6).to_dicts()


@pytest.mark.parametrize("block", [1, 3, 1 << 18])
def test_merging_equals_adding_the_items(tmp_path, block):
    options = IndexOptions(merge_rows=4, block_rows=block)  # few rows: keeps segments apart
    mine, other = numbered(range(0, 60, 2), options), numbered(range(1, 30, 2), options)
    other.add(np.array([[7]], np.uint8), ids=[99], metadata={"late": ["x"]}).delete([1, 13])
    expected = Index.create(bits=8)
    both = sorted([*range(0, 60, 2), *set(range(1, 30, 2)) - {1, 13}])
    expected.add(np.array([[id_] for id_ in both], np.uint8), ids=both, metadata={"n": both})
    expected.add(np.array([[7]], np.uint8), ids=[99], metadata={"late": ["x"]})
    mine.save(tmp_path / "mine")
    folder = Index.open(tmp_path / "mine", options=options)
    for index in (mine, folder):
        assert contents(index.merge(other)) == contents(expected)
        assert contents(index.compact()) == contents(expected)
        index.verify()
    assert len(contents(other)) == 14


def test_ids_that_exist_are_refused_or_replaced(tmp_path):
    numbered(range(10)).save(tmp_path / "x")
    index = Index.open(tmp_path / "x")
    other = Index.create(bits=8).add(np.full((3, 1), 255, np.uint8), ids=[8, 9, 10], metadata={"n": [-8, -9, -10]})
    with pytest.raises(UsageError, match=r"and 1 other are already in the index.*upsert replaces"):
        index.merge(other)
    assert contents(index) == contents(numbered(range(10)))
    index.merge(other, upsert=True)
    assert {hit["id"]: hit["n"] for hit in contents(index)} == {**{i: i for i in range(8)}, 8: -8, 9: -9, 10: -10}
    index.merge(index, upsert=True)
    assert len(index) == 11
    index.verify()
    assert index.add(np.zeros((1, 1), np.uint8)).search(np.zeros(1, np.uint8), k=2).ids.tolist() == [0, 11]


def test_merging_nothing_changes_nothing(tmp_path):
    numbered(range(10)).save(tmp_path / "x")
    index = Index.open(tmp_path / "x")
    assert index.merge(Index.create(bits=8)).info()["generation"] == Index.open(tmp_path / "x").info()["generation"]
    assert contents(Index.create(bits=8).merge(index)) == contents(index)


def test_what_does_not_mean_the_same_is_refused():
    index = numbered(range(3))
    with pytest.raises(ArtefactError, match=r"16-bit codes, this one 8-bit"):
        index.merge(Index.create(bits=16))
    with pytest.raises(ArtefactError, match="another model"):
        index.merge(Index.create(model=Model("a" * 64)))
    with pytest.raises(UsageError, match="but str ids were given"):
        index.merge(Index.create(bits=8).add(np.zeros((1, 1), np.uint8), ids=["a"]))
    with pytest.raises(UsageError, match="takes an index of kinbits' own format, not str"):
        index.merge("other.index")
