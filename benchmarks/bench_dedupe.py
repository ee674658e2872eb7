"""Measure the search for duplicates: codes alone, and images against perceptual hashes with a BK-tree or a loop.

python benchmarks/bench_dedupe.py [--short | --full] [--rows 1e5 1e6] [--radius 16] [--images 1e3] [--out FILE]
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _bench import arguments, machine, publish, say, table

CODES = "n, radius, calibrate and search s, group s, groups, copies found, false pairs, expected, peak GB"
CODES_NOTE = """Codes of 256 bits alone: random ones, of which one in ten is repeated with 0 to 12 bits flipped.
The time is that of counting the background, fitting its tail, and searching for all pairs. The radius is given,
because that which is calibrated on random codes is far larger than any model's. Peak memory: that of the process."""
IMAGES = "n, what, read and hash s, search s, pairs found, copies found"
IMAGES_NOTE = """Images of 256 x 256 pixels in files, one in ten a copy at half the size or as JPEG of quality 30.
kinbits reads, hashes (SHA-256), encodes with {model} and calibrates; `again` is a second search of the same folder.
The rival is imagehash.phash (64 bits) with radius 8, and a BK-tree (pybktree) or a loop in Python. The images are
made, and the two edits are those that pHash is made for: this compares time, not what is found in photos."""


def main() -> None:
    given = arguments(__doc__, extra=_options)
    sizes = given.rows or ([1e5, 1e6, 1e7] if given.full else [1e5])
    rows = [_codes(int(n), given.radius) for n in sizes]
    parts = [machine(), CODES_NOTE, table(CODES.split(", "), rows)]
    images = [row for n in given.images for row in _images(int(n), given.model)]
    if images:
        parts += [IMAGES_NOTE.format(model=given.model), table(IMAGES.split(", "), images)]
    publish(parts, given.out)


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("--rows", type=float, nargs="+", help="numbers of codes")
    parser.add_argument("--radius", type=int, default=16)
    parser.add_argument("--images", type=float, nargs="*", default=[], help="numbers of images")
    parser.add_argument("--model", default="kinbits/copy-256", help="folder or name of a model for images")


def make_codes(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return codes of 256 bits, and the original of each."""
    rng = np.random.default_rng(0)
    copies = n // 11
    codes = rng.integers(0, 256, (n - copies, 32), dtype=np.uint8)
    source = rng.integers(0, len(codes), copies)
    repeated = codes[source]
    for _ in range(12):
        at, flip = rng.integers(0, 256, copies), rng.random(copies) < 0.5
        repeated[np.arange(copies), at // 8] ^= np.where(flip, 1 << (at % 8), 0).astype(np.uint8)
    return np.concatenate([codes, repeated]), np.concatenate([np.arange(len(codes)), source])


def _codes(n: int, radius: int) -> list[object]:
    from kinbits.dedupe import calibrate_radius, star_groups

    say(f"{n:,} codes")
    codes, origin = make_codes(n)
    rank, none = np.arange(n), (np.zeros(0, np.int64), np.zeros(0, np.int64))
    started = time.perf_counter()
    found = calibrate_radius(codes, rank, edits={}, bursts=none, radius=radius)
    searched = time.perf_counter()
    pairs = found.pairs
    center, _ = star_groups(pairs.first, pairs.second, pairs.distances, rank)
    grouped = time.perf_counter()
    false = int((origin[pairs.first] != origin[pairs.second]).sum())
    copies = np.flatnonzero(np.arange(n) >= n - n // 11)
    share = (center[copies] != copies).mean()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    groups = len(np.unique(center[center != rank]))
    expected = f"{found.result.expected_false_pairs:.2g}"
    return [
        f"{n:,}", radius, searched - started, grouped - searched, f"{groups:,}", f"{share:.2%}", false, expected, peak
    ]  # fmt: skip


def _images(n: int, model: str) -> list[list[object]]:
    from kinbits.dedupe import find_duplicates
    from kinbits.model import HashModel

    say(f"{n:,} images")
    loaded, rows = HashModel.from_pretrained(model), []
    with tempfile.TemporaryDirectory() as place:
        folder, state = Path(place, "images"), Path(place, "state")
        copies = make_images(folder, n)
        for what in ("kinbits", "kinbits, again"):
            started = time.perf_counter()
            report = find_duplicates(folder, model=loaded, folder=state)
            spent = time.perf_counter() - started
            grouped = {item.path: group for group in report.of_kind("copies", "pixels", "bytes") for item in group}
            hit = sum(two in grouped and any(item.path == one for item in grouped[two]) for one, two in copies) / len(
                copies
            )
            pairs = report.calibration.found_pairs if report.calibration else 0
            rows.append([f"{n:,}", what, "", spent, pairs, f"{hit:.1%}"])
        rows += _perceptual(folder, copies, n)
    return rows


def make_images(folder: Path, n: int) -> list[tuple[str, str]]:
    """Write images, and return the names of originals and copies."""
    from PIL import Image

    from kinbits.data import edit_image

    folder.mkdir()
    copies = []
    for number in range(n - n // 11):
        grid = np.random.default_rng(number).integers(0, 256, (12, 12, 3), dtype=np.uint8)
        image = Image.fromarray(grid).resize((256, 256), Image.Resampling.BICUBIC)
        image.save(folder / f"{number}x.jpg", quality=90)
        if number < n // 11:
            edit_image(image, ("resize 0.5", "jpeg 30")[number % 2]).save(folder / f"{number}y.jpg", quality=90)
            copies.append((f"{number}x.jpg", f"{number}y.jpg"))
    return copies


def _perceptual(folder: Path, copies: list[tuple[str, str]], n: int) -> list[list[object]]:
    """Search as scripts with imagehash do; no row without the packages."""
    try:
        import imagehash
        import pybktree
    except ImportError:
        say("imagehash and pybktree are not installed: no rival")
        return []
    from PIL import Image

    started = time.perf_counter()
    names = sorted(os.listdir(folder))
    hashes = {name: int(str(imagehash.phash(Image.open(folder / name))), 16) for name in names}
    hashed = time.perf_counter() - started
    rows = []
    for what, search in {"phash, BK-tree": _tree(pybktree), "phash, loop": _loop}.items():
        started = time.perf_counter()
        pairs = search(hashes, 8)
        spent = time.perf_counter() - started
        hit = sum((one, two) in pairs for one, two in copies) / len(copies)
        rows.append([f"{n:,}", what, hashed, spent, len(pairs), f"{hit:.1%}"])
    return rows


def _tree(pybktree: object) -> Callable[[dict[str, int], int], set[tuple[str, str]]]:
    def search(hashes: dict[str, int], radius: int) -> set[tuple[str, str]]:
        items = [(value, name) for name, value in hashes.items()]
        tree = pybktree.BKTree(lambda one, two: (one[0] ^ two[0]).bit_count(), items)  # type: ignore[attr-defined]
        return {
            (name, other) for value, name in items for _, (_, other) in tree.find((value, name), radius) if name < other
        }

    return search


def _loop(hashes: dict[str, int], radius: int) -> set[tuple[str, str]]:
    items = list(hashes.items())
    return {
        (name, other)
        for place, (name, value) in enumerate(items)
        for other, known in items[place + 1 :]
        if (value ^ known).bit_count() <= radius
    }


if __name__ == "__main__":
    main()
