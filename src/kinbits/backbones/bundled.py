"""Checksums of weights that are installed as Python packages."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from kinbits._util import file_digest
from kinbits.errors import ArtefactError, PlatformError


def check_bundled(folder: Path, digests: Mapping[str, str], package: str) -> None:
    """Check files of an installed package against their checksums; each file is read once per process.

    Args:
        folder: Folder of the files.
        digests: File name -> SHA-256.
        package: Name and version for pip.

    Raises:
        ArtefactError: If a file differs from the published one.
        PlatformError: If a file cannot be read.
    """
    remedy = f"run: pip install --force-reinstall --no-deps {package}"
    for name, expected in digests.items():
        path = folder / name
        try:
            state = path.stat()
            found = _digest(path, state.st_size, state.st_mtime_ns)
        except OSError as error:
            raise PlatformError(f"{path} cannot be read: {error.strerror or error}; {remedy}") from None
        if found != expected:
            raise ArtefactError(
                f"{path} is not the file that was published (SHA-256 {found[:12]}, not {expected[:12]}); {remedy}"
            )


@functools.lru_cache(maxsize=32)
def _digest(path: Path, size: int, modified: int) -> str:
    return file_digest(path).hex()
