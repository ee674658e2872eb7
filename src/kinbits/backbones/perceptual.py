"""Perceptual hashes as backbones: the bits of a hash are the features, so that a model of them is like any other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from kinbits.backbones.base import Backbone, Preprocessing
from kinbits.backbones.catalogue import Offer
from kinbits.backbones.registry import register_backbone
from kinbits.errors import UsageError
from kinbits.perceptual import HASHES


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


class HashBackbone(Backbone):
    """A perceptual hash: features are +1 and -1 for its bits, times 1 + quality where the hash rates images.

    So signs are the bits, the cosine follows the Hamming distance, and a real-valued query that says little is small.
    """

    modality = "image"
    preprocessing: HashPlanes

    def __init__(self) -> None:
        super().__init__()
        found = HASHES[self.key]
        self._describe(
            self.key,
            feature_dim=found.bits,
            preprocessing=HashPlanes(found.side, hash=found.name),
            licence=found.licence,
            pretrained=True,
        )

    @classmethod
    def from_pretrained(cls, argument: str, size: int | None) -> Self:
        """Return the hash.

        Raises:
            UsageError: If a size is given.
        """
        if size is not None:
            raise UsageError(f"'{cls.key}' hashes images at their own size, not at {size} pixels; leave the size out")
        return cls()

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the hash; nothing of the configuration changes it."""
        return cls()

    def architecture(self) -> dict[str, Any]:
        """Return ``{}``: the name says all."""
        return {}

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Return features ``(n, bits)`` of what the preprocessing returned, ``(n, 3, s, s)`` in [0, 1].

        Raises:
            UsageError: If pixels of another size are given: the hash is computed of whole images.
        """
        side = self.preprocessing.size
        if x.shape[1:] != (3, side, side):
            raise UsageError(f"'{self.name}' hashes whole images, not batches of pixels; give images to encode()")
        signs = torch.where(x[:, 0] > 0.5, 1.0, -1.0).flatten(1)
        return signs * (1 + (255 * x[:, 1, :1, 0]).round())


@register_backbone("pdq")
class Pdq(HashBackbone):
    """PDQ, 256 bits with a quality: `kinbits.perceptual.pdq`."""

    offer = Offer(feature_dim=256, pretrained=True, licence="BSD-3-Clause")
    rates = True

    def quality(self, features: np.ndarray) -> np.ndarray:
        """Return the quality of images from 0 to 100, int64 ``(n,)``, given their features ``(n, 256)``."""
        return np.asarray(np.abs(features[:, 0]).astype(np.int64) - 1)


@register_backbone("phash")
class PHash(HashBackbone):
    """pHash, 64 bits: `kinbits.perceptual.phash`."""

    offer = Offer(feature_dim=64, pretrained=True, licence="Apache-2.0")
