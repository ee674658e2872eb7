"""How a folder is read: its labels, frames and hidden files, as when its index was made."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kinbits.data import EXTENSIONS

Frames = Literal["first", "all"]
_FRAME = re.compile(r"(.+)#[0-9]+", re.DOTALL)


@dataclass(frozen=True)
class Reading:
    """Options of `kinbits.open_dataset` that decide which items a folder has.

    Attributes:
        labels: Whether the names of class folders are labels.
        frames: ``"first"``, or ``"all"`` frames of an animation as items.
        include_hidden: Whether hidden files are read.
    """

    labels: bool = True
    frames: Frames = "first"
    include_hidden: bool = False

    @classmethod
    def from_items(cls, columns: Iterable[str], ids: Iterable[str]) -> Reading:
        """Tell from the items of an index how their folder was read."""
        names, paths = set(columns), list(ids)
        return cls(
            "label" in names or "folder" not in names,
            "all" if any(is_frame(path) for path in paths) else "first",
            any(path.startswith(".") or "/." in path for path in paths),
        )

    @classmethod
    def from_dict(cls, values: Any) -> Reading | None:
        """Return what `vars` of a reading was; None for anything else."""
        kinds = {"labels": bool, "frames": str, "include_hidden": bool}
        if not isinstance(values, dict) or {name: type(value) for name, value in values.items()} != kinds:
            return None
        return cls(**values) if values["frames"] in ("first", "all") else None

    def changed(self, options: Mapping[str, Any]) -> Reading:
        """Return the reading with those options that are not None."""
        return Reading(**{**vars(self), **{name: value for name, value in options.items() if value is not None}})


def file_of(path: str) -> str:
    """Return the path of the file of an item, without the number of its frame."""
    found = _FRAME.fullmatch(path)
    return path if found is None else found[1]


def is_frame(path: str) -> bool:
    """Return whether a path names a frame of an image file."""
    return file_of(path) != path and names_image(path)


def names_image(path: str) -> bool:
    """Return whether a path has the name of an image."""
    return os.path.splitext(file_of(path))[1].lower() in EXTENSIONS
