"""Groups of duplicates: what is in them, and which item stands for the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from kinbits.errors import DataError

Kind = Literal["bytes", "pixels", "copies", "bursts", "similar"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""From certain to loose: the same file, the same pixels, an edited copy, the same moment, the same kind of thing."""
SAME_PICTURE: tuple[Kind, ...] = ("bytes", "pixels", "copies")
"""Kinds of groups whose files show one picture."""
_REASONS = ("most pixels", "largest file", "oldest file", "first name")  # in the order of `DuplicateItem.order`


def seconds(nanoseconds: int) -> float:
    """Return a time of a file in seconds, as ``st_mtime`` has it: a division rounds one in four otherwise."""
    whole, rest = divmod(nanoseconds, 10**9)
    return whole + 1e-9 * rest


@dataclass(frozen=True)
class DuplicateItem:
    """An image of a group.

    Attributes:
        path: Path relative to the root of the report, with ``/``; or the id, where an index or data set was searched.
        bytes: Size of the file; 0 where there is no file, as in an index of codes.
        width: In pixels, upright; 0 where unknown.
        height: In pixels, upright; 0 where unknown.
        modified: Time of the last change of the file, in seconds since 1970; 0 where unknown.
        distance: Bits between its code and that of the representative; None in groups of exact duplicates.
        similarity: How well its image lies on that of the representative, 0 to 1; None where codes alone decide.
    """

    path: str
    bytes: int = 0
    width: int = 0
    height: int = 0
    modified: float = 0.0
    distance: int | None = None
    similarity: float | None = None

    @property
    def order(self) -> tuple[int, int, float, str]:
        """Sorts the best item first: most pixels, then the largest file, then the oldest, then by path."""
        return -self.width * self.height, -self.bytes, self.modified, self.path


@dataclass(frozen=True)
class DuplicateGroup:
    """Two or more images that are duplicates of one kind; no image is in two groups of one kind.

    Attributes:
        kind: ``"bytes"`` the same file, ``"pixels"`` the same decoded pixels in another file, ``"copies"`` an edited
            copy, ``"bursts"`` another shot of the moment, ``"similar"`` another object of the kind.
        items: The representative first, then the others by distance and path.

    Raises:
        DataError: If the kind is unknown, or there are fewer than two items.
    """

    kind: Kind
    items: tuple[DuplicateItem, ...]

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DataError(f"'{self.kind}' is no kind of duplicates; it is one of {', '.join(KINDS)}")
        if len(self.items) < 2:
            raise DataError(f"a group of {len(self.items)} items; duplicates are two or more")

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[DuplicateItem]:
        return iter(self.items)

    def __repr__(self) -> str:
        return f"DuplicateGroup({self.kind}: {len(self)} images, {self.representative.path})"

    @property
    def representative(self) -> DuplicateItem:
        """The item to keep: most pixels, then the largest file, then the oldest."""
        return self.items[0]

    @property
    def reason(self) -> str:
        """Why the representative is the best: what sets it apart from the next best item.

        Example:
            >>> DuplicateGroup("copies", (DuplicateItem("a.jpg", 9, 40, 30), DuplicateItem("b.jpg", 9, 20, 15))).reason
            'most pixels'
        """
        best, second = sorted(item.order for item in self)[:2]
        apart = (reason for reason, one, other in zip(_REASONS, best, second, strict=True) if one != other)
        return next(apart, _REASONS[-1])

    @property
    def others(self) -> tuple[DuplicateItem, ...]:
        """All items but the representative."""
        return self.items[1:]

    @property
    def spare_bytes(self) -> int:
        """Bytes of all files but the representative's."""
        return sum(item.bytes for item in self.others)
