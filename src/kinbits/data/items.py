"""Stores of images and vectors: files, Arrow columns and arrays."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from PIL import Image

from kinbits._util import file_digest, lazy, open_regular
from kinbits.data.bad_image import BadImage
from kinbits.data.decoding import decode
from kinbits.data.mapped_rows import MappedRows, select_rows
from kinbits.errors import UsageError

Kind = Literal["image", "vector"]
Row = TypeVar("Row")
Found = TypeVar("Found")

_TABLE_BLOCKS, _TABLE_BLOCK = 256, 1 << 16
_IMAGE_BLOCK = 4096
_AT_ONCE, _READERS = 256, 8


def digest(*parts: bytes | str) -> str:
    """Return the SHA-256 (hex) of several parts; the lengths are hashed too, so different splits differ."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()


def file_identity(path: str | os.PathLike[str]) -> str:
    """Return an identity of a table or array file, which changes with the contents of the file.

    The identity includes absolute path, size, inode, and modification and change time in nanoseconds. It also includes
    a hash of the contents: of the complete file up to 16 MB, or else of 256 evenly spaced blocks. A file that is moved
    or copied gets a new identity.
    """
    return _identity(path, _TABLE_BLOCKS, _TABLE_BLOCK)


def image_identity(path: str | os.PathLike[str]) -> str:
    """Return an identity of an image file, as `file_identity` does, with a hash of the first and last 4 kB only.

    This takes 16 microseconds per file in the page cache; 3 of them without the hash.
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


def _in_threads(read: Callable[[Row], Found], rows: Sequence[Row]) -> list[Found]:
    """Return what a function reads for each of many rows; threads read in parallel, since each waits for the disk."""
    blocks = [rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE)]
    with ThreadPoolExecutor(_READERS) as pool:
        return [found for some in pool.map(lambda block: list(map(read, block)), blocks) for found in some]


class Items(ABC):
    """Base class of stores of images or vectors; selecting rows copies no pixels.

    Args:
        rows: int64 ``(n,)`` rows of the underlying data that this view shows.
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

    def compact(self) -> Items:
        """Return a store that holds the selected rows alone, to send it to another process."""
        return self

    @lazy
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the contents; equal for two objects with the same contents."""
        return digest(type(self).__name__, self._identity(), self.rows.tobytes())

    def content_hash(self) -> str:
        """Return the SHA-256 (hex) of the contents alone, which stays when files are moved, copied or touched.

        All bytes are read, at about a gigabyte per second from memory.
        """
        return digest(*_in_threads(self._content, self.rows.tolist()))

    def _content(self, row: int) -> bytes | str:
        """Return the hash of a row of the underlying data."""
        try:
            found = self._encoded(row)
            if isinstance(found, (str, os.PathLike)):
                return file_digest(found)
        except (OSError, ValueError, BadImage):
            return "unreadable"
        return _array_identity(found) if isinstance(found, np.ndarray) else hashlib.sha256(found).digest()

    def image(self, row: int) -> Image.Image:
        """Return one row as a Pillow RGB image.

        Raises:
            BadImage: If the image cannot be decoded.
            UsageError: If the rows are vectors.
        """
        return decode(self._encoded(int(self.rows[row])))

    @property
    def vectors(self) -> np.ndarray:
        """The vectors, float ``(n, d)``.

        Raises:
            UsageError: If the rows are images.
        """
        return np.asarray(self.stored_vectors)

    @property
    def stored_vectors(self) -> np.ndarray | MappedRows:
        """The vectors, float ``(n, d)``; those on disk stay there until they are indexed.

        Raises:
            UsageError: If the rows are images.
        """
        raise UsageError("this data set holds images, not vectors; compute features with a backbone first")

    @abstractmethod
    def _identity(self) -> str:
        """Return an identity of the underlying data; the selected rows do not change it."""

    @abstractmethod
    def _encoded(self, row: int) -> Any:
        """Return a row of the underlying data as an input of `decode`."""


class PathItems(Items):
    """Images in files.

    Args:
        paths: One path per row.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]]) -> None:
        super().__init__(np.arange(len(paths)))
        self._paths = tuple(os.fspath(path) for path in paths)

    def path(self, row: int) -> Path:
        """Return the path of one row."""
        return Path(self._paths[self.rows[row]])

    @property
    def paths(self) -> list[str]:
        """The paths of all rows."""
        return [self._paths[row] for row in self.rows.tolist()]

    def compact(self) -> Items:
        """Return a store of the selected paths alone."""
        return PathItems(self.paths)

    @lazy
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the identities of the selected files; see `file_identity`."""
        return self._files()

    def _files(self) -> str:
        return digest("PathItems", *(file_identity(self._paths[row]) for row in self.rows))

    def _identity(self) -> str:
        return digest(*_in_threads(image_identity, self._paths))

    def _encoded(self, row: int) -> Path:
        return Path(self._paths[row])


class CroppedItems(PathItems):
    """Rectangles of images in files, such as the queries of Oxford and Paris.

    Args:
        paths: One path per row.
        boxes: Float ``(n, 4)``: left, top, right, bottom in pixels of the upright image; NaN for the full image.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]], boxes: np.ndarray) -> None:
        super().__init__(paths)
        self._boxes = np.asarray(boxes, np.float64).reshape(len(paths), 4)

    def compact(self) -> Items:
        """Return a store of the selected paths and rectangles alone."""
        return CroppedItems(self.paths, self._boxes[self.rows])

    @lazy
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the identities of the files, and of the rectangles."""
        return digest("CroppedItems", self._files(), self._boxes[self.rows].tobytes())

    def content_hash(self) -> str:
        """Return the SHA-256 (hex) of the files and of the rectangles."""
        return digest(super().content_hash(), self._boxes[self.rows].tobytes())

    def image(self, row: int) -> Image.Image:
        """Return the rectangle of one row, clipped to the image, as a Pillow RGB image.

        Raises:
            BadImage: If the image cannot be decoded, or the rectangle is outside the image.
        """
        image, box = super().image(row), self._boxes[self.rows[row]]
        if np.isnan(box).any():
            return image
        left, top = max(0, round(box[0])), max(0, round(box[1]))
        right, bottom = min(image.width, round(box[2])), min(image.height, round(box[3]))
        if left >= right or top >= bottom:
            raise BadImage(f"its rectangle {box.tolist()} is outside the image of {image.width} x {image.height}")
        return image.crop((left, top, right, bottom))


class ArrowItems(Items):
    """Encoded images in a memory-mapped Arrow column; an image is decoded only when it is used.

    Args:
        column: A `pyarrow.ChunkedArray` of binary values, or of structs ``{bytes, path}`` as in `datasets`.
        identity: Identity of the contents, e.g. from `file_identity`.
        rows: int64 rows of the column to show; None for all.
    """

    def __init__(self, column: Any, identity: str, rows: np.ndarray | None = None) -> None:
        super().__init__(np.arange(len(column)) if rows is None else rows)
        self._column = column
        self._name = identity

    def compact(self) -> Items:
        """Return a store of copies of the selected images."""
        return ArrowItems(self._column.take(self.rows), digest(self._name, self.rows.tobytes()))

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
    """Images of equal size in an array, in memory or memory-mapped.

    Args:
        images: uint8 ``(n, h, w)``, ``(n, h, w, 1)``, ``(n, h, w, 3)`` or ``(n, h, w, 4)``.
        identity: Identity of the contents; None hashes them.
    """

    def __init__(self, images: np.ndarray, identity: str | None = None) -> None:
        super().__init__(np.arange(len(images)))
        self._images = images
        self._name = identity

    def compact(self) -> Items:
        """Return a store of copies of the selected images."""
        return ArrayItems(self._images[self.rows])

    def _identity(self) -> str:
        return self._name or _array_identity(self._images)

    def _encoded(self, row: int) -> np.ndarray:
        return np.asarray(self._images[row])


class VectorItems(Items):
    """Vectors in an array, e.g. features from another program.

    Args:
        vectors: Float ``(n, d)``, in memory or memory-mapped.
        identity: Identity of the contents; None hashes them.
    """

    kind: Kind = "vector"

    def __init__(self, vectors: np.ndarray | MappedRows, identity: str | None = None) -> None:
        super().__init__(np.arange(len(vectors)))
        self._vectors = vectors
        self._name = identity

    @property
    def vectors(self) -> np.ndarray:
        """The vectors of the rows, float ``(n, d)``; an array is not copied if all rows are selected."""
        stored = self._vectors
        return np.asarray(self.stored_vectors) if isinstance(stored, MappedRows) or not self._whole else stored

    @property
    def stored_vectors(self) -> np.ndarray | MappedRows:
        """The vectors of the rows, float ``(n, d)``; those on disk stay there until they are indexed."""
        return self._vectors if self._whole else select_rows(self._vectors, self.rows)

    @property
    def _whole(self) -> bool:
        return len(self.rows) == len(self._vectors) and np.array_equal(self.rows, np.arange(len(self.rows)))

    def compact(self) -> Items:
        """Return a store of copies of the selected vectors."""
        return VectorItems(np.array(self.vectors))

    def content_hash(self) -> str:
        """Return the SHA-256 (hex) of the vectors."""
        return _array_identity(self.stored_vectors)

    def image(self, row: int) -> Image.Image:
        """Raise an error, since vectors have no pixels.

        Raises:
            UsageError: If the method is called.
        """
        raise UsageError("this data set holds vectors, not images; use the backbone 'features'")

    def _identity(self) -> str:
        return self._name or _array_identity(self._vectors)

    def _encoded(self, row: int) -> np.ndarray:
        raise UsageError("this data set holds vectors, not images; use the backbone 'features'")


def _array_identity(array: np.ndarray | MappedRows) -> str:
    state = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    for start in range(0, len(array), 4096):  # in blocks, so that a memory-mapped array is not loaded at once
        state.update(np.ascontiguousarray(array[start : start + 4096]).tobytes())
    return state.hexdigest()
