"""Pairs of photos that may be shots of one moment: by time, or by the numbers in their names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kinbits.dedupe.settings import SECONDS

Rows = NDArray[np.int64]
NUMBERS = 3  # difference of the numbers in two names
_NEIGHBOURS = 8  # shots after each one, in the order of time or names
_NUMBERED = re.compile(r"(.*?)([0-9]+)\Z", re.S)


def burst_pairs(
    paths: Sequence[str],
    taken: NDArray[np.float64],
    sizes: NDArray[np.int64],
    seconds: float = SECONDS,
) -> tuple[Rows, Rows]:
    """Return pairs that may be bursts, each once, the smaller row first.

    Two photos in one folder are a pair if their EXIF times differ, by at most some seconds. Where the times are equal
    or unknown, they are a pair if their names differ only in a number, by at most 3, and they have equal sizes: a
    camera counts so. An edited copy keeps the time, and gets another name or size.

    Args:
        paths: Paths with ``/``.
        taken: Times in seconds, ``(n,)``; NaN where unknown.
        sizes: Width and height in pixels, ``(n, 2)``.
        seconds: Maximum difference of the times.
    """
    folders: dict[str, list[int]] = defaultdict(list)
    sequences: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for row, path in enumerate(paths):
        folder, _, name = path.rpartition("/")
        stem, dot, extension = name.rpartition(".")
        folders[folder].append(row)
        found = _NUMBERED.match(stem if dot else name)
        if found is not None and len(found[2]) < 19:
            sequences[folder, f"{found[1]}\0{extension.lower()}"].append((int(found[2]), row))
    pairs = {pair for rows in folders.values() for pair in _by_time(rows, taken, seconds)}
    pairs |= {pair for rows in sequences.values() for pair in _by_number(sorted(rows), taken, sizes, seconds)}
    both = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _by_time(rows: list[int], taken: NDArray[np.float64], seconds: float) -> list[tuple[int, int]]:
    timed = np.array(rows, np.int64)
    timed = timed[~np.isnan(taken[timed])]
    timed = timed[np.argsort(taken[timed], kind="stable")]
    pairs = []
    for step in range(1, _NEIGHBOURS + 1):
        apart = taken[timed[step:]] - taken[timed[:-step]]
        near = np.flatnonzero((apart > 0) & (apart <= seconds))
        pairs += [_sorted(timed[at], timed[at + step]) for at in near]
    return pairs


def _by_number(
    rows: list[tuple[int, int]], taken: NDArray[np.float64], sizes: NDArray[np.int64], seconds: float
) -> list[tuple[int, int]]:
    pairs = []
    for at, (number, row) in enumerate(rows):
        for other, next_row in rows[at + 1 : at + 1 + _NEIGHBOURS]:
            if other - number > NUMBERS:
                break
            apart = abs(taken[row] - taken[next_row])
            if number < other and not apart > seconds and (sizes[row] == sizes[next_row]).all():
                pairs.append(_sorted(row, next_row))
    return pairs


def _sorted(one: int, two: int) -> tuple[int, int]:
    return (int(one), int(two)) if one < two else (int(two), int(one))
