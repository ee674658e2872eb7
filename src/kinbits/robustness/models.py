"""Models as attacks see them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image

from kinbits import hamming
from kinbits._util import processors
from kinbits.attacks import Victim
from kinbits.backbones import Preprocessing
from kinbits.errors import UsageError
from kinbits.model import HashModel


def victim_of(model: HashModel, *, device: str | torch.device = "cpu") -> Victim:
    """Return the image tower of a model as attacks see it: pixels of the size that its backbone takes, to logits.

    Args:
        model: A model that turns images into bits.
        device: Where it runs; the model is moved there.

    Raises:
        UsageError: If the model reads no images, makes no bits, or has no gradient from its pixels to its logits.
        PlatformError: If this machine has no such device.
    """
    require_images_to_bits(model)
    backbone = model.tower("image").backbone
    size = backbone.require_pixels("an attack").size
    return Victim(
        model.to(device).tower("image"),
        bits=model.bits,
        size=size,
        name=f"backbone '{backbone.name}'",
        fingerprint=model.fingerprint,
    )


def pixels_of(preprocess: Preprocessing, image_of: Callable[[int], Image.Image], count: int) -> np.ndarray:
    """Return images as a backbone takes them, uint8 ``(count, 3, s, s)``.

    Args:
        preprocess: The backbone's preprocessing.
        image_of: Returns an image, given its row; called in threads.
        count: Number of images.
    """
    with ThreadPoolExecutor(processors()) as pool:
        return np.stack(list(pool.map(lambda row: preprocess(image_of(row)), range(count))))


def require_images_to_bits(model: HashModel) -> Preprocessing:
    """Return how a model prepares its images.

    Raises:
        UsageError: If it reads no images, or makes no bits.
    """
    backbone = model.tower("image").backbone
    if backbone.modality != "image" or backbone.preprocessing is None:
        raise UsageError(f"attacks change pixels, and this model reads {backbone.modality}s; take a model of images")
    if model.words != hamming.BITS:
        made = hamming.describe_kind(model.bits, model.words)
        raise UsageError(f"attacks flip bits, and this model makes {made}; take a model whose codes are bits")
    return backbone.preprocessing
