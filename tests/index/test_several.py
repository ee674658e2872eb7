"""Several indexes that are searched as one answer as an index of all items."""

import pickle

import numpy as np
import pytest
from PIL import Image

import kinbits
from kinbits.errors import ArtefactError, KinbitsError, UsageError
from kinbits.index import Index, open_many


@pytest.fixture
def parts(tmp_path):
    """Three indexes of small codes, so that there are many ties, and one of all items."""
    rng = np.random.default_rng(0)
    whole = Index.create(bits=8)
    for number, rows in enumerate((40, 1, 25)):
        codes = rng.integers(0, 8, (rows, 1), dtype=np.uint8)
        ids = [f"{number}-{row:02}" for row in range(rows)]
        columns = {"n": list(range(rows)), **({"price": [1.5] * rows} if number else {})}
        Index.create(tmp_path / f"{number}.index", bits=8).add(codes, ids, columns).delete(ids[:1] if rows > 1 else [])
        whole.add(codes, ids, columns).delete(ids[:1] if rows > 1 else [])
    return [tmp_path / f"{number}.index" for number in range(3)], whole


@pytest.mark.parametrize("how", [{"k": 7}, {"k": 500}, {"radius": 1}, {"radius": 2, "k": 9}, {"where": "n < 5"}])
def test_answers_are_those_of_one_index(parts, how):
    paths, whole = parts
    together = open_many(paths)
    queries = np.arange(8, dtype=np.uint8)[:, None]
    for mine, theirs in zip(together.search(queries, **how), whole.search(queries, **how), strict=True):
        assert mine.ids.tolist() == theirs.ids.tolist()
        assert mine.distances.tolist() == theirs.distances.tolist()
        assert np.array_equal(mine.codes, theirs.codes)
        for one, other in zip(mine.to_dicts(), theirs.to_dicts(), strict=True):
            assert one.pop("index") == f"{one['id'][0]}.index"
            assert {name: value for name, value in one.items() if value is not None} == {
                name: value for name, value in other.items() if value is not None
            }
    assert len(together) == len(whole)
    assert together.count("n < 5") == whole.count("n < 5")
    assert together.ids().tolist() == whole.ids().tolist()


def test_a_filter_may_name_a_column_that_not_all_have(parts):
    paths, whole = parts
    query = np.zeros(1, np.uint8)
    found = open_many(paths).search(query, k=99, where="price > 1")
    assert found.ids.tolist() == whole.search(query, k=99, where="price > 1").ids.tolist()


def test_equal_ids_are_two_hits_in_the_order_of_the_indexes(tmp_path):
    for name in ("b", "a"):
        Index.create(tmp_path / name, bits=8).add(np.zeros((1, 1), np.uint8), ["x"], {"index": ["own"]})
    found = open_many({"second": tmp_path / "b", "first": tmp_path / "a"}).search(np.zeros(1, np.uint8))
    assert found.to_dicts() == [
        {"id": "x", "distance": 0, "index": "second"},
        {"id": "x", "distance": 0, "index": "first"},
    ]
    assert open_many([tmp_path / "a", tmp_path / "b"]).search(np.zeros(1, np.uint8)).rows[0]["index"] == "a"
    (tmp_path / "c").mkdir()
    (tmp_path / "a").rename(tmp_path / "c" / "b")
    twins = open_many([tmp_path / "b", tmp_path / "c" / "b"])
    assert sorted(twins.parts) == sorted([f"{tmp_path.name}/b", "c/b"])


def test_it_follows_changes_and_can_be_pickled(parts):
    paths, _ = parts
    together = open_many(paths)
    Index.open(paths[1]).add(np.full((1, 1), 255, np.uint8), ["new"])
    query = np.full(1, 255, np.uint8)
    assert together.search(query, k=1).ids.tolist() != ["new"]
    assert together.refresh().search(query, k=1).ids.tolist() == ["new"]
    again = pickle.loads(pickle.dumps(together))
    assert again.search(query, k=1).to_dicts() == together.search(query, k=1).to_dicts()
    together.verify()
    assert "3 indexes" in repr(together)


def test_it_is_read_only(parts):
    together = open_many(parts[0])
    for change in (
        lambda: together.add(np.zeros((1, 1), np.uint8), ["y"]),
        lambda: together.delete(where="n = 1"),
        lambda: together.compact(),
        lambda: together.update(["0-01"], {"n": [1]}),
    ):
        with pytest.raises(UsageError, match="read-only"):
            change()


def test_what_cannot_be_joined_is_refused(parts, tmp_path):
    paths, _ = parts
    Index.create(tmp_path / "long", bits=16).add(np.zeros((1, 2), np.uint8), ["x"])
    Index.create(tmp_path / "numbered", bits=8).add(np.zeros((1, 1), np.uint8))
    for wrong, kind in (("long", ArtefactError), ("numbered", UsageError), ("missing", ArtefactError)):
        with pytest.raises(kind):
            open_many([paths[0], tmp_path / wrong])
    for none in ([], [paths[0], paths[0]]):
        with pytest.raises(UsageError, match=r"give (the folders|each once)|an index is given twice"):
            open_many(none)


def test_vectors_and_images_of_each_index(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    model = kinbits.fit(vectors, method="itq", bits=8, progress=False)
    whole = Index.create(model=model, keep="float32").add(vectors, ids=np.arange(60))
    for number, part in enumerate(np.array_split(np.arange(60), 3)):
        Index.create(tmp_path / f"{number}", model=model, keep="float32").add(vectors[part], ids=part)
    together = open_many([tmp_path / "0", tmp_path / "1", tmp_path / "2"], model)
    for how in ({}, {"distance": "asymmetric"}, {"rescore": 3}):
        mine, theirs = together.search(vectors[:5], k=4, **how), whole.search(vectors[:5], k=4, **how)
        assert [hits.ids.tolist() for hits in mine] == [hits.ids.tolist() for hits in theirs]
    assert together.recall(k=5, sample=20).stages == whole.recall(k=5, sample=20).stages


def test_images_are_those_of_the_hits_index(tmp_path):
    for name, grey in (("a", 10), ("b", 200)):
        (tmp_path / name).mkdir()
        Image.new("RGB", (16, 16), (grey,) * 3).save(tmp_path / name / "x.png")

    made = {}
    for name in ("a", "b"):
        made[name] = Index.create(tmp_path / f"{name}.index", tmp_path / name, model="phash")
    together = open_many({name: tmp_path / f"{name}.index" for name in made})
    hits = together.search(made["a"].to_codes().codes[0], k=2)
    shown = {row["index"]: image.getpixel((0, 0))[0] for row, image in zip(hits.rows, hits.images(), strict=True)}
    assert shown == {"a": 10, "b": 200}


def test_an_unreadable_index_is_told(tmp_path):
    with pytest.raises(KinbitsError, match="there is no index"):
        open_many([tmp_path / "none"])
