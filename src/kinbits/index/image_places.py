"""Files of the images of items: paths that items have as ids or in columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
Roots = Sequence[str | Path] | Mapping[str, Sequence[str | Path]]
"""Folders; or those of several indexes, by the value of the column `INDEX`."""
INDEX = "index"
"""Column of hits in several indexes: the name of the index."""


def image_places(row: Row, roots: Roots) -> Iterator[tuple[Path, int | None]]:
    """Yield the files, each with the frame, that the image of an item may be, the likeliest first.

    Args:
        row: Values of the item by name; ``path`` counts first, because it says where a moved file is now.
        roots: See `Roots`; folders that relative paths start from, tried in this order before the present one.
    """
    from kinbits.data import EXTENSIONS, paths_of_id

    values = (row.get("path"), *row.values())
    folders = roots.get(str(row.get(INDEX)), ()) if isinstance(roots, Mapping) else roots
    for name, frame in (found for value in values if isinstance(value, str) for found in paths_of_id(value)):
        if Path(name).suffix.lower() not in EXTENSIONS:
            continue
        for root in map(Path, (*folders, ".")):
            try:
                if (root / name).is_file():
                    yield root / name, frame
            except (OSError, ValueError):  # not allowed, or no possible path
                continue
