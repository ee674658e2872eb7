"""Groups around representatives, against a loop written from the definition."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kinbits.dedupe.stars import components, members, star_groups


@st.composite
def graphs(draw):
    n = draw(st.integers(1, 12))
    every = [(i, j) for i in range(n) for j in range(i + 1, n)]
    pairs = draw(st.lists(st.sampled_from(every), unique=True)) if every else []
    near = [draw(st.integers(0, 5)) for _ in pairs]
    return n, pairs, near, draw(st.permutations(range(n)))


def arrays(pairs, near):
    both = np.array(pairs, np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1], np.array(near, np.int32)


def naive(n, pairs, near, rank):
    apart = {frozenset(pair): d for pair, d in zip(pairs, near, strict=True)}
    chosen = []
    for row in sorted(range(n), key=rank.__getitem__):
        if not any(frozenset((row, one)) in apart for one in chosen):
            chosen.append(row)
    found = list(range(n))
    for row in set(range(n)) - set(chosen):
        found[row] = min(
            (one for one in chosen if frozenset((row, one)) in apart),
            key=lambda one: (apart[frozenset((row, one))], rank[one]),
        )
    return found, [0 if found[row] == row else apart[frozenset((row, found[row]))] for row in range(n)]


@given(graphs())
def test_stars_are_those_of_the_definition(graph):
    n, pairs, near, rank = graph
    center, bits = star_groups(*arrays(pairs, near), np.array(rank))
    assert (center.tolist(), bits.tolist()) == naive(n, pairs, near, rank)


@given(graphs())
def test_the_order_of_pairs_does_not_matter(graph):
    _, pairs, near, rank = graph
    turned = [(j, i) for i, j in pairs][::-1]
    one, two = (
        star_groups(*arrays(pairs, near), np.array(rank)),
        star_groups(*arrays(turned, near[::-1]), np.array(rank)),
    )
    assert all((a == b).all() for a, b in zip(one, two, strict=True))


def test_a_chain_makes_no_group_of_its_ends():
    center, _ = star_groups(*arrays([(0, 1), (1, 2), (2, 3), (3, 4)], [1] * 4), np.arange(5))
    assert center.tolist() == [0, 0, 2, 2, 4]
    assert [rows.tolist() for rows in members(center)] == [[0, 1], [2, 3]]
    assert components(*arrays([(0, 1), (1, 2), (3, 4)], [1] * 3)[:2], 6).tolist() == [0, 0, 0, 3, 3, 5]
