"""DSRH: order lists by Hamming distance as they are ordered by the number of shared labels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from kinbits.errors import DataError, UsageError
from kinbits.heads import Linear
from kinbits.methods.base import Batch, Method, Recipe, Spec, TrainView
from kinbits.methods.blocks.groups import LabelLists
from kinbits.methods.blocks.labels import labelled, shared_labels
from kinbits.methods.registry import register


@register("dsrh")
class Dsrh(Method):
    """Rank the batch around each of its images, with hinges weighted by the NDCG that a wrong order costs.

    With z the logits, h = tanh(z / 2) in (-1, 1)^K, d(q, i) = (K - h_q . h_i) / 2 the distance in bits, r_i the number
    of labels that image i shares with the query q, and Z the discounted gain of the ideal order::

        Z    = sum_i (2^r_(i) - 1) / log2(1 + i)          r_(1) >= r_(2) >= ...
        w_ij = (2^r_i - 2^r_j) / Z                        for r_i > r_j
        L_q  = sum_ij w_ij max(0, d(q, i) - d(q, j) + margin)
        L    = (B - 1) sum_q L_q / |{(q, i, j): r_i > r_j}| + balance / 2 |mean_q h_q|^2

    Every image of the batch is a query, and the other B - 1 are its list. For lists with more than the levels 0 and 1,
    batches consist of groups: an anchor, and images that share one, two, ... of its labels. An active hinge is linear
    in d. So the sum over B^3 triples and its slopes in d are computed without autograd, in blocks of queries, and
    autograd handles only B^2 numbers.

    Partly a reconstruction from memory of the paper, since no code and no full text were available. Margin, balance and
    list length are not known. Our choices: a margin of max(1, K / 8) bits, which had the best mean on held-out images
    of two data sets; balance 0.1, with the loss divided by its number of triples; and in-batch lists. The factor B - 1
    gives the weighted loss about the size of the unweighted one. The logarithm has base 2, as in the metric. The head
    reads one feature vector, not two layers. Unlabelled rows are in no list. With one label per image, the loss is a
    triplet hinge with w = 1 / Z.

    Args:
        spec: The task.
        margin: Minimum difference of distances in bits, at most K; 0 chooses max(1, K / 8).
        balance: Weight of the squared norm of the mean code.
        weighted: Use the weights of NDCG; otherwise w = 1, without the factor B - 1.
        cap: Maximum number of shared labels that counts; 0 for no cap, as in the metrics.
        group: Size of a group, including the anchor; 1 for random batches.

    Reference: F. Zhao, Y. Huang, L. Wang, T. Tan, "Deep Semantic Ranking Based Hashing for Multi-Label Image
    Retrieval", CVPR 2015.
    """

    standalone_loss = True
    recipe = Recipe(
        epochs=20,
        batch_size=64,
        lr=1e-3,
        optimizer="adamw",
        weight_decay=1.0,
        backbone_weight_decay=1e-4,
        schedule="step",
        min_steps=2500,
    )

    def __init__(
        self,
        spec: Spec,
        *,
        margin: float = 0.0,
        balance: float = 0.1,
        weighted: bool = True,
        cap: int = 0,
        group: int = 4,
    ) -> None:
        super().__init__(spec)
        if not 0 <= margin <= spec.bits or balance < 0 or cap < 0 or group < 1:
            raise UsageError(
                f"margin {margin}, balance {balance}, cap {cap}, group {group}: need 0 <= margin <= {spec.bits} bits, "
                f"balance >= 0, cap >= 0, group >= 1"
            )
        self.margin, self.balance = margin or max(1.0, spec.bits / 8), balance
        self.weighted, self.cap, self.group = weighted, cap, group
        # slopes vanish where codes are near 0
        self.head = Linear(spec.feature_dim, spec.bits, std=spec.feature_dim**-0.5)

    def epoch_rows(self, epoch: int, train: TrainView) -> Tensor | None:
        """Draw groups of an anchor and its list, as many rows as the training set has."""
        if self.group == 1:
            return None
        if train.labels is None or not labelled(train.labels).any():
            raise DataError("method 'dsrh' learns from labels, and no training row has one")
        return LabelLists(train.labels).draw(-(-len(train) // self.group), self.group, train.rng)

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the ranking term and the balance term."""
        h = torch.tanh(logits / 2)
        known = labelled(batch.require_labels())
        counted = (batch.rows[:, None] != batch.rows[None, :]) & known[:, None] & known[None, :]
        levels = shared_labels(batch.require_labels())
        if self.cap:
            levels = levels.clamp_max(self.cap)
        distance = (self.spec.bits - h @ h.T) / 2
        total, triples = list_loss(distance, levels, counted, self.margin, weighted=self.weighted)
        scale = len(batch) - 1 if self.weighted else 1
        return {
            "ranking": scale * total / max(triples, 1),
            "balance": self.balance / 2 * h.mean(0).square().sum(),
        }


def list_loss(
    distance: Tensor, levels: Tensor, counted: Tensor, margin: float, *, weighted: bool = True, cells: int = 1 << 23
) -> tuple[Tensor, int]:
    """Return the sum of L_q over queries, and how many (q, i, j) have r_i > r_j.

    Args:
        distance: d(q, i), float ``(Q, M)``.
        levels: r_i for each query, float ``(Q, M)``.
        counted: Which items are in a query's list, bool ``(Q, M)``.
        margin: In the unit of ``distance``.
        weighted: Whether the weights w_ij are used, or 1.
        cells: Numbers in one block of queries; it bounds the memory.
    """
    slopes, constant, triples = torch.empty_like(distance), torch.zeros_like(distance[0, 0]), 0
    step = max(1, cells // max(distance.shape[1], 1) ** 2)
    with torch.no_grad():
        for start in range(0, len(distance), step):
            part = slice(start, start + step)
            d, r = distance[part], levels[part]
            pairs = counted[part, :, None] & counted[part, None, :] & (r[:, :, None] > r[:, None, :])
            weights = pairs * (_weights(r, counted[part]) if weighted else 1.0)
            active = weights * (d[:, :, None] - d[:, None, :] + margin > 0)
            slopes[part] = active.sum(2) - active.sum(1)
            constant += margin * active.sum()
            triples += int(pairs.sum())
    return (slopes * distance).sum() + constant, triples


def _weights(levels: Tensor, counted: Tensor) -> Tensor:
    """Return (2^r_i - 2^r_j) / Z, float ``(q, M, M)``; 0 for a query without any related item."""
    top = (levels * counted).amax(
        1, keepdim=True
    )  # 2^top divides both parts of the fraction, so that neither overflows
    gains = torch.exp2(levels - top)
    ordered = ((gains - torch.exp2(-top)) * counted).sort(dim=1, descending=True).values
    places = torch.arange(2, levels.shape[1] + 2, device=levels.device)
    ideal = (ordered / torch.log2(places)).sum(1)
    return (gains[:, :, None] - gains[:, None, :]) / ideal.clamp_min(torch.finfo(ideal.dtype).tiny)[:, None, None]
