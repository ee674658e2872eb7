"""Parquet files of a plan have the same columns, and paths of images stay in the folder."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kinbits.errors import DataError, UsageError
from kinbits.scale.planning import make_plan


def tables(folder, **files):
    for name, columns in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), f"{path}.parquet")
    return f"file://{folder}"


def parts(address, modality="image", **columns):
    plan = make_plan(address, modality, 8, columns)
    return [part for number in range(plan.count) for part in plan.block(number).parts()]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"image": [b"1"]}, r"b\.parquet has other columns than .*a\.parquet \(id\)"),
        ({"image": [b"1"], "id": ["1"]}, r"b\.parquet: the column 'id' is string, and int64 in "),
        ({"image": ["1.png"], "id": [1]}, r"b\.parquet: the column 'image' is string, and binary in "),
    ],
)
def test_files_with_other_columns_than_the_first_are_refused(tmp_path, other, message):
    address = tables(tmp_path, a={"image": [b"1"], "id": [0]}, b=other)
    with pytest.raises(DataError, match=message):
        parts(address)


def test_a_column_of_labels_that_does_not_exist_is_an_error(tmp_path):
    address = tables(tmp_path, a={"image": [b"1"], "kind": ["x"]})
    assert parts(address, label_column="kind")[0].columns == {"kind": ["x"]}
    with pytest.raises(UsageError, match="has no column 'class'; it has image, kind"):
        parts(address, label_column="class")


def test_paths_start_from_the_folder_of_their_file_and_so_do_ids(tmp_path):
    paths = ["img/1.jpg", None, "", "../a/img/../img/2.jpg"]
    for folder in ("a", "b b%20"):
        (tmp_path / folder / "img").mkdir(parents=True)
        (tmp_path / folder / "img" / "1.jpg").write_bytes(folder.encode())
    (tmp_path / "a" / "img" / "2.jpg").write_bytes(b"2")
    address = tables(tmp_path, **{"a__t": {"path": paths}, "b b%20__t": {"path": paths[:1]}})
    first, second = parts(address)
    assert first.ids.tolist() == ["a/img/1.jpg", "a/img/2.jpg"]
    assert second.ids.tolist() == ["b b%20/img/1.jpg"]
    assert [one.id for one in first.skipped] == ["a/t.parquet, row 1", "a/t.parquet, row 2"]
    assert {one.reason for one in first.skipped} == {"no such file"}


def test_an_empty_path_keeps_its_id_and_its_text(tmp_path):
    (tmp_path / "1.jpg").write_bytes(b"1")
    address = tables(tmp_path, t={"path": [None, "1.jpg"], "id": [7, 8], "text": ["a dog", "a cat"]})
    (found,) = parts(address, "text")
    assert (found.ids.tolist(), found.texts) == ([7, 8], ("a dog", "a cat"))
    assert np.array_equal(found.columns["path"], [None, "1.jpg"])


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/etc/hosts", "the path '/etc/hosts' of an image is absolute"),
        ("s3://bucket/1.jpg", "the path 's3://bucket/1.jpg' of an image is absolute"),
        ("../../1.jpg", r"the path '\.\./\.\./1.jpg' of an image leaves the folder"),
    ],
)
def test_paths_outside_the_folder_are_refused(tmp_path, path, message):
    with pytest.raises(DataError, match=message):
        parts(tables(tmp_path, a__t={"path": [path]}))
