"""How visible a change of images is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kinbits.attacks import Numbers, as_tensor
from kinbits.errors import DataError

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


def visibility(images: Numbers, clean: Numbers) -> Visibility:
    """Compare images with clean ones, float ``(b, 3, s, s)`` in [0, 1] each, of at least one image.

    Raises:
        DataError: If they have another shape than the clean ones.

    Example:
        >>> clean = torch.full((2, 3, 16, 16), 0.5)
        >>> found = visibility(clean + 4 / 255, clean)
        >>> round(found.rmse, 7), round(found.linf, 7)
        (0.0156863, 0.0156863)
    """
    from kornia.metrics import ssim

    changed, given = as_tensor(images, "images"), as_tensor(clean, "clean images")
    if changed.shape != given.shape or changed.ndim != 4 or not len(changed):
        raise DataError(f"images are {tuple(changed.shape)}, and clean ones {tuple(given.shape)}; give (b, 3, s, s)")
    side = min(changed.shape[2:])
    window = min(WINDOW, side - 1 + side % 2)
    similar = [
        ssim(one, other, window).mean(dim=(1, 2, 3))
        for one, other in zip(changed.split(_CHUNK), given.split(_CHUNK), strict=True)  # type: ignore[no-untyped-call]
    ]
    change = changed - given
    return Visibility(float(change.abs().max()), float(change.square().mean().sqrt()), float(torch.cat(similar).mean()))


def to_bytes(images: Numbers) -> Tensor:
    """Round images in [0, 1] to 8 bits, as a file would, uint8 ``(b, 3, s, s)``: what is attacked must be a file."""
    return (as_tensor(images, "images") * 255).round().to(torch.uint8)
