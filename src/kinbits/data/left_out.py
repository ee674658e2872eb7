"""What was left out when a collection was opened: hidden files, videos, what cannot be read, and other files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kinbits._util import printable
from kinbits.data.file_kinds import VIDEO_EXTENSIONS

ALREADY_READ = "link to a folder that is already read"
NOT_A_FILE = "not a file, but a folder, pipe, socket or device"
_SHOWN = 3


@dataclass(frozen=True)
class LeftOut:
    """Counts of what was left out when a collection was opened, and of the links that were followed.

    ``str()`` gives one line without the links, or "" if nothing was left out; `to_dict` gives JSON types.

    Attributes:
        hidden: Number of hidden and system files and folders by name.
        videos: Number of videos by extension.
        unreadable: Number of items that cannot be read, by reason.
        others: Number of other files by extension.
        links: Number of links that were followed: to ``"files"`` and to ``"folders"``.
    """

    hidden: Mapping[str, int]
    videos: Mapping[str, int]
    unreadable: Mapping[str, int]
    others: Mapping[str, int]
    links: Mapping[str, int]

    def __bool__(self) -> bool:
        return any((self.hidden, self.videos, self.unreadable, self.others))

    def __str__(self) -> str:
        unreadable = Counter(self.unreadable)
        repeated, no_files = unreadable.pop(ALREADY_READ, 0), unreadable.pop(NOT_A_FILE, 0)
        parts = [
            _part(self.hidden, "hidden"),
            _part(self.videos, "video", "videos"),
            _part(unreadable, "unreadable"),
            _plural(no_files, "pipe, socket or device", "pipes, sockets or devices"),
            _plural(repeated, "repeated link", "repeated links"),
            _part({ext or "no extension": n for ext, n in self.others.items()}, "other file", "other files"),
        ]
        return ", ".join(part for part in parts if part)

    @property
    def followed(self) -> str:
        """The links that were followed, e.g. ``links to 2 files and 1 folder``; "" if there were none."""
        files, folders = self.links.get("files", 0), self.links.get("folders", 0)
        kinds = [_plural(files, "file", "files"), _plural(folders, "folder", "folders")]
        return f"links to {' and '.join(kind for kind in kinds if kind)}" if files or folders else ""

    def to_dict(self) -> dict[str, Any]:
        """Return all counts as JSON types: for each kind a mapping from name, extension or reason to number."""
        names = ("hidden", "videos", "unreadable", "others", "links")
        return {name: dict(sorted(getattr(self, name).items())) for name in names}


def count_left_out(
    reasons: Iterable[str], ignored: Mapping[str, int], hidden: Mapping[str, int], links: Mapping[str, int]
) -> LeftOut:
    """Return the counts of a collection.

    Args:
        reasons: Reason of each item that was skipped.
        ignored: Number of files that are not images, by extension.
        hidden: Number of hidden files and folders, by name.
        links: Number of links that were followed.
    """
    videos = {extension: n for extension, n in ignored.items() if extension in VIDEO_EXTENSIONS}
    others = {extension: n for extension, n in ignored.items() if extension not in VIDEO_EXTENSIONS}
    return LeftOut(dict(hidden), videos, Counter(reasons), others, {kind: n for kind, n in links.items() if n})


def _part(counts: Mapping[str, int], one: str, several: str | None = None) -> str:
    """Return a number with its commonest kinds, e.g. ``3 videos (.mov 2, .mp4 1)``."""
    total = sum(counts.values())
    if not total:
        return ""
    common = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    only = len(common) == 1
    shown = [printable(name if only else f"{name} {n:,}") for name, n in common[:_SHOWN]]
    shown += ["..."] * (len(common) > _SHOWN)
    return f"{_plural(total, one, several or one)} ({', '.join(shown)})"


def _plural(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}" if number else ""
