"""What the header of an image file says: its size in pixels, and when it was taken."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from PIL import ExifTags, Image

from kinbits.data.decoding import open_image

_ON_ITS_SIDE = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_SUBSECONDS = {
    ExifTags.Base.DateTimeOriginal: ExifTags.Base.SubsecTimeOriginal,
    ExifTags.Base.DateTimeDigitized: ExifTags.Base.SubsecTimeDigitized,
    ExifTags.Base.DateTime: ExifTags.Base.SubsecTime,
}


@dataclass(frozen=True)
class ImageHeader:
    """Facts about an image that are known without its pixels.

    Attributes:
        width: In pixels, upright.
        height: In pixels, upright.
        taken: Time by its EXIF data, in seconds since 1970 as if the camera's clock showed UTC; None without one.
    """

    width: int
    height: int
    taken: float | None = None


def read_header(data: bytes, extension: str = "") -> ImageHeader:
    """Read the header of an image file; no pixel is decoded, except of RAW files.

    Args:
        data: The bytes of the file.
        extension: Extension of its name in lower case; it only tells RAW files from other TIFF files.

    Raises:
        BadImage: If the file is no image, its header is damaged, or it has too many pixels.
    """
    image = open_image(io.BytesIO(data), extension)
    width, height = image.size
    exif = _exif(image)
    if exif.get(ExifTags.Base.Orientation) in _ON_ITS_SIDE:
        width, height = height, width
    return ImageHeader(width, height, _taken(exif))


def _exif(image: Image.Image) -> dict[int, Any]:
    """Return the EXIF data of an image, of the picture itself and of the camera; empty if they are damaged."""
    try:
        exif = image.getexif()
        return {**exif, **exif.get_ifd(ExifTags.IFD.Exif)}
    except Exception:  # Pillow's reader raises many kinds of errors for damaged data
        return {}


def _taken(exif: dict[int, Any]) -> float | None:
    for tag, subsecond in _SUBSECONDS.items():
        try:
            day = datetime.strptime(str(exif[tag]).strip("\0 "), "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
        except (KeyError, ValueError):  # a camera without a clock writes 0000:00:00 00:00:00
            continue
        digits = str(exif.get(subsecond, "")).strip("\0 ")
        return day.timestamp() + (float(f"0.{digits}") if digits.isdecimal() and digits.isascii() else 0.0)
    return None
