"""Working copies of Parquet tables: uncompressed Arrow files that can be memory-mapped, one for each content."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .._errors import DataError, PlatformError
from ._cache import cache_folder
from ._items import digest, file_identity


def identity_of(paths: Sequence[Path]) -> str:
    """Name the contents of the files of one table."""
    return digest(*map(file_identity, paths))


def mapped_copy(paths: Sequence[Path]) -> tuple[Any, str]:
    """Let `datasets` write the uncompressed copy of a table; later calls find it, unless a file has changed since.

    A copy lies in a folder named by the contents of the files, so that a table that was replaced is never answered from
    the copy of the old one, which is then removed.

    Returns:
        The `datasets.Dataset`, and the identity of what it holds.

    Raises:
        DataError: A file is no readable table, or was changed meanwhile.
        PlatformError: The cache folder cannot be written.
    """
    identity = identity_of(paths)
    home = cache_folder("arrow") / digest(*(str(path.absolute()) for path in paths))[:32]
    folder = home / identity[:32]
    copy = _read(paths, folder)
    if identity_of(paths) != identity:
        shutil.rmtree(folder, ignore_errors=True)
        raise DataError(f"{paths[0]} was changed while it was read; open it again")
    _remove_others(folder)
    return copy, identity


def _read(paths: Sequence[Path], folder: Path) -> Any:
    import datasets

    try:
        with _no_progress():
            return datasets.Dataset.from_parquet([str(path) for path in paths], cache_dir=str(folder))
    except OSError as error:
        raise PlatformError(
            f"cannot keep a working copy of {paths[0]} in {folder} ({first_line(error)}); free some space, "
            "or name a writable folder in KINBITS_CACHE"
        ) from None
    except Exception as error:  # datasets wraps whatever its readers raise
        raise DataError(f"{paths[0]}: not a readable Parquet table ({first_line(error)})") from None


def _remove_others(kept: Path) -> None:
    """Remove the copies of what the files held before; who has one open keeps it until he closes it."""
    for other in kept.parent.iterdir():
        if other != kept:
            shutil.rmtree(other, ignore_errors=True)


@contextmanager
def _no_progress() -> Iterator[None]:
    import datasets

    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or of its cause."""
    cause = error.__cause__ or error
    return (str(cause).strip() or type(cause).__name__).splitlines()[0][:300]
