"""Augmentations of image batches on any device; random numbers come from torch's global generator.

Everyday edits are made before an image is scaled to the size of a network wherever whole images are at hand.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from kinbits.data.edits import draw_edits, edit_image
from kinbits.errors import UsageError, unknown_name

Maker = Callable[[int], nn.Module]
Change = Callable[[Image.Image, np.random.Generator], Image.Image]
_MAKERS: dict[str, Maker] = {}
_SIDE = 768  # pixels of the longer side of an image before it is edited


def register_augmentation(name: str) -> Callable[[Maker], Maker]:
    """Return a decorator that registers a function ``size -> module`` under a name.

    Raises:
        UsageError: If the name is taken.
    """

    def add(make: Maker) -> Maker:
        if _MAKERS.setdefault(name, make) is not make:
            raise UsageError(f"the augmentation name '{name}' is taken; choose another")
        return make

    return add


def augmentations() -> list[str]:
    """Return the names of all augmentations, sorted."""
    return sorted(_MAKERS)


def augmentation(name: str, size: int) -> nn.Module:
    """Return a registered augmentation as a module.

    The module takes and returns float ``(n, 3, size, size)`` in [0, 1]. The random parameters differ per image;
    ``torch.manual_seed`` makes them reproducible.

    Args:
        name: One of :func:`augmentations`.
        size: Side of the images in pixels.

    Raises:
        UsageError: If the name is unknown or the size is below 1.

    Example:
        >>> views = augmentation("two_view", 32)
        >>> batch = torch.rand(4, 3, 32, 32)
        >>> views(batch).shape, bool((views(batch) != views(batch)).any())
        (torch.Size([4, 3, 32, 32]), True)
    """
    check_augmentation(name)
    if size < 1:
        raise UsageError(f"images of {size} pixels cannot be augmented; the size must be 1 or more")
    return _Clamped(_MAKERS[name](size))


def check_augmentation(name: str) -> None:
    """Check the name of an augmentation.

    Raises:
        UsageError: If the name is unknown; the message suggests similar names.
    """
    if name not in _MAKERS:
        raise unknown_name("augmentation", name, _MAKERS)


def image_change(name: str) -> Change | None:
    """Return how an augmentation changes a whole image before it is scaled for a network.

    Args:
        name: One of :func:`augmentations`.

    Returns:
        A function of a Pillow RGB image and a random generator, or None for an augmentation of scaled pixels.
    """
    return _edited if name == "edits" else None


@register_augmentation("none")
def none(size: int) -> nn.Module:
    """Return no change: for images whose sides and borders mean something, such as digits or scans."""
    return nn.Identity()


@register_augmentation("weak")
def weak(size: int) -> nn.Module:
    """Return a random shift by up to an eighth of the side (mirrored border) and a random horizontal flip."""
    import kornia.augmentation as K

    margin = max(1, size // 8)
    mode = "reflect" if size > margin else "constant"
    shift = K.RandomCrop((size, size), padding=margin, padding_mode=mode, cropping_mode="slice")
    return nn.Sequential(shift, K.RandomHorizontalFlip(p=0.5))


@register_augmentation("two_view")
def two_view(size: int) -> nn.Module:
    """Return the transforms of CIBHash (Qiu et al., IJCAI 2021, official code); call the module twice for two views.

    Random resized crop of 50 to 100 % of the area, horizontal flip, colour jitter (0.4, 0.4, 0.4, 0.1) with probability
    0.7, greyscale with 0.2, Gaussian blur (3 pixels, sigma 0.1 to 2) with 0.5.
    """
    import kornia.augmentation as K

    return nn.Sequential(
        crops(size),
        K.RandomHorizontalFlip(p=0.5),
        K.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.7),
        K.RandomGrayscale(p=0.2),
        K.RandomGaussianBlur((3, 3), (0.1, 2.0), p=0.5),
    )


@register_augmentation("crops")
def crops(size: int) -> nn.Module:
    """Return a random resized crop of 50 to 100 % of the area, without other transforms.

    Use it for images that must not be mirrored, such as digits, text and anatomy, or recoloured, such as some organs.
    """
    import kornia.augmentation as K

    return nn.Sequential(K.RandomResizedCrop((size, size), scale=(0.5, 1.0), ratio=(3 / 4, 4 / 3)))


@register_augmentation("edits")
def edits(size: int) -> nn.Module:
    """Return one to three everyday edits of each image, as `draw_edits` draws them.

    Two views of an image are then two copies of it, so that codes learned from them find copies. A batch of pixels is
    edited as it is; features of a data set are those of edited whole images, see :func:`image_change`.
    """
    return _Edits(size)


class _Edits(nn.Module):
    """Edits each image on the CPU; sizes that an edit changes are brought back to the square of the batch."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        seeds = torch.randint(2**31, (len(x),)).tolist()
        images = (255 * x).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        edited = np.stack([self._edited(image, seed) for image, seed in zip(images, seeds, strict=True)])
        return torch.from_numpy(edited).to(x).permute(0, 3, 1, 2) / 255

    def _edited(self, pixels: np.ndarray, seed: int) -> np.ndarray:
        image = _edited(Image.fromarray(pixels), np.random.default_rng(seed))
        return np.asarray(image.resize((self.size, self.size), Image.Resampling.BICUBIC))


def _edited(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return an image after drawn edits; a large one is scaled down first, for time."""
    image = image.copy()
    image.thumbnail((_SIDE, _SIDE))
    for edit in draw_edits(rng):
        image = edit_image(image, edit, seed=int(rng.integers(2**31)))
    return image


class _Clamped(nn.Module):
    """Clamps the result of other transforms to [0, 1], and returns an empty batch unchanged."""

    def __init__(self, steps: nn.Module) -> None:
        super().__init__()
        self.steps = steps

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.steps(x).clamp(0, 1) if len(x) else x
        return out
