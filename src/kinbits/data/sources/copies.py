"""Working copies of Parquet tables: uncompressed Arrow files that can be memory-mapped."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from kinbits._util import file_aside, open_arrow
from kinbits.data.cache import cache_folder, files_of, remove_files
from kinbits.data.items import digest, file_identity
from kinbits.errors import DataError, PlatformError

_FILE = "table.arrow"
_NAME = "[0-9a-f]{32}"
_FILES = r"table\.arrow|\.table\.[0-9a-f]{8}\.part\.arrow"
_ROWS = 256  # number of rows that are copied at once


def identity_of(paths: Sequence[Path]) -> str:
    """Return an identity of the contents of the files of one table."""
    return digest(*map(file_identity, paths))


def copy_files(home: Path) -> list[Path] | None:
    """Return the files of all copies of one table; None if the folder does not hold copies alone."""
    if not re.fullmatch(_NAME, home.name) or home.is_symlink() or not home.is_dir():
        return None
    copies = [files_of(copy, _NAME, _FILES) for copy in home.iterdir()]
    return None if None in copies else [file for files in copies for file in files or ()]


def mapped_copy(paths: Sequence[Path]) -> tuple[Any, str]:
    """Return a memory-mapped, uncompressed copy of a table; the copy is reused until a file changes.

    The name of the copy's folder depends on the contents of the files, so a changed file gets a new copy. The old copy
    is then removed. All Parquet types are supported.

    Returns:
        The memory-mapped `pyarrow.Table`, and the identity of its contents.

    Raises:
        DataError: If a file is not a readable table, has other columns than the first, or changes during the copy.
        PlatformError: If the cache folder cannot be written.
    """
    identity = identity_of(paths)
    home = cache_folder("arrow") / digest(*(str(path.absolute()) for path in paths))[:32]
    copy = home / identity[:32] / _FILE
    if not copy.exists():
        _write(paths, copy)
    table = _mapped(copy)
    if identity_of(paths) != identity:
        _remove(copy.parent)
        raise DataError(f"{paths[0]} was changed while it was read; open it again")
    _remove_others(copy.parent)
    return table, identity


def _write(paths: Sequence[Path], copy: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with open_arrow(paths[0]) as file:
        schema = pq.read_schema(file)
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with file_aside(copy) as aside, pa.OSFile(str(aside), "wb") as file, pa.ipc.new_file(file, schema) as writer:
            for rows in _blocks(paths, schema):
                writer.write_table(rows)
    except OSError as error:
        raise PlatformError(
            f"cannot keep a working copy of {paths[0]} in {copy.parent} ({first_line(error)}); free some space, "
            "or name a writable folder in KINBITS_CACHE"
        ) from None


def _blocks(paths: Sequence[Path], schema: Any) -> Iterator[Any]:
    """Yield the rows of all files in batches, with the columns and types of the first file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in paths:
        try:
            with open_arrow(path) as opened, pq.ParquetFile(opened) as file:
                if sorted(file.schema_arrow.names) != sorted(schema.names):
                    raise DataError(f"{path} has other columns than {paths[0]}; give all files of a table the same")
                for batch in file.iter_batches(_ROWS):
                    yield pa.Table.from_batches([batch]).select(schema.names).cast(schema)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path}: not a readable Parquet table ({first_line(error)})") from None


def _mapped(copy: Path) -> Any:
    import pyarrow as pa

    try:
        with pa.memory_map(str(copy)) as file:
            return pa.ipc.open_file(file).read_all()
    except (pa.ArrowException, OSError) as error:
        raise PlatformError(
            f"the working copy {copy} cannot be read ({first_line(error)}); remove it, and it is created again"
        ) from None


def _remove_others(kept: Path) -> None:
    """Remove the copies of older contents; a process that has one open can still read it."""
    for other in kept.parent.iterdir():
        if other != kept:
            _remove(other)


def _remove(copy: Path) -> None:
    with suppress(OSError):
        files = files_of(copy, _NAME, _FILES)
        if files is not None:
            remove_files(copy, files)


def first_line(error: BaseException) -> str:
    """Return the first line of the message of an error, or of its cause."""
    cause = error.__cause__ or error
    return (str(cause).strip() or type(cause).__name__).splitlines()[0][:300]
