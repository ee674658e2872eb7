"""PostgreSQL on one server: our answers, columns, hostile names and values, transactions, and errors with a remedy."""

import os
import threading
import warnings

import numpy as np
import pytest
from postgres_helpers import LOCKED, check_killed_addition

from kinbits import hamming
from kinbits.encoding import CodesFile, read_codes, write_codes
from kinbits.errors import ArtefactError, DataError, PlatformError, UsageError
from kinbits.index import Index, create_index, open_index
from kinbits.index.engines.postgres_connection import PostgresConnection
from kinbits.testing import check_index

RNG = np.random.default_rng(0)
CODES = RNG.integers(0, 4, (300, 8), dtype=np.uint8)
HOSTILE = [
    "a\"b", "a'b", "a\\b", "\\n", "a\tb", "a\nb", "a\x01b", "é😀", "%", "%s", "%(x)s", "{}", "{x}", "$1", "_",
    "'; DROP TABLE x --", '"; DROP TABLE x --', "null", "NULL", "select", "A", "a",
]  # fmt: skip


def test_the_engine_conforms(postgres):
    check_index(postgres, open_index=open_index, bits=(13,))


@pytest.mark.slow
def test_the_engine_conforms_at_all_lengths(postgres):
    check_index(postgres, open_index=open_index)


@pytest.mark.slow
def test_a_graph_conforms(postgres):
    check_index(postgres.with_options(index="HNSW"), open_index=open_index, bits=(13,))


def test_hostile_ids_mean_themselves(postgres):
    index = postgres(bits=64, ids="str").add(CODES[: len(HOSTILE)], ids=HOSTILE)
    for id_ in HOSTILE:
        with pytest.raises(UsageError, match="already"):
            index.add(CODES[:1], ids=[id_])
    index.add(CODES[: len(HOSTILE)] ^ 255, ids=HOSTILE, upsert=True)
    assert index.ids().tolist() == sorted(HOSTILE)
    with postgres.servers[0].connect() as connection:
        wanted = "SELECT collation_name FROM information_schema.columns WHERE column_name = 'id' AND table_name = %s"
        assert connection.execute(wanted, [index.info()["path"].rpartition("=")[2]]).fetchone() == ("C",)
    for left, id_ in enumerate(reversed(HOSTILE)):
        index.delete(id_)
        assert len(index) == len(HOSTILE) - left - 1


def test_hostile_names_and_values_are_filtered_as_the_exact_index_does(postgres):
    columns = {name: HOSTILE for name in HOSTILE}
    index, exact = postgres(bits=64), Index.create(bits=64)
    for one in (index, exact):
        one.add(CODES[: len(HOSTILE)], metadata=columns)
    assert index.info()["columns"] == HOSTILE
    assert index.search(CODES[0], k=99).to_dicts() == exact.search(CODES[0], k=99).to_dicts()
    with pytest.raises(UsageError, match=r"merge\(\) takes an index of kinbits' own format, not PostgresIndex"):
        exact.merge(index)
    for column in HOSTILE[::4]:
        for value in [*HOSTILE, "a\0b", "\0", ""]:
            for sign in ("=", "!=", "contains", "<", ">="):
                assert index.ids({column: {sign: value}}).tolist() == exact.ids({column: {sign: value}}).tolist()
    assert index.update([0], {"%s": ["{}"]}).ids({"%s": "{}"}).tolist() == [0, HOSTILE.index("{}")]


def test_a_hostile_table_name_is_a_name(postgres):
    for name in ('"; DROP TABLE x --', "%s", "Photos 2020", "é&b=1", "select"):
        index = create_index(postgres.servers[0].address(name), bits=8).add(np.zeros((1, 1), np.uint8))
        assert len(open_index(index.info()["path"])) == 1


NUMBERS = [0, 1, -1, 7, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 0.5, 0.1, -0.0, 2.0, 1e300, -1e300, 5e-324, 1e18, 2**60]
TEXTS = ["", "a", "b", "Z", "é", "é😀", "\uffff", "🂡", "7", "a b", "true"]


def test_all_comparisons_mean_what_they_mean_in_the_exact_index(postgres):
    columns = {
        "whole": [None, *(value for value in NUMBERS if isinstance(value, int))],
        "number": [None, *(value for value in NUMBERS if float(value) == value)],
        "text": [None, *TEXTS],
        "flag": [None, True, False],
    }
    columns = {name: [values[row % len(values)] for row in range(60)] for name, values in columns.items()}
    index, exact = postgres(bits=64), Index.create(bits=64)
    for one in (index, exact):
        one.add(CODES[:60], metadata=columns)
    asked = [
        {name: {sign: value}}
        for name, pool in (("whole", NUMBERS), ("number", NUMBERS), ("text", TEXTS))
        for sign in ("=", "!=", "<", "<=", ">", ">=")
        for value in pool
    ]
    asked += [{"number": {"in": NUMBERS}}, {"whole": {"not in": NUMBERS[:9]}}, {"flag": True}, {"flag": {"!=": True}}]
    asked += ["flag is missing", "not (whole > 3 or text is missing)", "text contains '😀' or not number < 1"]
    asked += [{"text": {"in": []}}, "text not in (a, b)", {"whole": {"in": [7, None]}}]
    for where in asked:
        assert index.ids(where).tolist() == exact.ids(where).tolist(), where
        assert index.count(where) == exact.count(where)
    for where in asked[::10]:
        for limits in ({"k": 7}, {"radius": 9}, {"k": 3, "radius": 9}):
            mine, true = index.search(CODES[70], where=where, **limits), exact.search(CODES[70], where=where, **limits)
            assert mine.to_dicts() == true.to_dicts()


def test_columns_have_the_type_of_their_first_values_and_refuse_others(postgres):
    index = postgres(bits=64).add(CODES[:2], metadata={"n": [1, 2], "t": ["a", None], "none": [None, None]})
    assert index.info()["column_types"] == {"n": "integer", "t": "text"}
    index.add(CODES[2:4], metadata={"n": [3.0, None], "late": [True, None]})
    assert index.info()["column_types"] == {"n": "integer", "t": "text", "late": "boolean"}
    with pytest.raises(UsageError, match="'t' is text, and a column of PostgreSQL has one type"):
        index.add(CODES[4:5], metadata={"t": [1]})
    with pytest.raises(UsageError, match="values of several types"):
        index.add(CODES[4:6], metadata={"new": [1, "a"]})
    index.add(CODES[4:5], metadata={"n": [0.5]})
    assert index.info()["column_types"]["n"] == "number"
    assert index.ids("n >= 2").tolist() == [1, 2]
    with pytest.raises(UsageError, match="beyond 2\\^53"):
        index.add(CODES[5:6], metadata={"n": [2**53 + 1]})
    large = postgres(bits=64).add(CODES[:1], metadata={"n": [2**53 + 1]})
    with pytest.raises(UsageError, match="beyond 2\\^53"):
        large.add(CODES[:1], metadata={"n": [0.5]})
    assert (len(index), len(large)) == (5, 1)


@pytest.mark.parametrize("name", ["binary_code", "xmin", "x" * 64, "é" * 32, "a\0b"])
def test_names_that_postgres_cannot_hold_are_refused(postgres, name):
    index = postgres(bits=64)
    with pytest.raises(UsageError, match="rename"):
        index.add(CODES[:1], metadata={name: [1]})
    with pytest.raises(UsageError, match="zero byte"):
        index.add(CODES[:1], metadata={"t": ["a\0b"]})
    assert (len(index), index.info()["columns"]) == (0, [])


def test_columns_of_other_programs_are_read_if_a_filter_can(postgres):
    index = postgres(bits=64).add(CODES[:2])
    with postgres.servers[0].connect() as connection:
        table = index.info()["path"].rpartition("=")[2]
        connection.execute(f"ALTER TABLE {table} ADD taken timestamp DEFAULT now(), ADD size smallint DEFAULT 3")
        connection.execute(f"ALTER TABLE {table} ADD place varchar(9) DEFAULT 'Graz'")
    index.add(CODES[2:3], metadata={"size": [4], "place": ["Wien"]}).update([1], {"size": [5], "place": [None]})
    assert index.ids("size > 3").tolist() == [1, 2]
    assert index.search(CODES[0], k=1, where="size = 3 and place >= 'G'").rows == [{"size": 3, "place": "Graz"}]


def test_items_are_changed_counted_and_deleted_by_filters(postgres):
    index = postgres(bits=64).add(CODES[:5], ids=[5, 3, 9, 1, 7], metadata={"n": [0, 1, 2, 3, 4]})
    index.update([3, 7], {"n": [10, None], "t": ["x", "y"]})
    assert [dict(row) for row in index.search(CODES[0], k=9).rows] != []
    assert index.ids("n > 1").tolist() == [1, 3, 9]
    assert len(index.ids(limit=2)) == 2
    assert (index.count("t is not missing"), index.count(ids=[1, 2, 3])) == (2, 2)
    with pytest.raises(DataError, match="id 4 is not in the index"):
        index.update([3, 4], {"n": [0, 0]})
    with pytest.raises(DataError, match="id 4 is not in the index"):
        index.delete([3, 4])
    assert index.delete(where="n > 1").ids().tolist() == [5, 7]
    for wrong in ({}, {"ids": 5, "where": "n=0"}, {"where": []}):
        with pytest.raises(UsageError):
            index.delete(**wrong)
    assert len(index.add(CODES[:1])) == 3
    assert index.ids().tolist() == [5, 7, 8]


def test_an_index_of_the_table_cannot_make_an_exact_search_approximate(postgres):
    codes = RNG.integers(0, 256, (3000, 8), dtype=np.uint8)
    index = postgres(bits=64).add(codes)
    with postgres.servers[0].connect() as connection:
        table = index.info()["path"].rpartition("=")[2]
        connection.execute(f"CREATE INDEX ON {table} USING hnsw (binary_code bit_hamming_ops)")
        connection.execute(f"ANALYZE {table}")
    near, at = hamming.topk(codes[:20] ^ 3, codes, 50)
    for hits, distances, rows in zip(index.search(codes[:20] ^ 3, k=50), near, at, strict=True):
        assert (hits.distances.tolist(), hits.ids.tolist()) == (distances.tolist(), rows.tolist())


def test_a_graph_is_approximate_measured_and_complete_with_a_filter(postgres):
    codes = RNG.integers(0, 256, (2000, 8), dtype=np.uint8)
    index = postgres(bits=64, index="HNSW", ef_search=40).add(codes, metadata={"n": [*range(2000)]})
    with postgres.servers[0].connect() as connection:
        connection.execute(f"ANALYZE {index.info()['path'].rpartition('=')[2]}")
    assert "call recall()" in repr(index)
    wide = open_index(index.info()["path"], ef_search=400)
    narrow, wider = index.recall(), wide.recall()
    assert 0.5 < narrow <= wider
    assert wider > 0.9
    assert f"recall@10 {narrow:.3f}" in repr(index)
    assert index.info()["recall@10"] == narrow
    assert [len(hits) for hits in index.search(codes[:5], k=30, where="n < 40")] == [30] * 5
    exact = Index.create(bits=64).add(codes)
    assert index.search(codes[7], radius=22).to_dicts() != []
    assert index.search(codes[7], radius=22).ids.tolist() == exact.search(codes[7], radius=22).ids.tolist()
    assert len(index.search(codes[0], k=2000)) == 2000


def test_an_index_takes_the_first_model_and_refuses_another(postgres, tmp_path):
    mine, other = ToyModel("a" * 64), ToyModel("b" * 64)
    index = postgres(bits=16, ids="str")
    late = open_index(index.info()["path"], model=other)
    named = CodesFile(
        mine.encode(["kin", "bits"]), ids=np.array(["kin", "bits"]), bits=16, fingerprint=mine.fingerprint
    )
    write_codes(tmp_path / "c.parquet", named)
    index.add(read_codes(tmp_path / "c.parquet"))
    assert open_index(index.info()["path"]).fingerprint == mine.fingerprint
    with pytest.raises(ArtefactError, match="another model"):
        late.add(["kin"], ids=["z"])
    with pytest.raises(ArtefactError, match="another model"):
        open_index(index.info()["path"], model=other)
    held = postgres(bits=16).add(np.zeros((1, 2), np.uint8))
    with pytest.warns(UserWarning, match="unknown model"):
        open_index(held.info()["path"], model=mine).add(["kin"])


def test_a_killed_addition_leaves_nothing(postgres):
    check_killed_addition(postgres(bits=64))


def test_a_refused_addition_leaves_no_column(postgres):
    index = postgres(bits=64).add(CODES[:2], metadata={"n": [1, 2]})
    with pytest.raises(UsageError, match="id 1 is already"):
        index.add(CODES[:3], ids=[7, 1, 8], metadata={"new": ["a", "b", "c"]})
    assert (len(index), index.info()["columns"]) == (2, ["n"])


def test_writers_wait_for_each_other_and_share_no_automatic_id(postgres):
    path = postgres(bits=64).info()["path"]

    def write():
        index = open_index(path)
        for _ in range(5):
            index.add(CODES[:3], metadata={"n": [1, 2, 3]})

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert open_index(path).ids().tolist() == list(range(60))


def test_a_lost_connection_is_opened_again(postgres):
    index = postgres(bits=64).add(CODES)
    with postgres.servers[0].connect() as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kinbits'")
    assert index.search(CODES[0], k=1).distances.tolist() == [0]


def test_a_forked_child_connects_anew(postgres):
    index = postgres(bits=64).add(CODES)
    child = os.fork()
    if not child:
        os._exit(index.search(CODES[3], k=1).distances.tolist() != [0])
    assert os.waitpid(child, 0)[1] == 0
    assert index.search(CODES[4], k=1).distances.tolist() == [0]


def test_what_is_no_index_is_named(postgres):
    server = postgres.servers[0]
    with pytest.raises(ArtefactError, match="there is no table at"):
        open_index(server.address("nothing"))
    with server.connect() as connection:
        connection.execute("CREATE TABLE alien (id int)")
    with pytest.raises(ArtefactError, match="not created by kinbits"):
        open_index(server.address("alien"))
    with pytest.raises(UsageError, match="exists; use open_index"):
        create_index(server.address("alien"), bits=8)
    index = postgres(bits=8)
    with pytest.raises(UsageError, match="index cannot change"):
        open_index(index.info()["path"], index="HNSW")
    with pytest.raises(ArtefactError, match="makes 16-bit codes"):
        open_index(index.info()["path"], model=ToyModel("a" * 64))
    table = index.info()["path"].rpartition("=")[2]
    with server.connect() as connection:
        connection.execute(f"ALTER TABLE {table} ALTER binary_code TYPE bit(9) USING binary_code::bit(9)")
    with pytest.raises(ArtefactError, match=r"bit\(9\) as binary_code, and bit\(8\) is expected"):
        open_index(index.info()["path"])
    with server.connect() as connection:
        connection.execute(f"DROP TABLE {table}")
    with pytest.raises(ArtefactError, match="does not exist"):
        len(index)
    assert len(create_index(server.address(table), bits=8)) == 0


def test_a_server_that_refuses_is_named_with_the_remedy(postgres, monkeypatch):
    server = postgres.servers[0]
    with server.connect() as connection:
        connection.execute(f"CREATE ROLE {LOCKED} LOGIN PASSWORD 'right'")
        for statement in ("CREATE ROLE reader LOGIN", "CREATE DATABASE bare"):
            connection.execute(statement)
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", "/nonexistent")
    refused = {
        server.address("t", user=LOCKED): "give the password in the address",
        server.address("t", user=f"{LOCKED}:wrong"): "correct the password",
        server.address("t").replace("/postgres?", "/nowhere?"): "does not exist; create it",
        server.address("t").replace("/postgres?", "/latin?"): "ENCODING 'UTF8'",
        server.address("t", user="reader").replace("/postgres?", "/bare?"): "CREATE EXTENSION vector",
        server.address("t", user="reader"): "permission denied",
        "postgresql://127.0.0.1:1/db?table=t": "check that the server runs",
    }
    for address, words in refused.items():
        with pytest.raises(PlatformError, match=words) as fault:
            create_index(address, bits=8)
        assert "\n" not in str(fault.value)
        assert "wrong" not in str(fault.value)
    with pytest.raises(ArtefactError, match="there is no table"):
        open_index(server.address("t", user=f"{LOCKED}:right"))
    with pytest.raises(UsageError, match="not an address"):
        create_index(server.address("t", sslmodus="x"), bits=8)


def test_a_pgvector_that_is_too_old_is_named(postgres, monkeypatch):
    monkeypatch.setattr(PostgresConnection, "_version", lambda self: "0.6.2")
    with pytest.raises(PlatformError, match="ALTER EXTENSION vector UPDATE"):
        postgres(bits=8)


def test_what_the_engine_lacks_is_refused(postgres):
    index = postgres(bits=64)
    with pytest.raises(UsageError, match="pg_dump"):
        index.save("copy")
    with pytest.raises(UsageError, match="Hamming distance"):
        index.search(CODES[0], distance="asymmetric")
    with pytest.raises(UsageError, match="ids='str'"):
        index.add(CODES[:1], ids=["a"])
    with pytest.raises(UsageError, match="make a kinbits index"):
        create_index(postgres.address(), model=ProductModel())


class ToyModel:
    """Encodes text by its first two bytes."""

    bits = 16

    def __init__(self, fingerprint):
        self.fingerprint = fingerprint

    def encode(self, items, /):
        return np.array([list(text.encode()[:2]) for text in items], np.uint8)


class ProductModel(ToyModel):
    """A model of product codes."""

    words = 16

    def __init__(self):
        super().__init__("a" * 64)


def test_no_warning_is_left(postgres):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "0 items, 8 bits, postgresql://kinbits@/postgres?host=" in repr(postgres(bits=8))
