"""How visible a change of images is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

WINDOW = 11  # pixels, of SSIM; smaller for images below it
_CHUNK = 256


@dataclass(frozen=True)
class Visibility:
    """How far changed images are from clean ones, pixels in [0, 1].

    Attributes:
        linf: Largest change of a number of a pixel, in any image.
        rmse: Root of the mean squared change over all images and pixels, the "perceptibility" of `pros-gan`'s paper.
        ssim: Mean structural similarity over images and pixels, with a Gaussian window of 11 pixels (Z. Wang, A. Bovik,
            H. Sheikh, E. Simoncelli, TIP 2004); 1 is no change.
    """

    linf: float
    rmse: float
    ssim: float


def visibility(images: Tensor, clean: Tensor) -> Visibility:
    """Compare images with clean ones, float ``(b, 3, s, s)`` in [0, 1] each, of at least one image.

    Example:
        >>> clean = torch.full((2, 3, 16, 16), 0.5)
        >>> found = visibility(clean + 4 / 255, clean)
        >>> round(found.rmse, 7), round(found.linf, 7)
        (0.0156863, 0.0156863)
    """
    from kornia.metrics import ssim

    side = min(images.shape[2:])
    window = min(WINDOW, side - 1 + side % 2)
    similar = [
        ssim(one, other, window).mean(dim=(1, 2, 3))
        for one, other in zip(images.split(_CHUNK), clean.split(_CHUNK), strict=True)  # type: ignore[no-untyped-call]
    ]
    change = images - clean
    return Visibility(float(change.abs().max()), float(change.square().mean().sqrt()), float(torch.cat(similar).mean()))


def to_bytes(images: Tensor) -> Tensor:
    """Round images in [0, 1] to 8 bits, as a file would, uint8 ``(b, 3, s, s)``: what is attacked must be a file."""
    return (images * 255).round().to(torch.uint8)
