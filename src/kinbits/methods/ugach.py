"""UGACH: image and text codes from a neighbour graph, against a generator of hard negatives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinbits._util import Modality, check_at_least
from kinbits.errors import DataError, UsageError
from kinbits.heads import Head, Mlp
from kinbits.methods.base import Batch, Method, Optimizer, Recipe, Spec, TrainView, full_precision
from kinbits.methods.blocks.graphs import nearest_points, nearest_rows
from kinbits.methods.blocks.labels import has_text
from kinbits.methods.registry import register

DIRECTIONS: tuple[tuple[Modality, Modality], ...] = (("image", "text"), ("text", "image"))


@register("ugach")
class Ugach(Method):
    """Rank graph neighbours of the other modality above negatives that an adversary picks.

    The discriminator D, whose towers make the codes, and the generator G have an image and a text tower each;
    h = sigmoid(logits) and delta(a, b) = |h_a - h_b|^2. N(i) are the ``kappa`` nearest rows to i by image
    features and those by text features, i included. For a query q of one modality, positives p in N(q) and
    negatives u of the other, in both directions::

        L_D = mean max(0, margin + delta_D(q, p) - delta_D(q, u))
        p_G(u | q) = softmax of -delta_G(q, u) over a pool of random rows outside N(q)
        L_G = -mean r_u log p_G(u | q)
        r_u = sigmoid(max(0, margin + delta_D(q, p) - delta_D(q, u)))

    G draws the ``negatives`` u from p_G for both losses; since drawing is discrete, L_G is the policy
    gradient (REINFORCE) with the reward r. The authors' code renormalises p_G over the drawn rows in L_G
    (``policy_norm="selected"``, far better in our trials); the paper's form keeps the pool (``"pool"``).

    Differences: G is off by default, since random negatives were as good on both data sets in half the time. One
    step trains D and G on the same draws, in both directions on a batch. The authors run two passes of G per pass
    of D, with batches of one and separate draws. The queries of a step share one pool of fixed size, so that its
    features pass through G once, not b times. The authors' pool has n / 50 rows per query. Neighbours are also
    rejected in the training of G. Draws are without replacement. Weight decay is that of the optimizer. The first
    ``pairs_only`` epochs are the authors' pre-training, with the own partner against random rows. The authors
    choose the epoch by labels; here the last one is kept. A text vector of zeros counts as missing, and its row is
    linked by its image only. If the backbone is trained too, queries have its current features, and positives and
    negatives those of the start of the epoch.

    Args:
        spec: The task, with text.
        kappa: Neighbours per modality, including the row itself; 1 trains on the pairs only.
        margin: 0 means K / 8.
        pool: Candidates per step.
        negatives: m, rows drawn per query; smaller than the pool.
        policy_norm: Rows over which log p_G is normalised.
        generator: Learn which negatives are hard, as published; otherwise negatives are random.
        pairs_only: Epochs of pre-training.
        hidden: Width of the hidden layers.
        std: Deviation of the initial weights; 0 scales them to the length of the input. The published 0.1 learns
            faster, also with long inputs.

    Reference: J. Zhang, Y. Peng, M. Yuan, "Unsupervised Generative Adversarial Cross-Modal Hashing",
    AAAI 2018.
    """

    supervision: ClassVar = "none"
    reads_text = True
    recipe = Recipe(epochs=30, batch_size=64, lr=1e-3, optimizer="adamw", weight_decay=1e-4, min_steps=2800)
    graph: Tensor
    degree: Tensor
    with_text: Tensor

    def __init__(
        self,
        spec: Spec,
        *,
        kappa: int = 5,
        margin: float = 0.0,
        pool: int = 256,
        negatives: int = 2,
        policy_norm: Literal["selected", "pool"] = "selected",
        generator: bool = False,
        pairs_only: int = 0,
        hidden: int = 512,
        std: float = 0.1,
    ) -> None:
        super().__init__(spec)
        check_at_least(1, kappa=kappa, negatives=negatives, hidden=hidden)
        check_at_least(0, margin=margin, pairs_only=pairs_only, std=std)
        if pool <= negatives:
            raise UsageError(f"pool is {pool}; it must be greater than negatives, {negatives}")
        if policy_norm not in ("selected", "pool"):
            raise UsageError(f"policy_norm is '{policy_norm}'; use selected or pool")
        self.kappa, self.margin, self.pool, self.negatives = kappa, margin or spec.bits / 8, pool, negatives
        self.policy_norm, self.generator, self.pairs_only = policy_norm, generator, pairs_only

        def tower(features: int) -> Head:
            return Mlp(features, spec.bits, hidden=hidden, activation="tanh", std=std or None)

        self.head, self.text_head = tower(spec.feature_dim), tower(spec.require_text_dim())
        if generator:
            self.rival, self.text_rival = tower(spec.feature_dim), tower(spec.require_text_dim())
        self.register_buffer("graph", torch.arange(spec.n_train)[:, None].repeat(1, 2 * kappa))
        self.register_buffer("degree", torch.ones(spec.n_train, dtype=torch.int64))
        self.register_buffer("with_text", torch.ones(spec.n_train, dtype=torch.bool))
        self._features: dict[Modality, Tensor] = {}
        self._adversarial = False

    def _rivals(self) -> dict[Modality, Head]:
        return {"image": self.rival, "text": self.text_rival}

    def parameter_lists(self) -> list[list[nn.Parameter]]:
        """Return the parameters of D and of G."""
        lists = [[p for head in self.towers().values() for p in head.parameters()]]
        if self.generator:
            lists.append([p for head in self._rivals().values() for p in head.parameters()])
        return lists

    def prepare(self, train: TrainView) -> None:
        """Build the graph, and give G the input centring of D."""
        if len(train) != self.spec.n_train or len(train) <= 2 * self.kappa:
            raise DataError(
                f"kappa {self.kappa} needs more than {2 * self.kappa} training rows, given {len(train)}; give more "
                f"pairs or a smaller kappa"
            )
        self.with_text.copy_(torch.cat([has_text(chunk) for chunk in train.chunks("text")]))
        if self.kappa > 1:
            graph, degree = union(nearest_rows(train, self.kappa), self._by_text(train))
            self.graph.copy_(torch.from_numpy(graph))
            self.degree.copy_(torch.from_numpy(degree))
        if self.generator:
            for modality, rival in self._rivals().items():
                rival.centre.copy_(self.towers()[modality].centre)
                rival.scale.copy_(self.towers()[modality].scale)

    def _by_text(self, train: TrainView) -> np.ndarray:
        """List each row's neighbours by text, int64 ``(n, kappa)``; a row without text has only itself."""
        rows = self.with_text.cpu().numpy().nonzero()[0]
        count = min(self.kappa, len(rows))
        near = np.arange(len(train))[:, None].repeat(self.kappa, 1)
        if count:
            near[rows, :count] = rows[nearest_points(partial(texts_given, train), len(rows), count, "text features")]
        return near

    def start_epoch(self, epoch: int, train: TrainView) -> None:
        """Read the features of all rows, for positives and negatives of this epoch."""
        self._features = {"image": train.features("image"), "text": train.features("text")}
        self._adversarial = epoch >= self.pairs_only

    def end_epoch(self, epoch: int, train: TrainView) -> None:
        """Free the features."""
        self._features = {}

    def step(self, batch: Batch, optimizers: Sequence[Optimizer]) -> Mapping[str, Tensor]:
        """Train D and G on the same draws, in both directions."""
        turns = [self._turn(batch, *way) for way in DIRECTIONS]
        terms = {name: torch.stack([turn[name] for turn in turns]).mean() for name in turns[0]}
        for optimizer, term in zip(optimizers, terms.values(), strict=False):
            optimizer.minimise(term)
        return terms

    def _turn(self, batch: Batch, query: Modality, other: Modality) -> dict[str, Tensor]:
        """Return L_D of one direction and, while the adversary learns, L_G."""
        adversarial = self.generator and self._adversarial
        pool, blocked = self._pool(batch.rows)
        blocked = blocked | ~self._known(other, pool)
        if adversarial:
            scores = self._scores(self._features_of(batch, query).detach(), pool, query, other)
        else:
            scores = torch.zeros(blocked.shape, device=blocked.device)
        picks, free = draw(scores.detach(), blocked, self.negatives)
        positive = self._positives(batch.rows, picks.shape[1])
        free = free & self._known(query, batch.rows)[:, None] & self._known(other, positive)
        ranked = self._hinge(batch, query, other, positive, pool[picks])
        terms = {"discriminator": masked_mean(ranked, free)}
        if adversarial:
            reward = torch.sigmoid(ranked.detach())
            terms["generator"] = masked_mean(-reward * log_policy(scores, blocked, picks, self.policy_norm), free)
        return terms

    def _features_of(self, batch: Batch, modality: Modality) -> Tensor:
        return batch.features if modality == "image" else batch.require_texts()

    def _pool(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return candidate rows ``(P,)``, and which are neighbours of which query, bool ``(b, P)``."""
        pool = torch.randperm(self.spec.n_train, device=rows.device)[: self.pool]
        return pool, (self.graph[rows][:, :, None] == pool).any(1)

    def _scores(self, features: Tensor, pool: Tensor, query: Modality, other: Modality) -> Tensor:
        """Return G's -delta of queries and pool, float ``(b, P)``."""
        rivals = self._rivals()
        one, two = rivals[query](features), rivals[other](self._features[other][pool])
        with full_precision(one):
            return -delta(torch.sigmoid(one.float()), torch.sigmoid(two.float()))

    def _known(self, modality: Modality, rows: Tensor) -> Tensor:
        """Tell which rows have this modality: every row has an image, but some have no text."""
        return self.with_text[rows] if modality == "text" else torch.ones_like(rows, dtype=torch.bool)

    def _positives(self, rows: Tensor, count: int) -> Tensor:
        """Draw from the neighbours of rows ``(b,)``, int64 ``(b, count)``."""
        degree = self.degree[rows] if self._adversarial else torch.ones_like(rows)
        place = (torch.rand(len(rows), count, device=degree.device) * degree[:, None]).long()
        return self.graph[rows].gather(1, place)

    def _hinge(self, batch: Batch, query: Modality, other: Modality, positive: Tensor, negative: Tensor) -> Tensor:
        """Return max(0, margin + delta_D(q, p) - delta_D(q, u)) of rows p and u of the other side, float ``(b, m)``."""
        towers, known = self.towers(), self._features[other]
        wanted = torch.sigmoid(towers[query](self._features_of(batch, query)).float())[:, None]
        near, far = (torch.sigmoid(towers[other](known[ids]).float()) for ids in (positive, negative))
        return hinge((wanted - near).square().sum(2), (wanted - far).square().sum(2), self.margin)


def hinge(near: Tensor, far: Tensor, margin: float) -> Tensor:
    """Return max(0, margin + near - far); its sigmoid is the reward."""
    return (margin + near - far).clamp_min(0)


def delta(one: Tensor, two: Tensor) -> Tensor:
    """Return squared distances between rows, ``(n, K)`` and ``(m, K)`` to ``(n, m)``."""
    return one.square().sum(1)[:, None] + two.square().sum(1) - 2 * one @ two.T


def draw(scores: Tensor, blocked: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Draw columns from the softmax of scores ``(b, P)`` without replacement, blocked ones last.

    Adding Gumbel noise and taking the largest is exactly that.

    Args:
        scores: Logarithms of weights, float ``(b, P)``.
        blocked: Columns never to draw, bool ``(b, P)``.
        count: Number m of draws.

    Returns:
        Columns, int64 ``(b, m)``, and whether each is free, bool ``(b, m)``.
    """
    noise = -torch.log(-torch.log(torch.rand_like(scores).clamp(1e-20, 1 - 1e-7)))
    picks = (scores + noise).masked_fill(blocked, -torch.inf).topk(min(count, scores.shape[1]), dim=1).indices
    return picks, ~blocked.gather(1, picks)


def log_policy(scores: Tensor, blocked: Tensor, picks: Tensor, over: Literal["selected", "pool"]) -> Tensor:
    """Return log p_G of the drawn columns ``(b, m)``, normalised over them or over the free pool."""
    held = scores.masked_fill(blocked, -1e9)
    if over == "selected":
        return F.log_softmax(held.gather(1, picks), dim=1)
    return F.log_softmax(held, dim=1).gather(1, picks)


def masked_mean(values: Tensor, counted: Tensor) -> Tensor:
    """Return the mean of the values that count; 0 if none does."""
    return (values * counted).sum() / counted.sum().clamp_min(1)


def texts_given(train: TrainView) -> Iterator[Tensor]:
    """Yield the text features of the rows that have a text, float ``(c, t)``."""
    for chunk in train.chunks("text"):
        if has_text(chunk).any():
            yield chunk[has_text(chunk)]


def union(image: np.ndarray, text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join two lists of neighbours per row.

    Args:
        image: int64 ``(n, kappa)``, each row's own number first.
        text: The same by text; the own number alone, repeated, adds nothing.

    Returns:
        Distinct neighbours, own number first, padded with it, ``(n, 2 kappa)``; and how many there are,
        ``(n,)``.
    """
    both = np.concatenate([image, text], axis=1)
    order = np.argsort(both, axis=1, kind="stable")
    ordered = np.take_along_axis(both, order, axis=1)
    fresh = np.ones(both.shape, bool)
    np.put_along_axis(fresh, order[:, 1:], ordered[:, 1:] != ordered[:, :-1], axis=1)
    places = np.argsort(~fresh, axis=1, kind="stable")
    degree = fresh.sum(1)
    graph = np.take_along_axis(both, places, axis=1)
    return np.where(np.arange(both.shape[1]) < degree[:, None], graph, graph[:, :1]), degree
