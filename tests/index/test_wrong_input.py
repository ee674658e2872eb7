"""Wrong input gives an error that names the remedy, or is handled as it must; never a crash or a wrong answer."""

from functools import partial

import numpy as np
import pytest

from kinbits.errors import DataError, KinbitsError, UsageError
from kinbits.index import Index, create_index, open_index

CODES = np.arange(8, dtype=np.uint8).reshape(4, 2)
ZERO = np.zeros(2, np.uint8)


@pytest.fixture(params=["int", "str"])
def index(request, tmp_path):
    ids = [1, 2, 3, 4] if request.param == "int" else ["1", "2", "3", "4"]
    return Index.create(tmp_path / "x", bits=16).add(CODES, ids=ids, metadata={"year": [1, 2, 3, None]})


@pytest.mark.parametrize(
    "codes",
    [
        CODES.astype(np.int64),
        CODES.astype(np.int8),
        CODES.astype(np.float32),
        CODES.astype(bool),
        CODES[:, :1],
        np.zeros((1, 3), np.uint8),
        np.zeros((1, 1, 2), np.uint8),
        np.zeros((0,), np.uint8),
        np.zeros((2, 0), np.uint8),
        np.array(7, np.uint8),
        CODES.tolist(),
        None,
        "cat.jpg",
    ],
    ids=lambda codes: f"{getattr(codes, 'dtype', type(codes).__name__)}-{getattr(codes, 'shape', '')}",
)
def test_codes_of_a_wrong_kind_are_refused(index, codes):
    for call in (index.add, index.search):
        with pytest.raises(KinbitsError):
            call(codes)
    assert len(index) == 4


def test_codes_that_are_not_contiguous_mean_the_same():
    wide = np.random.default_rng(0).integers(0, 256, (40, 4), dtype=np.uint8)
    views = [wide[::2, :2], wide[::-1, 1:3], wide[:, ::2], np.asfortranarray(wide)[:, 2:], wide[:2, :].T]
    for view in views:
        plain = np.ascontiguousarray(view)
        assert not view.flags.c_contiguous
        one, two = Index.create(bits=16).add(view), Index.create(bits=16).add(plain)
        for asked in (view, plain):
            for mine, yours in zip(one.search(asked, k=9), two.search(plain, k=9), strict=True):
                assert mine.to_dicts() == yours.to_dicts()


def test_codes_that_change_after_they_were_added_do_not_change_the_index():
    codes, ids = CODES.copy(), np.arange(4)
    index = Index.create(bits=16).add(codes, ids=ids)
    before = index.search(ZERO).to_dicts()
    codes[:], ids[:] = 255, 7
    assert index.search(ZERO).to_dicts() == before


@pytest.mark.parametrize("wrong", [-1, -(2**70), 1.0, True, "3", None, np.float32(2), [1]])
@pytest.mark.parametrize("name", ["k", "radius"])
def test_k_and_radius_are_whole_numbers(index, name, wrong):
    if wrong is None:
        assert len(index.search(ZERO, **{name: wrong})) == 4
    else:
        with pytest.raises(UsageError, match=f"{name}="):
            index.search(ZERO, **{name: wrong})


@pytest.mark.parametrize("huge", [2**31, 2**63, 2**70, np.int64(2**62)])
def test_a_huge_k_or_radius_means_everything(index, huge):
    assert len(index.search(ZERO, k=huge)) == len(index.search(ZERO, radius=huge)) == 4
    assert len(index.search(ZERO, k=huge, radius=huge, where="year>0")) == 3


@pytest.mark.parametrize(
    "ids",
    [
        [1.0, 2.0],
        np.array([1.0, 2.0]),
        [True, False],
        np.array([True, False]),
        [b"a", b"b"],
        np.array([b"a", b"b"]),
        [None, None],
        ["", "x"],
        ["x" * 1025, "y"],
        ["a\0", "b"],
        [2**63, 1],
        [-(2**63) - 1, 1],
        np.array([2**64 - 1, 1], np.uint64),
        [10**400, 1],
        [5, "5"],
        [(1,), (2,)],
        [[10], [11]],
        np.zeros((2, 2), int),
        np.array(["2020-01-01", "2020-01-02"], "datetime64[D]"),
        [10, 10],
        [10],
        [10, 11, 12],
        7,
        "ab",
        {10, 11},
    ],
    ids=lambda ids: repr(ids)[:40],
)
def test_ids_of_a_wrong_kind_are_refused(tmp_path, ids):
    index = Index.create(tmp_path / "x", bits=16)
    with pytest.raises(DataError):
        index.add(CODES[:2], ids=ids)
    assert index.info()["ids"] is None
    assert len(index) == 0


def test_ids_of_the_other_kind_are_refused(index):
    other = ["a", "b"] if index.info()["ids"] == "int" else [10, 11]
    for call in (lambda: index.add(CODES[:2], ids=other), lambda: index.delete(other)):
        with pytest.raises(UsageError, match="ids were given; use"):
            call()


@pytest.mark.parametrize(
    "ids",
    [
        [-(2**63), 2**63 - 1],
        np.array([5, 6], np.uint8),
        np.array([2**63 - 1, 3], np.uint64),
        range(2),
        (np.int32(4), 5),
        ["é", "e"],
        ["x" * 1024, "x"],
        np.array(["a", "bc"]),
        np.array(["a", "bc"], dtype=object),
        ["'; DROP TABLE items; --", "%s"],
    ],
    ids=lambda ids: repr(ids)[:40],
)
def test_every_id_that_is_allowed_comes_back_as_it_was(tmp_path, ids):
    Index.create(tmp_path / "x", bits=16).add(CODES[:2], ids=ids)
    index = Index.open(tmp_path / "x")
    assert sorted(index.search(ZERO).ids.tolist()) == sorted(np.asarray(ids).tolist())
    assert len(index.delete(ids)) == 0


def test_an_id_longer_than_all_others_is_not_mistaken_for_its_beginning(tmp_path):
    index = Index.create(tmp_path / "x", bits=16).add(CODES[:2], ids=["ab", "cd"])
    with pytest.raises(DataError, match="'abc'"):
        index.delete("abc")
    index.add(CODES[2:3], ids=["abc"])
    assert sorted(index.delete("ab").search(ZERO).ids.tolist()) == ["abc", "cd"]


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3],
        [1, 2, 3, 4, 5],
        [],
        "abcd",
        b"abcd",
        7,
        None,
        {"a": 1, "b": 2, "c": 3, "d": 4},
        np.zeros((4, 2)),
        np.array(7),
        [1, 2, 3, 2**63],
        [1, 2, 3, 10**400],
        np.array([1, 2, 3, 2**64 - 1], np.uint64),
        [1.0, 2.0, 3.0, float("inf")],
        np.array([1.0, 2.0, 3.0, -np.inf]),
        [b"a", b"b", b"c", b"d"],
        ["a", "b", "c", "\ud800"],
        [[1], [2], [3], [4]],
        [1, 2, 3, np.zeros(2)],
        [1j, 2j, 3j, 4j],
        np.array(["2020-01-01"] * 4, "datetime64[D]"),
        [object] * 4,
    ],
    ids=lambda values: repr(values)[:40],
)
def test_metadata_that_cannot_be_stored_are_refused(tmp_path, values):
    index = Index.create(tmp_path / "x", bits=16)
    with pytest.raises((UsageError, DataError), match="'column'"):
        index.add(CODES, metadata={"fine": [1, 2, 3, 4], "column": values})
    assert len(index) == 0


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        ([1.5, float("nan"), None, 2], [1.5, None, None, 2]),
        (np.array([1.5, np.nan, 0, 2]), [1.5, None, 0.0, 2.0]),
        (np.array([0.5, np.nan, 0, 2], np.float16), [0.5, None, 0.0, 2.0]),
        (np.array([1, 2, 3, 2**63 - 1], np.uint64), [1, 2, 3, 2**63 - 1]),
        (np.array([True, False, True, False]), [True, False, True, False]),
        ([True, None, False, 7], [True, None, False, 7]),
        ([True, 1, 0.0, "1"], [True, 1, 0.0, "1"]),
        (["a", None, "", "'\"\0;--"], ["a", None, "", "'\"\0;--"]),
        (np.array(["a", "bc", "", "é"]), ["a", "bc", "", "é"]),
        (("a", 1, 2.5, None), ["a", 1, 2.5, None]),
        (range(4), [0, 1, 2, 3]),
        ([-(2**63), 2**63 - 1, 0, 1], [-(2**63), 2**63 - 1, 0, 1]),
        ([None] * 4, [None] * 4),
        (np.array([np.int8(1), "x", None, 2.5], dtype=object), [1, "x", None, 2.5]),
    ],
    ids=lambda values: repr(values)[:40],
)
def test_metadata_come_back_as_they_were(tmp_path, values, stored):
    Index.create(tmp_path / "x", bits=16).add(CODES, metadata={"column": values})
    found = {hit["id"]: hit["column"] for hit in Index.open(tmp_path / "x").search(ZERO)}
    assert [(type(found[id_]), found[id_]) for id_ in range(4)] == [(type(value), value) for value in stored]


@pytest.mark.parametrize("metadata", [[1, 2, 3, 4], "year", 7, [("year", [1, 2, 3, 4])]])
def test_metadata_are_a_dict_of_columns(metadata):
    with pytest.raises(DataError, match="give a dict"):
        Index.create(bits=16).add(CODES, metadata=metadata)


def test_sql_in_names_values_and_filters_is_only_text(tmp_path):
    name, value = 'n"; DROP TABLE items; --', "x'; DELETE FROM items; --"
    index = Index.create(tmp_path / "x", bits=16).add(
        CODES, metadata={name: [value, "a", "b", None], "c0": [1, 2, 3, 4]}
    )
    assert index.search(ZERO, where={name: value}).ids.tolist() == [0]
    assert index.search(ZERO, where={name: {"contains": "DELETE"}, "c0": 1}).ids.tolist() == [0]
    assert index.search(ZERO, where={name: {"in": [value, "a') OR 1=1 --"]}}).ids.tolist() == [0]
    with pytest.raises(UsageError, match="unknown column '1'"):
        index.search(ZERO, where="c0=1 OR 1=1")
    for column in ("c1", "row", "1", "c0; --", name + " ", "NULL", "items.c0", "rowid"):
        with pytest.raises(UsageError, match="unknown column"):
            index.search(ZERO, where={column: 1})
    index.verify()
    assert len(index.search(ZERO)) == 4


def test_more_columns_than_can_be_stored_are_refused(tmp_path):
    index = Index.create(tmp_path / "x", bits=16)
    with pytest.raises(UsageError, match="too many"):
        index.add(CODES[:1], metadata={f"c{i}": [i] for i in range(1001)})
    index.add(CODES[:1], metadata={f"a{i}": [i] for i in range(1000)})
    with pytest.raises(UsageError, match="too many"):
        index.add(CODES[:1], metadata={f"b{i}": [i] for i in range(1000)})
    assert len(index) == len(Index.open(tmp_path / "x").search(ZERO)) == 1


@pytest.mark.parametrize("name", ["", "  "])
def test_a_metadata_column_without_a_name_is_refused(index, name):
    with pytest.raises(UsageError, match="has no name"):
        index.update(index.search(ZERO, k=1).ids, {name: [7]})
    assert name not in index.search(ZERO, k=1).to_dicts()[0]


@pytest.mark.parametrize("path", [5, b"x", 2.5, ["x"], "a\0b", "\ud800"], ids=repr)
def test_what_is_no_path_is_refused(path, index):
    create = partial(Index.create, bits=8), partial(create_index, bits=8)
    for call in (Index.open, open_index, index.save, *create):
        with pytest.raises(UsageError, match="is no path; give text"):
            call(path)
    for call in (Index.open, open_index, index.save):
        with pytest.raises(UsageError, match="None is no path"):
            call(None)


@pytest.mark.parametrize(
    "model",
    [5, b"x", True, [], object(), np.zeros(3), Index, Index.create(bits=8)],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_model_is_refused(model, tmp_path):
    Index.create(tmp_path / "i", bits=8)
    for call in (Index.create, create_index):
        with pytest.raises(UsageError, match="model= takes a model or the folder of one, not"):
            call(bits=8, model=model)
    for call in (Index.open, open_index):
        with pytest.raises(UsageError, match="model= takes a model or the folder of one, not"):
            call(tmp_path / "i", model=model)
