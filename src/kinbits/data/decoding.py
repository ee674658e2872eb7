"""Decoding of image files to 8-bit RGB."""

from __future__ import annotations

import functools
import io
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from kinbits._util import open_regular
from kinbits.data.bad_image import BadImage, reason_of
from kinbits.data.file_kinds import HEAD, is_raw_tiff, is_tiff, other_kind, reader_of
from kinbits.data.heif import open_heif
from kinbits.data.raw import NotRaw, has_raw, open_raw

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


def decode(
    source: bytes | str | os.PathLike[str] | Image.Image | np.ndarray, *, frame: int | None = None
) -> Image.Image:
    """Decode one image to 8-bit RGB.

    The EXIF orientation is applied. Transparent pixels get a white background. Palettes, CMYK and Lab are converted;
    colour profiles are not applied. Of an animation, the first frame is used. Of a RAW file, the preview that the
    camera made is used, or else a rendering of half the size. The contents tell the format, not the extension. 16-bit,
    integer and float greys are scaled (not clipped) to 8 bits:

    - uint16: from 0..65535.
    - Other integers: from 0..255 if all values fit, or else from 0..65535 if they fit.
    - Floats: from 0..1 if all values fit, or else from 0..255 if they fit.
    - All others: from the minimum and maximum of the image.

    Args:
        source: The encoded bytes, the path of a file, a Pillow image, or an array ``(h, w)``, ``(h, w, 1)``,
            ``(h, w, 3)`` or ``(h, w, 4)`` of uint8, uint16, bool or float.
        frame: Number of the frame or page of a file, from 0. None uses the first one, or the main image of a HEIF file.

    Raises:
        BadImage: If the image is missing, empty, truncated, not an image, or larger than 2^27 pixels (2^26 in WebP,
            JPEG 2000 and RAW files). At these limits decoding takes 0.5 to 1.2 GB of memory, and 1.6 GB in JPEG 2000.
            HEIC needs ``kinbits[heif]``, RAW files ``kinbits[raw]``.

    Example:
        >>> decode(np.zeros((4, 6), np.uint8)).size
        (6, 4)
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _to_rgb(_loaded(source))
    path = None if isinstance(source, bytes) else Path(source)
    data = source if isinstance(source, bytes) else read_image_file(Path(source))
    image = open_image(io.BytesIO(data), "" if path is None else path.suffix.lower())
    return image_of(image, frame)


def image_of(image: Image.Image, frame: int | None = None) -> Image.Image:
    """Decode one frame of an opened image to 8-bit RGB; rules and errors as in `decode`."""
    if frame is not None:
        go_to_frame(image, frame)
    return _to_rgb(_loaded(image))


def go_to_frame(image: Image.Image, frame: int) -> None:
    """Go to a frame of an opened image.

    Raises:
        BadImage: If the file has no such frame, or it is damaged.
    """
    try:
        image.seek(frame)
    except EOFError:
        raise BadImage(f"frame {frame} is missing (counted from 0)") from None
    except Exception as error:  # Pillow's readers raise many kinds of errors for a damaged frame
        raise BadImage(reason_of(f"frame {frame} is damaged", error)) from None


def read_image_file(path: Path) -> bytes:
    """Return the bytes of an image file, which is read once.

    Raises:
        BadImage: If the file is missing, cannot be read, or is larger than the limit.
    """
    with open_image_file(path) as file:
        try:
            # Not beyond the size at its opening: it may grow without end while it is read.
            return file.read(os.fstat(file.fileno()).st_size)
        except OSError as error:
            raise BadImage(f"file cannot be read: {error.strerror or error}") from None


def open_image_file(path: Path) -> BinaryIO:
    """Open an image file for reading.

    Raises:
        BadImage: If the file is missing, is no regular file, or is larger than the limit.
    """
    try:
        file = os.fdopen(open_regular(path), "rb")
    except FileNotFoundError:
        raise BadImage("file is missing") from None
    except (OSError, ValueError) as error:
        raise BadImage(f"file cannot be read: {getattr(error, 'strerror', None) or error}") from None
    size = os.fstat(file.fileno()).st_size
    if size > MAX_FILE_BYTES:
        file.close()
        raise BadImage(f"file of {size} bytes is larger than the limit of {MAX_FILE_BYTES}")
    return file


def open_image(file: BinaryIO, extension: str = "") -> Image.Image:
    """Read only the header, and check the number of pixels before any pixel is decoded; of RAW files, read it all.

    Args:
        file: The image file, at its start.
        extension: Extension of its name in lower case; it only tells RAW files from other TIFF files.

    Raises:
        BadImage: If the file is no image, its header is damaged, or it has too many pixels.
    """
    head = file.read(HEAD)
    file.seek(0)
    if not head:
        raise BadImage("file is empty (0 bytes)")
    reader = reader_of(head, extension)
    if reader == "heif":
        image = open_heif(file)
    elif is_tiff(head) or reader == "raw":
        image = _tiff_or_raw(file, head, reader == "raw")
    else:
        image = _pillow(file, head)
    _check_size(image.size, MAX_PIXELS // 2 if image.format in _MEMORY_HEAVY else MAX_PIXELS)
    return image


def _tiff_or_raw(file: BinaryIO, head: bytes, named_raw: bool) -> Image.Image:
    """Open a file as RAW, and as TIFF if it is none; a file that is not named as RAW may turn out to be one."""
    image = _raw(file) if named_raw else None
    if image is not None:
        return image
    try:
        image = _pillow(file, head)
    except BadImage:
        image = _raw(file) if has_raw() and not named_raw else None
        if image is None:
            raise
        return image
    if not named_raw and image.format == "TIFF" and is_raw_tiff(getattr(image, "tag_v2", None)):
        return _raw(file) or image
    return image


def _raw(file: BinaryIO) -> Image.Image | None:
    """Return the picture of a RAW file; None if it is an ordinary TIFF file."""
    file.seek(0)
    try:
        return open_raw(file, _open_preview, MAX_PIXELS // 2)
    except NotRaw:
        file.seek(0)
        return None


def _open_preview(data: bytes) -> Image.Image:
    image = _pillow(io.BytesIO(data), data[:HEAD])
    _check_size(image.size)
    return image


@functools.cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _pillow(file: BinaryIO, head: bytes) -> Image.Image:
    formats = _formats()
    # The lock protects the warning filters, which are global. Our limits replace Pillow's bomb warning.
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return Image.open(file, formats=formats)
        except UnidentifiedImageError:
            raise BadImage(other_kind(head) or "not an image, or its header is damaged") from None
        except Image.DecompressionBombError:
            raise BadImage(f"more than the limit of {MAX_PIXELS} pixels (decompression bomb?)") from None
        except Exception as error:  # Pillow's readers raise many kinds of errors for a damaged header
            raise BadImage(reason_of("header is damaged", error)) from None


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
        raise BadImage(reason_of("truncated or damaged", error)) from None
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        return ImageOps.exif_transpose(image) if turned else image
    except Exception:  # the EXIF data are damaged, but the pixels are fine
        return image


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
        raise BadImage(reason_of(f"mode {image.mode} cannot be converted to RGB", error)) from None


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
