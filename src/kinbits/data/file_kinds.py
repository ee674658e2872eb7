"""Kinds of files: by their extension before they are opened, and by their first bytes afterwards."""

from __future__ import annotations

import re
from typing import Literal

# fmt: off
HEIF_EXTENSIONS = frozenset({".heic", ".heics", ".heif", ".heifs", ".hif"})
RAW_EXTENSIONS = frozenset({
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos", ".mrw",
    ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
})
EXTENSIONS = HEIF_EXTENSIONS | RAW_EXTENSIONS | {
    ".apng", ".avif", ".avifs", ".bmp", ".dib", ".gif", ".hdr", ".ico", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg",
    ".jpg", ".jpx", ".mpo", ".pbm", ".pcx", ".pgm", ".png", ".pnm", ".ppm", ".qoi", ".sgi", ".tga", ".tif", ".tiff",
    ".webp", ".xbm", ".xpm",
}
"""Extensions of images, in lower case."""

VIDEO_EXTENSIONS = frozenset({
    ".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".flv", ".insv", ".lrv", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg",
    ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".vob", ".webm",
    ".wmv",
})
"""Extensions of videos, in lower case. Videos are counted, not read."""
# fmt: on

Reader = Literal["pillow", "heif", "raw"]

_RAW_STARTS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM", b"II\x1a\0\0\0HEAPCCDR")
_TIFF_STARTS = (b"II*\0", b"MM\0*")
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"j2ki", b"jpeg"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_VIDEO_BRANDS = (b"mp4", b"isom", b"iso2", b"qt  ", b"M4V", b"3gp", b"avc1", b"MSNV", b"f4v")
_DNG_VERSION, _SUBFILE, _PHOTOMETRIC, _SUB_IFDS, _CFA = 50706, 254, 262, 330, 32803

# What is often found under the name of an image; the first that matches counts.
_OTHERS = (
    (rb"\s*(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|body)", "a web page (HTML), not an image"),
    (rb"version https://git-lfs", "a pointer of Git LFS, not the image; fetch it with: git lfs pull"),
    (rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)?(?:<!DOCTYPE svg[^>]*>\s*)?<svg", "a drawing (SVG), not pixels"),
    (rb"\s*<\?xml", "XML text, not an image"),
    (rb"\s*[\[{]\s*[\"\[{\]}]", "JSON text, not an image"),
    (rb"%PDF", "a PDF document, not an image"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript, not an image: kinbits runs no programs"),
    (rb"\x00\x05\x16[\x00\x07]\x00\x02", "an AppleDouble file of macOS, not an image"),
    (rb"PK\x03\x04", "a ZIP archive, not an image"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!", "a compressed file, not an image"),
    (rb"8BPS", "a Photoshop file, not an image that kinbits reads; export it as PNG or JPEG"),
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", "JPEG XL, which kinbits does not read; convert it to PNG or JPEG"),
    (rb"\x1aE\xdf\xa3|RIFF....AVI |\x00\x00\x01[\xba\xb3]|FLV\x01", "a video, not an image"),
)
_OTHER = re.compile(b"|".join(b"(%s)" % pattern for pattern, _ in _OTHERS), re.I | re.S)
HEAD = 256
"""Number of first bytes of a file that tell its kind."""


def reader_of(head: bytes, extension: str = "") -> Reader:
    """Return what reads an image, by its first bytes; the extension only tells RAW files from other TIFF files.

    Args:
        head: The first `HEAD` bytes of the file, or more.
        extension: Extension of the file in lower case, e.g. ``".nef"``.
    """
    brands = _brands(head)
    if brands and brands[0][:3] == b"crx":  # Canon's CR3
        return "raw"
    if brands:
        known = set(brands)
        return "heif" if known & _HEIF_BRANDS and not known & _AVIF_BRANDS else "pillow"
    if head.startswith(_RAW_STARTS) or (head.startswith(_TIFF_STARTS) and head[8:10] == b"CR"):
        return "raw"
    return "raw" if extension in RAW_EXTENSIONS and head.startswith(_TIFF_STARTS) else "pillow"


def may_have_frames(head: bytes) -> bool:
    """Return whether a file is of a format that can hold several frames or pages, by its first 32 bytes."""
    starts = (b"GIF8", b"\x89PNG", *_TIFF_STARTS, b"II+\0", b"MM\0+")
    return head.startswith(starts) or head[8:12] == b"WEBP" or bool(_brands(head))


def is_tiff(head: bytes) -> bool:
    """Return whether a file begins as TIFF does, and as most RAW files do."""
    return head.startswith(_TIFF_STARTS)


def is_raw_tiff(tags: object) -> bool:
    """Return whether a TIFF file is a RAW file of a camera, by the tags of its first picture.

    This first picture is then a small preview, or the values of a colour filter array.

    Args:
        tags: Mapping of tag numbers to values, as `PIL.TiffImagePlugin` reads it; anything else is no RAW file.
    """
    get = getattr(tags, "get", None)
    if get is None:
        return False
    if get(_DNG_VERSION) is not None or get(_PHOTOMETRIC) == _CFA:
        return True
    return get(_SUBFILE) == 1 and get(_SUB_IFDS) is not None


def other_kind(head: bytes) -> str | None:
    """Return what a file is that is no image, in a few words; None if its first bytes do not tell."""
    brands = _brands(head)
    if brands and brands[0].startswith(_VIDEO_BRANDS):
        return "a video, not an image"
    found = _OTHER.match(head)
    if found is None:
        return None
    return _OTHERS[next(place for place, part in enumerate(found.groups()) if part is not None)][1]


def _brands(head: bytes) -> list[bytes]:
    """Return the brands of an ISO base media file (HEIF, AVIF, MP4), the major brand first; [] for other files."""
    if head[4:8] != b"ftyp":
        return []
    size = min(int.from_bytes(head[:4], "big"), len(head), HEAD)
    return [head[8:12], *(head[start : start + 4] for start in range(16, size - 3, 4))]
