"""DistillHash: pairs from neighbourhoods; only those with a certain label train the final network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from kinbits._util import check_at_least
from kinbits.errors import DataError, UsageError
from kinbits.heads import Linear, Mlp, build_head
from kinbits.methods.base import Batch, Method, Recipe, Spec, TrainView
from kinbits.methods.blocks.binary import signs
from kinbits.methods.blocks.distances import FeatureDistances, SplitNormal
from kinbits.methods.blocks.distilling import DistilledLabels, Probability, Rule, noisy_sample
from kinbits.methods.blocks.graphs import (
    default_neighbours,
    nearest_points,
    neighbour_pairs,
    pack_graph,
    pair_signs,
    unpack_graph,
)
from kinbits.methods.blocks.pairwise import pair_nll
from kinbits.methods.registry import register

LOOKS, LOOKED_AT = 20, 100
USUAL = 20


@register("distillhash")
class DistillHash(Method):
    """Train on neighbourhoods, keep the pairs whose Bayes label is certain, and train a new network on those.

    h = tanh of the logits (b, K), theta_ij = h_i . h_j / 2. First, with noisy labels s'_ij = +1 for neighbours
    and -1 for others, all b^2 pairs::

        L1 = mean (h_i . h_j / K - s'_ij)^2

    Then P_ij estimates Pr(s'_ij = +1) from that network's codes, N(i) are the ``neighbours`` nearest rows to i,
    and with r-_ij = min P_ab, r+_ij = min (1 - P_ab) over a in N(i), b in N(j), which bound the noise rates::

        s_ij = +1 if P_ij > (1 + r-_ij) / 2,  -1 if P_ij < (1 - r+_ij) / 2,  0 (unknown) otherwise

    Last, with new weights and over the pairs with s_ij != 0, no row with itself, L1 with s for s', or::

        L3 = mean (softplus(theta_ij) - [s_ij = +1] theta_ij)

    Either may have quantization mean (sign(h) - h)^2 added.

    P grows with h_i . h_j, so the bounds need only the smallest and the largest inner product of two neighbourhoods.
    They are computed for each batch from the first network's codes, (n, K), and the lists (n, p), without an n x n
    array.

    Partly a reconstruction, since the body of the paper was not available. The inequalities are those of the authors'
    code, and L3 and the sizes are from memory of the paper. The noisy labels (``init``), the calibration of P
    (``probability``) and the epochs are our choice. If the backbone is trained too, distances are those before
    training, and the second network starts from the backbone of the first one and from Adam's moments.

    Args:
        spec: The task.
        init: ``"knn"``: either is among the other's ``similar`` nearest rows. ``"ssdh"``: d < m - 2 s_l, with
            mode m of the cosine distances and deviation s_l of those below it, as in the first author's SSDH.
        similar: 0 chooses 0.03 n, 10 at least, 10^8 / n and n / 3 at most.
        neighbours: p of the bounds; more when too few pairs are kept. 0 chooses 20, at most n / 2.
        probability: ``"calibrated"`` fits a, b of sigmoid(a h.h / K + b) to s'; ``"linear"`` is (1 + h.h / K) /
            2, for L1; ``"sigmoid"`` is the authors' sigmoid(h.h / 2), which kept few pairs.
        rule: ``"neighbours"`` as above; ``"self"`` bounds by P_bb, b in N(j), as the authors' script does by
            reading an index twice: fewer pairs.
        loss: ``"l2"`` is the authors' code: L1 with s for s', better in our trials; ``"nll"`` the paper's L3.
        balance_pairs: Give +1 and -1 pairs half of the weight each, since there are few +1 pairs.
        quantization: Weight of the distance to the signs.
        first: Share of the epochs for the first network. With 1, or in a run of one epoch, there is no second one.
        centre: Subtract the mean of the features before neighbours and distances; neighbours are then purer.
        hidden: Width of a hidden layer in the head; 0 for the paper's single layer, better in our trials.

    Reference: E. Yang, T. Liu, C. Deng, W. Liu, D. Tao, "DistillHash: Unsupervised Deep Hashing by Distilling
    Data Pairs", CVPR 2019.
    """

    supervision: ClassVar = "none"
    recipe = Recipe(epochs=45, batch_size=100, lr=1e-3)
    kept: Tensor

    def __init__(
        self,
        spec: Spec,
        *,
        init: Literal["knn", "ssdh"] = "knn",
        similar: int = 0,
        neighbours: int = 0,
        probability: Probability = "calibrated",
        rule: Rule = "neighbours",
        loss: Literal["l2", "nll"] = "l2",
        balance_pairs: bool = True,
        quantization: float = 0.0,
        first: float = 1 / 3,
        centre: bool = True,
        hidden: int = 0,
    ) -> None:
        super().__init__(spec)
        check_at_least(0, similar=similar, neighbours=neighbours, quantization=quantization, hidden=hidden)
        if not 0 < first <= 1:
            raise UsageError(f"first is {first}; it is a share of the epochs, more than 0 and at most 1")
        chosen: dict[str, tuple[str, tuple[str, ...]]] = {
            "init": (init, ("knn", "ssdh")),
            "probability": (probability, ("calibrated", "linear", "sigmoid")),
            "rule": (rule, ("neighbours", "self")),
            "loss": (loss, ("nll", "l2")),
        }
        for name, (value, allowed) in chosen.items():
            if value not in allowed:
                raise UsageError(f"{name} is '{value}'; use one of {', '.join(allowed)}")
        self.init, self.first = init, first
        self.similar = similar or min(default_neighbours(spec.n_train), max(1, spec.n_train // 3))
        self.neighbours = neighbours or min(USUAL, max(1, spec.n_train // 2))
        self.kind, self.balance_pairs, self.quantization = loss, balance_pairs, quantization
        wide = spec.feature_dim, spec.bits
        self.head = Mlp(*wide, hidden=hidden) if hidden else Linear(*wide)
        self.distances = FeatureDistances(spec.feature_dim, centre=centre)
        self.distilled = DistilledLabels(spec.n_train, spec.bits, self.neighbours, probability, rule)
        self.register_buffer("kept", torch.zeros(2))
        self.pairs: Any = None

    @property
    def codes_ready(self) -> bool:
        """Whether the final network is being trained."""
        return self.distilled.ready or self.first == 1

    def prepare(self, train: TrainView) -> None:
        """Find neighbours, and from them the noisy labels."""
        n = len(train)
        for name, count in (("similar", self.similar), ("neighbours", self.neighbours)):
            if count >= n:
                raise DataError(f"{name} is {count}, of {n} training images; it must be less, or 0 to let it be chosen")
        self.distances.prepare(train)
        near = nearest_points(lambda: self.distances.units(train), n, max(self.similar, self.neighbours) + 1)
        self.distilled.near.copy_(torch.from_numpy(near[:, 1 : self.neighbours + 1]))
        if self.init == "ssdh":
            bell = SplitNormal.fit(self.distances.sample(train, self.spec.rng))
            self.pairs = self.distances.nearer(train, bell.mode - 2 * bell.left)
        else:
            self.pairs = neighbour_pairs(near[:, : self.similar + 1], 1, "nn")

    def start_epoch(self, epoch: int, train: TrainView) -> None:
        """Distil the pairs and start the second network, after the epochs of the first."""
        if self.first < 1 and epoch == max(1, min(round(self.first * train.epochs), train.epochs - 1)):
            self._distil(train)
            fresh = build_head(self.head.config()).to(self.kept.device)
            self.head.layers.load_state_dict(fresh.layers.state_dict())

    @torch.no_grad()
    def _distil(self, train: TrainView) -> None:
        codes = torch.tanh(self.outputs(train))
        self.distilled.fit(codes, noisy_sample(self.pairs, codes, train.rng))
        self.pairs = None
        size = min(LOOKED_AT, len(train))
        looks = [torch.from_numpy(train.rng.choice(len(train), size, replace=False)) for _ in range(LOOKS)]
        labels = torch.stack([self.distilled.among(rows.to(codes.device)) for rows in looks])
        pairs = LOOKS * size * (size - 1)
        self.kept.copy_(torch.stack([(labels > 0).sum(), (labels < 0).sum()]) / pairs)
        if not self.kept.all():
            raise DataError(
                f"distilling keeps {self.kept[0]:.2%} of the pairs as similar and {self.kept[1]:.2%} as different, and "
                f"both must be there; raise neighbours above {self.neighbours}, or give the first network fewer epochs "
                f"(first)"
            )

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the fit of the noisy labels, later that of the distilled ones."""
        codes = torch.tanh(logits)
        products = codes @ codes.T
        if not self.distilled.ready:
            if self.pairs is None:
                raise UsageError("method 'distillhash' needs its neighbours; call prepare first")
            return {"noisy": (products / self.spec.bits - pair_signs(self.pairs, batch.rows)).square().mean()}
        known = self.distilled.among(batch.rows)
        if self.kind == "nll":
            values = pair_nll(products / 2, (known > 0).float())
        else:
            values = (products / self.spec.bits - known).square()
        lost = (signs(codes) - codes).square().mean()
        return {"pairs": self._mean(values, known), "quantization": self.quantization * lost}

    def _mean(self, values: Tensor, known: Tensor) -> Tensor:
        """Return the mean over the known pairs, or over each kind, half and half; 0 without any."""
        if not self.balance_pairs:
            return values[known != 0].sum() / (known != 0).sum().clamp_min(1)
        kinds = [values[known == kind].sum() / (known == kind).sum().clamp_min(1) for kind in (1, -1)]
        return torch.stack(kinds).mean()

    def get_extra_state(self) -> Tensor:
        """Return the noisy pairs for the checkpoint."""
        return pack_graph(self.pairs)

    def set_extra_state(self, state: Tensor) -> None:
        """Put the noisy pairs of a checkpoint back."""
        self.pairs = unpack_graph(state, self.spec.n_train)
