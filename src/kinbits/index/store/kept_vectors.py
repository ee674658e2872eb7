"""Vectors that an index keeps beside its codes, to score candidates again: rows of one width in bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinbits.errors import DataError, UsageError, unknown_name

Precision = Literal["int8", "float16", "float32"]
Metric = Literal["cosine", "inner", "euclidean"]
Packed = NDArray[np.uint8]
Vectors = NDArray[np.float32]

MOST_DIMS = 1 << 16
_STEPS = 127  # of an int8 to each side of zero
_LARGEST = float(np.finfo(np.float32).max) * (1 - 1e-6)
_SCALE = 4  # bytes of a row's scale, a float32
_BYTES = {"int8": 1, "float16": 2, "float32": 4}


@dataclass(frozen=True)
class Kept:
    """What an index keeps of vectors.

    An int8 row holds its own scale, |x|_max / 127 as float32, and d steps of it. So rows of all segments mean the same,
    however the collection grows.

    Attributes:
        precision: Of the stored numbers.
        metric: What candidates are scored by: 1 - cosine, minus the inner product, or the squared Euclidean distance.
        dims: Length d of the vectors; 0 before the first.
    """

    precision: Precision
    metric: Metric = "cosine"
    dims: int = 0

    @classmethod
    def checked(cls, precision: Any, metric: Any) -> Kept:
        """Return what a user asks for, before the first vector.

        Raises:
            UsageError: If a name is unknown.
        """
        for what, name, names in (("precision", precision, Precision), ("metric", metric, Metric)):
            if name not in get_args(names):
                raise unknown_name(what, str(name), get_args(names))
        return cls(precision, metric)

    @property
    def width(self) -> int:
        """Bytes of a row."""
        return self.dims * _BYTES[self.precision] + (_SCALE if self.precision == "int8" else 0)

    @property
    def sensible(self) -> bool:
        """Whether all fields have values that can be."""
        known = self.precision in get_args(Precision) and self.metric in get_args(Metric)
        return known and type(self.dims) is int and 0 <= self.dims <= MOST_DIMS

    def __str__(self) -> str:
        return f"{self.precision}, {self.metric}" + (f", {self.dims} dimensions" if self.dims else "")

    def require_dims(self, vectors: Vectors, name: str = "vectors") -> None:
        """Refuse vectors of another length than those kept.

        Raises:
            DataError: If it differs.
        """
        if vectors.shape[1] != self.dims:
            raise DataError(f"{name} have {vectors.shape[1]} dimensions, but the index keeps vectors of {self.dims}")

    def pack(self, vectors: Vectors) -> Packed:
        """Return rows to store, uint8 ``(n, width)``, of float32 ``(n, d)``.

        Raises:
            DataError: If a number is too large for what is kept, or all numbers of a row are too small.
        """
        if self.precision == "float32":
            return np.ascontiguousarray(vectors).view(np.uint8).reshape(len(vectors), -1)
        if self.precision == "float16":
            with np.errstate(over="ignore"):
                halves = vectors.astype(np.float16)
            _require_kept(vectors, halves, "float16")
            return halves.view(np.uint8).reshape(len(vectors), -1)
        exact = vectors.astype(np.float64)
        # a little lower where 127 steps would be beyond float32; steps are cut, so that nothing wraps around
        scale = np.minimum(np.abs(exact).max(1, initial=0, keepdims=True) / _STEPS, _LARGEST / _STEPS).astype(
            np.float32
        )
        scale[scale < np.finfo(np.float32).tiny] = 0
        steps = np.rint(np.divide(exact, scale, out=np.zeros_like(exact), where=scale > 0)).clip(-_STEPS, _STEPS)
        _require_kept(vectors, steps, "int8")
        return np.hstack([scale.view(np.uint8), steps.astype(np.int8).view(np.uint8)])

    def unpack(self, rows: Packed) -> Vectors:
        """Return the vectors of stored rows, float32 ``(n, d)``."""
        if self.precision == "int8":
            scale = np.ascontiguousarray(rows[:, :_SCALE]).view(np.float32)
            return np.ascontiguousarray(rows[:, _SCALE:]).view(np.int8) * scale
        return np.ascontiguousarray(rows).view(self.precision).astype(np.float32, copy=False)

    def distances(self, query: Vectors, vectors: Vectors) -> NDArray[np.float64]:
        """Return the distances of a query ``(d,)`` to vectors ``(n, d)``, float64 ``(n,)``; a zero has cosine 0."""
        q, x = query.astype(np.float64), vectors.astype(np.float64)
        if self.metric == "euclidean":
            found = np.square(x - q).sum(1)
        elif self.metric == "inner":
            found = -(x @ q)
        else:
            lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(q)
            found = np.maximum(1 - np.divide(x @ q, lengths, out=np.zeros(len(x)), where=lengths > 0), 0)
        return np.asarray(found, np.float64)

    def all_distances(self, queries: Vectors, vectors: Vectors) -> NDArray[np.float64]:
        """Return the distances of many queries ``(q, d)`` to many vectors, float64 ``(q, n)``, by products."""
        q, x = queries.astype(np.float64), vectors.astype(np.float64)
        found = products = q @ x.T
        if self.metric == "inner":
            found = -products
        elif self.metric == "euclidean":
            found = np.maximum(np.square(q).sum(1)[:, None] + np.square(x).sum(1) - 2 * products, 0)
        else:
            lengths = np.linalg.norm(q, axis=1)[:, None] * np.linalg.norm(x, axis=1)
            found = np.maximum(1 - np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0), 0)
        return np.asarray(found, np.float64)


def _require_kept(vectors: Vectors, stored: NDArray[Any], precision: str) -> None:
    if np.isinf(stored).any():
        raise DataError("a vector has numbers beyond 65504, the largest float16; keep='int8' or 'float32'")
    lost = np.flatnonzero(vectors.any(1) & ~stored.any(1))
    if lost.size:
        raise DataError(f"row {lost[0]} of the vectors has numbers too small for {precision}; scale them up")


def keeps_alike(one: Kept | None, other: Kept | None) -> bool:
    """Return whether two indexes keep vectors that can be joined; one without items has no length yet."""
    if one is None or other is None:
        return one is other
    return replace(one, dims=0) == replace(other, dims=0) and (one.dims == other.dims or 0 in (one.dims, other.dims))


def as_vectors(given: ArrayLike, rows: int | None = None, name: str = "vectors") -> Vectors:
    """Check vectors that a user gives, and return them as float32 ``(n, d)``.

    Raises:
        DataError: If they are no finite numbers ``(n, d)``, or there is not one for each item.
        UsageError: If they are too long.
    """
    try:
        array = np.asarray(given)
    except (TypeError, ValueError, RuntimeError):  # ragged lists, and tensors with a gradient
        array = np.zeros(0, object)
    if array.dtype.kind not in "fiub":
        raise DataError(f"{name} are no array of real numbers; give float32 (n, d)")
    with np.errstate(over="ignore"):
        vectors = array.astype(np.float32)
    if vectors.ndim != 2 or not vectors.shape[1]:
        raise DataError(f"{name} have the shape {vectors.shape}; give (n, d), one row for each item")
    if rows is not None and len(vectors) != rows:
        raise DataError(f"{rows} items, but {len(vectors)} {name}; give one for each item")
    if vectors.shape[1] > MOST_DIMS:
        raise UsageError(f"{name} of {vectors.shape[1]} dimensions are too long to be kept; at most {MOST_DIMS}")
    bad = np.flatnonzero(~np.isfinite(vectors).all(1))
    if bad.size:
        raise DataError(f"row {bad[0]} of the {name} is not finite as float32; leave it out")
    return vectors
