"""Sizes that decide how an index stores its items."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class IndexOptions:
    """How an index lays out its items; the answers of a search do not depend on it.

    The options belong to the object, not to the folder: pass them whenever an index is created or opened.

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


DEFAULT = IndexOptions()
