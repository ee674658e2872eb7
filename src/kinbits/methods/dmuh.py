"""DMUH: bits are uncertain, and weigh more, if the network and its averaged copy disagree about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from kinbits.errors import UsageError
from kinbits.heads import Linear
from kinbits.methods.base import Batch, Method, Optimizer, Recipe, Spec, TrainView
from kinbits.methods.blocks.binary import signs
from kinbits.methods.blocks.ema import ema_copy, update_ema
from kinbits.methods.blocks.labels import labelled
from kinbits.methods.blocks.pairwise import balanced_weights, pair_nll
from kinbits.methods.registry import register

Base = Literal["squared", "likelihood"]


@register("dmuh")
class Dmuh(Method):
    """Learn codes from pairs, with more weight for uncertain bits and images.

    A copy of backbone and head is updated after each step: theta' <- ema_decay theta' + (1 - ema_decay) theta. With
    u_i = tanh(z_i) the output of the network and v_i that of the copy on the same pixels, without a gradient::

        delta_ik = |u_ik - v_ik|                                  uncertainty of a bit
        delta_i  = mean_k delta_ik                                uncertainty of an image
        w_ik ~ 1 + beta delta_ik / mean(delta)     W_i ~ 1 + beta delta_i / mean(delta)     both of mean 1
        L = mean_{i != j} W_i W_j (u_i . u_j / K - t_ij)^2  +  eta mean_ik w_ik (sign(u_ik) - u_ik)^2
            +  penalty mean_ik (u_ik - v_ik)^2
        t_ij = 1 for a shared label, else -r      r = similar / other pairs of the batch

    Partly a reconstruction: the abstract gives the two networks, delta_ik, delta_i, and more weight for the uncertain.
    These are our choices and their reasons. The pair loss: the square with ADSH's soft target trained more steadily
    than DPSH's likelihood, softplus(u_i . u_j / 2) - s_ij u_i . u_j / 2 (``base="likelihood"``). tanh: it bounds delta
    by 2. The form of the weights: 1 + delta (``normalise=False``) has no effect, since delta is about 0.1. Their place:
    images in the pairs, and bits in the quantization, which is a sum over bits. The warm-up of eta: untrained codes
    share most signs, and the quantization would keep them. No penalty: the abstract mentions only weights. With
    ema_decay 0, v = u and all weights are 1.

    A batch without other pairs has no r, and no pair term. Unlabelled rows are in no pair. The copy normalises by the
    statistics of its batch, without dropout.

    Args:
        spec: The task.
        ema_decay: Share of the old weights in the copy, from 0 to below 1. Take 0.9 for runs of less than 1,000 steps.
        beta: Strength of the weights; with 0 all are equal.
        weights: What is weighed: ``"both"``, ``"bits"``, ``"images"`` or ``"none"``.
        normalise: Divide delta by its mean, and weights by theirs; otherwise 1 + beta delta.
        eta: Weight of the quantization.
        warmup: Share of the epochs before it begins.
        ramp: Epochs in which it then grows to eta.
        penalty: Weight of the squared difference of u and v.
        base: ``"squared"`` or ``"likelihood"``, with weights so that similar and other pairs count alike.
        activation: ``"tanh"`` or ``"none"``.

    Reference: C. Fu, G. Wang, X. Wu, Q. Zhang, R. He, "Deep Momentum Uncertainty Hashing", Pattern Recognition 122,
    2022.
    """

    recipe = Recipe(epochs=16, batch_size=128, lr=3e-4, weight_decay=1e-5, min_steps=625)

    def __init__(
        self,
        spec: Spec,
        *,
        ema_decay: float = 0.99,
        beta: float = 1.0,
        weights: Literal["both", "bits", "images", "none"] = "both",
        normalise: bool = True,
        eta: float = 0.1,
        warmup: float = 1 / 3,
        ramp: int = 10,
        penalty: float = 0.0,
        base: Base = "squared",
        activation: Literal["tanh", "none"] = "tanh",
    ) -> None:
        super().__init__(spec)
        if not 0 <= ema_decay < 1 or not 0 <= warmup <= 1:
            raise UsageError(f"ema_decay {ema_decay}, warmup {warmup}: need ema_decay from 0 to below 1, warmup 0 to 1")
        if min(beta, eta, penalty) < 0 or ramp < 1:
            raise UsageError(
                f"beta {beta}, eta {eta}, penalty {penalty}, ramp {ramp}: need beta, eta, penalty >= 0 and ramp >= 1"
            )
        for name, value, known in (
            ("weights", weights, ("both", "bits", "images", "none")),
            ("base", base, ("squared", "likelihood")),
            ("activation", activation, ("tanh", "none")),
        ):
            if value not in known:
                raise UsageError(f"{name} is '{value}'; use one of {', '.join(known)}")
        self.ema_decay, self.beta, self.weights, self.normalise = ema_decay, beta, weights, normalise
        self.eta, self.warmup, self.ramp, self.penalty = eta, warmup, ramp, penalty
        self.base: Base = base
        self.activation = torch.tanh if activation == "tanh" else nn.Identity()
        self.head = Linear(spec.feature_dim, spec.bits)
        self.ema_head = ema_copy(self.head)
        self.share = 0.0

    def parameter_lists(self) -> list[list[nn.Parameter]]:
        """Return the parameters of the head; the copy is updated from them."""
        return [list(self.head.parameters())]

    def prepare(self, train: TrainView) -> None:
        """Start the copy from the head as it is, input centring included."""
        update_ema(self.ema_head, self.head, 0.0)

    def start_epoch(self, epoch: int, train: TrainView) -> None:
        """Set the weight of the quantization."""
        self.share = min(max((epoch + 1 - self.warmup * train.epochs) / self.ramp, 0.0), 1.0)

    def step(self, batch: Batch, optimizers: Sequence[Optimizer]) -> Mapping[str, Tensor]:
        """Train on one batch, then update the copy."""
        terms = super().step(batch, optimizers)
        update_ema(self.ema_head, self.head, self.ema_decay or 0.0)
        return terms

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the weighted pairs and quantization, and the penalty where there is one."""
        u = self.activation(logits)
        with torch.no_grad():
            v = self.activation(self.ema_head(batch.reference_features))
            bits, images = self.weigh((u - v).abs())
        known = labelled(batch.require_labels()).float() * images
        counted = (known[:, None] * known[None, :]).fill_diagonal_(0)
        rounded = signs(u)
        terms = {
            "pairs": pair_loss(u, batch.similar, counted, self.base),
            "quantization": self.share * self.eta * (bits * (rounded - u).square()).mean(),
        }
        return {**terms, "penalty": self.penalty * (u - v).square().mean()} if self.penalty else terms

    def weigh(self, delta: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights of bits ``(b, K)`` and images ``(b,)`` from the bits' uncertainty ``(b, K)``."""
        if self.normalise:
            delta = delta / delta.mean().clamp_min(1e-6)
        bits, images = 1 + self.beta * delta, 1 + self.beta * delta.mean(1)
        if self.normalise:
            bits, images = bits / bits.mean(), images / images.mean()
        ones = torch.ones_like
        return (
            bits if self.weights in ("both", "bits") else ones(bits),
            images if self.weights in ("both", "images") else ones(images),
        )


def pair_loss(u: Tensor, same: Tensor, weights: Tensor, base: Base) -> Tensor:
    """Return the mean loss over pairs; 0 without dissimilar ones, which the target needs.

    Args:
        u: Outputs, float ``(b, K)``.
        same: Which pairs share a label, 0/1 ``(b, b)``.
        weights: Weights of pairs, 0 for those that do not count, ``(b, b)``.
        base: Which loss.
    """
    counted = (weights > 0).float()
    pairs, alike = counted.sum(), (same * counted).sum()
    products = u @ u.T
    if base == "likelihood":
        values = balanced_weights(same, counted) * pair_nll(products / 2, same)
    else:
        other = pairs - alike
        target = torch.where(same > 0, 1.0, -alike / other.clamp_min(1))
        values = (other > 0) * (products / u.shape[1] - target).square()
    loss: Tensor = (weights * values).sum() / pairs.clamp_min(1)
    return loss
