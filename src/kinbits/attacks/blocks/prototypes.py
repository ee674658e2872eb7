"""A network from labels to the codes that stand for them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from kinbits.attacks.victim import Reference
from kinbits.methods import signs

BATCH, LR = 64, 1e-4
QUANTIZATION = 1e-4
HIDDEN, WIDTH = 4096, 512


class PrototypeNet(nn.Module):
    """Labels ``(b, C)`` to features ``(b, 512)``, prototypes ``(b, K)`` in [-1, 1], and guessed labels ``(b, C)``.

    Args:
        classes: C.
        bits: K.
        hidden: Width of the hidden layer.
    """

    def __init__(self, classes: int, bits: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(classes, hidden), nn.ReLU(), nn.Linear(hidden, WIDTH))
        self.code, self.label = nn.Linear(WIDTH, bits), nn.Linear(WIDTH, classes)

    def forward(self, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return features, prototypes and guessed labels."""
        features = self.features(labels)
        return features, torch.tanh(self.code(features)), torch.sigmoid(self.label(features))

    @torch.no_grad()
    def codes(self, labels: Tensor) -> Tensor:
        """Return the prototypes of labels as codes, float +1 or -1 ``(b, K)``."""
        return signs(self(labels)[1])


Objective = Callable[[PrototypeNet, Tensor, Reference], Tensor]


def train_prototypes(
    net: PrototypeNet,
    reference: Reference,
    objective: Objective,
    *,
    steps: int,
    generator: torch.Generator,
    lr: float = LR,
) -> None:
    """Train a network in place by Adam; its rate falls to a tenth at half and at three quarters.

    Args:
        net: The network.
        reference: Codes and labels to learn from. A step takes 64 of the distinct labels, with replacement.
        objective: The loss of a batch of labels ``(b, C)``.
        steps: Number of steps.
        generator: Draws the labels, on the CPU.
        lr: Rate of Adam.

    Raises:
        DataError: If no image of the reference has a label.
    """
    rows = reference.distinct_labels()
    adam = torch.optim.Adam(net.parameters(), lr=lr, betas=(0.5, 0.999))
    schedule = torch.optim.lr_scheduler.MultiStepLR(adam, [steps // 2, 3 * steps // 4], gamma=0.1)
    for _ in range(steps):
        labels = rows[torch.randint(len(rows), (BATCH,), generator=generator)].dense()
        loss = objective(net, labels, reference)
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        schedule.step()


def likelihood(net: PrototypeNet, labels: Tensor, reference: Reference) -> Tensor:
    """Return the loss of `ProSGAN`'s prototypes: likelihood of similar codes, quantization, and guessed labels.

    With t = h b^T / 2 and S = 1 where labels share a class:
    L = mean(softplus(t) - S t) + 1e-4 mean_i |sign(h_i) - h_i|^2 + mean (y' - y)^2.
    """
    _, codes, guesses = net(labels)
    products = codes @ reference.codes.T / 2
    similar = (reference.shared(labels) > 0).float()
    fit = (softplus(products) - similar * products).mean()
    loss: Tensor = fit + quantization(codes) + (guesses - labels).square().mean()
    return loss


def circle(net: PrototypeNet, labels: Tensor, reference: Reference) -> Tensor:
    """Return the loss of `THA`'s prototypes: the circle loss of s = h b^T / K with margin 0, and quantization.

    L = log(1 + sum_n exp([s_n]_+ s_n) sum_p exp(-[1 - s_p]_+ (s_p - 1))), p over images that share a class with the
    label and n over the others (Y. Sun et al., "Circle Loss", CVPR 2020).
    """
    codes = net(labels)[1]
    likeness = codes @ reference.codes.T / reference.codes.shape[1]
    similar = reference.shared(labels) > 0
    held = likeness.detach()
    pulled = torch.where(similar, -(1 - held).clamp(min=0) * (likeness - 1), -torch.inf).logsumexp(dim=1)
    pushed = torch.where(similar, -torch.inf, held.clamp(min=0) * likeness).logsumexp(dim=1)
    return softplus(pulled + pushed).mean() + quantization(codes)


def quantization(codes: Tensor) -> Tensor:
    """Return 1e-4 times the mean squared distance of prototypes ``(b, K)`` to their signs."""
    return QUANTIZATION * (signs(codes) - codes).square().sum(dim=1).mean()
