"""Tables whose rows hold vectors."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import encoded, picture

from kinbits import fit
from kinbits.data import open_dataset
from kinbits.errors import DataError, UsageError

VECTORS = np.random.default_rng(0).normal(size=(6, 4))
LABELS = [0, 1, 0, 1, 0, 1]


def written(path, vectors, kind=None, name="vector", **columns):
    cells = [None if row is None else list(row) for row in vectors]
    pq.write_table(pa.table({name: pa.array(cells, kind), **columns}), path)
    return path


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (pa.list_(pa.float64()), np.float64),
        (pa.list_(pa.float32(), 4), np.float32),
        (pa.large_list(pa.float32()), np.float32),
    ],
)
@pytest.mark.parametrize("name", ["vector", "Embedding", "features"])
def test_lists_of_one_length_are_vectors(tmp_path, kind, dtype, name):
    path = written(tmp_path / "t.parquet", VECTORS, kind, name, label=LABELS, price=[1.5] * 6, id=[*"abcdef"])
    data = open_dataset(path)
    assert (data.kind, data.items.vectors.dtype) == ("vector", dtype)
    np.testing.assert_array_equal(data.items.vectors, VECTORS.astype(dtype))
    assert (data.labels.tolist(), data.ids.tolist()) == (LABELS, [*"abcdef"])
    assert list(data.columns) == ["price", "id"]
    assert f"vectors from column '{name}'" in data.guesses


def test_whole_numbers_are_vectors_too(tmp_path):
    path = written(tmp_path / "t.parquet", [[0, 255], [7, 2**40 + 1]])
    np.testing.assert_array_equal(open_dataset(path).items.vectors, np.float32([[0, 255], [7, 2**40]]))


def test_a_table_and_an_array_give_the_same_codes(tmp_path):
    path = written(tmp_path / "t.parquet", VECTORS)
    options = {"method": "itq", "bits": 4, "progress": False, "cache": None}
    assert fit(path, **options).fingerprint == fit(VECTORS, **options).fingerprint


def test_images_come_first_and_the_vectors_can_be_named(tmp_path):
    pictures = [encoded(picture(seed)) for seed in range(6)]
    path = written(tmp_path / "t.parquet", VECTORS, image=pictures)
    assert open_dataset(path).kind == "image"
    assert open_dataset(path, vector_column="vector").kind == "vector"


def test_what_is_named_as_images_or_vectors_must_hold_them(tmp_path):
    path = written(tmp_path / "t.parquet", VECTORS, image=[encoded(picture(seed)) for seed in range(6)])
    np.savez(tmp_path / "a.npz", mine=VECTORS, pixels=np.zeros((6, 8, 8), np.uint8))
    with pytest.raises(DataError, match=r"'vector' holds list.*double>, not images or paths; vectors are named by vec"):
        open_dataset(path, image_column="vector")
    with pytest.raises(
        DataError, match=r"'image' holds binary, not vectors \(lists of numbers\); images and paths are"
    ):
        open_dataset(path, vector_column="image")
    with pytest.raises(UsageError, match="image_column and vector_column both name what is read"):
        open_dataset(path, image_column="image", vector_column="vector")
    with pytest.raises(UsageError, match="no column 'embedding'"):
        open_dataset(path, vector_column="embedding")
    assert open_dataset(tmp_path / "a.npz", vector_column="mine").kind == "vector"
    assert open_dataset(tmp_path / "a.npz", image_column="pixels").kind == "image"
    with pytest.raises(DataError, match="column 'mine' holds vectors, not images or paths"):
        open_dataset(tmp_path / "a.npz", image_column="mine")
    with pytest.raises(DataError, match="column 'pixels' holds images, not vectors"):
        open_dataset(tmp_path / "a.npz", vector_column="pixels")


def test_a_named_column_of_vectors_counts_in_data_sets_with_images_too():
    datasets = pytest.importorskip("datasets")
    columns = {"image": [picture(seed) for seed in range(6)], "mine": VECTORS.tolist()}
    data = datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image())
    assert open_dataset(data, vector_column="mine").kind == "vector"


def test_vectors_that_are_empty_or_not_finite_are_skipped(tmp_path):
    rows = [VECTORS[0], None, [1, 2, None, 4], [1, np.inf, 0, 0], VECTORS[4]]
    data = open_dataset(written(tmp_path / "t.parquet", rows, label=LABELS[:5]))
    np.testing.assert_array_equal(data.items.vectors, VECTORS[[0, 4]])
    assert [(one.id, one.reason) for one in data.skipped] == [(row, "vector is not finite as float32") for row in "123"]


def test_splits_of_one_length_have_their_own_rows_and_fingerprints(tmp_path):
    path = written(tmp_path / "t.parquet", VECTORS, split=["train", "test"] * 3)
    train, test = (open_dataset(path, split=split) for split in ("train", "test"))
    np.testing.assert_array_equal(test.items.vectors, VECTORS[1::2])
    assert train.items.fingerprint != test.items.fingerprint


@pytest.mark.parametrize(
    ("rows", "kind", "reason"),
    [
        (
            [[1.0, 2.0], None, [3.0]],
            None,
            r"column 'vector': the vector in row 2 .* has 1 numbers, .* have 2; give all",
        ),
        ([[], []], pa.list_(pa.float32()), "the vectors hold no numbers"),
        ([None, None], pa.list_(pa.float32()), "the vectors hold no numbers"),
        ([[np.nan], [np.nan]], None, "2 skipped"),
        (
            [["a"], ["b"]],
            None,
            r"no image column among vector; .* for vectors vector, vectors, .*; name it by image_col",
        ),
    ],
)
def test_other_lists_are_refused_with_the_reason(tmp_path, rows, kind, reason):
    with pytest.raises(DataError, match=reason):
        open_dataset(written(tmp_path / "t.parquet", rows, kind))


def test_a_named_column_of_another_type_is_told_what_may_be_in_it(tmp_path):
    path = written(tmp_path / "t.parquet", VECTORS, price=[1.5] * 6)
    with pytest.raises(
        DataError, match="column 'price' holds double, not images or paths; vectors are named by vector_column"
    ):
        open_dataset(path, image_column="price")
