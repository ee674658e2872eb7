"""Nearest neighbours of all rows: exact, and by inverted lists."""

import numpy as np
import pytest

from kinbits import UsageError
from kinbits._util.neighbours import nearest

POINTS = np.random.default_rng(0).normal(size=(3000, 6)).astype(np.float32)


def read():
    yield from np.array_split(POINTS, 4)


def test_exact_neighbours_are_those_of_all_distances():
    ids, distances = nearest(read, len(POINTS), 5)
    for row in range(0, 3000, 500):
        all_distances = np.square(POINTS - POINTS[row]).sum(1)
        assert ids[row].tolist() == np.argsort(all_distances, kind="stable")[:5].tolist()
        assert distances[row] == pytest.approx(np.sort(all_distances)[:5], abs=1e-3)


def test_inverted_lists_find_nearly_all_of_them():
    exact, _ = nearest(read, len(POINTS), 10)
    found, _ = nearest(read, len(POINTS), 10, exact_rows=100)
    assert (found[:, 0] == np.arange(3000)).all()
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, found, strict=True)]) > 0.95


def test_a_place_without_a_neighbour_is_minus_one():
    found, _ = nearest(read, len(POINTS), 200, exact_rows=100, lists_read=1)  # a list holds 14 points on average
    assert (found[:, 0] == np.arange(3000)).all()
    assert (found[5] == -1).sum() > 100


@pytest.mark.parametrize("count", [0, 3001])
def test_more_neighbours_than_points_are_refused(count):
    with pytest.raises(UsageError, match="give 1 to 3000"):
        nearest(read, len(POINTS), count)
