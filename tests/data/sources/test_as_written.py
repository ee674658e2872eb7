"""Labels, ids, texts and paths come back as they were written; only an empty cell is missing."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import encoded, image_folder, picture

from kinbits._util import parse_float, parse_int
from kinbits.data import open_dataset, open_pairs
from kinbits.data.sources.list_files import read_list
from kinbits.errors import DataError, UsageError

ODD = ["NA", "null", "nan", "007", "01234", "true", "1e5", "None", "N/A", "#N/A", "-inf", "0x1F", "1_0", "٣"]


def csv(tmp_path, header, *rows):
    """Write a table of images 0.png, 1.png, ... whose other cells are given row by row."""
    image_folder(tmp_path, {"": len(rows)})
    lines = [f"path,{header}", *(f"{row}.png,{cells}" for row, cells in enumerate(rows))]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "t.csv"


def parquet(tmp_path, **columns):
    count = len(next(iter(columns.values())))
    table = pa.table({"image": [encoded(picture(row)) for row in range(count)], **columns})
    pq.write_table(table, tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


def words(data):
    return [data.label_space.names[label] if label >= 0 else None for label in data.labels]


def test_every_word_of_a_csv_is_a_label_an_id_and_a_text(tmp_path):
    data = open_dataset(csv(tmp_path, "label,text,sku", *(f"{word},{word},{word}" for word in ODD), ",,last"))
    assert words(data) == [*ODD, None]
    assert data.texts == (*ODD, "")
    assert data.ids.tolist() == [*ODD, "last"]


def test_a_quoted_empty_cell_is_missing_too(tmp_path):
    data = open_dataset(csv(tmp_path, "label,shop", '"",""', '"a","x"'))
    assert words(data) == [None, "a"]
    assert list(data.columns["shop"]) == [None, "x"]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "-20", "", "0"], [1, -20, None, 0]),
        (["1", "2.5", "", "1e3"], [1.0, 2.5, None, 1000.0]),
        (["true", "false", "", "true"], [True, False, None, True]),
        (["True", "false", "", ""], ["True", "false", None, None]),
        (["007", "12"], ["007", "12"]),
        (["1_0", "20"], ["1_0", "20"]),
        (["-0", "1"], [-0.0, 1.0]),
        (["NA", "1"], ["NA", "1"]),
        (["nan", "1.5"], ["nan", "1.5"]),
        (["inf", "1.5"], ["inf", "1.5"]),
        (["1e999", "1.5"], ["1e999", "1.5"]),
        (["18446744073709551615", "1"], ["18446744073709551615", "1"]),
        (["9223372036854775807", "1"], [9223372036854775807, 1]),
        (["12345678901234567", "1.5"], ["12345678901234567", "1.5"]),
        (["٣", "4"], ["٣", "4"]),
        (["+5", "4"], ["+5", "4"]),
        ([" 5", "4"], [" 5", "4"]),
    ],
)
def test_a_csv_column_is_a_number_only_where_every_cell_is_one(tmp_path, cells, values):
    found = list(open_dataset(csv(tmp_path, "shop", *cells)).columns["shop"])
    assert found == values
    assert list(map(type, found)) == list(map(type, values))


def test_numbers_as_classes_of_a_csv_are_names_in_the_order_of_their_values(tmp_path):
    data = open_dataset(csv(tmp_path, "label", "10", "9", "-1", ""))
    assert data.label_space.names == ("-1", "9", "10")
    assert words(data) == ["10", "9", "-1", None]


def test_numbers_as_classes_of_a_csv_stand_for_names_that_are_given(tmp_path):
    path = csv(tmp_path, "label", "1", "0", "-1", "")
    data = open_dataset(path, label_names=["cat", "dog"])
    assert words(data) == ["dog", "cat", None, None]
    with pytest.raises(DataError, match="1 label_names for 2 classes"):
        open_dataset(path, label_names=["cat"])


def test_whole_numbers_of_parquet_stay_class_numbers_and_truth_gets_names(tmp_path):
    assert open_dataset(parquet(tmp_path, label=[3, 1])).labels.tolist() == [3, 1]
    truth = open_dataset(parquet(tmp_path, label=[True, None]))
    assert (truth.label_space.names, truth.labels.tolist()) == (("false", "true"), [1, -1])


def test_integers_beyond_64_bits_become_text(tmp_path):
    large = np.array([2**63, 2**64 - 1], np.uint64)
    np.savez(tmp_path / "v.npz", vectors=np.ones((2, 3), np.float32), ids=large)
    expected = ["9223372036854775808", "18446744073709551615"]
    assert open_dataset(tmp_path / "v.npz").ids.tolist() == expected
    np.savez(tmp_path / "v.npz", vectors=np.ones((2, 3), np.float32), ids=np.array([7, 8], np.uint64))
    assert open_dataset(tmp_path / "v.npz").ids.tolist() == [7, 8]
    data = open_dataset(parquet(tmp_path, id=large, hash=large))
    assert data.ids.tolist() == expected
    assert list(data.columns["hash"]) == expected
    labels = open_dataset(np.ones((2, 3), np.float32), labels=large)
    assert labels.label_space.names == tuple(expected)


def test_texts_may_be_missing_or_several_and_are_never_a_repr(tmp_path):
    vectors = np.ones((5, 3), np.float32)
    given = [None, ["a dog", "on grass"], float("nan"), b"bytes", 7]
    assert open_dataset(vectors, texts=given).texts == ("", "a dog on grass", "", "bytes", "7")
    data = open_dataset(parquet(tmp_path, captions=[["a dog", None, "on grass"], None]))
    assert data.texts == ("a dog on grass", "")
    with pytest.raises(DataError, match=r"text of row 1 \(counted from 0\) is \{'a': 1\}"):
        open_dataset(vectors[:2], texts=["x", {"a": 1}])


def test_ids_of_bytes_are_text_or_hex(tmp_path):
    assert open_dataset(parquet(tmp_path, id=[b"caf\xc3\xa9", b"\xff\x00"])).ids.tolist() == ["café", "ff00"]
    np.savez(tmp_path / "v.npz", vectors=np.ones((2, 3), np.float32), ids=np.array([b"a", b"b"]))
    assert open_dataset(tmp_path / "v.npz").ids.tolist() == ["a", "b"]


@pytest.mark.parametrize(("cells", "shown"), [([1, None], "missing"), ([[1], [2]], r"\[1\]"), (["a", ""], "missing")])
def test_ids_that_are_none_are_refused_by_their_row(tmp_path, cells, shown):
    path = parquet(tmp_path, key=cells)
    with pytest.raises(DataError, match=rf"column 'key': the id of row [01] \(counted from 0\) is {shown}"):
        open_dataset(path, id_column="key")


def test_one_label_in_each_row_of_a_matrix_is_a_single_label(tmp_path):
    data = open_dataset(np.ones((3, 2), np.float32), labels=np.array([[2], [0], [1]]))
    assert (data.labels.tolist(), data.label_space.multi, data.label_space.classes) == ([2, 0, 1], False, 3)
    names = open_dataset(np.ones((2, 2), np.float32), labels=np.array([["b"], ["a"]]))
    assert names.label_space.names == ("a", "b")


@pytest.mark.parametrize(
    ("labels", "row"),
    [
        ([0, 0.7], "row 1"),
        (np.array([0.0, 1.0, 0.7]), "row 2"),
        (np.array([[0, 1], [0.7, 0.3]]), "label 0 of row 1"),
        ([["a"], [0.5]], "row 1"),
        (["a", 3], "row 1"),
        ([0, {"x": 1}], "row 1"),
        ([[0], [[1]]], "row 1"),
    ],
)
def test_what_is_no_label_is_refused_by_its_row(labels, row):
    with pytest.raises(DataError, match=row):
        open_dataset(np.ones((len(labels), 2), np.float32), labels=labels)


def test_soft_labels_in_columns_of_zero_and_one_are_refused(tmp_path):
    path = csv(tmp_path, "sea,sky", "1,0", "0.7,1")
    with pytest.raises(DataError, match=r"label 0 of row 1 \(counted from 0\) is 0\.7;"):
        open_dataset(path, label_column=["sea", "sky"])
    path = csv(tmp_path, "sea,sky", "1,0", "0,1", "1,1")
    assert open_dataset(path, label_column=["sea", "sky"]).labels.tolist() == [[1, 0], [0, 1], [1, 1]]


def test_metadata_keep_their_kind_and_nothing_becomes_a_repr(tmp_path):
    import datetime
    import decimal

    data = open_dataset(
        parquet(
            tmp_path,
            day=[datetime.date(2020, 1, 5), None],
            price=[decimal.Decimal("1.50"), None],
            tags=[["a", "b"], []],
            sold=[True, None],
            score=[float("inf"), 0.5],
            key=[b"\xff", b"\x00\x01"],
            mask=[encoded(picture(1)), None],
            deep=[{"x": 1}, None],
        )
    )
    found = {name: list(values) for name, values in data.columns.items()}
    assert found == {
        "day": ["2020-01-05", None],
        "price": ["1.50", None],
        "tags": ['["a", "b"]', "[]"],
        "sold": [True, None],
        "score": [None, 0.5],
        "key": ["ff", "\x00\x01"],
        "deep": ['{"x": 1}', None],
    }
    told = "; ".join(data.guesses)
    assert "column 'score' has 1 infinite values, which count as missing" in told
    assert "column 'mask' is left out" in told


def test_deep_json_is_refused_and_no_fault(tmp_path):
    path = tmp_path / "t.parquet"
    table = pa.table({"image": [encoded(picture(0))], "label": [0]})
    pq.write_table(table.replace_schema_metadata({"label_names": "[" * 100_000}), path)
    with pytest.raises(DataError, match="nested too deeply"):
        open_dataset(path)
    pq.write_table(table.replace_schema_metadata({"label_names": json.dumps(["cat"])}), path)
    assert open_dataset(path).label_space.names == ("cat",)


def test_two_columns_of_one_name_are_refused(tmp_path):
    with pytest.raises(DataError, match="several columns are called 'shop'"):
        open_dataset(csv(tmp_path, "shop,shop", "1,2"))
    with pytest.raises(UsageError, match="give one of the two"):
        open_dataset(tmp_path / "t.csv", labels=False, label_column="shop")


def test_captions_may_be_long(tmp_path):
    image_folder(tmp_path, {"": 1})
    long = "word " * 50_000
    (tmp_path / "captions.csv").write_text(f"file_name,text\n0.png,{long}\n")
    assert open_dataset(tmp_path).texts == (long.strip(),)
    (tmp_path / "captions.csv").unlink()
    (tmp_path / "t.csv").write_text(f"path,text\n0.png,{long * 8}\n")
    assert open_dataset(tmp_path / "t.csv").texts == (long * 8,)


def test_list_files_hold_plain_digits(tmp_path):
    image_folder(tmp_path, {"": 1})
    (tmp_path / "l.txt").write_text("0.png 1_0\n")
    with pytest.raises(DataError, match="no usable image"):  # no label: the name ends in it
        open_dataset(tmp_path / "l.txt")
    (tmp_path / "l.txt").write_text(f"0.png {2**63}\n")
    with pytest.raises(DataError, match="item 1 has a label beyond 64 bits"):
        open_dataset(tmp_path / "l.txt")


def test_vectors_in_a_list_are_told_to_be_an_array():
    with pytest.raises(DataError, match=r"item 0 \(counted from 0\) is of type ndarray.*one array"):
        open_dataset([np.ones(3, np.float32), np.ones(3, np.float32)])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path_a,path_b,label,label\na,b,1,1\n", "several columns are called 'label'"),
        ("path_a,path_b,label,weight\na,b,1,1_0\n", "column weight holds a value that is not a finite number"),
        ("path_a,path_b,label\na,b,١\n", "column label holds a value that is not a finite number"),
    ],
)
def test_tables_of_pairs_hold_plain_numbers(tmp_path, text, told):
    (tmp_path / "pairs.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=told):
        open_pairs(tmp_path / "pairs.csv", open_dataset(np.zeros((2, 3), np.float32)))


def test_numbers_that_people_type_are_plain(tmp_path):
    (tmp_path / "l.txt").write_text("0.png 1_0\n")
    with pytest.raises(DataError, match="'1_0' is not a whole number"):
        read_list(tmp_path / "l.txt")
    for read, text in ((parse_int, "1_0"), (parse_int, "٣"), (parse_int, "9" * 5000), (parse_float, "1_0.5")):
        with pytest.raises(ValueError, match="is no"):
            read(text)
    assert (parse_int("-007"), parse_float("1e3")) == (-7, 1000.0)
