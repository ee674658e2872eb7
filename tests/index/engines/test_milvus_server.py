"""A real Milvus server: what only a server does otherwise than a local file.

Each run of the suite takes conformance and stored items; KINBITS_EXHAUSTIVE=1 runs all.
"""

import threading
import time

import numpy as np
import pytest

from kinbits import hamming
from kinbits.encoding import CodesFile
from kinbits.errors import ArtefactError, PlatformError, UsageError
from kinbits.index import Index, create_index, open_index
from kinbits.testing import check_index

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
CODES = RNG.integers(0, 4, (300, 8), dtype=np.uint8)


def test_the_engine_conforms_on_a_server(server):
    check_index(server, open_index=open_index, bits=(13,))


def sealed(index, condition):
    """Make the server build its index of all items, which it does a while after a flush, and wait for a condition."""
    index._connection.call("flush")
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.mark.exhaustive
def test_approximate_answers_are_true_measured_and_short_with_a_warning(server):
    codes = RNG.integers(0, 256, (3000, 8), dtype=np.uint8)
    index = server(bits=64, index="BIN_IVF_FLAT", nlist=16, nprobe=1)
    index.add(codes, ids=range(3000), metadata={"n": [*range(3000)]}, upsert=True)
    assert index.supports.lacks()[:3] == ["exact", "exact_filters", "exact_radius"]
    assert repr(index).endswith("approximate, call recall() to measure it)")
    sealed(index, lambda: index.recall() < 0.9)  # until then the server searches what is new in full
    wider = open_index(index.info()["path"], nprobe=16)
    assert wider.recall() == 1
    assert repr(index).endswith(f"approximate, recall@10 {index.recall():.3f})")
    for hits, code in zip(index.search(codes[:20], k=10), codes, strict=False):
        assert hits.distances.tolist() == hamming.distances(code[None], codes[hits.ids])[0].tolist()
        pairs = [*zip(hits.distances, hits.ids, strict=True)]
        assert pairs == sorted(pairs)
    with pytest.warns(UserWarning, match="found .* of 30 items; raise nprobe"):
        assert len(index.search(codes[0], k=30, where="n < 60")) < 30
    with pytest.warns(UserWarning, match="by radius may lack items; raise nprobe"):
        index.search(codes[0], radius=24)
    assert len(wider.search(codes[0], k=30, where="n < 60")) == 30


def test_stored_items_are_found_filtered_and_deleted_as_new_ones_are(server):
    codes = RNG.integers(0, 256, (3000, 8), dtype=np.uint8)
    index, exact = server(bits=64), Index.create(bits=64)
    for one in (index, exact):
        one.add(codes, ids=range(3000), metadata={"n": [row % 7 for row in range(3000)]}, upsert=True)
    index._connection.call("flush")
    for one in (index, exact):
        one.delete([*range(0, 3000, 3)])
        one.add(codes[:9] ^ 3, ids=range(3, 12), metadata={"n": [1] * 9}, upsert=True)
        one.add(codes[9:12], ids=range(5000, 5003), metadata={"n": [1] * 3})
    assert len(index) == len(exact)
    for asked in ({"radius": 26}, {"k": 2000}, {"k": 300, "where": "n = 1"}, {"radius": 28, "where": "n > 4"}):
        mine, true = index.search(codes[:3], **asked), exact.search(codes[:3], **asked)
        assert [hits.ids.tolist() for hits in mine] == [hits.ids.tolist() for hits in true]


@pytest.mark.exhaustive
def test_all_codes_are_read_once_in_pages(server):
    index = server(bits=16)
    codes = np.arange(20_000, dtype="<u2").view(np.uint8).reshape(-1, 2)
    ids = np.random.default_rng(0).permutation(20_000)
    index.add(codes[:12_000], ids=ids[:12_000], upsert=True)
    index._connection.call("flush")
    index.add(codes[10_000:], ids=ids[10_000:], upsert=True)
    read = np.concatenate([*index._pages()]).view("<u2").ravel()
    assert read.tolist() == np.argsort(ids).tolist()


def test_what_this_server_lacks_is_refused_with_a_reason(server):
    with pytest.raises(PlatformError, match=r"needs Milvus 2.6 or later, and milvus://.* runs v2\.3\.5"):
        create_index(server.address(), bits=64, index="HNSW")
    with pytest.raises(UsageError, match=r"searches bits, and the model makes .*; make a kinbits index"):
        create_index(server.address(), model=ProductModel())
    with pytest.raises(ArtefactError, match="the index holds 16-bit codes"):
        server(bits=16).add(CodesFile(CODES[:2, :2], ids=np.arange(2), bits=16, words=16))


class ProductModel:
    """A model of product codes."""

    bits, words, fingerprint = 16, 16, "a" * 64

    def encode(self, items, /):
        return np.zeros((len(items), 2), np.uint8)


def test_hostile_ids_and_values_mean_themselves_on_a_server(server):
    hostile = ['a"b', "a'b", "a\\b", "a'\"b", "\\n", "a\tb", "a\x01b", "é😀", "%", '" or id > ""', "l\ni\rne"]
    ids = [text for text in hostile if "\n" not in text] + ["last"]
    index, exact = server(bits=64, ids="str"), Index.create(bits=64)
    for one in (index, exact):
        one.add(CODES[: len(ids)], ids=ids, metadata={'c"d': hostile, "maybe": [None, *range(len(ids) - 1)]})
        one.add(
            CODES[: len(ids)] ^ 1,
            ids=ids,
            metadata={'c"d': hostile, "maybe": [None, *range(len(ids) - 1)]},
            upsert=True,
        )
    wheres = [{'c"d': text} for text in hostile]
    wheres += [
        {"maybe": None},
        {"maybe": {"in": [3, None]}},
        {"maybe": {"not in": [3, None]}},
        {"maybe": {"not in": [3]}},
    ]
    for where in wheres:
        mine, true = index.search(CODES[0], where=where), exact.search(CODES[0], where=where)
        assert [{"maybe": None, **hit} for hit in mine] == [dict(hit) for hit in true]
    index.delete(ids)
    assert len(index) == 0


@pytest.mark.exhaustive
def test_what_the_server_confirmed_outlives_its_death(milvus, server):
    index = server(bits=64, timeout=5)
    path, confirmed = index.info()["path"], []
    ready = threading.Event()

    def write():
        while True:
            batch = range(200 * len(confirmed), 200 * len(confirmed) + 200)
            try:
                index.add(np.resize(CODES, (200, 8)), ids=batch, upsert=True)
            except PlatformError:
                return
            confirmed.append(batch)
            if len(confirmed) == 10:
                ready.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert ready.wait(60)
    milvus.kill()
    writer.join(60)
    assert not writer.is_alive()
    milvus.start()
    again = open_index(path)
    rows = 200 * len(confirmed)
    assert len(again) in (rows, rows + 200)  # with or without the addition that was not confirmed
    assert again._present(np.arange(rows)) == [*range(rows)]
    assert again.search(CODES[0], k=rows).ids.size == rows
