"""Measure encoding by a private Ray cluster against the single-machine command, on the same cores.

    python benchmarks/bench_scale.py [--short | --full] [--out FILE]

Both are commands of their own, with the same model and images, and take turns. Each also encodes one small folder, so
that the time to start can be taken off. Every run has a cache of its own, so that none finds features of another.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _bench import arguments, machine, publish, table
from PIL import Image

from kinbits.encoding import read_codes

MODELS = ("pdq", "kinbits/general-128")
SIDE = (480, 360)  # pixels of an image
FEW = 32  # images of the small folder


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        images: Images of the large folder.
        block: Images of a block.
        rounds: Turns of each command.
    """

    images: int
    block: int
    rounds: int


SHORT, FULL = Size(1024, 256, 1), Size(16_384, 2048, 3)
_ABOUT = """{images:,} JPEG files of 480 x 360 pixels in a folder. "one machine" is `kinbits encode`, "Ray" is the same
command with `--cluster local` and blocks of {block:,}. Rates are medians over {rounds} turns, without the time that the
same command needs for {few} images. "overhead" is the median of the ratios of times of neighbouring turns, less 1: of
the whole commands, and without start. Before a row is printed, both have written the same ids and codes."""


def main() -> None:
    given = arguments(__doc__)
    size = FULL if given.full else SHORT
    header = ["model", "one machine, images/s", "Ray, images/s", "overhead with start", "overhead without start"]
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        _write_images(scratch / "many", size.images)
        _write_images(scratch / "few", FEW)
        about = _ABOUT.format(images=size.images, block=size.block, rounds=size.rounds, few=FEW)
        publish([machine(), about, table(header, _rows(scratch, size))], given.out)


def _write_images(folder: Path, count: int) -> None:
    folder.mkdir()
    for seed in range(count):
        small = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize(SIDE, Image.Resampling.BICUBIC)
        picture.save(folder / f"{seed:06}.jpg", quality=90)


def _rows(scratch: Path, size: Size) -> Iterator[list[object]]:
    for model in MODELS:
        turns = [_turn(scratch, model, size, number) for number in range(size.rounds)]
        one, ray = ({part: [turn[way, part] for turn in turns] for part in ("few", "many")} for way in ("one", "ray"))
        whole = np.array(ray["many"]) / np.array(one["many"])
        net_one, net_ray = (np.subtract(way["many"], way["few"]) for way in (one, ray))
        rates = [float((size.images - FEW) / np.median(net)) for net in (net_one, net_ray)]
        yield [model, *rates, _percent(whole), _percent(net_ray / net_one)]


def _turn(scratch: Path, model: str, size: Size, number: int) -> dict[tuple[str, str], float]:
    """Time all four commands once; the order changes with the turn."""
    seconds: dict[tuple[str, str], float] = {}
    for way in ("one", "ray") if number % 2 else ("ray", "one"):
        for part in ("few", "many"):
            target = scratch / f"{number}-{Path(model).name}-{part}{'.parquet' if way == 'one' else ''}"
            cluster = ["--cluster", "local", "--block-rows", str(size.block)] if way == "ray" else []
            seconds[way, part] = _timed(["encode", model, str(scratch / part), "-o", str(target), *cluster])
    _must_agree(scratch / f"{number}-{Path(model).name}-many")
    return seconds


def _timed(command: list[str]) -> float:
    with tempfile.TemporaryDirectory() as cache:
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "kinbits", "--quiet", *command],
            env={**os.environ, "KINBITS_CACHE": cache},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return time.perf_counter() - started


def _must_agree(folder: Path) -> None:
    shards, one = read_codes(folder), read_codes(folder.with_name(f"{folder.name}.parquet"))
    if not (np.array_equal(shards.ids, one.ids) and np.array_equal(shards.codes, one.codes)):
        sys.exit(f"{folder}: Ray and one machine differ in ids or codes")


def _percent(ratios: np.ndarray) -> str:
    return f"{100 * (float(np.median(ratios)) - 1):.0f} %"


if __name__ == "__main__":
    main()
