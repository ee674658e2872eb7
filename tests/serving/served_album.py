"""Photos with duplicates in them, their report, and an index that does not have all of them."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from live import picture
from PIL import Image

from kinbits.dedupe import DedupeReport, DuplicateGroup, DuplicateItem
from kinbits.encoding import CodesFile
from kinbits.index import Index

ODD = os.fsdecode(b"n\xc3\xa4 <b>&\xff.jpg")
"""A name with markup and a byte that is no UTF-8."""


@dataclass
class ServedAlbum:
    """Photos on disk.

    Attributes:
        root: Their folder.
        report: Folder of their report.
        index: An index of some of them.
    """

    root: Path
    report: Path
    index: Index

    @property
    def decisions(self):
        return self.report / "decisions.json"


def make_served_album(folder, more=0):
    """Write two groups of equal files, a group of copies that shares a file with one of them, and ``more`` pairs."""
    root = folder / "photos"
    (root / "trip").mkdir(parents=True)
    groups = []
    for number in range(2 + more):
        names = [f"trip/{number}.jpg", f"again {number}.jpg", f"third {number}.jpg"][: 3 if number < 2 else 2]
        for name in names:
            picture(number).save(root / name, "JPEG")
        groups.append(group(root, "bytes", names))
    picture(9, (96, 80)).save(root / "big.png")
    picture(9).save(root / ODD, "JPEG")
    groups.append(group(root, "copies", ["big.png", ODD, "trip/1.jpg"]))
    DedupeReport(str(root), tuple(groups), items=8 + 2 * more).save(folder / "report")
    codes = CodesFile(np.zeros((2, 4), np.uint8), np.array(["big.png", "trip/0.jpg"]), 32, {})
    return ServedAlbum(root, folder / "report", Index.create(None, codes))


def group(root, kind, names):
    items = []
    for place, name in enumerate(names):
        state = os.stat(root / name)
        with Image.open(root / name) as image:
            width, height = image.size
        far = kind != "bytes"
        items.append(
            DuplicateItem(
                name,
                state.st_size,
                width,
                height,
                state.st_mtime,
                place if far else None,
                1 - place / 10 if far else None,
            )
        )
    return DuplicateGroup(kind, tuple(items))
