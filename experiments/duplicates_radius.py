"""Compare expected with found false pairs of the calibrated radius, on made collections whose copies are known.

python experiments/duplicates_radius.py [--rows 1000 10000] [--share 0.1 0.5] [--tolerance 0.1] [--out FILE]

Codes of 256 bits are signs of a random projection of 64 numbers: of one kind of image, or of classes. Copies are codes
with 2 bits and more flipped (an exponential number, 10 on average). A pair is false if its images have another origin.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from kinbits.dedupe import calibrate_radius

BITS = 256
KINDS = {"one kind": 0, "100 classes": 100, "1,000 classes": 1000}
NO_BURSTS = np.zeros(0, np.int64), np.zeros(0, np.int64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 300, 1000, 3000, 10_000])
    parser.add_argument("--share", type=float, nargs="+", default=[0.1, 0.5], help="copies for each image")
    parser.add_argument("--tolerance", type=float, default=0.1, help="loose, so that false pairs can be counted")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    given = parser.parse_args()
    lines = ["images,content,copies,radius,expected false pairs,found false pairs,found / expected,recall"]
    for n in given.rows:
        for kind in KINDS:
            for share in given.share:
                lines.append(measure(kind, n, share, given.tolerance, given.seeds))
                print(lines[-1], file=sys.stderr, flush=True)
    print("\n".join(lines))
    if given.out:
        given.out.write_text("\n".join(lines) + "\n")


def measure(kind: str, n: int, share: float, tolerance: float, seeds: int) -> str:
    radius, expected, found, recall = [], [], [], []
    for seed in range(seeds):
        codes, origin, flips = make_collection(KINDS[kind], n, share, seed)
        calibrated = calibrate_radius(codes, np.arange(len(codes)), edits={}, bursts=NO_BURSTS, tolerance=tolerance)
        pairs = calibrated.pairs
        radius.append(calibrated.result.radius)
        expected.append(calibrated.result.expected_false_pairs)
        found.append(int((origin[pairs.first] != origin[pairs.second]).sum()))
        recall.append(float((flips <= radius[-1]).mean()))
    ratio = sum(found) / max(sum(expected), 1e-9)
    return (
        f'{n},"{kind}",{share:g},{np.median(radius):.0f},{np.mean(expected):.2f},{np.mean(found):.2f},{ratio:.2f},'
        f"{np.mean(recall):.3f}"
    )


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


if __name__ == "__main__":
    main()
