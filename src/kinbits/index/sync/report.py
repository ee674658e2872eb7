"""What a synchronisation did, or would do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kinbits.data import Skipped

_NAMED = 3  # items that the text names


@dataclass(frozen=True)
class MovedFile:
    """An item whose file is now at another place.

    Attributes:
        id: Id of the item, which stays.
        old: Former path, from the folder.
        new: Present path, from the folder.
    """

    id: str
    old: str
    new: str


@dataclass(frozen=True)
class SyncReport:
    """Result of `kinbits.Index.sync`; it prints as a few lines.

    Attributes:
        folder: Folder that the index follows.
        added: Ids of new items.
        changed: Ids of items whose files have other contents than before; they were encoded again.
        moved: Items whose files were moved or renamed.
        deleted: Ids of items whose files are gone.
        unchanged: Number of items that stay as they are.
        compared: Number of items that were encoded again, because the index had no record of their files.
        kept: Paths of items whose files cannot be read any more, with reasons; the items keep their codes.
        skipped: Paths of other files that cannot be read, with reasons.
        items: Number of items of the index; after a dry run, the number that it would have.
        dry_run: Whether nothing was changed.
    """

    folder: Path
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    moved: tuple[MovedFile, ...] = ()
    deleted: tuple[str, ...] = ()
    unchanged: int = 0
    compared: int = 0
    kept: tuple[Skipped, ...] = field(default=())
    skipped: tuple[Skipped, ...] = field(default=())
    items: int = 0
    dry_run: bool = False

    @property
    def changes(self) -> int:
        """Number of items that were added, encoded again, moved or deleted, or would be."""
        return sum(map(len, (self.added, self.changed, self.moved, self.deleted)))

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON types, with all ids and paths."""
        moved = [{"id": one.id, "from": one.old, "to": one.new} for one in self.moved]
        return {
            "folder": str(self.folder),
            "dry run": self.dry_run,
            "added": list(self.added),
            "changed": list(self.changed),
            "moved": moved,
            "deleted": list(self.deleted),
            "unchanged": self.unchanged,
            "compared": self.compared,
            "kept": [vars(one) for one in self.kept],
            "skipped": [vars(one) for one in self.skipped],
            "items": self.items,
        }

    def __str__(self) -> str:
        would = "would be " if self.dry_run else ""
        moves = [f"{one.old} -> {one.new}" for one in self.moved]
        lines = [f"{self.folder}: {self.items:,} items, {self.unchanged:,} unchanged"]
        for what, names in (
            ("added", self.added),
            ("changed", self.changed),
            ("moved", moves),
            ("deleted", self.deleted),
        ):
            lines += [f"  {len(names):,} {would}{what}: {_first(names)}"] if names else []
        for what, files in ("cannot be read, kept as they were", self.kept), ("cannot be read", self.skipped):
            lines += [f"  {len(files):,} {what}: {_first([_reason(one) for one in files])}"] if files else []
        return "\n".join(lines)

    __repr__ = __str__


def _reason(file: Skipped) -> str:
    return f"{file.id} ({file.reason})"


def _first(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(names[:_NAMED]) + ", ..." * (len(names) > _NAMED)
