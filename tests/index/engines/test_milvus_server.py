"""A real Milvus server: what only a server does otherwise than a local file."""

import numpy as np
import pytest

from kinbits import hamming
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


def test_approximate_answers_are_true_and_find_more_with_more_probes(server):
    codes = RNG.integers(0, 256, (3000, 8), dtype=np.uint8)
    index = server(bits=64, index="BIN_IVF_FLAT", nlist=16, nprobe=1).add(codes, ids=range(3000), upsert=True)
    assert index.supports.lacks()[:3] == ["exact", "exact_filters", "exact_radius"]
    index._connection.call("flush")  # until then the server searches what is new in full
    wider = open_index(index.info()["path"], nprobe=16)
    exact, _ = hamming.topk(codes[:20], codes, 10)
    found = []
    for one in (index, wider):
        answers = one.search(codes[:20], k=10)
        found.append(sum(int((hits.distances <= near[-1]).sum()) for hits, near in zip(answers, exact, strict=True)))
        for hits, code in zip(answers, codes, strict=False):
            assert hits.distances.tolist() == hamming.distances(code[None], codes[hits.ids])[0].tolist()
            assert sorted(zip(hits.distances, hits.ids, strict=True)) == list(
                zip(hits.distances, hits.ids, strict=True)
            )
    assert found[0] <= found[1]
    assert found[1] >= 0.95 * exact.size


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
