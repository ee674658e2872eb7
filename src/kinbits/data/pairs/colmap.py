"""Similar pairs from COLMAP models: images that see enough common 3D points."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Any

import numpy as np
import scipy.sparse as sp

from kinbits._util import cumcount, require
from kinbits.data.pairs.pair_files import Covisible, NamedPairs, similar_pairs
from kinbits.errors import DataError

BLOCK = 1024
_COUNT, _POINT, _IMAGE, _SPOT = Struct("<Q"), 8 + 3 * 8 + 3 + 8, 4 + 7 * 8 + 4, 8 + 8 + 8


def find_models(folder: Path) -> list[Path]:
    """Return the folders with a COLMAP model: the folder itself, or folders at any depth below it.

    Raises:
        DataError: If there is no model.
    """
    models = sorted({path.parent for kind in ("bin", "txt") for path in folder.rglob(f"images.{kind}")})
    if not models:
        raise DataError(f"{folder} holds no COLMAP model; a model has images.bin or images.txt, cameras and points3D")
    return models


def read_model(folder: Path, limits: Covisible) -> NamedPairs:
    """Read a model with pycolmap, and return the pairs of images that see enough common points.

    Raises:
        DataError: If the model is damaged or incomplete.
        PlatformError: If pycolmap is not installed.
    """
    pycolmap = require("pycolmap")
    _check_not_truncated(folder)
    try:
        model = pycolmap.Reconstruction(str(folder))
    except (ValueError, IndexError, RuntimeError, OSError) as error:
        raise _damaged(folder, str(error).splitlines()[0]) from None
    ids = sorted(model.images)
    names = [model.images[one].name for one in ids]
    tracks = (point.track.elements for point in model.points3D.values())
    seen = [(number, spot.image_id) for number, track in enumerate(tracks) for spot in track]
    points, images = np.array(seen, np.int64).reshape(-1, 2).T
    a, b = common_points(np.searchsorted(ids, images), points, len(ids), limits)
    one, other = ([names[row] for row in rows] for rows in (a, b))
    return similar_pairs(folder, one, other, names)


def common_points(images: np.ndarray, points: np.ndarray, n: int, limits: Covisible) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of images that see enough common points; O(sum of squared track lengths), not O(n^2).

    Args:
        images: Image of each observation, int64 ``(o,)`` below n.
        points: 3D point of each observation, int64 ``(o,)``.
        n: Number of images.
        limits: Thresholds for similar pairs.

    Returns:
        The rows of the similar pairs, each int64 ``(p,)``.
    """
    images, points = np.unique(np.stack([images, points]), axis=1)  # a point twice in an image counts once
    sizes = np.bincount(images, minlength=n)
    order = np.lexsort([np.random.default_rng(0).random(len(points)), points])
    kept = order[cumcount(points[order]) < limits.longest_track]
    shape = (n, int(points.max(initial=-1)) + 1)
    sees = sp.csr_array((np.ones(len(kept), np.int32), (images[kept], points[kept])), shape=shape)
    parts = [_of_block(sees, start, sizes, limits) for start in range(0, n, BLOCK)]
    a, b, shared, overlap = (np.concatenate(part) for part in zip(*parts, strict=True)) if parts else np.zeros((4, 0))
    chosen = limits.choose(a, b, shared, overlap)
    return a[chosen], b[chosen]


def _of_block(sees: Any, start: int, sizes: np.ndarray, limits: Covisible) -> tuple[np.ndarray, ...]:
    """Count the common points of a block of images with all later images; return the pairs above the thresholds."""
    product = (sees[start : start + BLOCK] @ sees.T).tocoo()
    a, b, shared = product.coords[0] + start, product.coords[1], product.data
    overlap = shared / np.maximum(np.minimum(sizes[a], sizes[b]), 1)
    keep = (a < b) & limits.enough(shared, overlap)
    return a[keep].astype(np.int64), b[keep].astype(np.int64), shared[keep], overlap[keep]


def _damaged(path: Path, why: str) -> DataError:
    return DataError(f"{path}: not a readable COLMAP model ({why}); copy it again")


def _check_not_truncated(folder: Path) -> None:
    """Check the length of binary files against their counts, because pycolmap hangs on a truncated file.

    Raises:
        DataError: If a file is truncated.
    """
    for name, walk in (("images.bin", _images_end), ("points3D.bin", _points_end)):
        path = folder / name
        if not path.is_file():
            continue
        with path.open("rb") as file:
            size = path.stat().st_size
            if size < _COUNT.size:
                raise _damaged(path, f"{size} bytes")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                end = next((place for place in walk(data) if place > size), None)
        if end is not None:
            raise _damaged(path, f"it ends after {size:,} bytes, in the middle of an entry")


def _images_end(data: mmap.mmap) -> Iterator[int]:
    """Yield the end of each part of images.bin, in bytes."""
    place = _COUNT.size
    for _ in range(_COUNT.unpack_from(data)[0]):
        name = data.find(b"\0", place + _IMAGE)
        spots = (name if name >= 0 else len(data)) + 1
        yield spots + _COUNT.size
        place = spots + _COUNT.size + _COUNT.unpack_from(data, spots)[0] * _SPOT
        yield place


def _points_end(data: mmap.mmap) -> Iterator[int]:
    """Yield the end of each part of points3D.bin, in bytes."""
    place = _COUNT.size
    for _ in range(_COUNT.unpack_from(data)[0]):
        yield place + _POINT + _COUNT.size
        place += _POINT + _COUNT.size + _COUNT.unpack_from(data, place + _POINT)[0] * 8
        yield place
