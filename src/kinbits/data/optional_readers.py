"""Packages that read further formats: what is skipped without them, and read once they are installed."""

from __future__ import annotations

from kinbits.data import heif, raw
from kinbits.data.file_kinds import HEIF_EXTENSIONS, RAW_EXTENSIONS


def missing_reader(extension: str) -> str | None:
    """Return why files of an extension cannot be read, with the extra that is to be installed; None if they can.

    Args:
        extension: In lower case, e.g. ``".heic"``.
    """
    if extension in HEIF_EXTENSIONS and not heif.has_heif():
        return heif.MISSING
    return raw.MISSING if extension in RAW_EXTENSIONS and not raw.has_raw() else None


def now_readable(reason: str) -> bool:
    """Return whether an image could not be read for want of a package that has been installed since."""
    return (reason == heif.MISSING and heif.has_heif()) or (reason == raw.MISSING and raw.has_raw())
