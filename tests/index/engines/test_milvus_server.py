"""A real Milvus server: what only a server does otherwise than a local file."""

import numpy as np
import pytest

from kinbits.index import Index, open_index
from kinbits.testing import check_index

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
    ),  # milvus's
]

RNG = np.random.default_rng(0)
CODES = RNG.integers(0, 4, (300, 8), dtype=np.uint8)


def test_the_engine_conforms_on_a_server(server):
    check_index(server, open_index=open_index, bits=(13,))


def test_the_approximate_engine_conforms(server):
    def make(path, **options):
        return server(path, index="BIN_IVF_FLAT", nlist=8, nprobe=4, **options)

    check_index(make, open_index=open_index, bits=(64,), recall=0.4)


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
        assert index.search(CODES[0], where=where).to_dicts() == exact.search(CODES[0], where=where).to_dicts()
    index.delete(ids)
    assert len(index) == 0
