"""Packed codes as arrays: packing, distances and their histograms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinbits.errors import DataError, UsageError
from kinbits.hamming import _native
from kinbits.hamming.checks import Codes, check_codes, check_pair, code_width


def simd() -> str:
    """Name the instruction set that the kernel uses: KINBITS_SIMD, or the best that this processor has.

    Raises:
        UsageError: if KINBITS_SIMD names none that this processor has.
    """
    try:
        return _native.simd()
    except ValueError as error:
        raise UsageError(str(error)) from None


def pack(bits: ArrayLike) -> Codes:
    """Pack one bit per element into bytes, most significant first; pad bits are 0.

    Args:
        bits: bool ``(n, K)``; or floats ``(n, K)``, logits, of which those ``>= 0`` become 1.

    Returns:
        uint8 ``(n, ceil(K / 8))``, the layout of ``numpy.packbits``.

    Raises:
        DataError: if the array is not two-dimensional, neither bool nor float, or holds NaN.

    Example:
        >>> import numpy as np
        >>> from kinbits.hamming import pack
        >>> pack(np.array([[True, False, True]]))
        array([[160]], dtype=uint8)
    """
    array = np.asarray(bits)
    if array.ndim != 2:
        raise DataError(f"pack() needs an array (n, bits); this one has the shape {array.shape}")
    code_width(array.shape[1])
    if array.dtype != np.bool_:
        array = _signs(array)
    return np.packbits(array, axis=1)


def _signs(logits: NDArray[Any]) -> NDArray[np.bool_]:
    if not np.issubdtype(logits.dtype, np.floating):  # 0/1 and -1/+1 integers would need different rules
        raise DataError(f"pack() takes bool bits or float logits, not {logits.dtype}; say e.g. bits == 1")
    if np.isnan(logits).any():
        raise DataError("pack() was given NaN; find out where the logits come from")
    return logits >= 0


def unpack(codes: ArrayLike, bits: int) -> NDArray[np.bool_]:
    """Undo `pack`: uint8 ``(n, ceil(bits / 8))`` to bool ``(n, bits)``.

    Raises:
        DataError: if the codes are not packed codes of this many bits.
    """
    checked = check_codes(codes, width=code_width(bits))
    return np.unpackbits(checked, axis=1, count=bits).astype(np.bool_)


def on_gpu(codes: Any) -> Any:
    """Return the module that searches a tensor on a GPU, if the codes are one; None for all else."""
    if not getattr(codes, "is_cuda", False):
        return None
    from kinbits.hamming import torch_search

    return torch_search


def distances(queries: ArrayLike, codes: ArrayLike) -> NDArray[np.uint16]:
    """Count the differing bits of every pair of a query and a code.

    Args:
        queries: uint8 ``(q, w)``, packed.
        codes: uint8 ``(n, w)``, packed. Memory-mapped arrays are read in place.

    Returns:
        uint16 ``(q, n)``; for codes in a tensor of torch on a CUDA device a tensor there, int32.

    Raises:
        DataError: if dtype, dimension or width do not fit.

    Example:
        >>> import numpy as np
        >>> from kinbits.hamming import distances
        >>> distances(np.array([[0b1010_0000]], np.uint8), np.array([[0b0110_0000], [0]], np.uint8))
        array([[2, 2]], dtype=uint16)
    """
    if gpu := on_gpu(codes):
        found: NDArray[np.uint16] = gpu.distances(queries, codes)
        return found
    q, c = check_pair(queries, codes)
    simd()  # raises where the kernel could not
    out = np.empty((len(q), len(c)), dtype=np.uint16)
    _native.distances(q, c, out)
    return out


def histograms(
    queries: ArrayLike, codes: ArrayLike, relevant: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count, for each query, all items and the relevant items at every distance, in one pass.

    Args:
        queries: uint8 ``(q, w)``, packed.
        codes: uint8 ``(n, w)``, packed.
        relevant: bool ``(q, n)``.

    Returns:
        Counts of all items and of relevant items, int64 ``(q, 8 w + 1)`` each; column d is distance d.

    Raises:
        DataError: if dtype or shape do not fit.
    """
    q, c = check_pair(queries, codes)
    flags: NDArray[Any] = np.asarray(relevant)
    if flags.dtype != np.bool_ or flags.shape != (len(q), len(c)):
        raise DataError(f"relevance is {flags.dtype} {flags.shape}; it must be bool {(len(q), len(c))}")
    simd()  # raises where the kernel could not
    counts = np.zeros((len(q), 8 * c.shape[1] + 1, 2), dtype=np.int64)
    _native.histograms(q, c, np.ascontiguousarray(flags), counts)
    return counts.sum(axis=2), np.ascontiguousarray(counts[:, :, 1])
