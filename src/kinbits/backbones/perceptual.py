"""Perceptual hashes as backbones: the bits of a hash are the features, so that a model of them is like any other."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from kinbits.backbones.base import Backbone
from kinbits.backbones.catalogue import Offer
from kinbits.backbones.preprocessing import HashPlanes
from kinbits.backbones.registry import register_backbone
from kinbits.errors import UsageError
from kinbits.perceptual import HASHES


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
