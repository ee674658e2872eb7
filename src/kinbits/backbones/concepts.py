"""Concepts of an image: the likeliest classes of a classifier with their probabilities, in rows of a few bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinbits.errors import DataError

Rows = NDArray[np.uint8]

VOCABULARY, CLASSES = "imagenet-1k", 1000
KEPT = 13  # classes of an item: 39 bytes; 10 with float16 take 40, and rank a little worse
_NUMBER = 2  # bytes of the number of a class, a little-endian uint16
_STEPS = np.square(np.arange(256, dtype=np.float32) / 255)  # of a probability; small ones are the most frequent


@dataclass(frozen=True)
class Concepts:
    """How rows of concepts are made: m numbers of classes, the likeliest first, then m steps of their probabilities.

    A step s stands for the probability ``(s / 255) ** 2``. A row of zeros is of an item whose classes are not known.

    Attributes:
        vocabulary: Name of the list of classes.
        classes: Number of classes.
        kept: Number m of classes of an item.

    Example:
        >>> concepts = Concepts(classes=4, kept=2)
        >>> numbers, probabilities = concepts.unpack(concepts.pack([[0.01, 0.64, 0.1, 0.25]]))
        >>> numbers.tolist(), probabilities.round(2).tolist()
        ([[1, 3]], [[0.6399999856948853, 0.25]])
    """

    vocabulary: str = VOCABULARY
    classes: int = CLASSES
    kept: int = KEPT

    @property
    def width(self) -> int:
        """Bytes of a row."""
        return self.kept * (_NUMBER + 1)

    @property
    def sensible(self) -> bool:
        """Whether all fields have values that can be."""
        whole = type(self.classes) is int and type(self.kept) is int
        return whole and isinstance(self.vocabulary, str) and 1 <= self.kept <= self.classes <= 1 << 16

    def __str__(self) -> str:
        return f"{self.kept} of the {self.classes:,} classes of {self.vocabulary}"

    def pack(self, probabilities: ArrayLike) -> Rows:
        """Return the rows of probabilities ``(n, classes)``, uint8 ``(n, width)``.

        Raises:
            DataError: If they are no probabilities of so many classes.
        """
        given = np.asarray(probabilities)
        if given.ndim != 2 or given.shape[1] != self.classes or given.dtype.kind not in "fiu":
            raise DataError(
                f"probabilities have the shape {given.shape} and dtype {given.dtype}; give float (n, {self.classes})"
            )
        bad = np.flatnonzero(~((given >= 0) & (given <= 1 + 1e-3)).all(1))
        if bad.size:
            raise DataError(f"row {bad[0]} of the probabilities has numbers that are not between 0 and 1")
        likely = np.argpartition(-given, self.kept - 1, axis=1)[:, : self.kept]
        found = np.take_along_axis(given, likely, 1)
        order = np.lexsort((likely, -found), axis=1)
        numbers, found = np.take_along_axis(likely, order, 1), np.take_along_axis(found, order, 1)
        steps = np.rint(np.sqrt(found) * 255).clip(0, 255).astype(np.uint8)
        return np.hstack([numbers.astype("<u2").view(np.uint8).reshape(len(given), self.kept * _NUMBER), steps])

    def unpack(self, rows: Rows) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
        """Return numbers of classes, uint16 ``(n, kept)``, and their probabilities, float32 ``(n, kept)``."""
        numbers = np.ascontiguousarray(rows[:, : self.kept * _NUMBER]).view("<u2").astype(np.uint16, copy=False)
        return numbers, _STEPS[rows[:, self.kept * _NUMBER :]]

    def known(self, rows: Rows) -> NDArray[np.bool_]:
        """Return whether the classes of each item are known, bool ``(n,)``."""
        first: NDArray[np.uint8] = rows[:, self.kept * _NUMBER]
        return first > 0

    def checked(self, given: ArrayLike, rows: int) -> Rows:
        """Return what a user gives as rows: probabilities ``(n, classes)``, or rows themselves.

        Raises:
            DataError: If they are neither, there is not one for each item, or a number is of no class.
        """
        array = np.asarray(given)
        packed = array.dtype == np.uint8 and array.shape[1:] == (self.width,)
        found: Rows = array if packed else self.pack(array)
        if len(found) != rows:
            raise DataError(f"{rows} items, but {len(found)} rows of concepts; give one for each item")
        if packed and not self.fits(found):
            raise DataError(f"rows of concepts name classes beyond the {self.classes} of {self.vocabulary}")
        return found

    def fits(self, rows: Rows) -> bool:
        """Return whether all numbers are of classes."""
        return not len(rows) or int(self.unpack(rows)[0].max()) < self.classes
