"""kinbits inspect: one table from a file of codes, an index, or a model and data."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


@pytest.fixture
def codes(run, model, vectors):
    assert run("encode", model, vectors, "-o", "codes.parquet").code == 0
    return Path("codes.parquet")


def numbers(run, *arguments):
    ended = run("inspect", *arguments, "--json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def test_codes_index_and_model_tell_the_same(run, codes, index, model, vectors):
    of_file, of_index, of_model = numbers(run, codes), numbers(run, index), numbers(run, model, vectors)
    assert of_file["quantization_error"] is None
    assert of_model["quantization_error"] > 0
    assert of_file["distance_within"] < of_file["distance_between"]
    for name in ("bits", "items", "distinct", "imbalance", "distance_within", "collision_within", "within"):
        assert of_file[name] == of_index[name] == of_model[name], name


def test_deleted_items_of_an_index_are_not_counted(run, index):
    assert run("index", "delete", index, "item 000", "item 001").code == 0
    assert numbers(run, index)["items"] == 58


def test_the_table_fits_eighty_columns_and_the_plot_is_a_picture(run, codes):
    ended = run("inspect", codes, "--plot", "codes.png")
    assert ended.code == 0, ended.err
    assert max(map(len, ended.out.splitlines())) <= 80
    assert "60 codes of 16 bits" in ended.out
    assert "effective bits" in ended.out
    assert Path("codes.png").read_bytes().startswith(b"\x89PNG")


def test_several_labels_of_an_item_are_told_apart(run):
    table = {"id": [0, 1, 2], "code": [b"\x00", b"\x00", b"\xff"], "label": ["sky, sea", "sea", None]}
    pq.write_table(pa.table(table), "other.parquet")
    found = numbers(run, "other.parquet", "--bits", "8")
    assert found["collision_within"] == 1.0
    assert found["within"] == [1] + [0] * 8
    assert found["between"][8] == 2


def test_codes_without_labels_have_no_numbers_of_classes(run):
    pq.write_table(pa.table({"id": [0, 1], "code": [b"\x00", b"\x01"]}), "plain.parquet")
    found = numbers(run, "plain.parquet", "--bits", "8")
    assert found["distance_within"] is None
    assert found["mean_distance"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["codes.parquet", "vectors.npz"], 2, "holds codes already; leave vectors.npz out"),
        (["model"], 2, "with a model, give data too"),
        (["model", "vectors.npz", "--bits", "8"], 2, "--bits goes with a file of codes"),
        (["codes.parquet", "--bits", "8"], 4, "holds 16-bit codes, not 8-bit"),
        (["nothing", "vectors.npz"], 4, "no model"),
        (["codes.parquet", "--plot", "vectors.npz/x.png"], 5, "cannot write in vectors.npz"),
    ],
)
def test_what_cannot_be_inspected_is_refused(run, codes, arguments, code, message):
    ended = run("inspect", *arguments)
    assert ended.code == code, ended.err
    assert message in ended.error


def test_an_empty_index_is_refused(run):
    from kinbits.index import Index

    Index.create("empty.index", bits=8)
    ended = run("inspect", "empty.index")
    assert ended.code == 3
    assert "is empty" in ended.error


def test_a_file_of_unknown_length_asks_for_it(run):
    codes = np.zeros((2, 1), np.uint8)
    pq.write_table(pa.table({"id": [0, 1], "code": [row.tobytes() for row in codes]}), "plain.parquet")
    assert "name their length in bits" in run("inspect", "plain.parquet").error
