"""Files of codes that others wrote: bytes, lists and hexadecimal text are read, anything else is refused by its row."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kinbits import ArtefactError, DataError, PlatformError, UsageError
from kinbits.data import Skipped
from kinbits.encoding import CodesFile, is_codes_file, read_codes, write_codes

PACKED = [[0, 1], [255, 16]]


def written(tmp_path, facts=None, **columns):
    table = pa.table({"id": [7, 8], **columns})
    if facts is not None:
        table = table.replace_schema_metadata({"kinbits": facts})
    pq.write_table(table, tmp_path / "c.parquet")
    return tmp_path / "c.parquet"


@pytest.mark.parametrize(
    "code",
    [
        pa.array([b"\x00\x01", b"\xff\x10"], pa.binary(2)),
        pa.array([b"\x00\x01", b"\xff\x10"], pa.large_binary()),
        pa.array(PACKED, pa.list_(pa.uint8())),
        pa.array(PACKED, pa.list_(pa.int64())),
        pa.array(PACKED, pa.list_(pa.uint8(), 2)),
        pa.array(["0001", "FF10"]),
    ],
    ids=lambda code: str(code.type),
)
def test_codes_are_read_however_they_are_written(tmp_path, code):
    path = written(tmp_path, code=code, hash=pa.array([2**64 - 1, 1], pa.uint64()))
    assert is_codes_file(path)
    found = read_codes(path)
    assert found.codes.tolist() == PACKED
    assert found.codes.dtype == np.uint8
    assert found.ids.tolist() == [7, 8]
    assert found.columns["hash"] == ["18446744073709551615", "1"]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (pa.array([1, 2], pa.uint64()), r"the code of row 0 \(counted from 0\) is 1; give bytes"),
        (["00", "xy"], r"row 1 \(counted from 0\) is 'xy'"),
        ([[0], [300]], r"row 1 \(counted from 0\) is \[300\]"),
        ([[0], None], "row 1 .* is missing"),
        ([b"a", b"ab"], "row 1 has 2 bytes, the first has 1"),
        ([0.5, 1.0], "row 0 .* is 0.5"),
        ([[True, False], [True, True]], r"row 0 .* is \[True, False\]"),  # bits, not bytes
    ],
)
def test_what_is_no_code_is_refused_by_its_row(tmp_path, code, told):
    with pytest.raises(ArtefactError, match=told):
        read_codes(written(tmp_path, code=code))


@pytest.mark.parametrize(
    "facts",
    [
        "[" * 100_000,
        "[]",
        "{",
        '{"bits": "many"}',
        '{"format": 99}',
        '{"bits": [1]}',
        '{"bits": -3}',
        '{"bits": 0}',
        '{"bits": true}',
        '{"multiple": "label"}',
        r'{"model": "a\u0000b"}',
        r'{"model": "\ud800"}',
        r'{"root": "a\u0000b"}',
        r'{"model": "m", "relative_model": "\ud800"}',
        r'{"fingerprint": "\ud800"}',
    ],
)
def test_a_description_that_is_damaged_is_refused(tmp_path, facts):
    with pytest.raises(ArtefactError):
        read_codes(written(tmp_path, facts, code=[b"a", b"b"]))


def test_article_codes_in_a_table_of_images_are_metadata(tmp_path):
    for code in (["A1", "B2"], [1, 2]):
        assert not is_codes_file(written(tmp_path, code=code, path=["a.png", "b.png"]))
    assert is_codes_file(written(tmp_path, code=[b"a", b"b"], path=["a.png", "b.png"]))
    assert is_codes_file(written(tmp_path, json.dumps({"bits": 8}), code=["00", "01"], path=["a.png", "b.png"]))


def test_a_length_that_the_codes_do_not_have_is_refused(tmp_path):
    unknown = read_codes(written(tmp_path, code=[b"aa", b"bb"]))
    assert unknown.bits is None
    assert unknown.with_bits(15).bits == 15
    with pytest.raises(UsageError, match="does not say how long its codes are"):
        unknown.with_bits(None)
    with pytest.raises(ArtefactError, match="codes of 2 bytes, not 8-bit codes"):
        unknown.with_bits(8)
    known = read_codes(written(tmp_path, json.dumps({"bits": 16}), code=[b"aa", b"bb"]))
    assert known.with_bits(None) == known.with_bits(16)
    with pytest.raises(ArtefactError, match="16-bit codes, not 15-bit codes"):
        known.with_bits(15)
    with pytest.raises(ArtefactError, match="codes of 2 bytes, not 64-bit codes"):
        read_codes(written(tmp_path, json.dumps({"bits": 64}), code=[b"aa", b"bb"])).with_bits(None)


@pytest.mark.parametrize("ids", [np.array([7, 8]), np.array(["a", "b"])])
def test_what_is_written_is_read_again(tmp_path, ids):
    codes = CodesFile(
        codes=np.array([[0, 1], [255, 16]], np.uint8),
        ids=ids,
        bits=12,
        columns={"label": ["cat", None], "code": ["A1", "B2"], "year": [2019, 2020]},
        fingerprint="f" * 64,
        model=tmp_path / "model",
        root=tmp_path,
        skipped=(Skipped("c.png", "no image"),),
    )
    write_codes(tmp_path / "c.parquet", codes)
    again = read_codes(tmp_path / "c.parquet")
    assert again.codes.tolist() == codes.codes.tolist()
    assert again.ids.tolist() == ids.tolist()
    assert again.columns == {"label": ["cat", None], "year": [2019, 2020]}  # code is the codes' own column
    for name in ("bits", "fingerprint", "model", "root", "skipped"):
        assert getattr(again, name) == getattr(codes, name)
    assert [path.name for path in tmp_path.iterdir()] == ["c.parquet"]


def test_codes_are_written_where_a_parquet_file_may_be(tmp_path):
    codes = CodesFile(np.zeros((1, 1), np.uint8), np.arange(1), bits=8)
    with pytest.raises(UsageError, match=r"ends in \.parquet"):
        write_codes(tmp_path / "c.json", codes)
    with pytest.raises(UsageError, match="does not say how long"):
        write_codes(tmp_path / "c.parquet", replace(codes, bits=None))
    (tmp_path / "file").touch()
    with pytest.raises(PlatformError, match="cannot write"):
        write_codes(tmp_path / "file" / "c.parquet", codes)


def test_an_array_of_packed_codes_is_read_with_its_rows_as_ids(tmp_path):
    codes = np.arange(12, dtype=np.uint8).reshape(4, 3)
    np.save(tmp_path / "c.npy", codes)
    found = read_codes(tmp_path / "c.npy")
    assert (found.ids.tolist(), found.bits, found.fingerprint) == ([0, 1, 2, 3], None, None)
    np.testing.assert_array_equal(found.codes, codes)
    assert found.with_bits(24).bits == 24
    assert is_codes_file(tmp_path / "c.npy")


@pytest.mark.parametrize("array", [np.zeros((2, 3)), np.zeros((2, 3, 3), np.uint8), np.zeros(3, np.uint8)])
def test_another_array_is_no_file_of_codes(array, tmp_path):
    np.save(tmp_path / "c.npy", array)
    assert not is_codes_file(tmp_path / "c.npy")
    with pytest.raises(ArtefactError, match=r"not packed codes; give uint8 of shape \(n, bytes\)"):
        read_codes(tmp_path / "c.npy")


def test_an_archive_of_arrays_is_no_file_of_codes(tmp_path):
    np.savez(tmp_path / "c.npz", np.zeros((2, 3), np.uint8))
    (tmp_path / "c.npz").rename(tmp_path / "c.npy")
    assert not is_codes_file(tmp_path / "c.npy")
    with pytest.raises(ArtefactError, match="cannot be read"):
        read_codes(tmp_path / "c.npy")


def test_an_array_is_not_written_as_codes(tmp_path):
    with pytest.raises(UsageError, match="write_codes takes a CodesFile, not ndarray"):
        write_codes(tmp_path / "c.parquet", np.zeros((2, 3), np.uint8))


def test_a_damaged_array_is_told(tmp_path):
    (tmp_path / "c.npy").write_bytes(b"no array")
    assert not is_codes_file(tmp_path / "c.npy")
    with pytest.raises(ArtefactError, match="cannot be read"):
        read_codes(tmp_path / "c.npy")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"codes": np.zeros((2, 1))}, "float64; packed codes are uint8"),
        ({"codes": np.zeros((2, 1), np.int64)}, "int64; packed codes are uint8"),
        ({"codes": np.zeros(2, np.uint8)}, r"shape \(2,\)"),
        ({"ids": np.arange(3)}, "2 codes, but 3 ids"),
        ({"ids": None}, "the ids are object"),
        ({"ids": np.zeros((2, 1), int)}, r"the ids are int64 of shape \(2, 1\)"),
        ({"ids": [0.5, 1.5]}, "the ids are float64"),
        ({"columns": {"year": [1]}}, "2 codes, but 1 values of 'year'"),
        ({"ids": np.array(["a", "a"])}, "the id a occurs 2 times"),
        ({"ids": np.array(["a", "\ud800"])}, "'id' cannot be stored"),
        ({"ids": np.array([0, 2**64 - 1], np.uint64)}, "'id' cannot be stored"),
        ({"columns": {"year": [1, "x"]}}, "'year' cannot be stored"),
        ({"columns": {"\ud800": [1, 2]}}, "cannot be stored"),
        ({"columns": {5: [1, 2]}}, "the column 5 cannot be stored"),
    ],
)
def test_what_is_no_collection_of_codes_is_not_written(tmp_path, change, told):
    parts = {"codes": np.zeros((2, 1), np.uint8), "ids": np.arange(2), "bits": 8, **change}
    with pytest.raises(DataError, match=told):
        write_codes(tmp_path / "c.parquet", CodesFile(**parts))
    assert not any(tmp_path.iterdir())


def test_no_codes_keep_their_width(tmp_path):
    write_codes(tmp_path / "c.parquet", CodesFile(np.zeros((0, 2), np.uint8), np.arange(0), bits=12))
    assert read_codes(tmp_path / "c.parquet").with_bits(12).codes.shape == (0, 2)


@pytest.mark.parametrize("name", ["c.npy", "c.parquet"])
def test_a_pipe_is_refused_at_once(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(ArtefactError, match="not a regular file"):
        read_codes(tmp_path / name)


def test_codes_that_move_with_their_model_find_it(tmp_path):
    (tmp_path / "old" / "model").mkdir(parents=True)
    (tmp_path / "old" / "photos").mkdir()
    folders = {"model": tmp_path / "old" / "model", "root": tmp_path / "old" / "photos"}
    codes = CodesFile(np.zeros((1, 1), np.uint8), np.arange(1), bits=8, **folders)
    write_codes(tmp_path / "old" / "codes.parquet", codes)
    (tmp_path / "old").rename(tmp_path / "new")
    found = read_codes(tmp_path / "new" / "codes.parquet")
    assert (found.model, found.root) == (tmp_path / "new" / "model", tmp_path / "new" / "photos")
    (tmp_path / "new" / "codes.parquet").rename(tmp_path / "codes.parquet")
    assert read_codes(tmp_path / "codes.parquet").model == tmp_path / "old" / "model"  # what the file states


def test_a_relative_model_starts_from_the_file_or_the_working_folder(tmp_path, monkeypatch):
    facts = json.dumps({"bits": 8, "model": "m", "root": "../photos"})
    found = read_codes(written(tmp_path, facts, code=[b"a", b"b"]))
    assert (found.model, found.root) == (tmp_path / "m", tmp_path.parent / "photos")
    monkeypatch.chdir(tmp_path)
    assert CodesFile(np.zeros((1, 1), np.uint8), np.arange(1), model=Path("m")).model == tmp_path / "m"
