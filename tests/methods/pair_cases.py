"""What the tests of pairwise methods share: the sheet's codes, label cases, and the mean over pairs in plain loops."""

import torch

from kinbits.data import LabelSpace

U = torch.tensor([[0.8, -0.6, 1.2, -0.4], [0.5, -0.9, 0.7, 0.3], [-1.1, 0.4, -0.2, 0.9]])
Y = torch.tensor([0, 0, 1])
# Labels as a method gets them, and as sets; an empty set is an unlabelled row.
CASES = [
    (torch.tensor([0, 1, 0, 2, 1, -1, -1]), [{0}, {1}, {0}, {2}, {1}, set(), set()]),
    (
        torch.tensor([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 0]]).float(),
        [{0, 1}, {1, 2}, {3}, set(), {0, 1, 2}],
    ),
]
ONE_KIND = [[0, 0, 0], [0, 1, 2], [-1, -1, -1]]


def space_of(labels):
    return LabelSpace(tuple("abcd"), multi=labels.ndim == 2)


def mean_over_pairs(sets, value, *, weighted=False):
    """Return the mean of value(i, j, alike) over ordered pairs of labelled rows, weighted as HashNet does or not."""
    rows = [i for i in range(len(sets)) if sets[i]]
    pairs = [(i, j, bool(sets[i] & sets[j])) for i in rows for j in rows if i != j]
    positives = sum(alike for _, _, alike in pairs)
    total = 0.0
    for i, j, alike in pairs:
        weight = 1.0
        if weighted and 0 < positives < len(pairs):
            weight = len(pairs) / (positives if alike else len(pairs) - positives)
        if weighted and alike:
            weight *= len(sets[i] & sets[j]) / len(sets[i] | sets[j])
        total += weight * value(i, j, alike)
    return total / len(pairs)


def dot(one, two):
    return sum(a * b for a, b in zip(one, two, strict=True))
