"""Look-up tables of real-valued queries against stored bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinbits.errors import DataError
from kinbits.hamming.checks import code_width

_HALVES = np.arange(16)
_BITS = (_HALVES[:, None] >> np.array([3, 2, 1, 0])) & 1  # of the values of a half byte, the most significant first


def sign_tables(logits: ArrayLike) -> NDArray[np.float32]:
    """Return look-up tables for the asymmetric distance between logits and packed bits, for `table_topk`.

    The distance between logits z and a code b is the sum of |z_k| over the bits in which b differs from the signs of z:
    the Hamming distance with a weight for each bit of the query. It is ``(sum_k |z_k| - z . s) / 2`` with s the signs
    of b, so it ranks by the inner product of the query with the stored signs (A. Gordo, F. Perronnin, Y. Gong,
    S. Lazebnik, "Asymmetric Distances for Binary Embeddings", TPAMI 2014).

    Args:
        logits: Finite floats ``(q, K)``.

    Returns:
        float32 ``(q, 2 ceil(K / 8), 16)``: for each half byte of a code, the distances of its 16 values. Pad bits have
        no weight.

    Raises:
        DataError: If the logits are not two-dimensional floats, or a value is not finite.

    Example:
        >>> import numpy as np
        >>> from kinbits.hamming import pack, sign_tables, table_topk
        >>> query = np.array([[0.25, -2.0, 0.5, 3.0]])
        >>> codes = pack(np.array([[True, False, True, False], [False, False, False, True]]))
        >>> distances, rows = table_topk(sign_tables(query), codes, k=2)
        >>> distances.tolist(), rows.tolist()  # one differing bit is farther than two
        ([[0.75, 3.0]], [[1, 0]])
    """
    given: NDArray[Any] = np.asarray(logits)
    if given.ndim != 2 or not np.issubdtype(given.dtype, np.floating):
        raise DataError(f"logits are {given.dtype} {given.shape}; give floats (queries, bits)")
    parts = 2 * code_width(given.shape[1])
    padded = np.zeros((len(given), 4 * parts), np.float32)
    with np.errstate(over="ignore"):  # refused below
        padded[:, : given.shape[1]] = given
        whole = np.abs(padded).sum(axis=1)
    if not np.isfinite(whole).all():
        raise DataError(
            "the logits are not finite, or add up to more than float32 holds; check the model that made them"
        )
    quads = padded.reshape(-1, 4)
    differing = np.abs(quads) @ _BITS.T.astype(np.float32)  # for each set of differing bits
    signs = (quads >= 0) @ np.array([8, 4, 2, 1])
    tables: NDArray[np.float32] = np.take_along_axis(differing, signs[:, None] ^ _HALVES, axis=1)
    return tables.reshape(len(given), parts, 16)
