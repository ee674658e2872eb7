"""RaBitQ: codes rank as what they stand for, keep more neighbours than signs, and the bound finds all of them."""

import numpy as np
import pytest
import torch
from digits import learn

from kinbits import DataError, Index, UsageError, fit, hamming
from kinbits.index import Hits
from kinbits.methods import Spec, build_method


def unit(rng, rows, dims):
    x = rng.normal(size=(rows, dims))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "inner"])
@pytest.mark.parametrize("bits_per_dim", [1, 3, 8])
def test_the_estimate_is_the_distance_of_the_reconstruction(metric, bits_per_dim):
    rng = np.random.default_rng(2)
    x = (unit(rng, 40, 24) * rng.uniform(0.5, 2, (40, 1)) + 0.3).astype(np.float32)
    bits = 24 * bits_per_dim + 96
    method = learn("rabitq", bits, x, bits_per_dim=bits_per_dim, metric=metric)
    queries, rows = torch.from_numpy(x[:6]), torch.from_numpy(x)
    head, codes = method.head, method.head.codes(rows)
    assert codes.shape == (40, bits // 8)
    with torch.no_grad():
        outputs, own = head(queries), head(rows)[:, -1]
    brute = outputs[:, -1:] + own - {"euclidean": 2}.get(metric, 1) * outputs[:, :-2] @ head.decode(codes).T
    assert np.allclose(hamming.table_distances(head.tables(queries), codes), brute.numpy(), atol=1e-5)
    lengths = np.linalg.norm(x, axis=1)
    exact = {
        "cosine": 1 - x[:6] @ x.T / lengths[:6, None] / lengths,
        "euclidean": np.square(x[:6, None] - x).sum(2),
        "inner": -x[:6] @ x.T,
    }[metric]
    largest = {1: 0.4, 3: 0.08, 8: 0.003}[bits_per_dim] * np.ptp(exact)
    assert np.abs(brute.numpy() - exact).max() < largest
    symmetric = hamming.table_distances(head.code_tables(codes[:6]), codes)
    assert np.abs(symmetric - exact).max() < 2 * largest


def test_a_vector_at_the_centre_has_a_scale_of_0_and_its_exact_distance():
    x = unit(np.random.default_rng(4), 30, 16)
    head = learn("rabitq", 112, x, metric="euclidean").head
    centre = head.centre[None]
    codes = head.codes(centre)
    assert hamming.factors_of(codes).tolist() == [[0, 0, 0]]
    away = hamming.table_distances(head.tables(torch.from_numpy(x)), codes)[:, 0]
    assert np.allclose(away, np.square(x - head.centre.numpy()).sum(1), atol=1e-5)


def correlated(seed=5, rows=1500, dims=48):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(rows, 16)) @ rng.normal(size=(16, dims)) + rng.normal(size=(rows, dims))).astype(
        np.float32
    )


def found_of(hits, nearest):
    """Return the share of the true neighbours ``(q, 10)`` that are among the hits."""
    return np.mean([np.isin(one.ids, true).mean() for one, true in zip(hits, nearest, strict=True)])


@pytest.mark.parametrize("rows", [1500, 5000])
def test_estimates_keep_more_neighbours_than_signs_and_the_bound_finds_them_all(rows):
    x = correlated(rows=rows)
    model = fit(x, method="rabitq", bits=144, progress=False)
    index = Index.create(None, x, model=model, keep="float32")
    signs = hamming.pack((model.encode(x, output="logits")[:, :-2]) >= 0)
    hashed = Index.create(None, signs, bits=48)
    queries = x[:40] + 0.01
    one, other = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (queries, x))
    nearest = np.argsort(-(one @ other.T), axis=1)[:, :10]
    by_signs = hashed.search(hamming.pack(model.encode(queries, output="logits")[:, :-2] >= 0), 10)
    assert found_of(index.search(queries, 10), nearest) > found_of(by_signs, nearest) + 0.05
    found = index.search(queries, 10, rescore="bound")
    assert found_of(found, nearest) > 0.995
    read = [hits.vectors_read for hits in found]
    assert np.mean(read) < 0.4 * rows
    recall = index.recall(10, sample=50)
    assert recall.stages["asymmetric, rescore bound"] > 0.99 > recall.stages["asymmetric"]


@pytest.mark.parametrize(
    ("bits", "options", "message"),
    [
        (
            64,
            {},
            "scaled codes take 96 for factors and 1 for each dimension, in whole bytes; give 112 bits for all 10",
        ),
        (96, {}, "give 112 bits"),
        (107, {}, "give 112 bits"),
        (128, {"bits_per_dim": 3}, "give 144 bits"),
        (128, {"bits_per_dim": 9}, "bits_per_dim=9: give 1 to 8"),
        (128, {"metric": "l1"}, "metric='l1': give one of euclidean, cosine, inner"),
    ],
)
def test_what_does_not_fit_is_refused(bits, options, message):
    with pytest.raises(UsageError, match=message):
        build_method("rabitq", Spec(bits, 10, 1000), **options)


def test_the_bound_is_refused_where_there_is_none():
    x = correlated()
    plain = Index.create(None, x, model=fit(x, method="itq", bits=16, progress=False), keep="float32")
    with pytest.raises(UsageError, match="these are bits; rescore a number of candidates"):
        plain.search(x[:2], rescore="bound")
    model = fit(x, method="rabitq", bits=144, progress=False)
    other = Index.create(None, x, model=model, keep="float32", metric="euclidean")
    with pytest.raises(UsageError, match=r"bound the metric 'cosine'.*the metric 'cosine'$"):
        other.search(x[:2], rescore="bound")
    with pytest.raises(UsageError, match="rescore is 'much'"):
        other.search(x[:2], rescore="much")
    with pytest.raises(UsageError, match="scaled codes have no Hamming distance"):
        other.search(x[:2], distance="hamming")
    with pytest.raises(UsageError, match="scaled codes have no bits"):
        model.encode(x[:2], output="bits")


@pytest.mark.parametrize("keep", ["int8", "float32"])
@pytest.mark.parametrize(("metric", "bits_per_dim"), [("inner", 1), ("euclidean", 8), ("cosine", 4)])
def test_the_bound_loses_none_of_what_was_read(keep, metric, bits_per_dim):
    rng = np.random.default_rng(7)
    x = (rng.normal(size=(300, 24)) + 30 * (metric == "inner")).astype(np.float32)
    params = {"metric": metric, "bits_per_dim": bits_per_dim}
    model = fit(x, method="rabitq", bits=24 * bits_per_dim + 96, params=params, progress=False)
    index = Index.create(None, x, model=model, keep=keep)
    assert index.info()["keep"]["metric"] == metric
    for k in (0, 1, 3, 10, 299, 300, 900):
        found, plain = index.search(x, k, rescore="bound"), index.search(x, k, rescore=300)
        assert all(len(hits) == min(k, 300) for hits in found)
        assert all(np.all(np.diff(hits.distances) >= 0) for hits in found)
        if k:
            same = np.mean([np.isin(one.ids, other.ids).mean() for one, other in zip(found, plain, strict=True)])
            assert same > (0.85 if keep == "int8" else 0.95)  # int8 is far off beside 30
    assert len(index.search(x[:0], 3, rescore="bound")) == 0
    assert isinstance(index.search(x[0], 3, rescore="bound"), Hits)


def test_the_bound_needs_the_items_and_vectors_that_the_codes_were_made_of():
    x, other = correlated(rows=300), correlated(seed=8, rows=300)
    model = fit(x, method="rabitq", bits=144, progress=False)
    index = Index.create(None, x, model=model, keep="float32")
    for query in (model.encode(x[:2]), "nonsense", model.encode(x[1:3], output="tables")):
        with pytest.raises(UsageError, match="needs the query itself"):
            index.search(query, 3, rescore="bound", vectors=x[:2])
    strange = Index.create(None, x, model=model, keep="float32", vectors=other)
    with pytest.raises(UsageError, match="keeps other vectors"):
        strange.search(x[:2], 3, rescore="bound")
    with pytest.raises(UsageError, match=r"rescore is array\(\[1, 2\]\); give"):
        index.search(x[0], 3, rescore=np.array([1, 2]))


def test_numbers_that_float32_does_not_hold_are_refused_and_zeros_are_at_distance_1():
    x = correlated(rows=300)
    model = fit(x, method="rabitq", bits=144, params={"metric": "euclidean"}, progress=False)
    for scale in (1e20, 1e-25):
        with pytest.raises(DataError, match="float32 does not hold the squares of vector 0; scale"):
            fit(scale * x, method="rabitq", bits=144, params={"metric": "euclidean"}, progress=False).encode(scale * x)
    wide = fit(x, method="rabitq", bits=480, params={"bits_per_dim": 8}, progress=False)
    index = Index.create(None, np.vstack([x, 0 * x[:1]]), model=wide)
    hits = index.search(x[5], 301)
    assert hits.distances[hits.ids == 300] == pytest.approx(1, abs=0.02)
    by_code = Index.create(None, x, model=model).search(model.encode(x[:5]), 1)
    assert np.allclose(np.concatenate([hits.distances for hits in by_code]), 0, atol=1e-3 * np.square(x).sum(1).mean())


@pytest.mark.parametrize(("params", "bits"), [({}, 144), ({"bits_per_dim": 3}, 240)])
def test_without_bits_the_code_holds_all_dimensions(params, bits):
    x = correlated()
    model = fit(x, method="rabitq", params=params, progress=False)
    assert model.bits == bits
    assert model.tower().head.dims == x.shape[1]
    assert fit(x, method="lsh", progress=False).bits == 64
    with pytest.raises(UsageError, match=r"bits_per_dim=2\.0: give 1 to 8"):
        fit(x, method="rabitq", params={"bits_per_dim": 2.0}, progress=False)
