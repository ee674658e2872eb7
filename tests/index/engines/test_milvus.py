"""Milvus in a local file: our answers, hostile ids and values, and errors that name the remedy."""

import sys

import numpy as np
import pytest
from pyarrow import parquet

from kinbits import hamming
from kinbits.encoding import MANIFEST, CodesFile, read_codes, shard_name, write_codes
from kinbits.errors import ArtefactError, DataError, PlatformError, UsageError
from kinbits.index import Index, create_index, open_index
from kinbits.index.engines import milvus_address
from kinbits.index.engines.milvus_address import MilvusAddress
from kinbits.testing import check_index

try:
    from pymilvus import MilvusClient
except ImportError:
    MilvusClient = None

RNG = np.random.default_rng(0)
CODES = RNG.integers(0, 4, (300, 8), dtype=np.uint8)
HOSTILE = [
    'a"b',
    "a'b",
    "a\\b",
    "a\\\\b",
    "a'\"b",
    "\\n",
    "a\tb",
    "é😀",
    "a%b",
    "_",
    '" or id > ""',
    "{x}",
    "$meta",
    "null",
]


def test_the_engine_conforms(lite):
    check_index(lite, open_index=open_index, bits=(13,))


def test_hostile_ids_are_found_replaced_and_deleted(lite):
    ids = [text for text in HOSTILE if "'" not in text]
    codes = CODES[: len(ids)]
    index = lite(bits=64, ids="str").add(codes, ids=ids)
    for id_ in ids:
        with pytest.raises(UsageError, match="already"):
            index.add(codes[:1], ids=[id_])
    index.add(codes ^ 255, ids=ids, upsert=True)
    assert len(index) == len(ids)
    assert sorted(index.search(codes[0], k=99).ids.tolist()) == sorted(ids)
    for left, id_ in enumerate(reversed(ids)):
        index.delete(id_)
        assert len(index) == len(ids) - left - 1


def test_an_id_that_milvus_lite_could_not_delete_is_refused_at_once(lite):
    with pytest.raises(DataError, match="apostrophe"):
        lite(bits=64, ids="str").add(CODES[:1], ids=["Bob's photo.jpg"])


def test_what_only_a_server_can_do_is_refused_with_that_remedy(lite):
    for kind in ("BIN_IVF_FLAT", "HNSW"):
        with pytest.raises(UsageError, match="needs a Milvus server"):
            lite(bits=64, index=kind)


def test_files_of_codes_are_added_one_after_another_and_again_after_a_failure(lite, tmp_path):
    files = [tmp_path / shard_name(number) for number in range(3)]
    for number, file in enumerate(files):
        rows = np.arange(100 * number, 100 * number + 100)
        write_codes(file, CodesFile(CODES[rows], ids=rows, bits=64, columns={"n": rows.tolist()}))
    whole = files[1].read_bytes()
    files[1].write_bytes(whole[:50])
    index = lite(bits=64)
    with pytest.raises(ArtefactError, match=r"part-000001\.parquet cannot be read"):
        index.add_files(files)
    assert len(index) == 100
    files[1].write_bytes(whole)
    assert len(index.add_files(files)) == 300
    exact = Index.create(bits=64).add(CODES, ids=range(300))
    assert index.search(CODES[7], k=50).ids.tolist() == exact.search(CODES[7], k=50).ids.tolist()
    assert index.search(CODES[7], k=1, where="n = 250").ids.tolist() == [250]
    for number, file in enumerate(files):  # as the folder of an encoding says it of each
        parquet.write_table(read_codes(file).to_table(job="j", block=number), file)
    (tmp_path / MANIFEST).write_text('{"job": "j", "blocks": [100, 100, 100]}')
    assert len(lite(bits=64).add_files(tmp_path)) == 300
    assert len(lite(bits=64).add_files(files[0])) == 100
    with pytest.raises(ArtefactError, match="64-bit codes"):
        lite(bits=56).add_files(files)


class GraphServer(MilvusClient or object):
    """A client of a server that has graphs: it answers like one, and records what it was asked."""

    told, calls = "2.6.4", []

    def __init__(self, *arguments, **options):
        pass

    def get_server_version(self, **options):
        return self.told

    def has_collection(self, name, **options):
        return False

    def create_collection(self, name, **options):
        self.calls.append(options["index_params"][0].to_dict())

    def describe_collection(self, name, **options):
        return {"fields": [{"name": "id", "type": 5}]}

    def query(self, name, filter, output_fields, limit=None, **options):
        if output_fields == ["count(*)"]:
            return [{"count(*)": 300}]
        return [] if filter else [{"id": row, "binary_code": [code.tobytes()]} for row, code in enumerate(CODES)]

    def search(self, name, codes, limit, search_params, **options):
        """Lose every second item."""
        self.calls.append((limit, search_params["params"]))
        near = hamming.distances(np.frombuffer(b"".join(codes), np.uint8).reshape(-1, 8), CODES[::2])
        orders = np.argsort(near, axis=1, kind="stable")[:, :limit]
        return [
            [{"id": 2 * int(at), "distance": float(some[at])} for at in order]
            for some, order in zip(near, orders, strict=True)
        ]


@pytest.fixture
def graph_server(monkeypatch):
    pymilvus = pytest.importorskip("pymilvus")
    monkeypatch.setattr(pymilvus, "MilvusClient", GraphServer)
    monkeypatch.setattr(GraphServer, "calls", [])
    return GraphServer


def test_a_graph_is_made_searched_and_measured_where_the_server_has_them(graph_server):
    index = create_index("milvus://host/x", bits=64, index="HNSW", m=24, ef_construction=99, ef_search=70)
    (made,) = graph_server.calls
    assert (made["index_type"], made["metric_type"]) == ("HNSW", "HAMMING")
    assert (made["M"], made["efConstruction"]) == (24, 99)
    assert index.supports.lacks()[:3] == ["exact", "exact_filters", "exact_radius"]
    assert index.search(CODES[4], k=1).ids.tolist() == [4]
    index.search(CODES[4], k=100)
    assert graph_server.calls[1:] == [(66, {"ef": 70}), (264, {"ef": 264})]  # it may not be below the limit
    assert 0.3 < index.recall() < 0.9
    assert repr(index).endswith(f"approximate, recall@10 {index.info()['recall@10']:.3f})")
    with pytest.warns(UserWarning, match="found 150 of 300 items; raise ef_search, or use index='BIN_FLAT'"):
        index.search(CODES[4], k=400)


@pytest.mark.parametrize("told", ["v2.5.27", "2.3.5-lite", "master-dev"])
def test_a_server_without_graphs_is_named_with_its_version(graph_server, monkeypatch, told):
    monkeypatch.setattr(graph_server, "told", told)
    with pytest.raises(PlatformError, match=f"needs Milvus 2.6 or later, and milvus://host:19530/x runs {told}; use"):
        create_index("milvus://host/x", bits=64, index="HNSW")
    assert graph_server.calls == []


@pytest.mark.parametrize("told", ["v2.6.0", "2.10.1", "3.0-beta"])
def test_later_versions_have_graphs(graph_server, monkeypatch, told):
    monkeypatch.setattr(graph_server, "told", told)
    assert create_index("milvus://host/x", bits=64, index="HNSW").info()["index"] == "HNSW"


def test_hostile_values_and_columns_are_filtered_as_the_exact_index_does(lite):
    columns = {name: HOSTILE for name in ("t", 'c"d', "c'd", "c.d", "c/d", "c~d", "c d", "é", "[0]", "c\\d")}
    index, exact = lite(bits=64), Index.create(bits=64)
    for one in (index, exact):
        one.add(CODES[: len(HOSTILE)], ids=list(range(len(HOSTILE))), metadata=columns)
    for column in columns:
        for value in HOSTILE:
            for where in ({column: value}, {column: {"!=": value}}, {column: {"in": [value, "7"]}}):
                assert (
                    index.search(CODES[0], where=where).ids.tolist() == exact.search(CODES[0], where=where).ids.tolist()
                )


WHERES = [
    {"n": 3}, {"n": {"!=": 3}}, {"n": {"<": 3}}, {"n": {">=": 2.5}}, {"n": {"in": [1, 2.5, 4]}}, {"n": 4.0},
    {"n": {"not in": [1, 2.5]}}, {"s": {">": "c"}}, {"s": {"<=": "é"}}, {"s": "7"}, "s=7", "s!=7", "s in 7, 'b', x",
    {"n": {"not in": []}}, "n is not missing", "not (s is missing or s=a)", "n=1 or s=a", "not (n=1 or s=a)",
    {"n": -(2**63)}, {"n": 2**62}, {"n": 1e-7}, ["n>=1", "s<z"], {"flag": True}, "flag=true", "flag!=true",
    "flag=false and (n>2 or s in (a, b))", {"late": 1}, {"late": {"!=": 1}}, "odd=7", "odd=true", "odd!=7", "odd>0",
    {"odd": "7"}, {"odd": {"in": [True, 7]}},
]  # fmt: skip


@pytest.mark.parametrize("where", WHERES, ids=str)
def test_filters_mean_what_they_mean_in_the_exact_index(mixed, where):
    index, exact = mixed
    for asked in ({"k": 300}, {"k": 3}, {"radius": 9}):
        mine, true = index.search(CODES[0], where=where, **asked), exact.search(CODES[0], where=where, **asked)
        assert mine.ids.tolist() == true.ids.tolist()
        assert [{**dict.fromkeys(("n", "s", "flag", "odd", "late")), **row} for row in mine.rows] == true.rows


@pytest.fixture(scope="module")
def mixed(lite):
    numbers = [None, 1, 2, 2.5, 3, 4, -(2**63), 2**62, 1e-7, 1.0]
    texts = [None, "a", "b", "é", "7", "c", "z" * 500]
    columns = {
        "n": [numbers[i % len(numbers)] for i in range(300)],
        "s": [texts[i % len(texts)] for i in range(300)],
        "flag": [i % 2 == 0 for i in range(300)],
        "odd": [[7, "7", True, 1, None, "true"][i % 6] for i in range(300)],
    }
    both = lite(bits=64), Index.create(bits=64)
    for index in both:
        index.add(CODES[:290], ids=list(range(290)), metadata={name: column[:290] for name, column in columns.items()})
        last = {name: column[290:] for name, column in columns.items()}
        index.add(CODES[290:], ids=list(range(290, 300)), metadata={**last, "late": [i % 2 for i in range(10)]})
    return both


def test_more_equal_codes_than_milvus_returns_are_still_in_order(lite):
    index = lite(bits=8).add(np.zeros((20_000, 1), np.uint8), ids=np.arange(20_000)[::-1], upsert=True)
    assert index.search(np.ones(1, np.uint8), k=500).ids.tolist() == list(range(500))
    with pytest.raises(UsageError, match="smaller radius"):
        index.search(np.ones(1, np.uint8), radius=8)
    with pytest.raises(UsageError, match="smaller k"):
        index.search(np.ones(1, np.uint8), k=20_000)


def test_a_collection_is_opened_by_its_place_and_remembers_itself(lite):
    index = lite(bits=13, ids="str")
    index.add(hamming.pack(RNG.random((5, 13)) < 0.5), ids=list("abcde"), metadata={"year": [1] * 5})
    again = open_index(index.info()["path"], consistency="Session")
    assert (again.bits, len(again), again.info()["ids"], again.info()["columns"]) == (13, 5, "str", ["year"])
    assert "5 items, 13 bits, milvus-lite:" in repr(again)
    with pytest.raises(UsageError, match="open_index"):
        create_index(index.info()["path"], bits=13)
    with pytest.raises(UsageError, match="index cannot change"):
        open_index(index.info()["path"], index="BIN_IVF_FLAT")


def test_a_collection_that_is_missing_or_foreign_is_no_index(lite):
    with pytest.raises(ArtefactError, match="no collection"):
        open_index(lite.address())
    index = lite(bits=8)
    other = index.info()["path"].replace(index._connection.address.collection, "foreign")
    index._connection.client.create_collection("foreign", dimension=8)
    with pytest.raises(ArtefactError, match="not created by kinbits"):
        open_index(other)


def test_what_milvus_cannot_hold_is_refused_before_anything_is_sent(lite):
    index = lite(bits=64)
    for name in ("binary_code", "$meta", "", "a\nb"):
        with pytest.raises(UsageError, match=r"rename|name it"):
            index.add(CODES[:1], ids=[1], metadata={name: [1]})
    with pytest.raises(DataError, match="line breaks"):
        lite(bits=64, ids="str").add(CODES[:1], ids=["a\nb"])
    with pytest.raises(UsageError, match="pass ids="):
        index.add(CODES[:1])
    with pytest.raises(UsageError, match="ids='str'"):
        index.add(CODES[:1], ids=["a"])
    assert len(index) == 0


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("milvus:///x", "no host"),
        ("milvus://host:port/x", "not an address"),
        ("milvus://host:19530", "collection ''"),
        ("milvus://host/a b", "collection 'a b'"),
        ("milvus://host/1a", "no digit first"),
        ("milvus-lite:file", "ends with .db"),
        ("milvus-lite:file.db#a-b", "collection 'a-b'"),
    ],
)
def test_a_place_that_cannot_be_read_shows_the_form_that_can(address, words):
    with pytest.raises(UsageError, match=words):
        MilvusAddress.from_uri(address)


def test_a_password_in_the_place_is_used_and_never_shown():
    address = MilvusAddress.from_uri("milvus://me:se%40cret@host:1/x", secure=True)
    assert (address.token, address.endpoint, address.collection) == ("me:se@cret", "https://host:1", "x")
    assert "cret" not in repr(address)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"consistency": "strong"}, "Strong"),
        ({"index": "IVF"}, "BIN_IVF_FLAT"),
        ({"ef_search": 0}, "1 or more"),
        ({"nprobe": 0}, "1 or more"),
        ({"secure": "yes"}, "give bool"),
        ({"nprobes": 3}, "nprobe"),
    ],
)
def test_a_wrong_option_is_refused_without_a_connection(options, words):
    with pytest.raises(UsageError, match=words):
        create_index("milvus://nowhere.invalid/x", bits=8, **options)


def test_a_server_that_does_not_answer_is_named():
    pytest.importorskip("pymilvus")
    with pytest.raises(PlatformError, match=r"127\.0\.0\.1:1/x failed to connect"):
        open_index("milvus://127.0.0.1:1/x", timeout=1)


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        ({}, r"kinbits\[milvus\]"),
        ({"pymilvus": "3.0.2"}, r"kinbits\[milvus-lite\]"),
        ({"pymilvus": "3.0.2", "milvus-lite": "3.2.2"}, "does not support binary vectors"),
    ],
)
def test_a_package_that_is_missing_or_too_new_is_named_with_the_remedy(monkeypatch, tmp_path, versions, words):
    monkeypatch.setattr(milvus_address, "installed", versions.get)
    with pytest.raises(PlatformError, match=words):
        create_index(f"milvus-lite:{tmp_path}/x.db", bits=8)


def test_a_setuptools_that_milvus_lite_cannot_use_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(milvus_address, "installed", {"pymilvus": "3.0.2", "milvus-lite": "2.5.1"}.get)
    monkeypatch.setitem(sys.modules, "pkg_resources", None)
    with pytest.raises(PlatformError, match="setuptools 81"):
        create_index(f"milvus-lite:{tmp_path}/x.db", bits=8)
