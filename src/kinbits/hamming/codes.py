"""Packed codes as arrays: packing, distances and their histograms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinbits.errors import DataError, UsageError
from kinbits.hamming import _native
from kinbits.hamming.checks import Codes, check_codes, check_pair, code_width

_ONES = np.array([bin(byte).count("1") for byte in range(256)], np.int64)


def simd() -> str:
    """Return the instruction set of the kernel: KINBITS_SIMD, or the best of this processor.

    Raises:
        UsageError: If this processor lacks the instruction set in KINBITS_SIMD.
    """
    try:
        return _native.simd()
    except ValueError as error:
        raise UsageError(str(error)) from None


def pack(bits: ArrayLike) -> Codes:
    """Pack one bit per element into bytes, most significant first; pad bits are 0.

    Args:
        bits: bool ``(n, K)``, or logits as floats ``(n, K)``: a logit ``>= 0`` becomes 1.

    Returns:
        uint8 ``(n, ceil(K / 8))``, the layout of ``numpy.packbits``.

    Raises:
        DataError: If the array is not two-dimensional, neither bool nor float, or holds NaN.

    Example:
        >>> import numpy as np
        >>> from kinbits.hamming import pack
        >>> pack(np.array([[True, False, True]]))
        array([[160]], dtype=uint8)
    """
    array = np.asarray(bits)
    if array.ndim != 2:
        raise DataError(f"pack() takes an array of shape (n, bits), not {array.shape}")
    code_width(array.shape[1])
    if array.dtype != np.bool_:
        array = _signs(array)
    return np.packbits(array, axis=1)


def _signs(logits: NDArray[Any]) -> NDArray[np.bool_]:
    if not np.issubdtype(logits.dtype, np.floating):  # 0/1 and -1/+1 integers would need different rules
        raise DataError(f"pack() takes bool bits or float logits, not {logits.dtype}; pass e.g. bits == 1")
    if np.isnan(logits).any():
        raise DataError("the logits contain NaN; check the model that computed them")
    return logits >= 0


def unpack(codes: ArrayLike, bits: int) -> NDArray[np.bool_]:
    """Unpack codes, uint8 ``(n, ceil(bits / 8))``, into bool ``(n, bits)``; the inverse of `pack`.

    Raises:
        DataError: If the codes are not packed codes of ``bits`` bits.
    """
    checked = check_codes(codes, width=code_width(bits))
    return np.unpackbits(checked, axis=1, count=bits).astype(np.bool_)


def on_gpu(codes: Any) -> Any:
    """Return the module that searches tensors on a GPU if the codes are one, else None."""
    if not getattr(codes, "is_cuda", False):
        return None
    from kinbits.hamming import torch_search

    return torch_search


def paired_distances(one: ArrayLike, other: ArrayLike) -> NDArray[np.int64]:
    """Return the Hamming distance of each code to the code in the same row of another array.

    Args:
        one: uint8 ``(n, w)``, packed; or ``(1, w)``, which is paired with every row.
        other: uint8 ``(n, w)``, packed.

    Returns:
        int64 ``(n,)``.

    Raises:
        DataError: If dtype, dimension, width or number of rows do not fit.

    Example:
        >>> import numpy as np
        >>> from kinbits.hamming import paired_distances
        >>> paired_distances(np.array([[0], [255]], np.uint8), np.array([[1], [0]], np.uint8))
        array([1, 8])
    """
    a, b = check_pair(one, other)
    if len(a) not in (1, len(b)):
        raise DataError(f"there are {len(a)} codes and {len(b)} to pair them with; give as many")
    return np.asarray(_ONES[a ^ b].sum(axis=1))


def distances(queries: ArrayLike, codes: ArrayLike) -> NDArray[np.uint16]:
    """Return the Hamming distance of every query to every code.

    Args:
        queries: uint8 ``(q, w)``, packed.
        codes: uint8 ``(n, w)``, packed. Memory-mapped arrays are read in place.

    Returns:
        uint16 ``(q, n)``; an int32 tensor on the same device if the codes are a torch tensor on a CUDA device.

    Raises:
        DataError: If dtype, dimension or width do not fit.

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
    simd()  # raises a readable error if KINBITS_SIMD is wrong
    out = np.empty((len(q), len(c)), dtype=np.uint16)
    _native.distances(q, c, out)
    return out


def histograms(
    queries: ArrayLike, codes: ArrayLike, relevant: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count all items and the relevant items at every distance from each query, in one pass.

    Args:
        queries: uint8 ``(q, w)``, packed.
        codes: uint8 ``(n, w)``, packed.
        relevant: bool ``(q, n)``.

    Returns:
        Counts of all items and of relevant items, int64 ``(q, 8 w + 1)`` each; column d is distance d.

    Raises:
        DataError: If dtype or shape do not fit.
    """
    q, c = check_pair(queries, codes)
    flags: NDArray[Any] = np.asarray(relevant)
    if flags.dtype != np.bool_ or flags.shape != (len(q), len(c)):
        raise DataError(f"relevant is {flags.dtype} {flags.shape}; it must be bool {(len(q), len(c))}")
    simd()  # raises a readable error if KINBITS_SIMD is wrong
    counts = np.zeros((len(q), 8 * c.shape[1] + 1, 2), dtype=np.int64)
    _native.histograms(q, c, np.ascontiguousarray(flags), counts)
    return counts.sum(axis=2), np.ascontiguousarray(counts[:, :, 1])
