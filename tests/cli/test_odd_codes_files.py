"""Files of codes that others wrote: bytes, lists and hexadecimal text are read, anything else is refused by its row."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kinbits.cli.codes_file import is_codes_file, read_codes
from kinbits.errors import ArtefactError

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


@pytest.mark.parametrize("facts", ["[" * 100_000, "[]", "{", '{"bits": "many"}', '{"format": 99}', '{"bits": [1]}'])
def test_a_description_that_is_damaged_is_refused(tmp_path, facts):
    with pytest.raises(ArtefactError):
        read_codes(written(tmp_path, facts, code=[b"a", b"b"]))


def test_article_codes_in_a_table_of_images_are_metadata(tmp_path):
    for code in (["A1", "B2"], [1, 2]):
        assert not is_codes_file(written(tmp_path, code=code, path=["a.png", "b.png"]))
    assert is_codes_file(written(tmp_path, code=[b"a", b"b"], path=["a.png", "b.png"]))
    assert is_codes_file(written(tmp_path, json.dumps({"bits": 8}), code=["00", "01"], path=["a.png", "b.png"]))


def test_a_length_that_the_codes_do_not_have_is_refused(run, tmp_path):
    path = written(tmp_path, code=[b"aa", b"bb"])
    assert "no 8-bit codes" in run("index", "create", "i", path, "--bits", "8").error
    path = written(tmp_path, json.dumps({"bits": 64}), code=[b"aa", b"bb"])
    ended = run("index", "create", "i", path)
    assert (ended.code, "codes of 2 bytes" in ended.error) == (4, True)
