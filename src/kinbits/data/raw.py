"""RAW files of cameras, by `rawpy`: the preview that the camera made, or else a rendering of half the size."""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image

from kinbits.data.bad_image import BadImage, reason_of

MISSING = "RAW files are read by rawpy, which is not installed; run: pip install 'kinbits[raw]'"
SMALLEST_PREVIEW = 256
"""Pixels of the shorter side of a preview; a rendering replaces smaller ones."""

_TURNS = {3: Image.Transpose.ROTATE_180, 5: Image.Transpose.ROTATE_90, 6: Image.Transpose.ROTATE_270}


class NotRaw(BadImage):
    """LibRaw does not know the file; it may be an ordinary TIFF file."""


@functools.cache
def has_raw() -> bool:
    """Return whether the package that reads RAW files is installed; it is not imported."""
    return find_spec("rawpy") is not None


def open_raw(file: BinaryIO, open_preview: Callable[[bytes], Image.Image], most: int) -> Image.Image:
    """Return the picture of a RAW file.

    Args:
        file: The RAW file.
        open_preview: Function that opens the bytes of a JPEG preview.
        most: Maximum number of pixels.

    Returns:
        The preview, with the orientation in its EXIF data; or the rendered picture, upright.

    Raises:
        NotRaw: If the file is no RAW file that LibRaw knows.
        BadImage: If it is damaged or too large, or `rawpy` is not installed.
    """
    try:
        import rawpy
    except ImportError:
        raise BadImage(MISSING) from None
    try:
        with rawpy.imread(file) as raw:
            _check_size(raw.sizes, most)
            preview = _preview(raw, open_preview, rawpy)
            return _rendered(raw, rawpy) if preview is None else preview
    except rawpy.LibRawFileUnsupportedError as error:
        raise NotRaw(reason_of("no RAW file of a known camera", error)) from None
    except (rawpy.LibRawError, ValueError, OSError, RuntimeError) as error:
        raise BadImage(reason_of("RAW file is damaged", error)) from None


def _check_size(sizes: Any, most: int) -> None:
    pixels = sizes.raw_width * sizes.raw_height
    if pixels > most:
        raise BadImage(f"{sizes.raw_width} x {sizes.raw_height} pixels, more than the limit of {most}")


def _preview(raw: Any, open_preview: Callable[[bytes], Image.Image], rawpy: Any) -> Image.Image | None:
    """Return the largest preview; None if there is none that can be read, or it is much smaller than the picture."""
    try:
        found = raw.extract_thumb()
        image = open_preview(found.data) if found.format == rawpy.ThumbFormat.JPEG else _bitmap(found.data)
        image.load()
    except (rawpy.LibRawError, BadImage, ValueError, TypeError, OSError, SyntaxError, EOFError):
        return None
    if min(image.size) < min(SMALLEST_PREVIEW, raw.sizes.height // 2, raw.sizes.width // 2):
        return None
    turned = image.getexif().get(ExifTags.Base.Orientation) is not None
    turn = None if turned else _TURNS.get(raw.sizes.flip)
    return image if turn is None else image.transpose(turn)


def _bitmap(pixels: Any) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels, np.uint8))


def _rendered(raw: Any, rawpy: Any) -> Image.Image:
    """Develop the sensor's values with the camera's white balance, at half the size, which needs no interpolation."""
    pixels = raw.postprocess(half_size=True, use_camera_wb=True, output_bps=8, output_color=rawpy.ColorSpace.sRGB)
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)  # of sensors without colours
