"""Search by the asymmetric distance: real-valued queries against stored bits."""

import numpy as np
import pytest

import kinbits
from kinbits import ArtefactError, DataError, Index, UsageError
from kinbits.hamming import pack, sign_tables

BITS = 20


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(0).standard_normal((400, 24)).astype(np.float32)


@pytest.fixture(scope="module")
def model(vectors):
    return kinbits.fit(vectors, method="itq", bits=BITS, progress=False)


@pytest.fixture
def index(model, vectors, tmp_path):
    made = Index.create(tmp_path / "index", model=model)
    made.add(vectors[200:], ids=np.arange(200, 400), metadata={"half": ["second"] * 200})
    return made.add(vectors[:200], ids=np.arange(200), metadata={"half": ["first"] * 200})  # two segments


def weighted(logits, codes):
    """Return the sum of |z_k| over the bits that differ, by a loop over bits in float64."""
    bits = np.unpackbits(codes, axis=1, count=logits.shape[1])
    return np.array(
        [[sum(abs(z) for z, b in zip(row, code, strict=True) if (z >= 0) != b) for code in bits] for row in logits]
    )


def test_the_distance_is_the_weight_of_the_differing_bits(model, index, vectors):
    wanted = weighted(model.encode(vectors[:5] + 0.1, output="logits"), model.encode(vectors))
    found = index.search(vectors[:5] + 0.1, k=25, distance="asymmetric")
    for query, hits in enumerate(found):
        assert hits.ids.tolist() == np.argsort(wanted[query], kind="stable")[:25].tolist()
        assert hits.distances.dtype == np.float32
        assert np.allclose(hits.distances, np.sort(wanted[query])[:25], atol=1e-5)


def test_it_ranks_by_the_inner_product_with_the_signs(model, index, vectors):
    logits = model.encode(vectors[:1] + 0.1, output="logits")
    signs = model.encode(vectors, output="bits") * 2.0 - 1
    hits = index.search(vectors[0] + 0.1, k=400, distance="asymmetric")
    products = (logits @ signs.T)[0][hits.ids]
    assert np.all(np.diff(products) <= 1e-4)
    assert np.allclose(hits.distances, (np.abs(logits).sum() - products) / 2, atol=1e-4)


def test_logits_of_one_size_give_hamming_distances():
    rng = np.random.default_rng(1)
    codes, signs = pack(rng.random((60, BITS)) < 0.5), np.where(rng.random((3, BITS)) < 0.5, 1.0, -1.0)
    made = Index.create(bits=BITS).add(codes)
    found = made.search(sign_tables(signs), k=60, distance="asymmetric")
    for hits, code in zip(found, pack(signs), strict=True):
        wanted = made.search(code, k=60)
        assert hits.ids.tolist() == wanted.ids.tolist()
        assert hits.distances.tolist() == wanted.distances.tolist()


def test_radius_filter_deletion_and_reopening(model, index, vectors, tmp_path):
    nearest = index.search(vectors[3], k=30, distance="asymmetric", where="half=first")
    assert set(nearest.ids) <= set(range(200))
    radius = float(nearest.distances[9])
    within = index.search(vectors[3], radius=radius, distance="asymmetric", where="half=first")
    assert within.ids.tolist() == nearest.ids[:10].tolist()
    index.delete(nearest.ids[0])
    again = Index.open(tmp_path / "index", model=model).search(
        vectors[3], k=9, distance="asymmetric", where="half=first"
    )
    assert again.ids.tolist() == nearest.ids[1:10].tolist()


def test_one_query_gives_hits_and_several_a_batch(index, vectors):
    assert index.search(vectors[0], distance="asymmetric").ids[0] == 0
    assert len(index.search(vectors[:2], distance="asymmetric")) == 2
    assert len(index.search(vectors[:0], distance="asymmetric")) == 0


def test_hits_print_with_their_distances(index, vectors):
    hits = index.search(vectors[0] + 0.1, k=2, distance="asymmetric")
    assert f"{float(hits.distances[1]):.6g}" in str(hits)


def test_an_empty_index_finds_nothing(model, vectors):
    assert len(Index.create(model=model).search(vectors[0], distance="asymmetric")) == 0


def test_without_a_model_only_tables_can_be_searched(model, vectors):
    bare = Index.create(bits=BITS).add(model.encode(vectors))
    with pytest.raises(UsageError, match="the asymmetric distance needs the index's model"):
        bare.search(vectors[0], distance="asymmetric")
    hits = bare.search(model.encode(vectors[:1], output="tables"), k=3, distance="asymmetric")[0]
    assert hits.ids[0] == 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"distance": "cosine"}, UsageError, "distance"),
        ({"radius": "2"}, UsageError, "give a number"),
        ({"radius": float("nan")}, UsageError, "give a number"),
        ({"k": -1}, UsageError, "k=-1"),
        ({"strategy": "grouped"}, UsageError, "finds Hamming distances"),
        ({"rerank": 10}, UsageError, "by Hamming distance, not asymmetric; leave rerank out"),
    ],
)
def test_wrong_options_are_refused(index, vectors, options, error, message):
    with pytest.raises(error, match=message):
        index.search(vectors[0], **{"distance": "asymmetric", **options})


def test_codes_have_no_logits(model, index, vectors):
    with pytest.raises(UsageError, match="packed codes have none"):
        index.search(model.encode(vectors[:1]), distance="asymmetric")


def test_a_radius_of_bits_stays_a_whole_number(index, vectors):
    with pytest.raises(UsageError, match="give a whole number"):
        index.search(vectors[0], radius=2.5)


def test_vectors_that_are_not_finite_are_refused(index, vectors):
    with pytest.raises(DataError, match="row 0 holds NaN"):
        index.search(np.full_like(vectors[0], np.nan), distance="asymmetric")


def test_damage_is_found(index, vectors, tmp_path):
    path = next((tmp_path / "index").glob("*.codes"))
    raw = bytearray(path.read_bytes())
    raw[0] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ArtefactError, match="codes"):
        Index.open(tmp_path / "index", model=index._model).search(vectors[0], distance="asymmetric")


def test_a_batch_becomes_arrays_with_its_own_distances(index, vectors):
    hits = index.search(vectors[:2] + 0.1, k=3, distance="asymmetric")
    _, distances = hits.to_numpy()
    assert distances.dtype == np.float32
    assert np.array_equal(distances, np.stack([one.distances for one in hits]))
    assert hits.to_arrow()["distance"].type == "float"
    assert f"({float(distances[0, 1]):.6g})" in str(hits)
    radius = float(hits[0].distances[1])
    few = index.search(vectors[:2] + 0.1, radius=radius, distance="asymmetric")
    padded = few.to_numpy()[1]
    assert [int(np.isfinite(row).sum()) for row in padded] == [len(one) for one in few]
    assert np.isnan(padded).any()


def test_no_hits_have_float_distances_too(model, index, vectors):
    for empty in (Index.create(model=model), index):
        assert empty.search(vectors[0], k=0, distance="asymmetric").distances.dtype == np.float32
