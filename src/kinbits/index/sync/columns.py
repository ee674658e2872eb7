"""Metadata of items whose files have changed or moved: what a user has set stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_OF_FOLDERS = ("label", "split", "folder")


def followed_columns(
    new: Mapping[str, Sequence[Any]], old: Sequence[Mapping[str, Any]], old_paths: Sequence[str]
) -> dict[str, list[Any]]:
    """Return the columns of items, from what the folder says now and what the index holds.

    A label, split or folder follows the file only if the index holds none, or the name of a folder of the old path:
    another value was set by a user. Texts and other columns of the folder replace those of the index where there are
    any.

    Args:
        new: Columns as the folder has them now, n values each.
        old: Metadata of each item in the index; empty for a new item.
        old_paths: Path of each item as the index knows it.
    """
    names = dict.fromkeys([*(name for row in old for name in row), *new])
    return {
        name: [
            _value(name, None if name not in new else new[name][at], row.get(name), path)
            for at, (row, path) in enumerate(zip(old, old_paths, strict=True))
        ]
        for name in names
    }


def _value(name: str, new: Any, old: Any, old_path: str) -> Any:
    if old is None:
        return new
    if name in _OF_FOLDERS:
        return new if old in old_path.split("/")[:-1] else old
    return old if new in (None, "") else new
