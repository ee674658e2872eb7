"""PQ and OPQ: k-means per part in plain loops, the sheet's numbers on digits, and what the rotation gains."""

import faiss
import numpy as np
import pytest
import torch
from digits import learn, score, split

from kinbits import DataError, UsageError, hamming
from kinbits.methods import Spec, build_method


def error(method, x):
    """Return the mean squared quantization error, in the unit of the features."""
    with torch.no_grad():
        z = method.head(torch.from_numpy(x))
        return float((z - method.head.decode(method.head.codes_of(z))).square().sum(1).mean() / method.head.scale**2)


def correlated(rows=3000, dims=32, seed=0):
    rng = np.random.default_rng(seed)
    spread = rng.normal(size=(dims, dims)) @ np.diag(np.linspace(0.1, 2, dims))
    return (rng.normal(size=(rows, dims)) @ spread + 3).astype(np.float32)


def test_words_are_the_means_of_the_parts_that_are_nearest_to_them():
    x = correlated(400, 8)
    head = learn("pq", 8, x, words=16).head
    with torch.no_grad():
        z = head(torch.from_numpy(x)).numpy()
    assert np.allclose(z, (x - x.mean(0)) * float(head.scale), atol=1e-4)
    for part in range(2):
        rows = z[:, part * 4 : part * 4 + 4]
        words = head.books[part].numpy()
        nearest = np.array([min(range(16), key=lambda k: ((row - words[k]) ** 2).sum()) for row in rows])
        for k in range(16):
            assert np.allclose(words[k], rows[nearest == k].mean(0), atol=0.05)


@pytest.mark.parametrize(("bits", "words"), [(16, 16), (32, 256)])
def test_the_error_is_that_of_faiss(bits, words):
    x = correlated()
    theirs = faiss.ProductQuantizer(32, bits // (words.bit_length() - 1), words.bit_length() - 1)
    centred = x - x.mean(0)
    theirs.train(centred)
    wanted = float(((theirs.decode(theirs.compute_codes(centred)) - centred) ** 2).sum(1).mean())
    assert error(learn("pq", bits, x, words=words), x) == pytest.approx(wanted, rel=0.03)


@pytest.mark.parametrize(("bits", "words"), [(16, 16), (16, 256)])
def test_a_rotation_loses_no_more_than_that_of_faiss(bits, words):
    x = correlated()
    parts = bits // (words.bit_length() - 1)
    rotation, theirs = (
        faiss.OPQMatrix(32, parts),
        faiss.ProductQuantizer(32, parts, words.bit_length() - 1),
    )
    rotation.pq = theirs
    centred = x - x.mean(0)
    rotation.train(centred)
    rotated = rotation.apply(centred)
    theirs.train(rotated)
    wanted = float(((theirs.decode(theirs.compute_codes(rotated)) - rotated) ** 2).sum(1).mean())
    ours = error(learn("opq", bits, x, words=words), x)
    assert ours < 1.02 * wanted
    assert ours < 0.9 * error(learn("pq", bits, x, words=words), x)


def test_the_map_of_opq_is_a_rotation_and_leaves_out_what_fits_no_part():
    x = correlated(500, 10)
    head = learn("opq", 12, x, words=16).head  # three parts of three dimensions
    weight = head.layers.weight.detach()
    assert weight.shape == (9, 10)
    assert np.allclose(weight @ weight.T, np.eye(9), atol=1e-4)


def test_cosine_and_inner_product():
    x = correlated(400, 8)
    stretched = x * np.random.default_rng(1).uniform(0.1, 10, (400, 1)).astype(np.float32)
    one, other = (learn("pq", 8, rows, words=16, metric="cosine").head for rows in (x, stretched))
    assert np.array_equal(one.codes(torch.from_numpy(x)), other.codes(torch.from_numpy(stretched)))
    head = learn("pq", 8, x, words=16, metric="inner").head
    query, codes = torch.from_numpy(x[:3]), head.codes(torch.from_numpy(x))
    tables, numbers = head.tables(query), np.stack([codes[:, 0] >> 4, codes[:, 0] & 15], 1)
    summed = tables[:, 0, numbers[:, 0]] + tables[:, 1, numbers[:, 1]]
    with torch.no_grad():
        exact = -(head(query) @ head.decode(codes).T).numpy()
    assert np.allclose(summed, exact, atol=1e-4)


def test_the_inner_product_of_opq_is_that_of_the_vectors_themselves():
    x = correlated(400, 8)
    head = learn("opq", 8, x, words=16, metric="inner").head
    queries, rows = torch.from_numpy(x[:5]), torch.from_numpy(x)
    with torch.no_grad():
        z, found = head(queries), hamming.table_distances(head.tables(queries), head.codes(rows))
    assert np.allclose(found, -(z @ head.decode(head.codes(rows)).T).numpy(), rtol=1e-4)
    assert np.allclose(z @ head(rows).T.detach(), (queries @ rows.T) * head.scale**2, atol=1e-3)


def test_digits_are_ranked_as_on_the_sheet():
    queries, train, database = split()
    reached = np.mean([score(learn("pq", 16, train[0], words=16, seed=seed), queries, database) for seed in range(3)])
    assert reached == pytest.approx(0.692, abs=0.03)
    assert score(learn("opq", 16, train[0], words=16), queries, database) > 0.672  # the pixels themselves


@pytest.mark.parametrize("name", ["pq", "opq"])
def test_what_does_not_fit_is_refused(name):
    with pytest.raises(DataError, match=r"100 training rows are too few for codebooks of 256 words; .* or words=16"):
        build_method(name, Spec(16, 8, 100))
    with pytest.raises(DataError, match=r"10 training rows .*; give 16 or more$"):
        build_method(name, Spec(16, 8, 10), words=16)
    with pytest.raises(UsageError, match="words"):
        build_method(name, Spec(16, 8, 1000), words=12)
    with pytest.raises(UsageError, match="metric='l3'"):
        build_method(name, Spec(16, 8, 1000), words=16, metric="l3")
    with pytest.raises(UsageError, match="dimensions"):
        build_method("pq", Spec(24, 8, 1000))
    with pytest.raises(UsageError, match="iterations"):
        build_method("opq", Spec(16, 8, 1000), iterations=0)
