"""What users meet beyond the conformance check: results that print, data sets, models, wrong arguments."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from kinbits import hamming
from kinbits.data import ArrayItems, Dataset, LabelSpace, Skipped, open_dataset
from kinbits.errors import ArtefactError, DataError, UsageError
from kinbits.index import Index, IndexOptions

CODES = np.array([[0b0000], [0b0001], [0b0011], [0b1111]], np.uint8)


class Model:
    """Encodes numbers by their low byte."""

    def __init__(self, bits=8, fingerprint="m" * 64):
        self.bits, self.fingerprint = bits, fingerprint

    def encode(self, items, /):
        if isinstance(items, Dataset):
            items = [items.image(row).getpixel((0, 0))[0] for row in range(len(items))]
        return np.atleast_1d(np.asarray(items, dtype=np.uint8))[:, None]


def dataset(numbers=(0, 1, 15), **changes):
    parts = {
        "items": ArrayItems(np.array(numbers, np.uint8)[:, None, None]),
        "ids": np.array(["x", "y", "z"]),
        "columns": {"year": np.array([2019, 2020, 2021])},
        "labels": np.array([1, 0, -1]),
        "texts": None,
        "name": "photos",
    } | changes
    labels = parts["labels"]
    space = None if labels is None else LabelSpace(("cat", "dog"), multi=labels.ndim == 2)
    return Dataset(**parts, label_space=space)


class Forgiving(Model):
    """Cannot read odd numbers."""

    def encode(self, dataset, /, *, on_error="raise"):
        codes = super().encode(dataset)
        rows = np.flatnonzero(codes[:, 0] % 2 == 0)
        skipped = [Skipped(str(dataset.ids[row]), "odd") for row in np.flatnonzero(codes[:, 0] % 2)]
        return codes if on_error == "raise" else SimpleNamespace(array=codes[rows], rows=rows, skipped=skipped)


def filled(**options):
    metadata = {"year": [2019, 2020, None, 2021], "title": ["a", "b b", "c", "d" * 80]}
    return Index.create(bits=8).add(CODES, ids=["a", "b", "c", "d"], metadata=metadata, **options)


def test_hits_print_as_a_table_and_go_to_json():
    hits = filled().search(CODES[0], k=3)
    assert repr(hits).splitlines()[:2] == ["id  distance  year  title", "a          0  2019  a"]
    assert json.loads(json.dumps(hits.to_dicts()))[1] == {
        "id": "b",
        "distance": 1,
        "year": 2020,
        "title": "b b",
    }
    assert [hit["id"] for hit in hits] == hits.ids.tolist() == ["a", "b", "c"]
    assert hits[2] == {"id": "c", "distance": 2, "year": None, "title": "c"}
    assert repr(filled().search(CODES[0], k=0)) == "Hits: none"


def test_long_results_print_their_head_only():
    index = Index.create(bits=8).add(np.zeros((50, 1), np.uint8))
    assert repr(index.search(CODES[0], k=50)).endswith("... and 40 more")
    batch = index.search(np.zeros((25, 1), np.uint8), k=1)
    assert repr(batch).startswith("BatchHits: 25 queries, 25 hits\nquery 0: 0 (0)\n")
    assert repr(batch[:1]).startswith("BatchHits: 1 query, 1 hit\n")
    assert len(batch[:3]) == 3
    assert json.loads(json.dumps(batch.to_dicts()))[0] == [{"id": 0, "distance": 0}]


def test_hits_keep_the_metadata_they_were_found_with():
    index = filled()
    hits = index.search(CODES[0], k=1)
    index.delete("a").compact()
    assert hits.to_dicts() == [{"id": "a", "distance": 0, "year": 2019, "title": "a"}]


def test_ten_hits_are_the_default():
    index = Index.create(bits=8).add(np.zeros((30, 1), np.uint8))
    assert len(index.search(CODES[0])) == 10
    assert len(index.search(CODES[0], radius=0)) == 30


def test_a_data_set_brings_ids_columns_and_label_names():
    index = Index.create(model=Model()).add(dataset())
    assert index.search(0, k=3).to_dicts() == [
        {"id": "x", "distance": 0, "year": 2019, "label": "dog"},
        {"id": "y", "distance": 1, "year": 2020, "label": "cat"},
        {"id": "z", "distance": 4, "year": 2021, "label": None},
    ]
    assert index.search(0, where="label=cat").ids.tolist() == ["y"]


def test_several_labels_are_listed_and_can_be_searched():
    labels = np.array([[1, 1], [0, 1], [0, 0]], np.uint8)
    index = Index.create(model=Model()).add(dataset(labels=labels))
    assert index.search(0, where="label contains dog").ids.tolist() == ["x", "y"]
    assert index.search(0, where={"label": "cat, dog"}).ids.tolist() == ["x"]


def test_what_is_given_wins_over_what_a_data_set_brings_and_its_labels_over_a_column_of_that_name():
    columns = {"label": ["p", "q", "r"], "text": [7, 8, 9], "year": [1, 2, 3]}
    brings = dataset(columns=columns, texts=("one", "two", ""))
    index = Index.create(model=Model()).add(brings, ids=[1, 2, 3], metadata={"year": [4, 5, 6]})
    assert index.search(0, k=1).to_dicts() == [{"id": 1, "distance": 0, "label": "dog", "text": "one", "year": 4}]
    unlabelled = Index.create(model=Model()).add(dataset(columns=columns, labels=None))
    assert unlabelled.search(0, k=1).to_dicts() == [{"id": "x", "distance": 0, "label": "p", "text": 7, "year": 1}]


def test_columns_of_a_data_set_that_hits_cannot_show_are_left_out_or_become_text():
    columns = {"id": [1, 2, 3], "distance": [9, 9, 9], "code": ["k", "l", "m"], "taken": [[2020, 1], None, {}]}
    index = Index.create(model=Model()).add(dataset(columns=columns, labels=None))
    assert index.search(0, k=3).to_dicts() == [
        {"id": "x", "distance": 0, "code": "k", "taken": "[2020, 1]"},
        {"id": "y", "distance": 1, "code": "l", "taken": None},
        {"id": "z", "distance": 4, "code": "m", "taken": "{}"},
    ]


def test_what_cannot_be_read_of_a_data_set_is_skipped_with_a_warning():
    known = Skipped("w", "no label")  # left out before, which whoever did it knows
    numbers, names = [0, 1, 2, 3, 4, 5, 7], np.array(list("abcdefg"))
    brings = dataset(numbers=numbers, ids=names, columns={"n": numbers}, labels=None, skipped=(known,))
    index = Index.create(model=Forgiving())
    with pytest.warns(UserWarning, match=r"skipped 4 of 7 images .* \(b: odd; d: odd; f: odd; \.\.\.\)") as told:
        index.add(brings)
    assert [warning.filename for warning in told] == [__file__]
    assert [(hit["id"], hit["n"]) for hit in index.search(0, k=9)] == [("a", 0), ("c", 2), ("e", 4)]
    other = Index.create(model=Forgiving())
    with pytest.warns(UserWarning, match="photos: skipped"):
        other.add(brings, ids=np.arange(7) * 10, metadata={"word": list("tuvwxyz")})
    assert [(hit["id"], hit["word"]) for hit in other.search(0, k=9)] == [(0, "t"), (20, "v"), (40, "x")]


def test_a_data_set_of_which_nothing_can_be_read_is_an_error():
    index = Index.create(model=Forgiving())
    with pytest.raises(DataError, match=r"photos: no image can be read \(x: odd; y: odd; z: odd\); check the paths"):
        index.add(dataset(numbers=[1, 3, 5]))
    assert len(index.add(dataset(numbers=[], ids=np.array([]), columns={}, labels=None))) == 0


def test_columns_that_come_later_are_none_for_earlier_items():
    index = Index.create(bits=8).add(CODES[:1]).add(CODES[1:2], metadata={"late": [7]})
    assert [hit["late"] for hit in index.search(CODES[0])] == [None, 7]
    assert index.search(CODES[0], where={"late": None}).ids.tolist() == [0]


def test_one_item_gives_hits_and_a_list_gives_one_per_item():
    index = Index.create(model=Model()).add([1, 2, 3])
    assert index.search(2, k=1).ids.tolist() == [1]
    assert [ids.tolist() for ids in index.search([2, 3], k=1).ids] == [[1], [2]]
    assert [d.tolist() for d in index.search([2, 3], k=1).distances] == [[0], [0]]


def test_many_small_additions_leave_few_segments_and_all_items(tmp_path):
    index = Index.create(tmp_path / "x", bits=8)
    for number in range(60):
        index.add(np.array([[number]], np.uint8), metadata={"n": [number]})
    assert index.info()["segments"] <= 8
    assert [hit["n"] for hit in index.search(CODES[0], radius=8)] == index.search(CODES[0], radius=8).ids.tolist()
    assert sorted(index.search(CODES[0], k=99).ids.tolist()) == list(range(60))


@pytest.mark.parametrize("wrong", [{"merge_rows": -1}, {"table_rows": 1.5}, {"block_rows": 0}, {"mapped_bytes": True}])
def test_impossible_sizes_of_an_index_are_refused(wrong):
    with pytest.raises(UsageError, match=f"{next(iter(wrong))}=.*give a whole number"):
        IndexOptions(**wrong)


def test_large_segments_are_not_rewritten_by_small_additions():
    index = Index.create(bits=8, options=IndexOptions(merge_rows=10))
    for _ in range(4):
        index.add(np.zeros((9, 1), np.uint8))
    assert index.info()["segments"] == 4
    index.delete([0, 9]).compact()
    assert (index.info()["segments"], index.info()["deleted"], len(index)) == (1, 0, 34)


def test_index_without_a_model_of_its_own_takes_any_model_of_its_length(tmp_path):
    Index.create(tmp_path / "x", bits=8).add(CODES)
    assert Index.open(tmp_path / "x", model=Model()).search(1, k=1).ids.tolist() == [1]
    with pytest.raises(ArtefactError, match=r"16-bit codes.*8-bit"):
        Index.open(tmp_path / "x", model=Model(bits=16))


def test_a_path_that_is_taken_is_not_touched(tmp_path):
    Index.create(tmp_path / "x", bits=8).add(CODES)
    with pytest.raises(UsageError, match="exist_ok=True"):
        Index.create(tmp_path / "x", bits=8)
    assert len(Index.create(tmp_path / "x", bits=8, exist_ok=True)) == 4
    with pytest.raises(UsageError, match="not 16-bit"):
        Index.create(tmp_path / "x", bits=16, exist_ok=True)
    with pytest.raises(UsageError, match="already"):
        filled().save(tmp_path / "x")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"...")
    with pytest.raises(UsageError, match=r"other files, e\.g\. cat\.jpg"):
        Index.create(tmp_path / "photos", bits=8)
    with pytest.raises(UsageError, match="is a file"):
        Index.create(tmp_path / "photos" / "cat.jpg", bits=8)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Index.create(), UsageError, "pass bits=64"),
        (lambda: Index.create(bits=0), UsageError, "whole number from 1"),
        (lambda: Index.create(bits=16, model=Model()), ArtefactError, "8-bit codes"),
        (lambda: filled().add(["cat.jpg"]), UsageError, "pass model="),
        (lambda: filled().add(CODES), UsageError, "pass ids="),
        (lambda: filled().add(CODES, ids=["a"]), DataError, "one id per item"),
        (lambda: filled().add(CODES[:2], ids=["e", 7]), DataError, "all int or all str"),
        (lambda: filled().add(CODES[:1], ids=[1.5]), DataError, "all int or all str"),
        (lambda: filled().add(CODES[:1], ids=[True]), DataError, "all int or all str"),
        (lambda: filled().add(CODES[:1], ids=[""]), DataError, "1 to 1024 bytes"),
        (lambda: filled().add(CODES[:1], ids=["a\0"]), DataError, "zero byte"),
        (lambda: filled().add(CODES[:1], ids=["\ud800"]), DataError, "Unicode"),
        (lambda: filled().add(CODES[:1], ids=[2**63]), DataError, "64-bit"),
        (lambda: filled().add(CODES[:1], ids=np.zeros((1, 1), int)), DataError, "one id per item"),
        (lambda: filled().add(CODES[:1], ["e"], {"year": [1, 2]}), DataError, "2 values for 1 items"),
        (lambda: filled().add(CODES[:1], ["e"], {"id": [1]}), UsageError, "rename this"),
        (lambda: filled().add(CODES[:1], ["e"], {"blob": [b""]}), UsageError, "metadata are finite numbers"),
        (lambda: filled().add(CODES[:1], ids=["a"]), UsageError, "'a' is already in the index; upsert replaces"),
        (lambda: filled().delete("zebra"), DataError, "'zebra'"),
        (lambda: filled().delete(7), UsageError, "str ids"),
        (lambda: filled().search(np.zeros((1, 2), np.uint8)), DataError, "2 bytes wide, but 1"),
    ],
)
def test_wrong_arguments_are_refused_with_the_remedy(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_refused_change_leaves_the_folder_as_it_was(tmp_path):
    index = Index.create(tmp_path / "x", bits=8).add(CODES)
    before = {path.name: path.read_bytes() for path in (tmp_path / "x").iterdir()}
    for call in (lambda: index.add(CODES, ids=[9, 8, 7, 0]), lambda: index.delete([0, 99])):
        with pytest.raises((UsageError, DataError)):
            call()
    assert {path.name: path.read_bytes() for path in (tmp_path / "x").iterdir()} == before


def test_the_largest_id_does_not_wrap_around():
    index = Index.create(bits=8).add(CODES[:1], ids=[2**63 - 1])
    with pytest.raises(UsageError, match="largest possible id"):
        index.add(CODES[:1])


def test_results_equal_a_plain_search_over_the_codes():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (5000, 8), dtype=np.uint8)
    index = Index.create(bits=64)
    for part in np.array_split(np.arange(5000), 7):
        index.add(codes[part], ids=part)
    near, rows = hamming.topk(codes[:20], codes, 50)
    hits = index.search(codes[:20], k=50)
    np.testing.assert_array_equal(np.stack(hits.ids), rows)
    np.testing.assert_array_equal(np.stack(hits.distances), near)


def test_codes_and_ids_begin_at_a_cache_line(tmp_path):
    memory = Index.create(bits=8)
    folder = Index.create(tmp_path / "x", bits=8)
    for index in (memory, folder):
        for rows in (1, 3, 200, 5):
            index.add(np.zeros((rows, 1), np.uint8))
        for segment in index._state.segments:
            assert segment.codes.ctypes.data % 64 == segment.ids.ctypes.data % 64 == 0


def test_an_index_without_metadata_has_no_table(tmp_path):
    index = Index.create(tmp_path / "x", bits=8).add(CODES)
    assert not list((tmp_path / "x").glob("*.rows"))
    index.add(CODES, metadata={"n": [1, 2, 3, 4]})
    assert index.search(CODES[0], where="n!=2").ids.tolist() == [0, 4, 1, 2, 6, 3, 7]
    assert [hit["n"] for hit in index.search(CODES[0], k=2)] == [None, 1]


HOLDS = """
import sys
import numpy as np
from kinbits.index import Index, IndexOptions

def held():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon"))

Index.create(bits=64).add(np.zeros((1, 8), np.uint8)).search(np.zeros(8, np.uint8))
before = held()
index = Index.open(sys.argv[1])
index.search(np.zeros(8, np.uint8), k=10)
print(1024 * (held() - before))
"""


def test_a_loaded_index_holds_little_beside_its_mapped_files(tmp_path):
    rows = 2_000_000
    index = Index.create(tmp_path / "x", bits=64).add(np.zeros((rows, 8), np.uint8)).delete(range(0, rows, 1000))
    mapped = sum(path.stat().st_size for path in (tmp_path / "x").iterdir())
    done = subprocess.run([sys.executable, "-c", HOLDS, tmp_path / "x"], capture_output=True, text=True, check=True)
    assert len(index) == rows - 2000
    assert mapped + int(done.stdout) <= 1.05 * 16 * rows


def test_a_column_that_gets_values_of_another_type_is_named():
    index = filled().add(CODES[:2], ["x", "y"], metadata={"year": [1, 2.5]})  # numbers, as before
    with pytest.warns(UserWarning, match="column 'year' held values of type number, and now also holds"):
        index.update("x", {"year": ["soon"]})
    index.update("y", {"year": ["later"]})  # mixed already
    assert index.search(CODES[0], k=1, where="year=soon").ids.tolist() == ["x"]


def test_ids_of_items_that_meet_a_filter_are_listed_in_order():
    index = filled()
    assert index.ids().tolist() == ["a", "b", "c", "d"]
    assert index.ids("year>=2020").tolist() == ["b", "d"]
    assert len(index.ids(limit=3)) == 3
    assert Index.create(bits=8).ids().tolist() == []


def test_a_notebook_shows_what_an_index_holds_and_escapes_it(tmp_path):
    Image.new("RGB", (20, 10), "red").save(tmp_path / "a<b>.png")
    ids = [str(tmp_path / "a<b>.png"), "no picture"]
    index = Index.create(bits=8).add(CODES[:2], ids=ids, metadata={"<i>": [1, 2]})
    page = index._repr_html_()
    assert "Index(2 items, 8 bits, memory)" in page
    assert "&lt;i&gt; (integer)" in page
    assert page.count("<img ") == 1
    assert "<i>" not in page
    assert "<b>" not in page
    assert "<img" not in filled()._repr_html_()


def test_a_folder_brings_names_and_labels_as_the_data_set_of_it_does(tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        Image.new("L", (4, 4), 3).save(tmp_path / label / "1.png")
    folder, opened = Index.create(model=Model()), Index.create(model=Model())
    assert (
        folder.add(tmp_path).search(CODES[0]).to_dicts()
        == opened.add(open_dataset(tmp_path)).search(CODES[0]).to_dicts()
    )
    assert folder.ids().tolist() == ["cat/1.png", "dog/1.png"]
    with pytest.raises(UsageError, match=r"cat/1\.png"):
        folder.add(str(tmp_path))


def test_some_items_are_returned_in_the_order_of_their_ids(tmp_path):
    codes = np.arange(12, dtype=np.uint8)[:, None]
    index = Index.create(tmp_path / "i", bits=8)
    for part in np.array_split(np.arange(12), 3):
        index.add(codes[part], ids=[f"id{row}" for row in part], metadata={"row": part.tolist()})
    index.delete("id4")
    some = index.to_codes(ids=["id9", "id0", "id5"])
    assert (some.ids.tolist(), some.codes[:, 0].tolist()) == (["id9", "id0", "id5"], [9, 0, 5])
    assert some.columns == {"row": [9, 0, 5]}
    assert index.to_codes([], ids="id2").columns == {}
    assert len(index.to_codes(ids=[])) == 0
    with pytest.raises(DataError, match="'id4' is not in the index"):
        index.to_codes(ids=["id1", "id4"])
    with pytest.raises(UsageError, match="int ids were given"):
        index.to_codes(ids=4)
