"""Hits travel between processes, become tables and arrays, and print safely."""

import pickle
import sys

import numpy as np
import pytest
from PIL import Image

import kinbits
from kinbits.errors import DataError, PlatformError
from kinbits.index import Index

CODES = np.array([[0], [1], [3], [7]], np.uint8)


class Sizes:
    bits, fingerprint = 8, "s" * 64

    def encode(self, items, **_):
        return np.full((len(items), 1), 7, np.uint8)


def filled(path=None, **columns):
    return Index.create(path, bits=8).add(CODES, ids=["a", "b", "c", "d"], metadata=columns)


@pytest.mark.parametrize("place", [None, "x"])
def test_hits_are_pickled_with_metadata_and_codes(tmp_path, place):
    index = filled(place and tmp_path / place, sold=[True, False, None, True], year=[1, 2, 3, 4])
    one, several = index.search(CODES[0], k=3), index.search(CODES[:2], k=2)
    sent = pickle.dumps((one, one.take(np.array([2, 0])), several))
    index.delete(["a", "b", "c"]).compact()
    hits, taken, batch = pickle.loads(sent)
    assert hits.ids.tolist() == ["a", "b", "c"]
    assert hits.distances.tolist() == [0, 1, 2]
    assert hits.rows == [{"sold": True, "year": 1}, {"sold": False, "year": 2}, {"sold": None, "year": 3}]
    assert hits.codes.tolist() == CODES[:3].tolist()
    assert taken.to_dicts() == [hits[2], hits[0]]
    assert hits.take(np.array([1])).codes.tolist() == [[1]]
    assert batch.to_dicts() == several.to_dicts()
    assert pickle.loads(pickle.dumps(hits)).to_dicts() == hits.to_dicts()


def test_control_characters_are_shown_and_not_obeyed():
    index = Index.create(bits=8).add(
        CODES[:2],
        ids=["\x1b[2Jgone", "plain"],
        metadata={"t\x07": ["a\nb\x9b31m", None], "rtl": ["\u202eabc", "é😀"]},
    )
    assert repr(index.search(CODES[0])).split("\n") == [
        r"id           distance  t\x07       rtl",
        r"\x1b[2Jgone         0  a b\x9b31m  \u202eabc",
        r"plain               1              é😀",
    ]


def test_booleans_print_as_python_writes_them_and_text_stands_to_the_left():
    hits = filled(sold=[True, False, None, True], name=[None, "long name", "b", "c"]).search(CODES[0])
    assert repr(hits).split("\n")[:4] == [
        "id  distance   sold  name",
        "a          0   True",
        "b          1  False  long name",
        "c          2         b",
    ]


def test_hits_of_several_queries_become_arrays_of_equal_rows():
    text, numbers = filled(), Index.create(bits=8).add(CODES, ids=[3, -1, 5, 7])
    ids, distances = text.search(CODES[:2], radius=1).to_numpy()
    assert (ids.tolist(), ids.dtype.kind) == ([["a", "b", ""], ["b", "a", "c"]], "U")
    assert (distances.tolist(), distances.dtype) == ([[0, 1, -1], [0, 1, 1]], np.int32)
    ids, distances = numbers.search(CODES[:2], radius=1).to_numpy()
    assert (ids.tolist(), ids.dtype) == ([[3, -1, -1], [-1, 3, 5]], np.int64)  # an id of -1, and a padded place
    assert distances.tolist() == [[0, 1, -1], [0, 1, 1]]
    ids, distances = numbers.search(CODES[:0], k=3).to_numpy()
    assert ids.shape == distances.shape == (0, 0)
    ids, distances = text.search(CODES[:2], k=0).to_numpy()
    assert ids.shape == distances.shape == (2, 0)
    one = text.search(CODES[0], k=2)
    assert [part.tolist() for part in one.to_numpy()] == [["a", "b"], [0, 1]]


METADATA = {"n": [1, None, 2**63 - 1, 4], "t": ["x", None, "z", "é"], "sold": [True, None, False, True]}


def test_hits_become_a_data_frame_whose_integers_stay_integers():
    pandas = pytest.importorskip("pandas")
    index = filled(**METADATA)
    frame = index.search(CODES[0], k=3).to_pandas()
    assert list(frame.columns) == ["id", "distance", "n", "t", "sold"]
    assert frame["n"].tolist() == [1, pandas.NA, 2**63 - 1]
    assert (str(frame["n"].dtype), str(frame["sold"].dtype)) == ("Int64", "boolean")
    batch = index.search(CODES[:2], radius=1).to_pandas()
    assert batch[["query", "id", "distance"]].to_numpy().tolist() == [
        [0, "a", 0], [0, "b", 1], [1, "b", 0], [1, "a", 1], [1, "c", 1],
    ]  # fmt: skip
    assert len(index.search(CODES[:0]).to_pandas()) == 0


def test_hits_become_an_arrow_table():
    pytest.importorskip("pyarrow")
    index = filled(**METADATA, odd=[1, "1", None, True])
    with pytest.raises(DataError, match=r"'odd' holds values of several types.*to_dicts"):
        index.search(CODES[0]).to_arrow()
    index = filled(**METADATA)
    table = index.search(CODES[:2], radius=1).to_arrow()
    assert table.column_names == ["query", "id", "distance", "n", "t", "sold"]
    assert table.to_pydict()["n"] == [1, None, None, 1, 2**63 - 1]
    assert index.search(CODES[0], k=2).to_arrow().to_pylist() == index.search(CODES[0], k=2).to_dicts()


@pytest.mark.parametrize("form", ["to_pandas", "to_arrow"])
def test_a_column_query_stays_beside_the_number_of_the_query(form):
    pytest.importorskip("pandas" if form == "to_pandas" else "pyarrow")
    table = getattr(filled(query=["w", "x", None, "z"]).search(CODES[:2], k=2), form)()
    assert (table.to_dict("list") if form == "to_pandas" else table.to_pydict()) == {
        "query": [0, 0, 1, 1],
        "id": ["a", "b", "b", "a"],
        "distance": [0, 1, 0, 1],
        "metadata.query": ["w", "x", "x", "w"],
    }


@pytest.mark.parametrize("left", [4, 0])
def test_no_hits_have_the_ids_and_columns_of_their_index(tmp_path, left):
    pytest.importorskip("pyarrow")
    index = filled(tmp_path / "i", year=[1, 2, 3, 4])
    index = index if left else Index.open(tmp_path / "i").delete(["a", "b", "c", "d"])
    one, several = index.search(np.array([255], np.uint8), radius=0), index.search(CODES + 128, radius=0)
    names = ["id", "distance"] + ["year"] * bool(left)
    for hits, expected in ((one, names), (pickle.loads(pickle.dumps(one)), names), (several, ["query", *names])):
        table = hits.to_arrow()
        assert (table.num_rows, table.column_names, str(table.schema.field("id").type)) == (0, expected, "string")
    assert several.to_numpy()[0].dtype.kind == one.ids.dtype.kind == index.to_codes().ids[:0].dtype.kind == "U"
    assert several.to_numpy()[0].shape == (4, 0)


def test_a_package_that_is_missing_is_named_with_its_installation(monkeypatch):
    hits = filled().search(CODES[0])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(PlatformError, match=r"pip install 'kinbits\[tables\]'"):
        hits.to_arrow()
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(PlatformError, match="pip install pandas"):
        hits.to_pandas()


def test_results_print_in_a_few_lines():
    index = Index.create(bits=16).add(np.zeros((5000, 2), np.uint8))
    one, several = index.search(np.zeros(2, np.uint8), k=4000), index.search(np.zeros((900, 2), np.uint8), k=20)
    assert repr(one).splitlines()[10:] == [" 9         0", "... and 3,990 more"]
    assert repr(several).splitlines()[:2] == [
        "BatchHits: 900 queries, 18,000 hits",
        "query 0: 0 (0), 1 (0), 2 (0), 3 (0), ...",
    ]
    assert len(repr(several).splitlines()) == 7
    assert repr(index) == "Index(5000 items, 16 bits, memory)"
    assert [len(one._repr_html_()) < 3000, len(several._repr_html_()) < 3000] == [True, True]


def test_html_escapes_ids_columns_and_values():
    evil = "<script>alert('1')</script>"
    index = Index.create(bits=8).add(CODES[:2], ids=[evil, "b"], metadata={f"{evil}x": [evil, None]})
    for shown in (index.search(CODES[0])._repr_html_(), index.search(CODES[:2])._repr_html_()):
        assert "<script" not in shown
        assert "&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;" in shown
        assert "<img" not in shown


def test_html_shows_thumbnails_of_the_images_that_ids_or_columns_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (300, 200), (255, 0, 0)).save(tmp_path / "red.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    index = Index.create(bits=8).add(
        CODES, ids=["red.png", "b", "broken.png", "gone.png"], metadata={"file": [None, "red.png", None, 'a"b.png']}
    )
    hits = index.search(CODES[0])
    assert [image and image.size for image in hits.images()] == [(300, 200), (300, 200), None, None]
    assert hits._repr_html_().count('<img src="data:image/') == 2
    assert index.search(CODES[:2])._repr_html_().count('<img src="data:image/') == 4
    many = Index.create(bits=8).add(np.zeros((40, 1), np.uint8), metadata={"file": ["red.png"] * 40})
    assert many.search(CODES[0], k=40)._repr_html_().count("<img") == 20
    assert many.search(np.zeros((40, 1), np.uint8), k=40)._repr_html_().count("<img") == 20


def test_images_are_found_below_the_folder_that_was_added(tmp_path):
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (30, 20), (255, 0, 0)).save(tmp_path / "photos" / "red.png")
    photos = kinbits.open_dataset(tmp_path / "photos")
    index = Index.create(tmp_path / "x", bits=8, model=Sizes()).add(photos)
    for hits in (index.search(CODES[0]), pickle.loads(pickle.dumps(Index.open(tmp_path / "x").search(CODES[0])))):
        assert hits.ids.tolist() == ["red.png"]
        assert [image.size for image in hits.images()] == [(30, 20)]
