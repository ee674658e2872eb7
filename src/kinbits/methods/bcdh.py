"""BCDH: one loss on given pairs, for the distance of codes and for binary outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from kinbits.data import Pairs
from kinbits.errors import DataError, UsageError
from kinbits.heads import Linear, Mlp
from kinbits.methods.base import Batch, Method, Recipe, Spec, TrainView
from kinbits.methods.blocks.binary import signs
from kinbits.methods.blocks.groups import Pool, draw_pairs, given_negatives, mined_negatives
from kinbits.methods.registry import register

PHASES = (0.0, 0.1, 1 / 3, 1.0)


@register("bcdh")
class Bcdh(Method):
    """Pull the codes of similar pairs together and push others a margin of bits apart, with a binary penalty.

    Partly a reconstruction: the paper's abstract gives the idea, which is pairs from 3D models, and one pairwise loss
    for the distance of the codes and for the binary constraint. Its equations were not available. With f_i in R^K the
    linear output of the head, b = sign(f), D_ij = |f_i - f_j|^2 / 4 (the Hamming distance of binary f), y = 1 for
    similar pairs, w their weight, m the margin and lambda the penalty, the mean over the pairs of::

        w (y D_ij + (1 - y) max(0, m - D_ij)) + lambda / 2 (|f_i - b_i|^2 + |f_j - b_j|^2)

    lambda grows in four steps, 0, 1/10, 1/3 and all of ``penalty``: 0 for ``warmup`` epochs, then a step every
    ``warmup`` / 2. A large lambda from the start would freeze the signs of a random network.

    With ``pair_codes`` each pair has its own best codes after the warm-up, in closed form, and f is fitted to them::

        min over b_i, b_j of  w (y d + (1 - y) max(0, m - d)) + alpha / 2 (|f_i - b_i|^2 + |f_j - b_j|^2)

    with d their Hamming distance: from the signs, the weaker of the two f_k is flipped where that costs 2 alpha
    min(|f_ik|, |f_jk|) < 1; y = 1: bits that differ; y = 0: bits that agree, the cheapest first, while d < m.

    An epoch visits ``queries`` new similar pairs, each with ``negatives`` rows: first those listed as dissimilar, then
    rows of other clusters, at most one per cluster. The latter come from a pool: the nearest by the current f, or
    random ones. Without given pairs, 5 per row are drawn from the labels, and a class is a cluster.

    Args:
        spec: The task.
        margin: m in bits; 0 means K / 2.
        penalty: Last value of lambda.
        warmup: Epochs with lambda = 0; 0 means the full penalty from the start.
        pair_codes: Regress to exact codes of each pair after the warm-up, instead of the growing penalty.
        coupling: alpha.
        hidden: Width of a hidden layer with ReLU, in place of the layers that the paper trains; 0 means none.
        queries: Similar pairs per epoch.
        negatives: Dissimilar rows per query.
        mining: ``"hard"`` takes the nearest negatives, ``"random"`` any, and ``"auto"`` the nearest for given pairs.
            With few large classes the nearest images are outliers, and codes become worse.
        pool: Size of the pool.

    Reference: T.-T. Do, T. Hoang, D.-K. Le Tan, T. Pham, H. Le, N.-M. Cheung, I. Reid, "Binary Constrained Deep Hashing
    Network for Image Retrieval without Manual Annotation", WACV 2019.
    """

    supervision = "pairs"
    recipe = Recipe(epochs=25, batch_size=224, lr=1e-3, backbone_lr=1e-5, weight_decay=1e-6, min_steps=450)
    strength: Tensor
    discrete: Tensor

    def __init__(
        self,
        spec: Spec,
        *,
        margin: float = 0.0,
        penalty: float = 0.3,
        warmup: int = 10,
        pair_codes: bool = False,
        coupling: float = 1.0,
        hidden: int = 512,
        queries: int = 2_000,
        negatives: int = 5,
        mining: Literal["auto", "hard", "random"] = "auto",
        pool: int = 20_000,
    ) -> None:
        super().__init__(spec)
        if not 0 <= margin <= spec.bits or penalty < 0 or coupling <= 0:
            raise UsageError(
                f"margin {margin}, penalty {penalty}, coupling {coupling}: need a margin of 0 to {spec.bits} bits, "
                "penalty >= 0 and coupling > 0"
            )
        if min(warmup, hidden) < 0 or min(queries, negatives, pool) < 1:
            raise UsageError(
                f"warmup {warmup}, hidden {hidden}, queries {queries}, negatives {negatives}, pool {pool}: need "
                "warmup and hidden >= 0, the others >= 1"
            )
        if mining not in ("auto", "hard", "random"):
            raise UsageError(f"mining is '{mining}'; choose auto, hard or random")
        self.margin, self.penalty, self.warmup = margin or spec.bits / 2, penalty, warmup
        self.pair_codes, self.coupling = pair_codes, coupling
        self.queries, self.negatives, self.mining, self.pool = queries, negatives, mining, pool
        self.head = Mlp(spec.feature_dim, spec.bits, hidden) if hidden else Linear(spec.feature_dim, spec.bits)
        self.register_buffer("strength", torch.zeros(()))
        self.register_buffer("discrete", torch.zeros((), dtype=torch.bool))
        self._weights: tuple[Tensor, Tensor] | None = None

    def epoch_rows(self, epoch: int, train: TrainView) -> Tensor:
        """Choose this epoch's groups: query, similar row, dissimilar rows; the query again stands for none."""
        pairs, rng = train.some_pairs(), train.rng
        drawn = draw_pairs(pairs, self.queries, rng)
        if not len(drawn):
            raise DataError("no two training images are known to be similar; give more pairs, or two images per class")
        self._weights = _table(pairs)
        listed = given_negatives(pairs, drawn[:, 0], self.negatives, rng)
        mined = self._mine(train, pairs, drawn[:, 0])
        place = np.cumsum(listed == drawn[:, :1], axis=1) - 1  # mined rows fill what is not listed
        filled = np.where(place < 0, listed, np.take_along_axis(mined, place.clip(0), axis=1))
        return torch.from_numpy(np.concatenate([drawn, filled], axis=1))

    def _mine(self, train: TrainView, pairs: Pairs, queries: np.ndarray) -> np.ndarray:
        """Look for rows of other clusters in a pool."""
        rows = np.flatnonzero(pairs.clusters >= 0)
        rows = np.sort(train.rng.choice(rows, min(self.pool, len(rows)), replace=False))
        pool, places = Pool(rows), None
        hard = train.pairs is not None if self.mining == "auto" else self.mining == "hard"
        if hard and len(rows):
            pool = Pool(rows, self.outputs(train, rows=rows))
            places = self.outputs(train, rows=queries)
        return mined_negatives(pairs, queries, places, pool, self.negatives, train.rng)

    def start_epoch(self, epoch: int, train: TrainView) -> None:
        """Raise the penalty, or turn to pair codes, once the warm-up is over."""
        step = 3 if not self.warmup else min(3, max(0, int((epoch - self.warmup) // (self.warmup / 2)) + 1))
        self.strength.fill_(0.0 if self.pair_codes else PHASES[step] * self.penalty)
        self.discrete.fill_(self.pair_codes and step > 0)

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the pair term and the binary term, both means over the pairs of query and other rows."""
        width = 2 + self.negatives
        f, rows = logits.view(-1, width, self.spec.bits), batch.rows.view(-1, width)
        query, other = f[:, :1].expand(-1, width - 1, -1), f[:, 1:]
        counted = (rows[:, 1:] != rows[:, :1]).float()
        counted = counted / counted.sum().clamp_min(1)
        similar = torch.zeros_like(counted, dtype=torch.bool)
        similar[:, 0] = True
        weight = self._weight(rows[:, :1], rows[:, 1:])
        if self.discrete:
            b, c = exact_codes(query.detach(), other.detach(), similar, self.margin, self.coupling, weight)
            apart, binary = (b - c).square().sum(-1) / 4, torch.tensor(self.coupling / 2)
        else:
            b, c = signs(query.detach()), signs(other.detach())
            apart, binary = (query - other).square().sum(-1) / 4, self.strength / 2
        pull = torch.where(similar, apart, (self.margin - apart).clamp_min(0))
        off = (query - b).square().sum(-1) + (other - c).square().sum(-1)
        return {"pairs": (counted * weight * pull).sum(), "binary": binary * (counted * off).sum()}

    def _weight(self, one: Tensor, other: Tensor) -> Tensor:
        """Return the given weights of pairs of rows; 1 for pairs that are not given."""
        if self._weights is None:
            return torch.ones((), device=other.device)
        keys, weights = (part.to(other.device) for part in self._weights)
        key = torch.minimum(one, other) * self.spec.n_train + torch.maximum(one, other)
        place = torch.searchsorted(keys, key).clamp_max(len(keys) - 1)
        return torch.where(keys[place] == key, weights[place], 1.0)


def _table(pairs: Pairs) -> tuple[Tensor, Tensor] | None:
    """Sort the weights by pair, if they are not all 1."""
    if (pairs.weight == 1).all():
        return None
    keys = np.minimum(pairs.a, pairs.b) * len(pairs.clusters) + np.maximum(pairs.a, pairs.b)
    order = np.argsort(keys)
    return torch.from_numpy(keys[order]), torch.from_numpy(pairs.weight[order])


def exact_codes(
    f: Tensor, g: Tensor, similar: Tensor, margin: float, coupling: float, weight: Tensor | float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return the codes of each pair that minimise its own loss, both +-1, float ``(..., K)``.

    Args:
        f: Outputs of one of each pair, float ``(..., K)``.
        g: Outputs of the other.
        similar: Whether they belong together, bool ``(...)``.
        margin: m.
        coupling: alpha.
        weight: w of each pair.
    """
    b, c = signs(f), signs(g)
    differ = b != c
    cost = 2 * coupling * torch.minimum(f.abs(), g.abs())
    weight = torch.as_tensor(weight, device=f.device).expand(similar.shape)[..., None]
    # Agreeing bits by their cost: the r-th flip is worth what is missing to the margin after r flips, at most 1.
    price, order = cost.masked_fill(differ, torch.inf).sort(-1)
    distance = differ.sum(-1, keepdim=True) + torch.arange(f.shape[-1], device=f.device)
    worth = weight * (margin - distance).clamp(max=1)
    push = torch.zeros_like(differ).scatter(-1, order, price < worth)
    flip = torch.where(similar[..., None], differ & (cost < weight), push)
    weaker = f.abs() <= g.abs()
    return torch.where(flip & weaker, -b, b), torch.where(flip & ~weaker, -c, c)
