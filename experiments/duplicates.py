"""Find planted copies in folders of real photos: `kinbits dedupe` beside fixed hashes with the usual thresholds.

A folder holds photos that no model has seen, and of one photo in ten a copy by one of the 29 edits of the recipe. A
pair found is true if its files have the same origin; photos of equal pixels have one. Photos that are twice in a set
otherwise count as false pairs, though some are copies. pHash within 10 bits is what the tool imagededup does by
default, PDQ within 31 bits is what its authors advise; their pairs are grouped as those of kinbits are. Writes
``results/duplicates.csv`` and ``results/duplicates.md``.

    KINBITS_DATA=path/to/data python experiments/duplicates.py [--sets "products, 1,000"]
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
from _runs import RESULTS, Clock, Run, Table
from PIL import Image

import kinbits
from kinbits import hamming
from kinbits.data import EDITS, Dataset, edit_image, find_protocol
from kinbits.dedupe import find_duplicates, star_groups
from kinbits.dedupe.similarity import VERSION
from kinbits.model import HashModel

SETS = {
    "products": (("fashion-products",), 1000),
    "groceries": (("grocery-store",), 1000),
    "products, groceries and CIFAR-10": (("fashion-products", "grocery-store", "cifar10-1k-5k-54k"), 10_000),
}
SHARE, SEED = 0.1, 30_000
FIELDS, METRICS = ["set", "finder"], ["photos", "planted", "recall", "pairs", "false", "expected"]
Pair = tuple[str, str]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    options = parser.parse_args()
    table = open_table()
    for name in options.sets:
        finders = [finder for finder in FINDERS if not table.has(set=name, finder=finder)]
        if finders:
            folder = Path(tempfile.mkdtemp())
            try:
                photos, planted = write_folder(name, folder)
                for finder in finders:
                    measure(table, name, finder, folder, photos, planted)
                    write_markdown(table)
            finally:
                shutil.rmtree(folder)


def open_table() -> Table:
    """Return the table of this script."""
    return Table("duplicates.csv", FIELDS, METRICS, config)


def config(run: Run) -> str:
    """Return the hash of what makes the numbers of a run; raise CALIBRATED when the calibration changes."""
    parts = (
        CALIBRATED,
        VERSION,
        HashModel.from_pretrained("kinbits/copy-256").fingerprint,
        checksum(run["set"]),
        SHARE,
        SEED,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


CALIBRATED = 3


def checksum(name: str) -> str:
    return "".join(find_protocol(protocol).checksum[:4] for protocol in SETS[name][0])


def write_folder(name: str, folder: Path) -> tuple[int, set[str]]:
    """Write the photos and the copies; return the number of photos, and the origins that have a copy."""
    images = list({image.tobytes(): image for image in photos_of(name)}.values())
    rng = np.random.default_rng(SEED)
    chosen = rng.permutation(len(images))[: round(SHARE * len(images))].tolist()
    for number, image in enumerate(images):
        image.save(folder / f"photo-{number}-original.png")
    for place, number in enumerate(chosen):
        edit = EDITS[place % len(EDITS)]
        edit_image(images[number], edit, seed=SEED + place).save(folder / f"photo-{number}-copy.png")
    return len(images), {f"photo-{number}" for number in chosen}


def photos_of(name: str) -> Iterator[Image.Image]:
    """Yield random photos: of the groceries only the test part, since the model has seen the others."""
    protocols, most = SETS[name]
    parts: list[Dataset] = []
    for protocol in protocols:
        loaded = kinbits.load_protocol(protocol)
        parts += [loaded.query, loaded.database] if protocol == "fashion-products" else [loaded.query]
    rows = [(part, row) for part in parts for row in range(len(part))]
    for number in np.random.default_rng(SEED).permutation(len(rows))[:most].tolist():
        part, row = rows[number]
        yield part.items.image(row)


def origin(path: str) -> str:
    return path.rpartition("-")[0]


def measure(table: Table, name: str, finder: str, folder: Path, photos: int, planted: set[str]) -> None:
    """Run one finder, and compare its pairs with the truth."""
    with Clock() as clock:
        pairs, expected = FINDERS[finder](folder)
    true = {origin(one) for one, other in pairs if origin(one) == origin(other)}
    false = sum(origin(one) != origin(other) for one, other in pairs)
    values = {
        "photos": photos,
        "planted": len(planted),
        "recall": len(true & planted) / len(planted),
        "pairs": len(pairs),
        "false": false,
        "expected": expected,
    }
    table.add({"set": name, "finder": finder}, values, clock.seconds, checksum(name))


def dedupe(folder: Path, **options: bool) -> tuple[list[Pair], float]:
    """Return each file with its representative, and the false pairs that the report expects."""
    report = find_duplicates(folder, sample=0, **options)
    groups = report.of_kind("bytes", "pixels", "copies")
    expected = report.calibration.expected_false_pairs if report.calibration else 0.0
    return [(group.representative.path, item.path) for group in groups for item in group.others], expected


def fixed(name: str, radius: int) -> Callable[[Path], tuple[list[Pair], float]]:
    """Return a finder of hashes within a fixed radius."""

    def find(folder: Path) -> tuple[list[Pair], float]:
        data = kinbits.open_dataset(folder, labels=False)
        codes = HashModel.from_pretrained(name).encode(data)
        first, second, near = (np.concatenate(part) for part in zip(*pairs_within(codes, radius), strict=True))
        return grouped(list(map(str, data.ids)), first, second, near), float("nan")

    return find


def grouped(names: Sequence[str], first: np.ndarray, second: np.ndarray, near: np.ndarray) -> list[Pair]:
    """Return each file that is in a group with the best one of the group."""
    center, _ = star_groups(first, second, near, np.arange(len(names)))
    return [(names[center[row]], names[row]) for row in np.flatnonzero(center != np.arange(len(names))).tolist()]


def imagededup(folder: Path) -> tuple[list[Pair], float]:
    """Run PHash of imagededup with its defaults, in one process."""
    for name in ("", ".models", ".models.vision_transformer", ".transforms"):
        sys.modules.setdefault(f"torchvision{name}", MagicMock())  # which its package imports for another method
    from imagededup.methods import PHash

    finder = PHash(verbose=False)
    codes = finder.encode_images(str(folder), recursive=True, num_enc_workers=0)
    found = finder.find_duplicates(encoding_map=codes, scores=True, num_dist_workers=0)
    rows = {name: row for row, name in enumerate(sorted(codes))}
    pairs = [(rows[one], rows[other], near) for one, others in found.items() for other, near in others]
    first, second, near = np.array([pair for pair in pairs if pair[0] < pair[1]], int).reshape(-1, 3).T
    return grouped(list(rows), first, second, near.astype(np.int32)), float("nan")


def pairs_within(codes: np.ndarray, radius: int) -> Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield rows and distances of all pairs within a radius, each pair once."""
    yield np.zeros(0, int), np.zeros(0, int), np.zeros(0, np.int32)
    for row, (near, rows) in enumerate(hamming.within(codes, codes, radius)):
        later = rows > row
        yield np.full(later.sum(), row), rows[later], near[later]


FINDERS: dict[str, Callable[[Path], tuple[list[Pair], float]]] = {
    "kinbits dedupe": dedupe,
    "kinbits dedupe --codes-only": lambda folder: dedupe(folder, codes_only=True),
    "pHash within 10 bits (imagededup's default)": fixed("phash", 10),
    "PDQ within 31 bits": fixed("pdq", 31),
}
if find_spec("imagededup") is not None:
    FINDERS["imagededup, PHash"] = imagededup


def write_markdown(table: Table) -> None:
    """Write a row for each folder and finder."""
    lines = [
        "Copies found in folders of photos, one photo in ten with an edited copy; pairs of files and their best one.\n",
        "| photos | finder | copies found | pairs | false | expected false | seconds |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in table.rows:
        expected = "" if row["expected"] == "nan" else f"{float(row['expected']):.2g}"
        photos, pairs, false = (f"{float(row[column]):,.0f}" for column in ("photos", "pairs", "false"))
        cells = [f"{photos} {row['set']}", row["finder"], f"{float(row['recall']):.3f}", pairs, false, expected]
        lines.append(f"| {' | '.join([*cells, row['seconds']])} |")
    (RESULTS / "duplicates.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
