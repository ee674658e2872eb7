import pickle
from dataclasses import replace

import numpy as np
import pytest

from kinbits.data import Dataset, LabelSpace, VectorItems, open_dataset, readable, split_folder
from kinbits.errors import DataError, UsageError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(4, 5, 6), (4, 5, 6, 1), (4, 5, 6, 3), (4, 5, 6, 4)])
def test_image_arrays(shape):
    images = RNG.integers(0, 256, shape, dtype=np.uint8)
    data = open_dataset(images, labels=["b", "a", "b", None], texts=list("wxyz"))
    assert data.kind == "image"
    assert data.image(1).size == (6, 5)
    assert data.labels.tolist() == [1, 0, 1, -1]
    assert data.texts == ("w", "x", "y", "z")
    with pytest.raises(UsageError, match="backbone"):
        _ = data.items.vectors


def test_multi_hot_labels_beside_an_array():
    data = open_dataset(np.zeros((2, 4, 4), np.uint8), labels=np.array([[1, 1], [0, 1]]))
    assert data.label_space.multi


def test_vectors_from_npy_are_mapped(tmp_path):
    vectors = RNG.normal(size=(6, 3)).astype(np.float32)
    np.save(tmp_path / "v.npy", vectors)
    data = open_dataset(tmp_path / "v.npy", labels=[0, 1] * 3)
    assert data.kind == "vector"
    assert isinstance(data.items.vectors, np.memmap)
    assert (data.select([5, 0]).items.vectors == vectors[[5, 0]]).all()
    assert readable(data) is data
    with pytest.raises(UsageError, match="backbone 'features'"):
        data.image(0)


def test_npz_brings_its_labels_and_ids(tmp_path):
    np.savez(
        tmp_path / "v.npz",
        features=RNG.normal(size=(3, 2)),
        labels=[1, 0, 1],
        ids=["p", "q", "r"],
        label_names=["no", "yes"],
    )
    data = open_dataset(tmp_path / "v.npz")
    assert data.ids.tolist() == ["p", "q", "r"]
    assert data.label_space.names == ("no", "yes")
    assert data.labels.tolist() == [1, 0, 1]


def test_vectors_with_nan_are_left_out_and_listed():
    vectors = RNG.normal(size=(4, 2))
    vectors[2, 1] = np.nan
    data = open_dataset(vectors, labels=[0, 1, 2, 3])
    assert data.ids.tolist() == [0, 1, 3]
    assert data.labels.tolist() == [0, 1, 3]
    assert [(s.id, s.reason) for s in data.skipped] == [("2", "vector is not finite as float32")]
    with pytest.raises(DataError, match="no usable"):
        open_dataset(np.full((2, 2), np.inf))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 3), np.uint8),
        np.zeros((2, 3, 3), np.float32),
        np.zeros(5),
        np.zeros((2, 3, 3, 7), np.uint8),
        np.zeros((2, 0)),
    ],
)
def test_other_arrays_say_what_is_allowed(array):
    with pytest.raises(DataError, match=r"uint8.*float"):
        open_dataset(array)


def test_damaged_and_pickled_numpy_files_are_refused(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY nonsense")
    np.save(tmp_path / "b.npy", np.array([{"run": "me"}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "c.npz", other=np.zeros(3))
    np.savez(tmp_path / "d.npz", vectors=np.zeros((30, 30)))
    (tmp_path / "d.npz").write_bytes((tmp_path / "d.npz").read_bytes()[:500])
    for name in ("a.npy", "b.npy", "c.npz", "d.npz"):
        with pytest.raises(DataError, match=name):
            open_dataset(tmp_path / name)


def test_fingerprints_follow_the_contents():
    images = RNG.integers(0, 256, (5, 4, 4), dtype=np.uint8)
    data = open_dataset(images)
    assert data.fingerprint == open_dataset(images.copy()).fingerprint
    assert data.fingerprint != data.select([1, 0, 2, 3, 4]).fingerprint
    assert data.select([1, 2]).fingerprint == open_dataset(images).select([1, 2]).fingerprint
    assert data.fingerprint != open_dataset(images, texts=list("abcde")).fingerprint
    assert data.fingerprint == open_dataset(images, labels=[1] * 5).fingerprint
    images[3, 0, 0] ^= 1
    assert data.fingerprint != open_dataset(images).fingerprint


def test_selecting_keeps_everything_in_step():
    data = Dataset(
        items=VectorItems(np.arange(8.0).reshape(4, 2)),
        ids=np.array(["a", "b", "c", "d"]),
        labels=np.array([0, 1, 0, 1]),
        label_space=LabelSpace(("x", "y")),
        texts=("A", "B", "C", "D"),
        columns={"n": [1, 2, 3, 4], "m": np.array([5, 6, 7, 8])},
    )
    part = data.select(np.array([False, True, False, True])).select([1, 0])
    assert part.ids.tolist() == ["d", "b"]
    assert part.texts == ("D", "B")
    assert (list(part.columns["n"]), list(part.columns["m"])) == ([4, 2], [8, 6])
    assert part.items.vectors.tolist() == [[6, 7], [2, 3]]
    rest = data.without([1], ["why not"])
    assert rest.ids.tolist() == ["a", "c", "d"]
    assert rest.skipped[0].id == "b"
    copy = pickle.loads(pickle.dumps(part))
    assert copy.fingerprint == part.fingerprint


def test_a_collection_and_its_splits_are_printed_in_one_line():
    columns = {"price": list(range(1200)), "stock": [0] * 1200}
    data = replace(open_dataset(np.ones((1200, 2), np.float32), labels=["a", "b"] * 600), name="shop", columns=columns)
    assert repr(data) == "Dataset(shop: 1,200 vectors, 2 classes, 2 further columns)"
    parts = split_folder(data, seed=0)
    sizes = f"{len(parts.train):,} to learn from, {len(parts.query):,} queries, {len(parts.database):,} in the database"
    assert repr(parts) == f"Splits(folder: {sizes})"


def test_the_id_that_occurs_most_often_is_named_with_its_own_count():
    with pytest.raises(DataError, match="'Shoes' occurs 3 times"):
        Dataset(VectorItems(np.zeros((6, 2))), np.array(["Bags", "Shoes", "Bags", "Shoes", "Shoes", "Hats"]))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ids": np.array([1, 1])}, "unique; '1' occurs 2 times"),
        ({"ids": np.array([1])}, "1 ids for 2 items"),
        ({"texts": ("a",)}, "1 texts"),
        ({"columns": {"price": [1]}}, "1 price"),
        ({"labels": np.array([0, 5])}, "-1..1"),
        ({"labels": np.array([0, 1]), "label_space": None}, "label space"),
        ({"label_space": LabelSpace(("a", "b"), multi=True)}, "multi-label needs"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change, reason):
    parts = {
        "items": VectorItems(np.zeros((2, 2))),
        "ids": np.array([1, 2]),
        "labels": np.array([0, 1]),
        "label_space": LabelSpace(("a", "b")),
    }
    with pytest.raises(DataError, match=reason):
        Dataset(**{**parts, **change})
