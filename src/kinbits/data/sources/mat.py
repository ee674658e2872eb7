"""Reader of MATLAB files: variables by name, cell arrays of texts as lists."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from kinbits._util import read_regular
from kinbits.errors import DataError, PlatformError

MAX_BYTES = 2**30
_VERSION_5, _COMPRESSED = 0x0100, 15


def read_mat(path: Path) -> dict[str, np.ndarray]:
    """Read the variables of a ``.mat`` file of version 4 to 7.2.

    Raises:
        DataError: If the file is damaged, of version 7.3, or larger than 1 GiB after decompression.
        PlatformError: If the file cannot be opened.
    """
    from scipy.io import loadmat

    try:
        data = read_regular(path)
    except OSError as error:
        raise PlatformError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        found: dict[str, Any] = loadmat(io.BytesIO(_inflated(data)))
    except NotImplementedError:
        raise DataError(
            f"{path}: MATLAB files of version 7.3 (HDF5) cannot be read; load it in MATLAB and save(..., '-v7')"
        ) from None
    except Exception as error:  # scipy's reader raises many kinds of errors for a damaged file
        raise DataError(f"{path}: not a readable MATLAB file ({error}); copy it again") from None
    return {name: value for name, value in found.items() if not name.startswith("__")}


def _inflated(data: bytes) -> bytes:
    """Decompress the variables of a version 5 file, with a limit on the size.

    Raises:
        ValueError: If the variables are larger than `MAX_BYTES`.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None or struct.unpack(order + "H", data[124:126])[0] != _VERSION_5:
        return data
    parts, offset, left = [data[:128]], 128, MAX_BYTES
    while offset + 8 <= len(data):
        kind, size = struct.unpack(order + "II", data[offset : offset + 8])
        part = data[offset : offset + 8 + size]
        if kind == _COMPRESSED:
            stream = zlib.decompressobj()
            part = stream.decompress(part[8:], left + 1)
            if len(part) <= left and not stream.eof:
                raise ValueError("a variable is cut off")
        left -= len(part)
        if left < 0:
            raise ValueError(f"more than {MAX_BYTES:,} bytes after decompression")
        parts.append(part)
        offset += 8 + size
    return b"".join(parts)


def variable(mat: dict[str, np.ndarray], names: tuple[str, ...], path: Path) -> np.ndarray:
    """Return the first variable that exists.

    Args:
        mat: Variables of the file.
        names: Possible names of the variable.
        path: Path of the file, for errors.

    Raises:
        DataError: If the file has none of the variables.
    """
    for name in names:
        if name in mat:
            return mat[name]
    raise DataError(f"{path}: no variable {' or '.join(names)}; the file has {', '.join(mat) or 'none'}")


def texts(cells: np.ndarray) -> list[str]:
    """Return a cell array of texts, or a character matrix, as a list of texts without trailing spaces."""
    return [_text(cell) for cell in np.asarray(cells).reshape(-1).tolist()]


def _text(cell: Any) -> str:
    while isinstance(cell, np.ndarray):
        cell = cell.reshape(-1)[0] if cell.size else ""
    return str(cell).rstrip()
