"""Addresses and options of PostgreSQL, without a server."""

import pytest

from kinbits.errors import UsageError
from kinbits.index import create_index, open_index
from kinbits.index.engines.postgres_address import PostgresAddress


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("postgresql://host/db", "names no table"),
        ("postgresql://host/db?table=", "names no table"),
        ("postgresql:host/db?table=t", "not an address of PostgreSQL"),
        ("postgresql://[host/db?table=t", "not an address"),
        ("postgresql://host/db?table=" + "x" * 64, "at most 63 bytes"),
        ("postgresql://host/db?table=%00", "at most 63 bytes"),
        ("postgresql://host/db?table=kinbits_indexes", "another name"),
    ],
)
def test_an_address_that_cannot_be_read_shows_the_form_that_can(address, words):
    with pytest.raises(UsageError, match=words) as fault:
        PostgresAddress.from_uri(address)
    assert "postgresql://USER@HOST:PORT/DATABASE?table=NAME" in str(fault.value)


def test_the_table_is_taken_out_and_everything_else_is_left():
    address = PostgresAddress.from_uri(
        "postgres://a,b:7/db?sslmode=require&table=my%20photos&options=-csearch_path%3Dx"
    )
    assert address.table == "my photos"
    assert address.connection == "postgresql://a,b:7/db?sslmode=require&options=-csearch_path%3Dx"
    assert PostgresAddress.from_uri(address.uri) == address
    assert PostgresAddress.from_uri("postgresql:///db?host=/tmp", "photos").table == "photos"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:se%40cret@host/db?table=t",
        "postgresql://me@host/db?password=secret&table=t",
    ],
)
def test_a_password_is_used_and_never_shown(text):
    address = PostgresAddress.from_uri(text)
    assert "cret" in address.connection
    assert "cret" not in repr(address)


@pytest.mark.parametrize("text", ["postgresql://me:cret@[host/db?table=t", "postgresql:me:cret@host/db?password=cret"])
def test_a_password_in_a_wrong_address_is_not_shown(text):
    with pytest.raises(UsageError, match="not an address") as fault:
        PostgresAddress.from_uri(text)
    assert "cret" not in str(fault.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"index": "hnsw"}, "HNSW"),
        ({"ids": "text"}, "str"),
        ({"ef_search": 0}, "1 or more"),
        ({"ef_search": 2000}, "at most 1000"),
        ({"shards": "postgresql://host/db"}, "list of the addresses"),
        ({"shard": []}, "shards"),
        ({"shards": ["postgresql://nowhere.invalid/db"]}, "are the same"),
        ({"bits": 0}, "bits"),
    ],
)
def test_a_wrong_option_is_refused_without_a_connection(options, words):
    with pytest.raises(UsageError, match=words):
        create_index("postgresql://nowhere.invalid/db?table=t", **{"bits": 8, **options})
    if options.keys() == {"ef_search"}:
        with pytest.raises(UsageError, match=words):
            open_index("postgresql://nowhere.invalid/db?table=t", **options)
