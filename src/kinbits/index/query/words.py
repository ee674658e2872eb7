"""Search by words in an index of images: texts and items meet in the space of a classifier's classes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinbits.backbones import Concepts
from kinbits.index.store import bitmap
from kinbits.index.store.bitmap import Bitmap, Rows
from kinbits.index.store.kept_vectors import Packed
from kinbits.index.store.segment import Segment
from kinbits.index.store.state import State

Found = tuple[NDArray[np.float32], Rows]

MEASURE = "1 - agreement of a text with the classes of an image; compare hits of one text"
_BLOCK = 1 << 16  # rows that are scored at one time
_NAMED = 3  # classes that a hit names, and the least share of its score that each of them has
_LEAST_SHARE = 0.1


@dataclass(frozen=True)
class WordQueries:
    """Texts as weights of classes: the score of an item is the sum over classes of weight times probability.

    Attributes:
        weights: float32 ``(q, classes)``; the largest of each text is 1.
        names: Names of the classes.
        concepts: How the rows of the index are made.
    """

    weights: NDArray[np.float32]
    names: Sequence[str]
    concepts: Concepts

    def nearest(self, segment: Segment, k: int | None, radius: float | None, allow: Bitmap | None) -> list[Found]:
        """Return distances, 1 - score, and rows of the best items of a segment, for each text; ties are by row.

        Args:
            segment: Its items whose classes are not known are not found.
            k: Maximum number of items; None for all.
            radius: Maximum distance; None for any.
            allow: Rows that may be found; None for all.
        """
        found: list[Found] = [(np.zeros(0, np.float32), np.zeros(0, np.int64)) for _ in self.weights]
        if segment.stored_concepts is None:
            return found
        for start in range(0, segment.rows, _BLOCK):
            packed = segment.concepts[start : start + _BLOCK]
            chosen = self.concepts.known(packed)
            if allow is not None:
                chosen &= bitmap.unpack(allow, start, start + len(packed))
            rows = np.flatnonzero(chosen)
            numbers, probabilities = self.concepts.unpack(packed[rows])
            for query, weights in enumerate(self.weights):
                parts = weights.take(numbers, mode="clip")  # no number of a forged file leads outside
                near = np.clip(1 - np.einsum("nm,nm->n", parts, probabilities), 0, 1)
                found[query] = _best(found[query], (near, start + rows), k, radius)
        return found

    def through(self, query: int, rows: Packed) -> list[dict[str, float]]:
        """Return the classes through which a text found items, with their probabilities, the most important first."""
        numbers, probabilities = self.concepts.unpack(rows)
        parts = self.weights[query].take(numbers, mode="clip") * probabilities
        return [self._named(*item) for item in zip(numbers, probabilities, parts, strict=True)]

    def _named(
        self, numbers: NDArray[np.uint16], probabilities: NDArray[np.float32], parts: NDArray[np.float32]
    ) -> dict[str, float]:
        named: dict[str, float] = {}
        for place in np.argsort(-parts, kind="stable"):
            if parts[place] < _LEAST_SHARE * parts.sum() or len(named) == _NAMED:
                break
            name = self.names[numbers[place]]
            named[name] = round(named.get(name, 0.0) + float(probabilities[place]), 3)
        return named


def _best(one: Found, other: Found, k: int | None, radius: float | None) -> Found:
    near, rows = np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]])
    if radius is not None:
        near, rows = near[near <= radius], rows[near <= radius]
    if k is not None and 0 < k < len(near):
        within = near <= np.partition(near, k - 1)[k - 1]  # with all ties of the last
        near, rows = near[within], rows[within]
    order = np.lexsort((rows, near))[:k]
    return near[order], rows[order]


def word_queries(texts: Sequence[str], state: State, concepts: Concepts) -> WordQueries:
    """Return texts as weights of classes; warn of those that no class is near to, and of items that no text finds.

    Raises:
        PlatformError: If the sentence encoder or the names of the classes are not installed.
    """
    from kinbits.backbones import NEAR_CLASS, class_space

    space = class_space(concepts.vocabulary)
    found = space.weigh(texts)
    for text, nearest, cosine in zip(texts, found.nearest.tolist(), found.cosines.tolist(), strict=True):
        if cosine < NEAR_CLASS:
            warnings.warn(
                f"no class of ImageNet is near '{text}' (the nearest is '{space.names[nearest]}', cosine "
                f"{cosine:.2f}), so its hits are guesses; search with the name of an everyday object",
                stacklevel=5,
            )
    unknown = sum(_unknown(segment, concepts) for segment in state.segments)
    if unknown:
        warnings.warn(
            f"{unknown:,} of {len(state):,} items were added as codes, so no text finds them; add them as images",
            stacklevel=5,
        )
    return WordQueries(found.weights, space.names, concepts)


def _unknown(segment: Segment, concepts: Concepts) -> int:
    """Return the number of items of a segment whose classes are not known."""
    if segment.stored_concepts is None:
        return len(segment)
    return int((~concepts.known(segment.concepts)[segment.living(0, segment.rows)]).sum())
