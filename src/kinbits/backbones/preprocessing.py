"""From an image to the bytes that a backbone takes; without PyTorch, so that a small process can do it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from PIL import Image

from kinbits.errors import ArtefactError, UsageError
from kinbits.perceptual import HASHES

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]

LARGEST_SIDE = 4096  # in pixels: one image then takes 50 MB, and a typical network several GB
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of a PIL image to the uint8 array ``(3, size, size)`` that a backbone takes.

    The backbone itself normalises the pixels with ``mean`` and ``std``. So only bytes travel between processes and
    into the compiled graph.

    Attributes:
        pixels: Whether it returns pixels, which can be augmented, attacked, and taken by an exported graph.
        size: Side of the square in pixels.
        mean: Mean per channel of pixels in [0, 1], subtracted inside the backbone.
        std: Standard deviation per channel, divided by inside the backbone.
        resize: ``"squash"`` ignores the aspect ratio, ``"crop"`` resizes the short side and cuts the
            centre, ``"pad"`` fits the long side and fills with the mean colour.
        interpolation: ``"bilinear"``, ``"bicubic"``, ``"lanczos"`` or ``"nearest"``.
        channels: Always 3; the decoder repeats the channel of grey images.
        crop_ratio: For ``"crop"``: ``size`` divided by the short side before the crop.

    Example:
        >>> from PIL import Image
        >>> Preprocessing(size=32)(Image.new("RGB", (50, 40))).shape
        (3, 32, 32)
    """

    pixels: ClassVar[bool] = True
    size: int
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    resize: Literal["squash", "crop", "pad"] = "squash"
    interpolation: Interpolation = "bilinear"
    channels: int = 3
    crop_ratio: float = 1.0

    def __post_init__(self) -> None:
        finite = all(map(math.isfinite, (*self.mean, *self.std))) and len(self.mean) == len(self.std) == 3
        if not 1 <= self.size <= LARGEST_SIDE or self.channels != 3 or not 0 < self.crop_ratio <= 1 or not finite:
            raise UsageError(
                f"impossible preprocessing {asdict(self)}: 1 <= size <= {LARGEST_SIDE}, channels 3, three finite means "
                "and deviations, and 0 < crop_ratio <= 1 are needed"
            )
        if min(self.std) <= 0:
            raise UsageError(f"deviations {self.std} of the pixels; they must be greater than 0")
        if self.resize not in ("squash", "crop", "pad") or self.interpolation not in _FILTERS:
            raise UsageError(
                f"unknown resize rule '{self.resize}' or interpolation '{self.interpolation}'; "
                f"use squash, crop or pad, and one of {', '.join(_FILTERS)}"
            )

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Return one image as a resized uint8 array ``(3, size, size)``.

        Args:
            image: A PIL image; modes other than RGB are converted.
        """
        image = image if image.mode == "RGB" else image.convert("RGB")
        image = {"squash": self._squash, "crop": self._crop, "pad": self._pad}[self.resize](image)
        return np.ascontiguousarray(np.asarray(image, dtype=np.uint8).transpose(2, 0, 1))

    def _squash(self, image: Image.Image) -> Image.Image:
        return self._resized(image, self.size, self.size)

    def _crop(self, image: Image.Image) -> Image.Image:
        short = max(self.size, round(self.size / self.crop_ratio))
        scale = short / min(image.size)
        image = self._resized(image, max(short, round(image.width * scale)), max(short, round(image.height * scale)))
        left, top = (image.width - self.size) // 2, (image.height - self.size) // 2
        return image.crop((left, top, left + self.size, top + self.size))

    def _pad(self, image: Image.Image) -> Image.Image:
        width, height = (max(1, round(side * self.size / max(image.size))) for side in image.size)
        image = self._resized(image, width, height)
        fill = tuple(min(255, max(0, round(255 * m))) for m in self.mean)
        square = Image.new("RGB", (self.size, self.size), fill)
        square.paste(image, ((self.size - image.width) // 2, (self.size - image.height) // 2))
        return square

    def _resized(self, image: Image.Image, width: int, height: int) -> Image.Image:
        if image.size == (width, height):
            return image
        # reducing_gap lets Pillow shrink large photos in two steps: many times faster, visually the same
        return image.resize((width, height), _FILTERS[self.interpolation], reducing_gap=3.0)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """Build from the result of :meth:`to_dict`.

        Raises:
            ArtefactError: If a field is unknown or missing.
        """
        try:
            return cls(**{**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])})
        except (KeyError, TypeError) as error:
            raise ArtefactError(f"preprocessing {fields} cannot be read ({error}); save the model again") from None


@dataclass(frozen=True)
class HashPlanes(Preprocessing):
    """Hashes an image at its own size; the result has the shape of an image, so that batches hold it.

    Attributes:
        hash: Name of the hash, see `kinbits.perceptual.HASHES`.
    """

    pixels: ClassVar[bool] = False
    hash: str = ""

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Return uint8 ``(3, size, size)``: 255 times the bits, the quality or 0, and zeros."""
        bits, quality = HASHES[self.hash].read(image if image.mode == "RGB" else image.convert("RGB"))
        planes = np.zeros((3, self.size, self.size), np.uint8)
        planes[0] = 255 * bits.reshape(self.size, self.size)
        planes[1] = quality or 0
        return planes

    def to_dict(self) -> dict[str, Any]:
        """Return the name of the hash."""
        return {"hash": self.hash}
