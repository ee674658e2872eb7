"""HEIF and HEIC images, by `pillow_heif`.

Its reader is used directly and not registered with Pillow, so that nothing global changes, in no thread or process.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.util import find_spec
from typing import BinaryIO

from PIL import Image

from kinbits.data.bad_image import BadImage, reason_of

MISSING = "HEIC is read by pillow_heif, which is not installed; run: pip install 'kinbits[heif]'"


@functools.cache
def has_heif() -> bool:
    """Return whether the package that reads HEIF is installed; it is not imported."""
    return find_spec("pillow_heif") is not None


def open_heif(file: BinaryIO) -> Image.Image:
    """Return a HEIF image whose pixels are not decoded yet; its turn and mirror are applied when they are.

    Raises:
        BadImage: If the header is damaged, or `pillow_heif` is not installed.
    """
    try:
        return _reader()(file)
    except (SyntaxError, ValueError, OSError, RuntimeError, EOFError, KeyError) as error:
        raise BadImage(reason_of("header is damaged", error)) from None


@functools.cache
def _reader() -> Callable[[BinaryIO], Image.Image]:
    try:
        import pillow_heif
    except ImportError:
        raise BadImage(MISSING) from None
    reader: Callable[[BinaryIO], Image.Image] = pillow_heif.HeifImageFile
    return reader
