"""Folders of shards with vectors: one collection that stays on disk."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kinbits import DataError
from kinbits.data import MappedRows, open_dataset

WHOLE = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
LABELS = (np.arange(30) % 3).tolist()


def npy_shards(folder):
    folder.mkdir()
    for number, start in enumerate((0, 11, 20)):
        np.save(folder / f"part-{number}.npy", WHOLE[start : (11, 20, 30)[number]])
    return folder


def parquet_shards(folder, kind):
    folder.mkdir()
    for number, start in enumerate((0, 13)):
        rows = slice(start, (13, 30)[number])
        vectors = pa.array(WHOLE[rows].tolist(), kind)
        pq.write_table(pa.table({"vector": vectors, "label": LABELS[rows]}), folder / f"{number}.parquet")
    return folder


def test_npy_files_of_a_folder_are_one_collection_in_the_order_of_their_names(tmp_path):
    data = open_dataset(npy_shards(tmp_path / "v"), labels=LABELS)
    assert isinstance(data.items.stored_vectors, MappedRows)
    np.testing.assert_array_equal(data.items.vectors, WHOLE)
    assert (data.ids.tolist(), data.labels.tolist(), data.name) == (list(range(30)), LABELS, "v")
    part = data.select([20, 3])
    assert isinstance(part.items.stored_vectors, MappedRows)
    np.testing.assert_array_equal(part.items.vectors, WHOLE[[20, 3]])


def test_a_shard_that_changes_is_other_data(tmp_path):
    folder = npy_shards(tmp_path / "v")
    before = open_dataset(folder).fingerprint
    assert open_dataset(folder).fingerprint == before
    np.save(folder / "part-1.npy", WHOLE[:9])
    assert open_dataset(folder).fingerprint != before


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 4)], ids=str
)
def test_lists_of_parquet_shards_stay_on_disk(tmp_path, kind):
    data = open_dataset(parquet_shards(tmp_path / "p", kind))
    assert isinstance(data.items.stored_vectors, MappedRows)
    np.testing.assert_array_equal(data.items.vectors, WHOLE)
    assert data.labels.tolist() == LABELS


def test_vectors_that_are_not_finite_are_left_out_without_reading_the_others(tmp_path):
    folder, bad = npy_shards(tmp_path / "v"), WHOLE[:2].copy()
    bad[1, 2] = np.inf
    np.save(folder / "part-9.npy", bad)
    data = open_dataset(folder)
    assert [one.id for one in data.skipped] == ["31"]
    assert isinstance(data.items.stored_vectors, MappedRows)
    np.testing.assert_array_equal(data.items.vectors, np.concatenate([WHOLE, WHOLE[:1]]))


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (WHOLE[:, :3], "float32 vectors of 3 numbers, and .* float32 vectors of 4; give all shards"),
        (WHOLE.astype(np.float64), "float64 vectors of 4 numbers"),
        (np.arange(30), r"shape \(30,\) and dtype int64; a folder of .npy files is read as shards"),
    ],
)
def test_shards_of_another_kind_are_refused(tmp_path, other, told):
    folder = npy_shards(tmp_path / "v")
    np.save(folder / "part-9.npy", other)
    with pytest.raises(DataError, match=told):
        open_dataset(folder)


def test_damaged_and_empty_shards_are_refused(tmp_path):
    folder = npy_shards(tmp_path / "v")
    (folder / "part-1.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(DataError, match=r"part-1.npy: not a readable NumPy file"):
        open_dataset(folder)
    for path in folder.iterdir():
        np.save(path, WHOLE[:0])
    with pytest.raises(DataError, match="the shards hold no vectors"):
        open_dataset(folder)
