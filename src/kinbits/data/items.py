"""Where the pixels or vectors lie: one small store class for each way of keeping them."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from kinbits._util import lazy, open_regular
from kinbits.data.decoding import BadImage, decode
from kinbits.errors import UsageError

Kind = Literal["image", "vector"]

_TABLE_BLOCKS, _TABLE_BLOCK = 256, 1 << 16
_IMAGE_BLOCK = 4096
_AT_ONCE, _READERS = 256, 8


def digest(*parts: bytes | str) -> str:
    """Hash the parts, each with its length, so that no two part lists collide; sha256 hex."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()


def file_identity(path: str | os.PathLike[str]) -> str:
    """Name the contents of a table or an array file, so that a changed file never has the name of the old one.

    The name holds absolute path, size, inode, the times of the last change of contents and of the inode in nanoseconds,
    and a hash of the contents: of all up to 16 MB, else of 256 blocks from the first to the last. A file that was only
    moved or copied gets another name.
    """
    return _identity(path, _TABLE_BLOCKS, _TABLE_BLOCK)


def image_identity(path: str | os.PathLike[str]) -> str:
    """Name the contents of an image file as `file_identity` does, with a hash of the first and last 4 kB.

    This takes 16 microseconds a file where it is in memory, and 3 without the hash.
    """
    return _identity(path, 2, _IMAGE_BLOCK)


def _identity(path: str | os.PathLike[str], blocks: int, size: int) -> str:
    name = os.path.abspath(path)
    try:
        file = open_regular(path)
    except (OSError, ValueError):  # missing, not a file, or a path with a zero byte in it
        return f"{name}|missing"
    try:
        stat = os.fstat(file)
        last = max(0, stat.st_size - size)
        starts = (
            range(0, stat.st_size, size) if stat.st_size <= blocks * size else np.linspace(0, last, blocks, dtype=int)
        )
        content = hashlib.sha256()
        for start in starts:
            content.update(os.pread(file, size, int(start)))
    except OSError:
        return f"{name}|unreadable"
    finally:
        os.close(file)
    facts = stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, content.hexdigest()
    return "|".join([name, *map(str, facts)])


def _identities(paths: Sequence[str]) -> list[str]:
    """Name many image files, several at a time: on a slow disk each waits."""
    blocks = [paths[start : start + _AT_ONCE] for start in range(0, len(paths), _AT_ONCE)]
    with ThreadPoolExecutor(_READERS) as pool:
        return [name for names in pool.map(lambda block: list(map(image_identity, block)), blocks) for name in names]


class Items(ABC):
    """A row-addressed store of images or vectors; selecting rows copies no pixels.

    Args:
        rows: int64 ``(n,)``, the rows of the underlying data that this view shows.
    """

    kind: Kind = "image"

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = np.asarray(rows, np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, rows: np.ndarray) -> Items:
        """Return a view of some rows, in the given order.

        Args:
            rows: int64 ``(m,)`` rows of this view.
        """
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.__dict__.pop("fingerprint", None)  # the cached value belongs to the old rows
        other.rows = self.rows[np.asarray(rows, np.int64)]
        return other

    @lazy
    def fingerprint(self) -> str:
        """Identity of the contents (sha256 hex): equal when nothing changed, whatever the object."""
        return digest(type(self).__name__, self._identity(), self.rows.tobytes())

    def image(self, row: int) -> Image.Image:
        """Decode one row to a Pillow RGB image.

        Raises:
            BadImage: If it cannot be decoded.
            UsageError: If the rows are vectors.
        """
        return decode(self._encoded(int(self.rows[row])))

    @property
    def vectors(self) -> np.ndarray:
        """The vectors, float ``(n, d)``.

        Raises:
            UsageError: If the rows are images.
        """
        raise UsageError("this data set holds images, not vectors; compute features with a backbone first")

    @abstractmethod
    def _identity(self) -> str:
        """Identity of the underlying data, without the rows."""

    @abstractmethod
    def _encoded(self, row: int) -> Any:
        """Return what `decode` takes, for a row of the underlying data."""


class PathItems(Items):
    """Image files.

    Args:
        paths: One path a row.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]]) -> None:
        super().__init__(np.arange(len(paths)))
        self._paths = tuple(os.fspath(path) for path in paths)

    def path(self, row: int) -> Path:
        """Return the path of one row."""
        return Path(self._paths[self.rows[row]])

    @lazy
    def fingerprint(self) -> str:
        """Identity by path, size and modification time of the files shown."""
        return self._files()

    def _files(self) -> str:
        return digest("PathItems", *(file_identity(self._paths[row]) for row in self.rows))

    def _identity(self) -> str:
        return digest(*_identities(self._paths))

    def _encoded(self, row: int) -> Path:
        return Path(self._paths[row])


class CroppedItems(PathItems):
    """Image files of which a rectangle counts, such as the queries of Oxford and Paris.

    Args:
        paths: One path a row.
        boxes: Float ``(n, 4)``: left, top, right, bottom in pixels of the upright image; NaN for the whole image.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]], boxes: np.ndarray) -> None:
        super().__init__(paths)
        self._boxes = np.asarray(boxes, np.float64).reshape(len(paths), 4)

    @lazy
    def fingerprint(self) -> str:
        """Identity of the files, and of the rectangles."""
        return digest("CroppedItems", self._files(), self._boxes[self.rows].tobytes())

    def image(self, row: int) -> Image.Image:
        """Decode one row and cut its rectangle out, which is clipped to the image.

        Raises:
            BadImage: If it cannot be decoded, or the rectangle lies outside.
        """
        whole, box = super().image(row), self._boxes[self.rows[row]]
        if np.isnan(box).any():
            return whole
        left, top = max(0, round(box[0])), max(0, round(box[1]))
        right, bottom = min(whole.width, round(box[2])), min(whole.height, round(box[3]))
        if left >= right or top >= bottom:
            raise BadImage(f"its rectangle {box.tolist()} lies outside the image of {whole.width} x {whole.height}")
        return whole.crop((left, top, right, bottom))


class ArrowItems(Items):
    """Encoded images in an Arrow column, memory-mapped: nothing is decoded or copied before it is asked for.

    Args:
        column: A `pyarrow.ChunkedArray` of binary, or of structs ``{bytes, path}`` as `datasets` keeps
            images.
        identity: Names the contents, e.g. path, size and time of the file it came from.
        rows: int64 rows of the column to show; all when None.
    """

    def __init__(self, column: Any, identity: str, rows: np.ndarray | None = None) -> None:
        super().__init__(np.arange(len(column)) if rows is None else rows)
        self._column = column
        self._name = identity

    def _identity(self) -> str:
        return self._name

    def _encoded(self, row: int) -> bytes | str:
        value = self._column[row].as_py()
        if isinstance(value, dict):
            value = value.get("bytes") or value.get("path")
        if not isinstance(value, (bytes, str)):
            raise BadImage("no image in this row")
        return value


class ArrayItems(Items):
    """Images of one size in an array, in memory or memory-mapped.

    Args:
        images: uint8 ``(n, h, w)``, ``(n, h, w, 1)``, ``(n, h, w, 3)`` or ``(n, h, w, 4)``.
        identity: Names the contents; None hashes them.
    """

    def __init__(self, images: np.ndarray, identity: str | None = None) -> None:
        super().__init__(np.arange(len(images)))
        self._images = images
        self._name = identity

    def _identity(self) -> str:
        return self._name or _array_identity(self._images)

    def _encoded(self, row: int) -> np.ndarray:
        return np.asarray(self._images[row])


class VectorItems(Items):
    """Vectors, e.g. features computed elsewhere.

    Args:
        vectors: Float ``(n, d)``, in memory or memory-mapped.
        identity: Names the contents; None hashes them.
    """

    kind: Kind = "vector"

    def __init__(self, vectors: np.ndarray, identity: str | None = None) -> None:
        super().__init__(np.arange(len(vectors)))
        self._vectors = vectors
        self._name = identity

    @property
    def vectors(self) -> np.ndarray:
        """The vectors of the rows, float ``(n, d)``; the underlying array itself when all rows are shown."""
        if len(self.rows) == len(self._vectors) and np.array_equal(self.rows, np.arange(len(self.rows))):
            return self._vectors
        return self._vectors[self.rows]

    def image(self, row: int) -> Image.Image:
        """Refuse: there are no pixels.

        Raises:
            UsageError: If it is called: vectors have no pixels.
        """
        raise UsageError("this data set holds vectors, not images; use the backbone 'features'")

    def _identity(self) -> str:
        return self._name or _array_identity(self._vectors)

    def _encoded(self, row: int) -> np.ndarray:
        raise UsageError("this data set holds vectors, not images; use the backbone 'features'")


def _array_identity(array: np.ndarray) -> str:
    state = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    for start in range(0, len(array), 4096):  # in blocks, so that a memory-mapped array is never read whole
        state.update(np.ascontiguousarray(array[start : start + 4096]).tobytes())
    return state.hexdigest()
