"""Decoding of image files to 8-bit RGB."""

from __future__ import annotations

import functools
import io
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from kinbits._util import read_regular
from kinbits.errors import DataError

MAX_PIXELS = 2**27
MAX_FILE_BYTES = 2**30
_BLOCK = 2**20  # pixels

# Raster formats only: other readers of Pillow can start external programs (EPS).
# fmt: off
_FORMATS = (
    "AVIF", "BMP", "DDS", "DIB", "GIF", "HDR", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "QOI",
    "SGI", "SUN", "TGA", "TIFF", "WEBP", "XBM", "XPM",
)
# fmt: on
_MEMORY_HEAVY = ("JPEG2000", "WEBP")  # their decoders take 16 to 24 bytes per pixel, others 4 to 9
_opening = threading.Lock()
# A fork waits until no thread holds the lock; otherwise the child would inherit a lock that is never released.
os.register_at_fork(before=_opening.acquire, after_in_parent=_opening.release, after_in_child=_opening.release)


class BadImage(DataError):  # noqa: N818 - it names the image's state, not ours
    """An image cannot be used.

    Attributes:
        reason: The reason, in a few words for a report.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode(source: bytes | str | os.PathLike[str] | Image.Image | np.ndarray) -> Image.Image:
    """Decode one image to 8-bit RGB.

    The EXIF orientation is applied. Transparent pixels get a white background. Palettes, CMYK and Lab are converted. Of
    an animation, the first frame is used. 16-bit, integer and float greys are scaled (not clipped) to 8 bits:

    - uint16: from 0..65535.
    - Other integers: from 0..255 if all values fit, or else from 0..65535 if they fit.
    - Floats: from 0..1 if all values fit, or else from 0..255 if they fit.
    - All others: from the minimum and maximum of the image.

    Args:
        source: The encoded bytes, the path of a file, a Pillow image, or an array ``(h, w)``, ``(h, w, 1)``,
            ``(h, w, 3)`` or ``(h, w, 4)`` of uint8, uint16, bool or float.

    Raises:
        BadImage: If the image is missing, empty, truncated, not an image, or larger than 2^27 pixels (2^26 in WebP and
            JPEG 2000). At these limits decoding takes 0.5 to 1.2 GB of memory, and 1.6 GB in JPEG 2000.

    Example:
        >>> decode(np.zeros((4, 6), np.uint8)).size
        (6, 4)
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _to_rgb(_loaded(source))
    return _to_rgb(_loaded(_open(source if isinstance(source, bytes) else _read(Path(source)))))


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise BadImage(f"file of {size} bytes is larger than the limit of {MAX_FILE_BYTES}")
        return read_regular(path)
    except FileNotFoundError:
        raise BadImage("file is missing") from None
    except OSError as error:
        raise BadImage(f"file cannot be read: {error.strerror or error}") from None


@functools.cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _open(data: bytes) -> Image.Image:
    """Read only the header, and check the number of pixels before any pixel is decoded."""
    if not data:
        raise BadImage("file is empty (0 bytes)")
    formats = _formats()
    # The lock protects the warning filters, which are global. The limit below replaces Pillow's bomb warning.
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(data), formats=formats)
        except UnidentifiedImageError:
            raise BadImage("not an image, or its header is damaged") from None
        except Image.DecompressionBombError:
            raise BadImage(f"more than the limit of {MAX_PIXELS} pixels (decompression bomb?)") from None
        except Exception as error:  # Pillow's readers raise many kinds of errors for a damaged header
            raise BadImage(_reason("header is damaged", error)) from None
    _check_size(image.size, MAX_PIXELS // 2 if image.format in _MEMORY_HEAVY else MAX_PIXELS)
    return image


def _check_size(size: tuple[int, int], most: int = MAX_PIXELS) -> None:
    width, height = size
    if width * height > most:
        raise BadImage(f"{width} x {height} pixels, more than the limit of {most} (decompression bomb?)")
    if width * height == 0:
        raise BadImage(f"image has no pixels ({width} x {height})")


def _loaded(image: Image.Image) -> Image.Image:
    """Decode the pixels and apply the EXIF orientation."""
    _check_size(image.size)
    try:
        image.load()
    except Exception as error:  # Pillow's decoders raise many kinds of errors for damaged data
        raise BadImage(_reason("truncated or damaged", error)) from None
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        return ImageOps.exif_transpose(image) if turned else image
    except Exception:  # the EXIF data are damaged, but the pixels are fine
        return image


def _reason(what: str, error: Exception) -> str:
    detail = " ".join(str(error).split()) or type(error).__name__
    return f"{what}: {detail[:160]}"


def _to_rgb(image: Image.Image) -> Image.Image:
    try:
        if image.mode.startswith("I") or image.mode == "F":
            return _from_numbers(image)
        if image.mode == "LAB":
            return _from_lab(image)
        if image.has_transparency_data or image.mode in ("La", "RGBa"):
            return _by_blocks(image, _on_white)
        return image if image.mode == "RGB" else image.convert("RGB")
    except BadImage:
        raise
    except Exception as error:
        raise BadImage(_reason(f"mode {image.mode} cannot be converted to RGB", error)) from None


def _blocks(width: int, height: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield boxes of full rows for conversion block by block, which limits the memory."""
    rows = max(1, _BLOCK // width)
    for top in range(0, height, rows):
        yield 0, top, width, min(top + rows, height)


def _by_blocks(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Convert an image to RGB, block by block."""
    result = Image.new("RGB", image.size)
    for box in _blocks(*image.size):
        result.paste(convert(image.crop(box)), box)
    return result


def _from_numbers(image: Image.Image) -> Image.Image:
    """Convert an image of 16-bit, integer or float greys."""
    low, high = _range(np.asarray(image.crop(box)) for box in _blocks(*image.size))
    return _by_blocks(image, lambda part: Image.fromarray(_scaled(np.asarray(part), low, high)).convert("RGB"))


def _on_white(image: Image.Image) -> Image.Image:
    # Pillow cannot convert premultiplied grey (La) to RGBA directly.
    image = image.convert("LA") if image.mode == "La" else image
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, rgba).convert("RGB")


def _from_lab(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    return converted if converted is not None else image.convert("RGB")


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise BadImage(f"array of shape {array.shape}, not (h, w), (h, w, 1), (h, w, 3) or (h, w, 4)")
    _check_size((array.shape[1], array.shape[0]))
    image = Image.fromarray(np.ascontiguousarray(_to_uint8(array)))
    return _on_white(image) if image.mode == "RGBA" else image.convert("RGB")


def _to_uint8(array: np.ndarray) -> np.ndarray:
    """Scale any numeric array to 0..255 by the rules of `decode`."""
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "b":
        return np.asarray(array * np.uint8(255), np.uint8)
    if array.dtype.kind not in "iuf":
        raise BadImage(f"array of dtype {array.dtype}, not uint8, uint16, bool or float")
    rows = [slice(top, bottom) for _, top, _, bottom in _blocks(array.shape[1], array.shape[0])]
    low, high = _range(array[part] for part in rows)
    result = np.empty(array.shape, np.uint8)
    for part in rows:
        result[part] = _scaled(array[part], low, high)
    return result


def _range(parts: Iterable[np.ndarray]) -> tuple[float, float]:
    """Return the values that become 0 and 255 by the rules of `decode`, for the parts of one image."""
    lows, highs, kind = [], [], ""
    for part in parts:
        if part.dtype.newbyteorder("=") == np.uint16:
            return 0, 65535
        kind = part.dtype.kind
        finite = part[np.isfinite(part)] if kind == "f" else part
        if finite.size:
            lows.append(finite.min().item())
            highs.append(finite.max().item())
    if not lows:
        raise BadImage("no finite pixel")
    low, high = min(lows), max(highs)
    usual: list[tuple[float, float]] = [(0.0, 1.0), (0.0, 255.0)] if kind == "f" else [(0, 255), (0, 65535)]
    return next((r for r in usual if r[0] <= low and high <= r[1]), (low, high))


def _scaled(array: np.ndarray, low: float, high: float) -> np.ndarray:
    """Scale numbers to 0..255; values that are not finite become 0."""
    half = array.astype(np.float64) / 2  # halved, so that no difference of two floats is infinite
    half[~np.isfinite(half)] = low / 2
    return np.asarray(np.rint((half - low / 2) / max(high / 2 - low / 2, 1e-12) * 255.0), np.uint8)
