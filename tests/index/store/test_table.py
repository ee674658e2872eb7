"""Metadata tables: types of columns, forged and removed files, few descriptors, forks."""

import json
import os
import pickle
import sqlite3
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import xxhash

from kinbits.errors import ArtefactError, UsageError
from kinbits.index import Index, IndexOptions
from kinbits.index.store import manifest

ZERO = np.zeros(1, np.uint8)
MAPPED = IndexOptions(mapped_bytes=0)
COLUMNS = {
    "name": ["007", "null", None, "it's"],
    "count": [1, None, 2**63 - 1, -(2**63)],
    "price": [0.5, 2.0, None, 3],
    "sold": [True, None, False, True],
    "odd": [True, 1, "1", None],
    "nothing": [None] * 4,
}
TYPES = ["text", "integer", "number", "boolean", "mixed", "empty"]


def filled(path=None, columns=COLUMNS):
    return Index.create(path, bits=8).add(np.zeros((4, 1), np.uint8), metadata=columns)


def values(index):
    """Return all metadata with their types: 1 equals True."""
    rows = index.search(ZERO, k=100).rows
    return {name: [(type(row[name]), row[name]) for row in rows] for name in rows[0]}


def test_columns_have_types_and_values_come_back_as_they_were(tmp_path):
    index = filled(tmp_path / "x")
    expected = {name: [(type(value), value) for value in column] for name, column in COLUMNS.items()}
    merged = Index.create(bits=8).merge(index)
    copy = pickle.loads(pickle.dumps(merged))
    index.save(tmp_path / "copy")
    for one in (index, merged, copy, Index.open(tmp_path / "copy")):
        assert one.info()["column_types"] == dict(zip(COLUMNS, TYPES, strict=True))
        assert one.info()["columns"] == list(COLUMNS)
        assert values(one) == expected


@pytest.mark.parametrize("path", [None, "x"])
def test_booleans_stay_booleans_where_a_column_becomes_mixed(tmp_path, path):
    index = Index.create(path and tmp_path / path, bits=8)
    index.add(np.zeros((2, 1), np.uint8), metadata={"flag": [True, False]})
    with pytest.warns(UserWarning, match="'flag' held values of type boolean"):
        index.add(np.zeros((3, 1), np.uint8), metadata={"flag": [1, None, "true"]}).compact()
    assert values(index)["flag"] == [(bool, True), (bool, False), (int, 1), (type(None), None), (str, "true")]
    for where, ids in (({"flag": True}, [0]), ({"flag": 1}, [2]), ("flag=true", [0, 4]), ("flag<2", [2])):
        assert index.search(ZERO, where=where).ids.tolist() == ids


def forge(folder, content):
    """Put other bytes into the place of a table, and sign them."""
    body = json.loads((folder / manifest.NAME).read_bytes())
    entry = body["segments"][0]["files"]["rows"]
    (folder / entry["name"]).write_bytes(content)
    entry.update(bytes=len(content), checksum=xxhash.xxh3_128(content).hexdigest())
    del body["checksum"]
    (folder / manifest.NAME).write_text(json.dumps({**body, "checksum": manifest.checksum_of(body)}))


def database(*statements):
    connection = sqlite3.connect(":memory:")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    return connection.serialize()


MADE = "CREATE TABLE items (row INTEGER PRIMARY KEY, c0 /*integer*/)"
ROWS = "INSERT INTO items (c0) VALUES (1), (2), (3), (4)"
ENDLESS = "WITH RECURSIVE n(row) AS (SELECT 1 UNION ALL SELECT row + 1 FROM n) SELECT row, row AS c0 FROM n"


@pytest.mark.parametrize(
    "statements",
    [
        [f"CREATE VIEW items AS {ENDLESS}"],
        [MADE, ROWS, "CREATE TABLE other (x)"],
        [MADE, ROWS, "CREATE INDEX fast ON items (c0)"],
        [MADE, ROWS, "CREATE TRIGGER act AFTER INSERT ON items BEGIN DELETE FROM items; END"],
        ["CREATE TABLE items (row INTEGER PRIMARY KEY, c0 AS (row * 2))", "INSERT INTO items (row) VALUES (1), (2)"],
        ["CREATE TABLE items (row INTEGER PRIMARY KEY, c0 /*integer*/, c1 /*text*/)"],
        ["CREATE TABLE items (row INTEGER PRIMARY KEY, c1 /*integer*/)"],
        ["CREATE TABLE items (row INTEGER PRIMARY KEY, c0)"],
        ["CREATE TABLE items (row INTEGER PRIMARY KEY, c0 /*bit*/)"],
        ["CREATE TABLE items (row INTEGER PRIMARY KEY, c0 TEXT COLLATE NOCASE)"],
        ["CREATE TABLE items (row INTEGER PRIMARY KEY, c0 /*integer*/) WITHOUT ROWID"],
        ["PRAGMA user_version = 1"],
    ],
)
def test_a_file_that_holds_more_or_less_than_our_table_is_refused(tmp_path, statements):
    filled(tmp_path / "x", {"n": [1, 2, 3, 4]})
    forge(tmp_path / "x", database(*statements))
    index = Index.open(tmp_path / "x")
    for call in (lambda: index.search(ZERO, where="n=1"), lambda: index.search(ZERO).rows, index.verify, index.info):
        with pytest.raises(ArtefactError, match="damaged"):
            call()


def test_values_of_other_types_than_noted_are_found_by_verify(tmp_path):
    filled(tmp_path / "x", {"n": [1, 2, 3, 4]})
    forge(tmp_path / "x", database(MADE, "INSERT INTO items (c0) VALUES (1), (NULL), (2), ('x')"))
    with pytest.raises(ArtefactError, match="other types"):
        Index.open(tmp_path / "x").verify()
    forge(tmp_path / "x", database(MADE, "INSERT INTO items (c0) VALUES (1), (NULL), (2), (x'00')"))
    with pytest.raises(ArtefactError, match="damaged"):
        print(Index.open(tmp_path / "x").search(ZERO).rows)


def test_a_tree_of_pages_that_never_ends_is_left(tmp_path):
    """Eight levels of pages that all point to the same next page: a walk over them takes 50 ** 8 steps."""
    filled(tmp_path / "x", {"n": [1, 2, 3, 4]})
    content, size, levels = bytearray(database("PRAGMA page_size = 512", MADE, ROWS)), 512, 8
    leaf = content[size : 2 * size]
    for page in range(2, 2 + levels):
        cells = [struct.pack(">I", page + 1) + bytes([key]) for key in range(1, 51)]
        starts = [size - 5 * (number + 1) for number in range(50)]
        head = struct.pack(">BHHHBI", 5, 0, 50, starts[-1], 0, page + 1)
        interior = bytearray(size)
        interior[: len(head)] = head
        interior[12 : 12 + 100] = struct.pack(">50H", *starts)
        for start, cell in zip(starts, cells, strict=True):
            interior[start : start + 5] = cell
        content[(page - 1) * size : page * size] = interior
    content[(levels + 1) * size :] = leaf
    content[28:32] = struct.pack(">I", len(content) // size)
    forge(tmp_path / "x", bytes(content))
    began = time.perf_counter()
    with pytest.raises(ArtefactError, match="interrupted"):
        Index.open(tmp_path / "x").search(ZERO, where="n=1")
    assert time.perf_counter() - began < 20


def test_the_longest_filter_on_the_shortest_rows_stays_in_its_budget(tmp_path):
    index = Index.create(tmp_path / "x", bits=8)
    index.add(np.zeros((3000, 1), np.uint8), metadata={"n": [None] * 2999 + [1]})
    assert index.search(ZERO, where=" or ".join(f"n={n}" for n in range(500))).ids.tolist() == [2999]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux lists descriptors")
def test_few_tables_are_open_at_a_time(tmp_path):
    filled(tmp_path / "x")
    indexes = [Index.open(tmp_path / "x", options=MAPPED) for _ in range(70)]
    for _ in range(2):
        for index in indexes:
            assert index.count("sold=true") == 2
    paths = [Path(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
    opened = [os.readlink(path) for path in paths if os.path.lexists(path)]
    assert sum(name.startswith(str(tmp_path)) and name.endswith("rows") for name in opened) == 64


def test_a_reader_goes_on_where_a_writer_has_removed_a_closed_table(tmp_path):
    filled(tmp_path / "x")
    filled(tmp_path / "other")
    reader = Index.open(tmp_path / "x", options=MAPPED)
    hits = reader.search(ZERO, where="sold=true")
    Index.open(tmp_path / "x").delete([0]).compact()
    others = [Index.open(tmp_path / "other", options=MAPPED) for _ in range(64)]
    assert [other.count("sold=true") for other in others] == [2] * 64  # closes the reader's table
    assert not list((tmp_path / "x").glob("000001.rows"))
    assert [row["name"] for row in hits.rows] == ["007", "it's"]
    assert reader.search(ZERO, where="sold=false").ids.tolist() == [2]
    assert reader.refresh().search(ZERO, where="sold=true").ids.tolist() == [3]


def test_a_fork_waits_for_the_statement_of_another_thread(tmp_path):
    index = filled(tmp_path / "x")
    table = index._state.segments[0].table
    inside, ended = threading.Event(), threading.Event()

    def long_statement():
        with table._database.statement():
            inside.set()
            ended.wait(10)

    thread = threading.Thread(target=long_statement)
    thread.start()
    inside.wait()
    threading.Timer(0.2, ended.set).start()
    child = os.fork()
    if not child:
        found = ended.is_set() and index.search(ZERO, where="sold=true").ids.tolist() == [0, 3]
        os._exit(0 if found else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    thread.join()
    assert index.search(ZERO, where="sold=true").ids.tolist() == [0, 3]


@pytest.mark.parametrize(
    ("column", "row"),
    [
        (np.array([1, 2**63], np.uint64), 1),
        ([-(2**63) - 1, 1], 0),
        ([0.5, float("inf")], 1),
        (np.array([0.5, -np.inf]), 1),
        ([["a", "list"], "b"], 0),
        (["a", b"bytes"], 1),
    ],
)
def test_what_no_column_holds_is_refused_with_its_column_and_row(column, row):
    with pytest.raises(UsageError, match=f"column 'n', row {row}: .*give it as text, or leave it out with None"):
        Index.create(bits=8).add(np.zeros((2, 1), np.uint8), metadata={"fine": [1, 2], "n": column})


def test_small_tables_stay_open_and_cost_no_descriptor(tmp_path, monkeypatch):
    opened, connect = [], sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *given, **options: opened.append(given) or connect(*given, **options)
    )
    filled(tmp_path / "x", {"n": [1] * 4})
    opened.clear()
    indexes = [Index.open(tmp_path / "x") for _ in range(70)]
    for value in range(3):  # a filter of its own each time, because answers are remembered
        assert [index.count(f"n={value}") for index in indexes] == [4 * (value == 1)] * 70
    assert len(opened) == 70
