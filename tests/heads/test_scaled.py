"""Scaled codes: the estimate has no bias, its bound holds, and grid points are the best of their ray."""

import itertools

import numpy as np
import pytest
import torch

from kinbits import fit, hamming
from kinbits.heads.scaled import EPSILON, ScaledHead, nearest_numbers

D = 128


def unit(rng, rows, dims=D):
    x = rng.normal(size=(rows, dims))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def turned(rng, bits_per_dim=1, dims=D, metric="cosine"):
    """Return a head with a random rotation, and centre 0."""
    head = ScaledHead(dims, dims * bits_per_dim + 96, bits_per_dim, metric)
    rotation, _ = np.linalg.qr(rng.normal(size=(dims, dims)))
    with torch.no_grad():
        head.layers.weight.copy_(torch.from_numpy(rotation))
    return head


def estimates(head, queries, rows):
    """Return estimated distances and how far off they may be, float ``(q, n)``."""
    q, x = torch.from_numpy(queries), torch.from_numpy(rows)
    codes = head.codes(x)
    with torch.no_grad():
        middle = hamming.table_distances(head.tables(q), codes)
        lower = hamming.table_distances(head.bound_tables(head(q)), codes)
    return middle, middle - lower


@pytest.mark.parametrize("bits_per_dim", [1, 2, 4])
def test_the_mean_of_the_estimate_over_rotations_is_the_inner_product_and_few_errors_pass_the_bound(bits_per_dim):
    rng = np.random.default_rng(0)
    x, queries = unit(rng, 8), unit(rng, 4)
    queries[0] = x[0] + 0.05 * queries[0]
    queries[0] /= np.linalg.norm(queries[0])
    exact = 1 - queries @ x.T
    found = [estimates(turned(rng, bits_per_dim), queries, x) for _ in range(200)]
    values, bounds = (np.stack(one) for one in zip(*found, strict=True))
    deviation = values.std(0) / np.sqrt(len(values))
    assert np.all(np.abs(values.mean(0) - exact) < 4 * deviation + 1e-6)  # 4: the largest of 32 pairs
    assert np.abs((values.mean(0) - exact) / deviation).mean() < 1.1  # .8 if the deviation is right
    assert np.mean(np.abs(values - exact) > bounds) < 0.06
    assert np.mean(np.abs(values - exact) > bounds / 10) > 0.5  # and the bound is not merely wide


def test_the_factors_are_those_of_the_formula():
    rng = np.random.default_rng(1)
    head, x, q = turned(rng, metric="euclidean"), 3 * unit(rng, 5), unit(rng, 2)
    with torch.no_grad():
        head.centre.copy_(torch.from_numpy(rng.normal(size=D) / 10))
    c, rotation = head.centre.numpy().astype(float), head.layers.weight.detach().numpy().astype(float)
    found, bounds = estimates(head, q, x)
    for i, j in itertools.product(range(2), range(5)):
        o, own = x[j] - c, q[i] - c
        bar = rotation.T @ np.where(rotation @ o >= 0, 1, -1) / np.sqrt(D)
        cosine = bar @ o / np.linalg.norm(o)
        inner = bar @ own / np.linalg.norm(own) / cosine
        lengths = np.linalg.norm(o) * np.linalg.norm(own)
        assert found[i, j] == pytest.approx(o @ o + own @ own - 2 * lengths * inner, rel=1e-4)
        error = np.sqrt((1 - cosine**2) / cosine**2) * EPSILON / np.sqrt(D - 1)
        assert bounds[i, j] == pytest.approx(2 * lengths * error, rel=1e-3)


def best_of_ray(z, bits):
    """Return the largest cosine of z with a point of the grid, by all scales at which a level changes."""
    half, best = 2 ** (bits - 1), 0.0
    changes = [k / size for size in np.abs(z) for k in range(1, half)]
    for scale in [1e-9, *changes]:
        point = np.minimum(np.floor(np.abs(z) * scale * (1 + 1e-12)), half - 1) + 0.5
        best = max(best, point @ np.abs(z) / np.linalg.norm(point))
    return best / np.linalg.norm(z)


@pytest.mark.parametrize("bits", [1, 2, 3, 5])
def test_grid_points_are_nearly_the_best_of_all_scales(bits):
    rng = np.random.default_rng(3)
    z = rng.normal(size=(30, 20))
    numbers = nearest_numbers(torch.from_numpy(z), bits).numpy().astype(float)
    assert numbers.max() < 2**bits
    u = numbers - (2**bits - 1) / 2
    found = (u * z).sum(1) / np.linalg.norm(u, axis=1) / np.linalg.norm(z, axis=1)
    wanted = np.array([best_of_ray(row, bits) for row in z])
    assert np.all(found <= wanted + 1e-12)
    assert np.mean(wanted - found) < 0.02 * np.mean(1 - wanted)


def test_fewer_bits_keep_the_first_axes_and_their_bound_holds():
    rng = np.random.default_rng(5)
    few = rng.normal(size=(1500, 16)) @ rng.normal(size=(16, 48))
    x = (few + rng.normal(size=(1500, 48))).astype(np.float32)
    rng = np.random.default_rng(6)
    for bits, metric in itertools.product((120, 176), ("cosine", "inner")):  # 24 and 80 of 48 dimensions
        with pytest.warns(UserWarning, match="144 bits hold all"):
            head = fit(x, method="rabitq", bits=bits, params={"metric": metric}, progress=False).tower().head
        picked = rng.integers(len(x), size=40)
        found, bounds = estimates(head, x[:20], x[picked])
        scale = np.ones(len(x)) if metric == "inner" else np.linalg.norm(x, axis=1)
        exact = -(x[:20] @ x[picked].T) / scale[:20, None] / scale[picked]
        assert np.mean(np.abs(found - exact - (metric == "cosine")) > bounds + 1e-5) < 0.08
