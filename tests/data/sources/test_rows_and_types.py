"""Multi-hot rows in lists, columns of every type, columns without a name: nothing is misread, nothing stops a table."""

import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import encoded, image_folder, picture

from kinbits.data import doubtful_classes, open_dataset
from kinbits.errors import DataError, UsageError

HOT = [[0, 1, 0], [1, 0, 0], [1, 1, 0]]
VECTORS = np.arange(6, dtype=np.float32).reshape(3, 2)


def table(path, **columns):
    count = len(next(iter(columns.values())))
    pq.write_table(pa.table({"image": [encoded(picture(row)) for row in range(count)], **columns}), path)
    return path


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.list_(pa.int8(), 3), pa.list_(pa.float32())])
def test_multi_hot_rows_in_a_column_of_lists_are_no_class_numbers(tmp_path, kind):
    path = table(tmp_path / "t.parquet", labels=pa.array(HOT, kind))
    data = open_dataset(path, label_names=["cat", "dog", "owl"])
    assert (data.labels.tolist(), data.label_space.names, data.label_space.multi) == (HOT, ("cat", "dog", "owl"), True)


def test_multi_hot_rows_in_a_list_are_read_as_those_of_an_array():
    assert open_dataset(VECTORS, labels=HOT).labels.tolist() == HOT
    one_each = open_dataset(VECTORS, labels=[[0, 1], [1, 0], [0, 1]])
    assert (one_each.labels.tolist(), one_each.label_space.multi) == ([1, 0, 1], False)
    assert open_dataset(VECTORS, labels=[[0, 1], [1], [2]]).labels.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    with pytest.raises(DataError, match=r"label 0 of row 1 .* is -1"):
        open_dataset(VECTORS, labels=[[0, 1, 0], [-1, 0, 1], [0, 0, 1]])


def test_lists_stay_lists_where_cells_are_cut(tmp_path):
    path = table(tmp_path / "t.parquet", labels=[["a", "b"], ["b"]])
    assert open_dataset(path, label_separator=";").labels.tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize("what", ["labels", "texts"])
@pytest.mark.parametrize("given", [{"a", "b", "c"}, {"a": 1, "b": 2, "c": 3}, "abc"])
def test_what_has_no_order_goes_with_no_item(what, given):
    with pytest.raises(UsageError, match=what):
        open_dataset(VECTORS, **{what: given})


def test_ids_beside_vectors_that_name_rows_alike_give_way(tmp_path):
    np.savez(tmp_path / "v.npz", vectors=VECTORS, names=np.array(["cat", "cat", "dog"]))
    data = open_dataset(tmp_path / "v.npz")
    assert data.ids.tolist() == [0, 1, 2]
    assert any(guess.startswith("array 'names' is not used as ids") for guess in data.guesses)
    with pytest.raises(DataError, match="the same id"):
        open_dataset(tmp_path / "v.npz", id_column="names")


def test_one_id_in_each_row_of_a_matrix_is_an_id(tmp_path):
    np.savez(tmp_path / "v.npz", vectors=VECTORS, ids=[[7], [8], [9]])
    assert open_dataset(tmp_path / "v.npz").ids.tolist() == [7, 8, 9]


def test_masked_values_are_no_values():
    masked = np.ma.masked_array(VECTORS, mask=VECTORS == 3)
    with pytest.raises(DataError, match="masked"):
        open_dataset(masked)
    assert len(open_dataset(np.ma.masked_array(VECTORS))) == 3


def test_columns_of_every_type_are_kept(tmp_path):
    names = [uuid.UUID(int=row) for row in range(3)]
    path = table(
        tmp_path / "t.parquet",
        id=pa.ExtensionArray.from_storage(pa.uuid(), pa.array([name.bytes for name in names], pa.binary(16))),
        tags=pa.array([[("a", 1)], [], None], pa.map_(pa.string(), pa.int64())),
        place=pa.ExtensionArray.from_storage(
            pa.fixed_shape_tensor(pa.int8(), [2]), pa.array([[1, 2]] * 3, pa.list_(pa.int8(), 2))
        ),
    )
    data = open_dataset(path)
    assert data.ids.tolist() == [str(name) for name in names]
    assert data.columns["tags"] == ['[["a", 1]]', "[]", None]
    assert data.columns["place"] == ["[1, 2]"] * 3


def test_a_shard_with_other_columns_is_named(tmp_path):
    table(tmp_path / "0.parquet", label=[0, 1])
    table(tmp_path / "1.parquet", y=[0, 1])
    with pytest.raises(DataError, match=r"1\.parquet has other columns"):
        open_dataset(tmp_path)


def test_shards_may_name_their_columns_in_any_order(tmp_path):
    table(tmp_path / "0.parquet", label=[0, 1])
    pq.write_table(pq.read_table(tmp_path / "0.parquet").select(["label", "image"]), tmp_path / "1.parquet")
    data = open_dataset(tmp_path)
    assert (data.labels.tolist(), data.image(2).size) == ([0, 1, 0, 1], data.image(0).size)


def test_pages_that_are_damaged_are_no_matter_of_the_cache(tmp_path):
    path = table(tmp_path / "t.parquet", label=[0, 1])
    data = bytearray(path.read_bytes())
    data[4:200] = bytes(196)
    path.write_bytes(data)
    with pytest.raises(DataError, match="not a readable Parquet"):
        open_dataset(path)


def test_a_column_without_a_name_is_left_out(tmp_path):
    image_folder(tmp_path, {"": 2})
    (tmp_path / "t.csv").write_text(",path,label\n0,0.png,a\n1,1.png,b\n")
    data = open_dataset(tmp_path / "t.csv")
    assert (data.label_space.names, list(data.columns)) == (("a", "b"), [])
    assert "a column without a name is left out" in data.guesses


@pytest.mark.parametrize("names", [("train_images", "test_images"), ("trainset", "cat")])
def test_parts_of_a_collection_are_hardly_classes(tmp_path, names):
    data = open_dataset(image_folder(tmp_path, dict.fromkeys(names, 2)))
    assert f"parts of a collection ({', '.join(sorted(n for n in names if n != 'cat'))})" in doubtful_classes(data)


def test_train_and_eval_are_parts(tmp_path):
    data = open_dataset(image_folder(tmp_path, {"trainval/cat": 1, "eval/dog": 1}))
    assert data.label_space.names == ("cat", "dog")
