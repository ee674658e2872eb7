"""Images of a collection that are looked at, and not only their codes: PDQ hashes, and similarities of pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kinbits._util import Bar, processors
from kinbits.data import BadImage
from kinbits.dedupe.similarity import VERSION, Details, read_details, similarity
from kinbits.dedupe.state import State
from kinbits.hamming import Codes
from kinbits.perceptual import HASHES, LEAST_QUALITY, pdq

HASH_BYTES = 32
_SIDE = 512  # pixels of the longer side of an image that is looked at
_HASHED = f"{HASHES['pdq'].fingerprint} of {_SIDE} pixels, with quality"
_BATCH = 256  # images, or pairs for each image, between two writes
_KEPT = 8192  # images in memory, of 50 kB each

Load = Callable[[int], Image.Image]


@dataclass(frozen=True)
class Look:
    """What was seen of an image.

    Attributes:
        hash: PDQ, 32 bytes.
        quality: Its quality, 0 to 100.
        details: Local features; None if the image cannot be read.
    """

    hash: bytes = bytes(HASH_BYTES)
    quality: int = 0
    details: Details | None = None


def look(image: Image.Image) -> Look:
    """Look at an image, at 512 pixels."""
    small = image.copy()
    small.thumbnail((_SIDE, _SIDE))
    code, quality = pdq(small)
    return Look(code.tobytes(), quality, read_details(small))


class Looking:
    """Looks at the images of a collection, at each as seldom as it can.

    Args:
        load: Returns the image of a row, or raises `BadImage`.
        names: SHA-256 of each row's content; empty where there are no files.
        state: Hashes and similarities of earlier searches; new ones are kept after each batch.
        progress: Show progress on standard error.

    Attributes:
        unread: Rows whose images could not be read; they are like no other.
    """

    def __init__(self, load: Load, names: Sequence[bytes], state: State, *, progress: bool = False) -> None:
        self._load, self._names, self._state, self._progress = load, names, state, progress
        self._kept: dict[int, Details | None] = {}
        self.unread: set[int] = set()

    def hashes(self, n: int) -> tuple[Codes, NDArray[np.bool_]]:
        """Return PDQ of all rows, uint8 ``(n, 32)``, and whether each can be trusted, ``(n,)``."""
        known = self._state.codes(_HASHED, self._names, HASH_BYTES + 1)
        rows = {row: code for row, name in enumerate(self._names) if (code := known.get(name, (None, None))[0])}
        missing = [row for row in range(n) if row not in rows]
        with Bar("looking at images", len(missing), self._progress) as bar, _threads() as each:
            for start in range(0, len(missing), _BATCH):
                some = missing[start : start + _BATCH]
                found = {row: self._keep(row, one) for row, one in zip(some, each(self._look, some), strict=True)}
                rows |= found
                if self._names:
                    kept = [(self._names[row], code, None) for row, code in found.items() if row not in self.unread]
                    self._state.keep_codes(_HASHED, kept)
                bar.update(start + len(some))
        table = np.frombuffer(b"".join(rows[row] for row in range(n)), np.uint8).reshape(n, HASH_BYTES + 1)
        return np.ascontiguousarray(table[:, :HASH_BYTES]), table[:, HASH_BYTES] >= LEAST_QUALITY

    def _look(self, row: int) -> Look:
        try:
            return look(self._load(row))
        except BadImage:  # it was changed or removed meanwhile
            return Look()

    def _keep(self, row: int, seen: Look) -> bytes:
        self._kept[row] = seen.details
        if seen.details is None:
            self.unread.add(row)
        while len(self._kept) > _KEPT:
            del self._kept[next(iter(self._kept))]
        return seen.hash + bytes([seen.quality])

    def similarities(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the similarity of each pair of rows, ``(p,)``; 0 where an image cannot be read."""
        pairs = [self._ordered(*pair) for pair in zip(first.tolist(), second.tolist(), strict=True)]
        known = self._known(pairs)
        missing = sorted({pair for pair in pairs if pair not in known})
        with Bar("comparing images", len(missing), self._progress) as bar, _threads() as each:
            for start in range(0, len(missing), _BATCH):
                some = missing[start : start + _BATCH]
                details = self._details(sorted({row for pair in some for row in pair}), each)
                values = each(lambda pair, seen=details: _similarity(seen[pair[0]], seen[pair[1]]), some)
                found = dict(zip(some, values, strict=True))
                known |= found
                if self._names:
                    seen = {pair: value for pair, value in found.items() if self.unread.isdisjoint(pair)}
                    rows = [(self._names[one], self._names[two], value) for (one, two), value in seen.items()]
                    self._state.keep_similarities(VERSION, rows)
                bar.update(start + len(some))
        return np.array([known[pair] for pair in pairs], np.float64)

    def _ordered(self, one: int, two: int) -> tuple[int, int]:
        """Return two rows in an order that does not depend on the other images of the collection."""
        swapped = self._names[two] < self._names[one] if self._names else two < one
        return (two, one) if swapped else (one, two)

    def _known(self, pairs: Iterable[tuple[int, int]]) -> dict[tuple[int, int], float]:
        if not self._names:
            return {}
        wanted = {(self._names[one], self._names[two]): (one, two) for one, two in pairs}
        kept = self._state.similarities(VERSION, sorted({one for one, _ in wanted}))
        return {wanted[pair]: value for pair, value in kept if pair in wanted}

    def _details(self, rows: Sequence[int], each: Each) -> dict[int, Details | None]:
        found = {row: self._kept[row] for row in rows if row in self._kept}
        missing = [row for row in rows if row not in found]
        for row, seen in zip(missing, each(self._look, missing), strict=True):
            found[row] = seen.details
            self._keep(row, seen)
        return found


Each = Callable[..., Iterable[Any]]


def _similarity(one: Details | None, other: Details | None) -> float:
    return 0.0 if one is None or other is None else similarity(one, other)


@contextmanager
def _threads() -> Iterator[Each]:
    with ThreadPoolExecutor(processors()) as pool:
        yield pool.map
