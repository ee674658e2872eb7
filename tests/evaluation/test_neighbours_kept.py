"""Neighbours kept: that of a loop, of both kinds of codes, and the advice beside ITQ."""

import numpy as np
import pytest

import kinbits
from kinbits import DataError
from kinbits.data import open_dataset
from kinbits.evaluation import NeighboursKept, neighbours_kept

X = np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)


def test_the_share_is_that_of_a_loop():
    model = kinbits.fit(X, method="itq", bits=16, progress=False)
    found = neighbours_kept(model, open_dataset(X))
    rows = X[np.sort(np.random.default_rng(0).permutation(300)[:150])]
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    bits = model.encode(rows, output="bits")
    shares = []
    for row in range(150):
        others = np.flatnonzero(np.arange(150) != row)
        near = set(others[np.argsort(-(unit[others] @ unit[row]))[:10]].tolist())
        apart = (bits[others] != bits[row]).sum(1)
        inside = apart < np.sort(apart)[9]
        tied = apart == np.sort(apart)[9]
        chance = (10 - inside.sum()) / tied.sum()  # of a tied row to be among the ten
        weight = inside + chance * tied
        shares.append(sum(weight[place] for place, other in enumerate(others) if other in near) / 10)
    assert found.rows == 150
    assert found.share == pytest.approx(np.mean(shares), abs=1e-6)
    assert found.itq == pytest.approx(found.share, abs=0.1)


def test_product_codes_keep_more_and_few_bits_less():
    data = open_dataset(X)
    product = kinbits.fit(X, method="opq", bits=32, params={"words": 16}, progress=False)
    assert neighbours_kept(product, data).itq is None  # more bits than dimensions
    few = kinbits.fit(X, method="lsh", bits=4, progress=False)
    assert neighbours_kept(few, data).share < 0.5 < neighbours_kept(product, data).share


def test_the_advice_comes_where_itq_keeps_more():
    assert "or --method itq" in NeighboursKept(100, 0.3, 0.4).advice
    assert not NeighboursKept(100, 0.41, 0.42).advice
    assert not NeighboursKept(100, 0.4, 0.4).advice
    assert not NeighboursKept(100, 0.4, None).advice
    assert str(NeighboursKept(2000, 0.31, 0.485)) == "31% of the 10 nearest by cosine, among 2,000 rows; itq 48%"


def test_too_few_rows_are_refused():
    model = kinbits.fit(X, method="lsh", bits=8, progress=False)
    with pytest.raises(DataError, match="2 rows have no neighbours"):
        neighbours_kept(model, open_dataset(X[:2]))


def test_the_metric_is_that_of_the_codes():
    for metric in ("euclidean", "inner"):
        model = kinbits.fit(X, method="rabitq", bits=8 * X.shape[1] + 96, params={"bits_per_dim": 8, "metric": metric})
        found = neighbours_kept(model, open_dataset(X))
        assert found.metric == metric
        assert found.share > 0.97
