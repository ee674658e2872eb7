"""Compare expected with found false pairs of the calibrated radius, on made collections whose copies are known.

Codes of 256 bits are signs of a random projection of 64 numbers: of one kind of image, or of classes. Copies are codes
with 2 bits and more flipped (an exponential number, 10 on average). A pair is false if its images have another origin.
The tolerance is loose, so that false pairs can be counted. Writes ``results/duplicates-radius.csv`` and
``results/duplicates-radius.md``.

    python experiments/duplicates_radius.py [--images 1000 10000]
"""

from __future__ import annotations

import argparse
import hashlib
import itertools

import numpy as np
from _runs import RESULTS, Clock, Run, Table

from kinbits.dedupe import calibrate_radius

BITS, TOLERANCE = 256, 0.1
IMAGES, COPIES, SEEDS = (100, 300, 1000, 3000, 10_000), (0.1, 0.5), (0, 1, 2)
KINDS = {"one kind": 0, "100 classes": 100, "1,000 classes": 1000}
NO_BURSTS = np.zeros(0, np.int64), np.zeros(0, np.int64)
FIELDS, METRICS = ["images", "content", "copies", "seed"], ["radius", "expected", "found", "recall"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, nargs="+", default=list(IMAGES))
    options = parser.parse_args()
    table = open_table()
    for images, content, copies, seed in itertools.product(options.images, KINDS, COPIES, SEEDS):
        run = {"images": images, "content": content, "copies": copies, "seed": seed}
        if not table.has(**run):
            with Clock() as clock:
                values = measure(KINDS[content], images, copies, seed)
            table.add(run, values, clock.seconds, "made")
            write_markdown(table)


def open_table() -> Table:
    """Return the table of this script."""
    return Table("duplicates-radius.csv", FIELDS, METRICS, config)


def config(run: Run) -> str:
    """Return the hash of what makes the numbers of a run; raise VERSION when the calibration changes."""
    return hashlib.sha256(repr((VERSION, BITS, TOLERANCE)).encode()).hexdigest()[:12]


VERSION = 2


def measure(classes: int, n: int, share: float, seed: int) -> dict[str, float]:
    """Calibrate one made collection, and count the false pairs within the radius."""
    codes, origin, flips = make_collection(classes, n, share, seed)
    calibrated = calibrate_radius(codes, np.arange(len(codes)), edits={}, bursts=NO_BURSTS, tolerance=TOLERANCE)
    result, pairs = calibrated.result, calibrated.pairs
    return {
        "radius": result.radius,
        "expected": result.expected_false_pairs,
        "found": int((origin[pairs.first] != origin[pairs.second]).sum()),
        "recall": float((flips <= result.radius).mean()),
    }


def make_collection(classes: int, n: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return codes, the original of each, and the flipped bits of each copy."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(1)
    projection, latent = fixed.standard_normal((64, BITS)), rng.standard_normal((n, 64))
    if classes:
        latent = (latent + fixed.standard_normal((classes, 64))[rng.integers(0, classes, n)]) / np.sqrt(2)
    bits = latent @ projection > 0
    source = rng.integers(0, n, round(share * n))
    copies = bits[source]
    flips = np.minimum(2 + rng.exponential(10, len(copies)).astype(int), 100)
    for row, count in enumerate(flips):
        copies[row, rng.choice(BITS, count, replace=False)] ^= True
    return np.packbits(np.concatenate([bits, copies]), axis=1), np.concatenate([np.arange(n), source]), flips


def write_markdown(table: Table) -> None:
    """Write the means over the seeds."""
    lines = [
        f"Made codes of {BITS} bits, tolerance {TOLERANCE}: false pairs expected by the calibration within its radius, "
        "and those found; means over the seeds.\n",
        "| images | content | copies an image | radius | expected | found | recall |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    groups: dict[tuple[str, ...], list[Run]] = {}
    for row in table.rows:
        groups.setdefault((row["images"], row["content"], row["copies"]), []).append(row)
    for key, rows in groups.items():
        radius, expected, found, recall = (np.mean([float(row[metric]) for row in rows]) for metric in METRICS)
        lines.append(f"| {' | '.join(key)} | {radius:.0f} | {expected:.2f} | {found:.2f} | {recall:.3f} |")
    (RESULTS / "duplicates-radius.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
