"""Generator and discriminator of `pros_gan`, for images of any size from 8 pixels on."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from kinbits.attacks.blocks.prototypes import WIDTH

SEED, BLOCKS = 128, 6
SMALL = 16  # pixels: below, one halving is left out, as maps of 2 x 2 say little once they are normalised


class Generator(nn.Module):
    """Images ``(b, 3, s, s)`` in [-1, 1] and label features ``(b, 512)`` to images in [-1, 1].

    The label branch grows a map of three channels from a seed of s / 16 (of 2 pixels for images below 32). It joins
    the image, which two strided convolutions, six residual blocks and two transposed convolutions change; the image
    joins again before the last layer. All normalise by instance.

    Args:
        size: Side s.
        width: Channels of the first layer.
    """

    def __init__(self, size: int, width: int = 64) -> None:
        super().__init__()
        self.size = size
        doublings = min(4, int(math.log2(size)) - 1)
        self.seed_side = -(-size // 2**doublings)
        self.seed = nn.Sequential(nn.Linear(WIDTH, SEED * self.seed_side**2, bias=False), nn.ReLU())
        channels = [SEED // 2**level for level in range(doublings + 1)]
        grown = [_grow(before, after) for before, after in pairwise(channels)]
        self.label = nn.Sequential(*grown, nn.Conv2d(channels[-1], 3, 3, padding=1, bias=False))
        widths = [width * 2**level for level in range(3 if size >= SMALL else 2)]
        shrinking = [layer for before, after in pairwise(widths) for layer in _shrink(before, after)]
        growing = [_grow(after, before) for before, after in pairwise(widths)]
        self.body = nn.Sequential(
            nn.Conv2d(6, width, 7, padding=3, bias=False),
            nn.InstanceNorm2d(width),
            nn.ReLU(),
            *shrinking,
            *(_Residual(widths[-1]) for _ in range(BLOCKS)),
            *reversed(growing),
        )
        self.last = nn.Conv2d(width + 3, 3, 3, padding=1, bias=False)

    def forward(self, images: Tensor, features: Tensor) -> Tensor:
        """Return images ``(b, 3, s, s)`` in [-1, 1]."""
        seed = self.seed(features).view(len(features), SEED, self.seed_side, self.seed_side)
        label = self.label(seed)[:, :, : self.size, : self.size]
        more = -self.size % 4
        whole = pad(torch.cat([images, label], dim=1), (0, more, 0, more), mode="replicate")
        changed = self.body(whole)[:, :, : self.size, : self.size]
        out: Tensor = torch.tanh(self.last(torch.cat([changed, images], dim=1)))
        return out


class Discriminator(nn.Module):
    """Images ``(b, 3, s, s)`` in [-1, 1] to C label outputs and one that says "made", ``(b, C + 1)``.

    Args:
        size: Side s.
        classes: C.
        width: Channels of the first layer.
    """

    def __init__(self, size: int, classes: int, width: int = 64) -> None:
        super().__init__()
        halvings = min(5, int(math.log2(size)))
        channels = [3, *(width * 2**level for level in range(halvings))]
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers += [nn.utils.spectral_norm(nn.Conv2d(before, after, 4, 2, 1)), nn.LeakyReLU(0.01)]
        self.body = nn.Sequential(*layers, nn.Conv2d(channels[-1], classes + 1, size // 2**halvings, bias=False))

    def forward(self, images: Tensor) -> Tensor:
        """Return outputs ``(b, C + 1)``, without an activation."""
        out: Tensor = self.body(images).flatten(1)
        return out


def _shrink(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), nn.InstanceNorm2d(outputs), nn.ReLU()]


def _grow(inputs: int, outputs: int) -> nn.Sequential:
    up = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)
    return nn.Sequential(up, nn.InstanceNorm2d(outputs), nn.ReLU())


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.InstanceNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.InstanceNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layers(x)
        return out
