"""A small album with duplicates in it, its report, and what a folder holds."""

import os
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from kinbits.dedupe import Decisions, DedupeReport, DuplicateGroup, DuplicateItem, decide

ODD = os.fsdecode("sub/na\u00efve \u2028 ".encode() + b"\xff\xfe" + b"'\"<b>&\n.jpg")
"""A name with bytes that are no UTF-8, quotes, markup and line breaks."""


@dataclass
class Album:
    """An album on disk.

    Attributes:
        root: Its folder.
        aside: A folder next to it, which does not exist yet.
        report: Its duplicates.
    """

    root: Path
    aside: Path
    report: DedupeReport

    def decisions(self, *kinds: str) -> Decisions:
        return decide(self.report, kinds or ("bytes", "copies"))


def make_album(folder: Path, pairs: int = 2) -> Album:
    """Write groups of equal files and one group of copies.

    Args:
        folder: An empty folder.
        pairs: Number of groups with equal files, of three each.
    """
    root = folder / "album"
    groups = []
    for number in range(pairs):
        paths = [f"trip {number}/best.jpg", f"trip {number}/deep/er/again.jpg", f"copies/{number}.jpg"]
        for path in paths:
            write_picture(root / path, seed=number)
        groups.append(group("bytes", root, paths))
    for path, size in (("big.png", 64), (ODD, 32), ("sub/small.jpg", 16)):
        write_picture(root / path, seed=99, size=size)
    groups.append(group("copies", root, ["big.png", ODD, "sub/small.jpg"]))
    return Album(root, folder / "aside", DedupeReport(str(root), tuple(groups), items=3 * pairs + 3))


def write_picture(path: Path, seed: int, size: int = 24) -> None:
    """Write a picture of blurred noise; the same arguments give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((size * 4 // 3, size), Image.Resampling.BICUBIC)
    with open(path, "wb") as file:
        image.save(file, "PNG" if path.suffix == ".png" else "JPEG")
    moment = 1_600_000_000_123_456_789 + 1000 * random.Random(os.fsencode(path)).randrange(10**12)
    os.utime(path, ns=(moment, moment))


def group(kind: str, root: Path, paths: list[str]) -> DuplicateGroup:
    """Return a group of files, the representative first."""
    return DuplicateGroup(kind, tuple(item(root, path, place, kind) for place, path in enumerate(paths)))


def item(root: Path, path: str, distance: int = 0, kind: str = "copies") -> DuplicateItem:
    """Return an item of a file as it is now."""
    state = os.stat(root / path)
    with Image.open(root / path) as image:
        width, height = image.size
    bits = None if kind in ("bytes", "pixels") else distance
    return DuplicateItem(path, state.st_size, width, height, state.st_mtime, bits)


def contents(*folders: Path) -> dict[str, tuple[bytes, int, int]]:
    """Return all files below folders, with bytes, time and permissions; undo files are left out."""
    found = {}
    for folder in folders:
        for place, _, names in os.walk(folder):
            for name in names:
                path = Path(place, name)
                if not name.startswith((".undo-", "undo-")):
                    state = path.lstat()
                    found[str(path)] = (path.read_bytes(), state.st_mtime_ns, state.st_mode)
    return found
