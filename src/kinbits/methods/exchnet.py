"""ExchNet: attended parts, exchanged with a memory of their class, and fitted to free codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from kinbits.errors import UsageError
from kinbits.heads import PartAttention
from kinbits.methods.base import Batch, Optimizer, Recipe, Spec, TrainView, full_precision
from kinbits.methods.blocks.asymmetric import Asymmetric
from kinbits.methods.registry import register

TINY = 1e-12  # the root has an infinite slope at 0


@register("exchnet")
class ExchNet(Asymmetric):
    """Hash the whole image and a few attended parts; part j has the same meaning in all images of a class.

    On the map E ``(c, h, w)``: attention A^j = sigmoid(conv1x1(E)) for j = 1..M, part vectors f^j from A^j E, a whole
    vector f^g from E. With the Hellinger distance H(a, b) = |sqrt a - sqrt b| / sqrt 2, a^j the j-th attention map
    summing to 1, and p^j = softmax(f^j)::

        L_sp = 1 - mean over pairs of H(a^l, a^k)        L_cp = max(0, t - mean over pairs of H(p^l, p^k))

    In training each f^j is, by a coin, exchanged for the anchor c_y^j: the mean of f^j over the class's images in the
    last round. With u_i = tanh(W [f^1; ...; f^M; f^g]) after the exchange, and v_j in {-1, +1}^K the free code of row j
    (`kinbits.methods.blocks.asymmetric.Asymmetric`: the network for ``inner`` epochs on Omega, then one sweep over V)::

        L = sum_ij (u_i . v_j - K S_ij)^2 / (n b K^2 r) + spatial mean_i L_sp + channel mean_i L_cp

    S_ij = 1 within a class, else -r, with r = similar / other pairs; divided by K^2 r, the mean square of K S, the
    first term is 1 for u = 0, for any number of bits and classes. V takes n K bytes, the anchors C M ``width``
    floats. The anchors have no gradient. A class without an anchor exchanges nothing, and a class with one image
    exchanges its own vector. New images are encoded without the exchange.

    Partly a reconstruction: no code is published, and the pages with layers and values were not available. From the
    paper: the steps, the exchange, the asymmetric term, the alternation and the total. From memory: the form of L_sp
    and L_cp. Our choices: the sigmoid; 1x1 convolutions with batch norm and ReLU instead of a ResNet stage; the last
    map, which a frozen backbone gives, instead of one from the middle; all weights; and r, from the same group's later
    method, since rare classes share few codes with S in {-1, +1} (``soft=False``).

    Args:
        spec: The task.
        parts: M, at least 2.
        spatial: Weight of L_sp.
        channel: Weight of L_cp.
        threshold: t in [0, 1]; parts may share channels up to it.
        exchange: Probability that the vector of a part is exchanged.
        gamma: Weight of the distance between u_i and v_i, as in `adsh`; 0 in the paper.
        samples: Rows m of a round.
        inner: Epochs per round.
        soft: Use the target -r for other pairs, instead of -1.
        width: Length of f^j and of f^g.

    Reference: Q. Cui, Q.-Y. Jiang, X.-S. Wei, W.-J. Li, O. Yoshie, "ExchNet: A Unified Hashing Network for
    Large-Scale Fine-Grained Image Retrieval", ECCV 2020.
    """

    reads_maps = True
    multi_label = False
    recipe = Recipe(epochs=30, batch_size=64, lr=1e-3)
    head: PartAttention
    anchors: Tensor
    anchored: Tensor

    def __init__(
        self,
        spec: Spec,
        *,
        parts: int = 4,
        spatial: float = 0.1,
        channel: float = 0.1,
        threshold: float = 0.5,
        exchange: float = 0.5,
        gamma: float = 0.0,
        samples: int = 2_000,
        inner: int = 3,
        soft: bool = True,
        width: int = 128,
    ) -> None:
        super().__init__(spec, gamma=gamma, samples=samples, inner=inner, soft=soft)
        if parts < 2 or width < 1 or samples < 1 or min(spatial, channel) < 0:
            raise UsageError(
                f"parts {parts}, width {width}, samples {samples}, spatial {spatial}, channel {channel}: need at least "
                f"2 parts, width and samples from 1, weights from 0"
            )
        if not 0 <= threshold <= 1 or not 0 <= exchange <= 1:
            raise UsageError(f"threshold {threshold}, exchange {exchange}: give both from 0 to 1")
        self.spatial, self.channel, self.threshold, self.exchange = spatial, channel, threshold, exchange
        self.head = PartAttention(spec.feature_dim, spec.bits, spec.require_map_shape(), parts, width)
        self.register_buffer("anchors", torch.zeros(spec.classes, parts, width))
        self.register_buffer("anchored", torch.zeros(spec.classes, dtype=torch.bool))

    def start_epoch(self, epoch: int, train: TrainView) -> None:
        """Sum up the free codes, and begin new sums of the classes' parts."""
        super().start_epoch(epoch, train)
        self._sums = torch.zeros_like(self.anchors)
        self._counts = torch.zeros(len(self.anchors), device=self.anchors.device)

    def step(self, batch: Batch, optimizers: Sequence[Optimizer]) -> Mapping[str, Tensor]:
        """Train on one batch of a round's rows."""
        attention, parts, whole = self.head.look(batch.features)
        with full_precision(parts):
            attention, parts, whole = attention.float(), parts.float(), whole.float()
            labels = batch.require_labels()
            self._sums.index_add_(0, labels, parts.detach())
            self._counts.index_add_(0, labels, torch.ones_like(labels, dtype=torch.float32))
            logits = self.head.logits(self.exchanged(parts, labels), whole)
            size = self.spec.bits**2 * self.ratio
            terms = {name: term / size for name, term in self.loss(batch, logits).items()}
            if self.spatial:
                terms["spatial"] = self.spatial * spatial_overlap(attention).mean()
            if self.channel:
                terms["channel"] = self.channel * channel_overlap(parts, self.threshold).mean()
        optimizers[0].minimise(torch.stack(list(terms.values())).sum())
        return terms

    def end_epoch(self, epoch: int, train: TrainView) -> None:
        """At the end of a round, sweep over V and renew the anchors of the classes that were seen."""
        super().end_epoch(epoch, train)
        if (epoch + 1) % self.inner == 0:
            seen = self._counts > 0
            self.anchors[seen] = self._sums[seen] / self._counts[seen, None, None]
            self.anchored |= seen

    def exchanged(self, parts: Tensor, labels: Tensor) -> Tensor:
        """Return part vectors ``(b, M, width)``, some of them exchanged for the anchors of their class."""
        if not self.exchange:
            return parts
        swap = torch.rand(parts.shape[:2], device=parts.device) < self.exchange
        swap &= self.anchored[labels][:, None]
        return torch.where(swap[:, :, None], self.anchors[labels], parts)


def mean_hellinger(shares: Tensor) -> Tensor:
    """Return the mean Hellinger distance over all pairs of M distributions, ``(n, M, d)`` to ``(n,)``."""
    roots = shares.clamp_min(TINY).sqrt()
    left, right = torch.triu_indices(shares.shape[1], shares.shape[1], 1, device=shares.device)
    apart: Tensor = torch.linalg.vector_norm(roots[:, left] - roots[:, right], dim=2)
    return apart.mean(1) / 2**0.5


def spatial_overlap(attention: Tensor) -> Tensor:
    """Return L_sp of maps ``(n, M, h, w)``, float ``(n,)``: 0 where no two parts meet, 1 where all look alike."""
    places = attention.flatten(2)
    return 1 - mean_hellinger(places / places.sum(2, keepdim=True).clamp_min(TINY))


def channel_overlap(parts: Tensor, threshold: float) -> Tensor:
    """Return L_cp of part vectors ``(n, M, width)``, float ``(n,)``."""
    return F.relu(threshold - mean_hellinger(parts.softmax(2)))
