"""Sizes that decide how an index stores its items."""

from __future__ import annotations

from dataclasses import dataclass, fields

from kinbits.errors import UsageError
from kinbits.hamming import check_count


@dataclass(frozen=True)
class IndexOptions:
    """How an index lays out its items; the answers of a search do not depend on it.

    The options belong to the object, not to the folder: pass them whenever an index is created or opened. They are
    whole numbers; `UsageError` is raised for others.

    Attributes:
        merge_rows: Maximum number of items in a segment that an addition rewrites. Larger segments stay until
            `Index.compact`.
        table_rows: Minimum number of items in a segment that `Index.optimize` gives search tables. Smaller segments are
            scanned, which is as fast.
        block_rows: Items of each segment that a merge holds in memory at a time.
        mapped_bytes: Maximum size in bytes of a file that is read when the index is opened. Larger files are mapped.
    """

    merge_rows: int = 1 << 18
    table_rows: int = 100_000
    block_rows: int = 1 << 18
    mapped_bytes: int = 1 << 16

    def __post_init__(self) -> None:
        for field in fields(self):
            check_count(getattr(self, field.name), field.name)
        if not self.block_rows:
            raise UsageError("block_rows=0: give a whole number, 1 or more")


DEFAULT = IndexOptions()
