"""PDQ and pHash: images to bits, exactly as the libraries pdqhash and ImageHash compute them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kinbits._util import require
from kinbits.data import decode
from kinbits.hamming import Codes, pack

LEAST_QUALITY = 50
"""Quality of PDQ below which hashes are not to be matched, as its authors advise."""

QUALITY = "pdq_quality"
"""Column of the quality of PDQ, in files of codes and indexes."""

_GREY_SIDE = 32  # of the image that pHash transforms
Hashed = tuple[NDArray[np.bool_], int | None]


@dataclass(frozen=True)
class PerceptualHash:
    """A hash of whole images by fixed rules.

    Attributes:
        name: Its name, which `kinbits.HashModel.from_pretrained` takes.
        side: The bits are the signs of ``side`` times ``side`` frequencies.
        licence: Licence of the rules and their implementation.
        fingerprint: Fingerprint of the model that makes its codes.
        read: Returns the bits of an RGB image, bool ``(bits,)``, and its quality from 0 to 100, or None.
    """

    name: str
    side: int
    licence: str
    fingerprint: str
    read: Callable[[Image.Image], Hashed]

    @property
    def bits(self) -> int:
        """Length of a hash."""
        return self.side**2


def pdq(image: Any) -> tuple[Codes, int]:
    """Return PDQ, the hash of 256 bits of Meta's ThreatExchange, and how much it can be trusted.

    The image is hashed at its own size. Images that are resized or recompressed keep nearly all bits; crops, mirrors
    and rotations change them. Distances up to 31 are taken for the same image.

    Args:
        image: A path, encoded bytes, a PIL image or an array uint8 ``(h, w)`` or ``(h, w, 3)``. As for any model, the
            EXIF orientation is applied, and transparent pixels are white.

    Returns:
        The packed code, uint8 ``(32,)``, and the quality from 0 to 100: how many edges the image has. A hash of less
        than 50 says little.

    Raises:
        DataError: If the image cannot be read.
        PlatformError: If pdqhash is not installed.
    """
    bits, quality = _pdq(decode(image))
    assert quality is not None
    return pack(bits[None])[0], quality


def phash(image: Any) -> Codes:
    """Return pHash, 64 bits: the lowest 8 x 8 frequencies of a grey image of 32 x 32 pixels, against their median.

    It equals ``imagehash.phash(image)``.

    Args:
        image: As for `pdq`.

    Returns:
        The packed code, uint8 ``(8,)``.

    Raises:
        DataError: If the image cannot be read.
        PlatformError: If SciPy is not installed.
    """
    bits, _ = _phash(decode(image))
    code: Codes = pack(bits[None])[0]
    return code


def _pdq(image: Image.Image) -> Hashed:
    bits, quality = require("pdqhash").compute(np.asarray(image))
    return np.asarray(bits, bool), int(quality)


def _phash(image: Image.Image) -> Hashed:
    dct = require("scipy.fft").dct
    grey = image.convert("L").resize((_GREY_SIDE, _GREY_SIDE), Image.Resampling.LANCZOS)
    frequencies = dct(dct(np.asarray(grey, np.float64), axis=0), axis=1)[:8, :8]
    return (frequencies > np.median(frequencies)).ravel(), None


# Stated, not computed, so that an index of hashes finds its model without torch; a test compares them with the models.
_FINGERPRINTS = {
    "pdq": "08bf6e3b2592d85f74330bec3f0c2fdeb5c399d0800bc98b0fcf412e6e20eb87",
    "phash": "ea1b7bbc6753621605009a599952a2b1861c6f8c6d9cdafd039e95aca164bfb5",
}
HASHES: Mapping[str, PerceptualHash] = {
    "pdq": PerceptualHash("pdq", 16, "BSD-3-Clause", _FINGERPRINTS["pdq"], _pdq),
    "phash": PerceptualHash("phash", 8, "Apache-2.0", _FINGERPRINTS["phash"], _phash),
}
"""The perceptual hashes, by name."""


def hash_of_fingerprint(fingerprint: str | None) -> PerceptualHash | None:
    """Return the perceptual hash that codes with this fingerprint are of; None for codes of another model."""
    return next((one for one in HASHES.values() if one.fingerprint == fingerprint), None)
