"""RankHash: codes that rank a collection as the features do, and a decoder that re-ranks the hits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

from kinbits._util import check_at_least
from kinbits.errors import DataError, UsageError
from kinbits.heads import Decoder, Mlp, moments
from kinbits.methods.base import Batch, Method, Recipe, Spec, TrainView
from kinbits.methods.blocks.binary import signs, straight_through
from kinbits.methods.blocks.graphs import nearest_rows
from kinbits.methods.blocks.ranking import listwise_loss, neighbours_within, pairwise_hinge
from kinbits.methods.registry import register

GROUP = 4


@register("rankhash")
class RankHash(Method):
    """Preserve the order of the features' nearest neighbours, and reconstruct the features from the codes.

    Partly a reconstruction, since only the abstract of the paper was available. From it: each training image is a
    query, without labels; an encoder on features, a decoder, search over codes, re-ranking by reconstructions. The
    losses and all numbers below are ours.

    With z the logits ``(b, K)``, u = tanh z, the code c = sign z whose gradient is passed unchanged to u, d_ij = (K -
    c_i . c_j) / 2, x the standardised features ``(b, D)``, V their variance over the training set, T_i the k nearest
    of i in the batch by |x_i - x_j|^2, and g the decoder::

        L = L_rank + w E |g(c) - x|^2 / V + v |E u|^2 / K
        listwise   L_rank = - E_i 1/k sum_{j in T_i} log softmax_{j != i} (-d_ij / temperature)
        pairwise   L_rank = E max(0, margin + d_ij - d_il),     k random pairs j in T_i, l not in T_i

    The second term is the unexplained share of the variance, so that w does not depend on the scale of the features. If
    the backbone is trained too, neighbours are those of its features before training, and the decoder reconstructs its
    current features. Exact copies of i are left out of its ranking. Random batches contain few true neighbours of their
    rows. So with more rows than 10 batches, a batch consists of seeds, each with 3 rows from its ``neighbours``
    nearest.

    Args:
        spec: The task.
        rank: ``"listwise"``, ``"pairwise"`` or ``"none"`` for reconstruction only.
        targets: Number k of neighbours; half of the other rows in a batch of fewer than 2 k + 1 rows.
        temperature: In bits; 0 means K / 5, which kept more neighbours than K / 16 or K / 3. Below 1 bit only the
            nearest code counts in the softmax.
        margin: In bits.
        reconstruction: w; 0 trains no decoder.
        joint: Pass the decoder's gradient to the encoder; otherwise only the decoder learns from it.
        balance: v.
        neighbours: Length of the lists that batches are drawn from; 0 for random batches.
        hidden: Width of the hidden layers of encoder and decoder; 0 means max(256, 4 K).

    Reference: S. Karaman, X. Lin, X. Hu, S.-F. Chang, "Unsupervised Rank-Preserving Hashing for Large-Scale Image
    Retrieval", ICMR 2019.
    """

    supervision: ClassVar = "none"
    ema_decay = 1.0  # a trained backbone is ranked as its unchanged copy would
    recipe = Recipe(epochs=60, batch_size=256, lr=1e-3)
    near: Tensor
    variance: Tensor

    def __init__(
        self,
        spec: Spec,
        *,
        rank: Literal["listwise", "pairwise", "none"] = "listwise",
        targets: int = 10,
        temperature: float = 0.0,
        margin: float = 2.0,
        reconstruction: float = 10.0,
        joint: bool = True,
        balance: float = 0.0,
        neighbours: int = 50,
        hidden: int = 0,
    ) -> None:
        super().__init__(spec)
        check_at_least(1, targets=targets)
        check_at_least(0, temperature=temperature, margin=margin, reconstruction=reconstruction)
        check_at_least(0, balance=balance, neighbours=neighbours, hidden=hidden)
        if 0 < neighbours < GROUP - 1:
            raise UsageError(f"neighbours is {neighbours}; give at least {GROUP - 1}, or 0 for random batches")
        if rank not in ("listwise", "pairwise", "none"):
            raise UsageError(f"rank is '{rank}'; use listwise, pairwise or none")
        if rank == "none" and not (reconstruction and joint):
            raise UsageError("rank 'none' learns from reconstruction alone; it needs reconstruction > 0 and joint=True")
        self.rank, self.targets, self.temperature, self.margin = rank, targets, temperature or spec.bits / 5, margin
        self.reconstruction, self.joint, self.balance = reconstruction, joint, balance
        width = hidden or max(256, 4 * spec.bits)
        self.head = Mlp(spec.feature_dim, spec.bits, hidden=width)
        if reconstruction:
            self.decoder = Decoder(spec.bits, spec.feature_dim, hidden=width)
        large = neighbours and spec.n_train > 10 * self.recipe.batch_size
        self.register_buffer("variance", torch.ones(()))
        self.register_buffer("near", torch.zeros(spec.n_train if large else 0, neighbours, dtype=torch.int32))

    def prepare(self, train: TrainView) -> None:
        """Check the features, and list the neighbours of each row if batches are drawn from them."""
        if self.targets >= len(train):
            raise DataError(f"{self.targets} targets among {len(train)} images; give fewer targets, or more images")
        if train.frozen:
            require_varied(train)
        self.variance.fill_(moments(map(self.head.standard, train.chunks()), self.spec.feature_dim)[1])
        if len(self.near):
            self.near.copy_(torch.from_numpy(nearest_rows(train, self.near.shape[1] + 1)[:, 1:]))

    def epoch_rows(self, epoch: int, train: TrainView) -> Tensor | None:
        """Draw seeds, each with some of its neighbours, about n rows in all."""
        if not len(self.near):
            return None
        seeds = torch.from_numpy(train.rng.permutation(len(train))[: len(train) // GROUP])
        drawn = train.rng.random((len(seeds), self.near.shape[1])).argsort(1)[:, : GROUP - 1]
        rows = self.near.cpu()[seeds].gather(1, torch.from_numpy(drawn))
        return torch.cat([seeds[:, None], rows.long()], dim=1)

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the losses of the ranking, of the decoder and of the balance."""
        inputs, before = (self.head.standard(x).detach() for x in (batch.features, batch.reference_features))
        soft = torch.tanh(logits)
        codes = straight_through(soft, signs(logits))
        terms = {}
        if self.rank != "none":
            terms["rank"] = self.order(before, codes).mean()
        if self.decoder is not None:
            missed = (self.decoder(codes if self.joint else codes.detach()) - inputs).square().mean()
            terms["reconstruction"] = self.reconstruction * missed / self.variance.clamp_min(1e-12)
        if self.balance:
            terms["balance"] = self.balance * soft.mean(0).square().mean()
        return terms

    def order(self, points: Tensor, codes: Tensor) -> Tensor:
        """Return each row's ranking loss, float ``(b,)``, for features ``(b, D)`` and codes of -1 and +1 ``(b, K)``."""
        near, others = neighbours_within(points, self.targets)
        hamming = (codes.shape[1] - codes @ codes.T) / 2
        if self.rank == "listwise":
            return listwise_loss(hamming, near, others, self.temperature)
        return pairwise_hinge(hamming, near, others, self.margin, self.targets)


def require_varied(train: TrainView) -> None:
    """Check the features.

    Raises:
        DataError: If a feature is not finite, or all rows are equal.
    """
    first, varied = None, False
    for chunk in train.chunks():
        if not torch.isfinite(chunk).all():
            raise DataError("the features hold values that are not finite; remove those rows")
        first = chunk[:1] if first is None else first
        varied = varied or bool((chunk != first).any())
    if not varied:
        raise DataError("all features are the same, so there is no order to keep; give other images")
