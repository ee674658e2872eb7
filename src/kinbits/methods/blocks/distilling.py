"""Pair labels that are certain although their source is noisy, computed batch by batch; no n x n array."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from kinbits.errors import DataError

Probability = Literal["calibrated", "linear", "sigmoid"]
Rule = Literal["neighbours", "self"]
DRAWN, STRONG = 100_000, 1e6


def certain_labels(p: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return the labels that the Bayes-optimal classifier has for certain: +1, -1, or 0 for unknown.

    Args:
        p: Probability that the noisy label of a pair is +1.
        low: Smallest such probability in the pair's neighbourhood, r-. It bounds Pr(noisy +1 | truly -1).
        high: Largest such probability, 1 - r+. 1 - high bounds Pr(noisy -1 | truly +1).

    Returns:
        float of the shape of ``p``.
    """
    return (p > (1 + low) / 2).float() - (p < high / 2).float()


class DistilledLabels(nn.Module):
    """Labels of all pairs of n rows as a function of codes of a first network and lists of neighbours.

    Args:
        rows: Number of rows n.
        bits: Length K of the codes.
        neighbours: Number p of neighbours of a row, without itself.
        kind: Form of P as a function of the inner product g of two codes: ``"calibrated"``: sigmoid(a g / K + b);
            ``"linear"``: (1 + g / K) / 2; ``"sigmoid"``: sigmoid(g / 2).
        rule: ``"neighbours"``: bounds over all pairs of two neighbourhoods; ``"self"``: over P_bb, b near j.
    """

    codes: Tensor
    near: Tensor
    line: Tensor

    def __init__(self, rows: int, bits: int, neighbours: int, kind: Probability, rule: Rule) -> None:
        super().__init__()
        self.kind, self.rule = kind, rule
        self.register_buffer("codes", torch.zeros(rows, bits))
        self.register_buffer("near", torch.zeros(rows, neighbours, dtype=torch.int32))
        self.register_buffer("line", torch.zeros(2))  # a and b

    @property
    def ready(self) -> bool:
        """Whether the codes are set."""
        return bool(self.codes.any())

    def fit(self, codes: Tensor, pairs: tuple[Tensor, Tensor, Tensor]) -> None:
        """Set the codes of the first network, and calibrate P.

        Args:
            codes: float ``(n, K)``.
            pairs: Some pairs with noisy labels: inner products, whether the label is +1, and weights, ``(m,)`` each.
        """
        self.codes.copy_(codes)
        if self.kind == "calibrated":
            from sklearn.linear_model import LogisticRegression

            products, similar, weights = (part.cpu().numpy() for part in pairs)
            model = LogisticRegression(C=STRONG)  # nearly no penalty
            model.fit(products[:, None] / codes.shape[1], similar, sample_weight=weights * len(weights))
            self.line.copy_(torch.tensor([model.coef_[0, 0], model.intercept_[0]]))

    def probability(self, products: Tensor) -> Tensor:
        """Return P for inner products of codes, of any shape."""
        bits = self.codes.shape[1]
        if self.kind == "linear":
            return (1 + products / bits) / 2
        return torch.sigmoid(products / 2 if self.kind == "sigmoid" else self.line[0] * products / bits + self.line[1])

    @torch.no_grad()
    def among(self, rows: Tensor) -> Tensor:
        """Return the labels of some rows' pairs, float +1, -1 or 0 ``(b, b)``, symmetric, 0 on the diagonal.

        O((b p)^2 K) time and 12 b^2 p bytes: P is monotone, so the extreme inner products give the extreme P.
        """
        own, near = self.codes[rows], self.codes[self.near[rows].long()]
        b = len(rows)
        if self.rule == "neighbours":
            low, high = _extremes(near)
        else:
            length = near.square().sum(2)
            low, high = length.amin(1).expand(b, b), length.amax(1).expand(b, b)
        found = certain_labels(self.probability(own @ own.T), self.probability(low), self.probability(high))
        return torch.where(found == found.T, found, 0.0).fill_diagonal_(0)


def _extremes(near: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least and the largest inner product of one vector of i and one of j, ``(b, b)``, of ``(b, p, K)``."""
    b, p, bits = near.shape
    everyone = near.view(b * p, bits).T
    low = high = near[:, 0] @ everyone
    for rank in range(1, p):  # p small products fit in the cache, one of (b p)^2 does not
        products = near[:, rank] @ everyone
        low, high = torch.minimum(low, products), torch.maximum(high, products)
    return low.view(b, b, p).amin(2), high.view(b, b, p).amax(2)


def noisy_sample(pairs: Any, codes: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw 100,000 similar pairs of a sparse set, and as many others, weighted by the share of each kind.

    Args:
        pairs: Sparse bool ``(n, n)`` in CSR form, with its diagonal.
        codes: float ``(n, K)``.
        rng: Generator of the draws.

    Returns:
        Inner products, whether the pair is in the set, and weights that sum to 1, ``(m,)`` each.
    """
    n = len(codes)
    places = rng.integers(pairs.nnz, size=DRAWN)
    one = np.searchsorted(pairs.indptr, places, side="right") - 1
    other = pairs.indices[places]
    i, j = rng.integers(n, size=(2, DRAWN))
    known = np.asarray(pairs[i, j]).ravel()
    inside, outside = one != other, (i != j) & ~known
    if not inside.any() or not outside.any():
        raise DataError("all pairs of images are similar, or none is; choose another number of similar neighbours")
    share = (pairs.nnz - n) / (n * (n - 1))
    weights = [np.full(m, total / m) for m, total in ((inside.sum(), share), (outside.sum(), 1 - share))]
    first = torch.from_numpy(np.concatenate([one[inside], i[outside]])).to(codes.device)
    second = torch.from_numpy(np.concatenate([other[inside], j[outside]])).to(codes.device)
    similar = torch.arange(len(first)) < int(inside.sum())
    return (codes[first] * codes[second]).sum(1), similar, torch.from_numpy(np.concatenate(weights))
