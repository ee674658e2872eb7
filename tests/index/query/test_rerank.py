"""Re-ranking: the order is that of reconstructed features, the rest of search stays what it was."""

import numpy as np
import pytest

from kinbits import UsageError, hamming
from kinbits.index import Index, create_index, open_index
from kinbits.index.query.rerank import LEAST
from kinbits.testing import ToyDecoder as Signs

BITS, ROWS = 12, 400
RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(ROWS, BITS)).astype(np.float32)
QUERIES = RNG.normal(size=(7, BITS)).astype(np.float32)


class NoDecoder:
    """Encodes alone."""

    bits, fingerprint = BITS, "d" * 64

    def encode(self, items, /):
        return Signs().encode(items)


def filled(place=None, model=None, **options):
    index = create_index(place, model=model or Signs(), **options)
    return index.add(VECTORS, ids=np.arange(ROWS), metadata={"parity": [i % 2 for i in range(ROWS)]})


def by_hand(query, depth, k, rows=None, radius=None):
    """Order the candidates one by one."""
    model = Signs()
    codes, (own,) = model.encode(VECTORS), model.encode(query)
    near = hamming.distances(own[None], codes)[0]
    rows = range(ROWS) if rows is None else rows
    listed = sorted((int(near[row]), row) for row in rows if radius is None or near[row] <= radius)
    guessed = model.reconstruct(codes).astype(np.float64)
    far = {row: ((guessed[row] - query) ** 2).sum() for _, row in listed[:depth]}
    first = sorted(listed[:depth], key=lambda one: (round(far[one[1]], 9), *one))
    ordered = (first + listed[depth:])[:k]
    return [row for _, row in ordered], [distance for distance, _ in ordered]


def agree(hits, wanted):
    assert hits.ids.tolist() == wanted[0]
    assert hits.distances.tolist() == wanted[1]


@pytest.mark.parametrize(("rerank", "k"), [(1, 5), (20, 5), (20, 40), (ROWS, ROWS), (10**6, 9), (50, 0)])
def test_the_order_is_that_of_the_reconstructed_features(rerank, k):
    index = filled()
    for query, hits in zip(QUERIES, index.search(QUERIES, k=k, rerank=rerank), strict=True):
        agree(hits, by_hand(query, rerank, k))


def test_reranking_changes_the_order_but_not_what_is_found_at_its_depth():
    index = filled()
    plain, ordered = (index.search(QUERIES[0], k=100, rerank=depth) for depth in (0, 100))
    assert plain.ids.tolist() != ordered.ids.tolist()
    assert sorted(plain.ids.tolist()) == sorted(ordered.ids.tolist())
    assert ordered.distances.tolist() != sorted(ordered.distances.tolist())


def test_items_of_one_code_stay_in_the_order_of_their_ids():
    index = create_index(model=Signs())
    index.add(np.repeat(VECTORS[:3], 5, axis=0), ids=RNG.permutation(15))
    hits = index.search(VECTORS[0], k=15, rerank=15)
    codes = index.search(VECTORS[0], k=15, rerank=15).codes
    for code in np.unique(codes, axis=0):
        ids = hits.ids[(codes == code).all(1)]
        assert ids.tolist() == sorted(ids.tolist())


def test_rerank_true_takes_ten_for_each_hit_and_a_hundred_at_least():
    index = filled()
    agree(index.search(QUERIES[0], rerank=True), by_hand(QUERIES[0], LEAST, 10))
    agree(index.search(QUERIES[0], k=30, rerank=True), by_hand(QUERIES[0], 300, 30))
    agree(index.search(QUERIES[0], radius=8, rerank=True), by_hand(QUERIES[0], LEAST, None, radius=8))


def test_filters_and_radii_hold_and_metadata_follow_the_hits():
    index = filled()
    hits = index.search(QUERIES[1], k=15, rerank=60, where="parity=1")
    agree(hits, by_hand(QUERIES[1], 60, 15, rows=range(1, ROWS, 2)))
    assert [row["parity"] for row in hits.rows] == [1] * 15
    agree(index.search(QUERIES[1], radius=3, rerank=10), by_hand(QUERIES[1], 10, None, radius=3))
    agree(index.search(QUERIES[1], k=4, radius=3, rerank=10), by_hand(QUERIES[1], 10, 4, radius=3))
    assert [row["parity"] for row in index.search(QUERIES[1], k=9, rerank=50).rows] == [
        i % 2 for i in by_hand(QUERIES[1], 50, 9)[0]
    ]


def test_no_item_in_reach_is_no_fault():
    assert len(create_index(model=Signs()).search(QUERIES[0], rerank=True)) == 0
    assert len(filled().search(QUERIES[0], radius=0, where="parity=7", rerank=5)) == 0


def test_hits_come_from_all_segments_and_stay_when_the_index_goes_on(tmp_path):
    index = Index.create(tmp_path / "i", model=Signs())
    for rows in np.array_split(np.arange(ROWS)[::-1], 4):
        index.add(VECTORS[rows], ids=rows)
    hits = index.search(QUERIES[2], k=20, rerank=80)
    index.delete(hits.ids[:5])
    agree(hits, by_hand(QUERIES[2], 80, 20))
    assert np.array_equal(hits.codes, Signs().encode(VECTORS[hits.ids]))


def test_vectors_and_lists_are_batches_and_one_vector_is_one_query():
    index = filled()
    assert len(index.search(QUERIES, k=2, rerank=9)) == len(QUERIES)
    assert len(index.search(QUERIES[:1], k=2, rerank=9)) == 1
    assert index.search(QUERIES[0], k=2, rerank=9).ids.shape == (2,)
    assert len(index.search(QUERIES, k=2)) == len(QUERIES)


@pytest.mark.parametrize("engine", ["faiss-hnsw", "faiss-ivf"])
def test_approximate_engines_rerank_what_they_propose(engine, tmp_path):
    index = filled(tmp_path / "i", engine=engine, exact_below=10)
    again = open_index(tmp_path / "i", model=Signs())
    for one in (index, again):
        for query in QUERIES:
            plain = one.search(Signs().encode(query)[0], k=50)
            hits = one.search(query, k=10, rerank=50)
            assert set(hits.ids.tolist()) <= set(plain.ids.tolist())
            guessed = Signs().reconstruct(plain.codes).astype(np.float64)
            far = ((guessed - query) ** 2).sum(1)
            assert hits.ids.tolist() == plain.ids[np.argsort(far.round(9), kind="stable")][:10].tolist()
    agree(index.search(QUERIES[1], radius=3, rerank=10), by_hand(QUERIES[1], 10, None, radius=3))


def test_what_cannot_be_reranked_is_refused_with_a_remedy():
    index, codes = filled(), Signs().encode(QUERIES)
    for query in (codes, codes[0]):
        with pytest.raises(UsageError, match="packed codes have none"):
            index.search(query, rerank=10)
    with pytest.raises(UsageError, match="rankhash"):
        filled(model=NoDecoder()).search(QUERIES[0], rerank=10)
    with pytest.raises(UsageError, match="pass model="):
        Index.create(bits=BITS).search(QUERIES[0], rerank=10)
    for wrong in (-1, 1.5, "many"):
        with pytest.raises(UsageError, match="rerank="):
            index.search(QUERIES[0], rerank=wrong)
