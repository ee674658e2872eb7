"""PostgreSQL on three servers: the answers of one, common transactions, and what a failing server leaves."""

import numpy as np
import pytest
from postgres_helpers import check_killed_addition

from kinbits.errors import ArtefactError, PlatformError, UsageError
from kinbits.index import Index, create_index, open_index
from kinbits.index.engines.postgres_shards import PostgresShards
from kinbits.testing import check_index

CODES = np.random.default_rng(0).integers(0, 4, (300, 8), dtype=np.uint8)


def test_the_engine_conforms_on_three_servers(three_servers):
    check_index(three_servers, open_index=open_index, bits=(13,))


@pytest.mark.slow
def test_graphs_conform_on_three_servers(three_servers):
    check_index(three_servers.with_options(index="HNSW"), open_index=open_index, bits=(13,))


def test_items_are_spread_and_found_as_on_one_server(three_servers):
    index, exact = three_servers(bits=64), Index.create(bits=64)
    for one in (index, exact):
        one.add(CODES, metadata={"n": [row % 7 for row in range(300)]})
        one.delete(where="n = 3").update([0, 1, 2], {"t": ["a", "b", "c"]})
    held = [table.count(table.among(np.arange(300))) for table in index._shards.tables]
    assert sum(held) == len(exact)
    assert min(held) > 60
    for asked in ({"k": 40}, {"radius": 9}, {"k": 9, "where": "n > 4 or t = b"}):
        assert index.search(CODES[:9], **asked).to_dicts() == exact.search(CODES[:9], **asked).to_dicts()
    assert index.ids("n < 2").tolist() == exact.ids("n < 2").tolist()
    assert index.count("t is missing") == exact.count("t is missing")
    assert index.search(CODES[0], k=5).codes.tolist() == exact.search(CODES[0], k=5).codes.tolist()
    assert "3 servers" in repr(index)


def test_each_server_orders_and_limits_its_own_hits(three_servers, monkeypatch):
    from kinbits.index.engines.postgres_table import PostgresTable

    found, search = [], PostgresTable.search
    monkeypatch.setattr(
        PostgresTable, "search", lambda *given, **more: found.append(search(*given, **more)) or found[-1]
    )
    three_servers(bits=64).add(CODES).search(CODES[0], k=4)
    assert [len(ids) for ((ids, _),) in found] == [4, 4, 4]


def test_an_addition_that_one_server_refuses_is_on_none(three_servers):
    index = three_servers(bits=64).add(CODES[:50])
    with three_servers.servers[2].connect() as connection:
        table = index.info()["path"].rpartition("=")[2]
        connection.execute(f"ALTER TABLE {table} ADD CHECK (id < 90)")
    with pytest.raises(PlatformError, match="violates check constraint"):
        index.add(CODES[50:])
    with pytest.raises(UsageError, match="already"):
        index.add(CODES, ids=range(49, 349))
    assert index.ids().tolist() == list(range(50))
    assert len(index.add(CODES[50:80])) == 80


def test_a_killed_addition_leaves_nothing_on_any_server(three_servers):
    check_killed_addition(three_servers(bits=64))


def test_a_server_that_fails_during_the_commit_is_told_and_mended_by_upsert(three_servers, monkeypatch):
    index = three_servers(bits=64).add(CODES[:30])
    insert = PostgresShards.insert

    def lose_the_first(self, *given, **more):
        insert(self, *given, **more)
        with three_servers.servers[0].connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kinbits'"
            )

    with monkeypatch.context() as patched:
        patched.setattr(PostgresShards, "insert", lose_the_first)
        with pytest.raises(PlatformError, match=r"Some of the 3 servers may have made the change; make it again"):
            index.add(CODES[30:], ids=range(30, 300), metadata={"n": range(270)})
    assert 30 < len(index) < 300
    index.add(CODES[30:], ids=range(30, 300), metadata={"n": range(270)}, upsert=True)
    assert index.ids().tolist() == list(range(300))
    assert index.ids("n >= 260").tolist() == list(range(290, 300))


def test_a_part_or_a_foreign_server_is_no_index(three_servers):
    index, other = three_servers(bits=64), three_servers(bits=64)
    path, (second, third) = index.info()["path"], index.info()["shards"]
    with pytest.raises(ArtefactError, match="one part of an index"):
        open_index(second)
    with pytest.raises(ArtefactError, match="not part 1 of this index"):
        open_index(path, shards=[third, second])
    with pytest.raises(ArtefactError, match="not part 1 of this index"):
        open_index(path, shards=other.info()["shards"])
    with pytest.raises(UsageError, match="2 further servers"):
        open_index(path, shards=[second])
    assert len(open_index(path, shards=[second, third])) == 0


def test_a_server_that_is_missing_at_creation_leaves_no_table(three_servers):
    address = three_servers.address()
    with pytest.raises(PlatformError, match="cannot be reached"):
        create_index(address, bits=8, shards=["postgresql://127.0.0.1:1/db"])
    with pytest.raises(ArtefactError, match="there is no table"):
        open_index(address)
