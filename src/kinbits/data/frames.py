"""Frames of animations and pages of TIFF files as items of their own."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from kinbits._util import lazy, processors
from kinbits.data.dataset import Dataset, Skipped
from kinbits.data.decoding import image_of, open_image, open_image_file, read_image_file
from kinbits.data.file_kinds import RAW_EXTENSIONS, may_have_frames
from kinbits.data.file_names import id_of_frame
from kinbits.data.items import CroppedItems, PathItems, digest
from kinbits.errors import UsageError

MAX_FRAMES = 10_000
"""Maximum number of frames of a file that become items."""

_FORMATS = ("AVIF", "GIF", "HEIF", "PNG", "TIFF", "WEBP")  # MPO holds previews and depth maps of one photo
_SMALLER, _SUBFILE = 1, 254
_FEWEST_BYTES = 20  # of a frame
_KEPT_BYTES = 2**26
_kept = threading.local()


@dataclass(frozen=True)
class _Stamp:
    """Tells whether a file is still the one that is open."""

    path: Path
    facts: tuple[int, ...]

    @classmethod
    def from_path(cls, path: Path) -> _Stamp | None:
        try:
            info = os.stat(path)
        except (OSError, ValueError):
            return None
        return cls(path, (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns))


class FrameItems(PathItems):
    """Frames of image files.

    Frames that are read in order cost one decoding each: every thread keeps its last file open.

    Args:
        paths: One path per row.
        frames: int64 ``(n,)`` number of the frame in its file, from 0.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]], frames: np.ndarray) -> None:
        super().__init__(paths)
        self._frames = np.asarray(frames, np.int64)

    def compact(self) -> FrameItems:
        """Return a store of the selected paths and frames alone."""
        return FrameItems(self.paths, self._frames[self.rows])

    @lazy
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the identities of the files, and of the numbers of the frames."""
        return digest("FrameItems", self._files(), self._frames[self.rows].tobytes())

    def content_hash(self) -> str:
        """Return the SHA-256 (hex) of the files, and of the numbers of the frames."""
        return digest(super().content_hash(), self._frames[self.rows].tobytes())

    def image(self, row: int) -> Image.Image:
        """Return the frame of one row as a Pillow RGB image.

        Raises:
            BadImage: If the file cannot be read, or has no such frame.
        """
        place = int(self.rows[row])
        return _read(Path(self._paths[place]), int(self._frames[place]))


def by_frames(dataset: Dataset, threads: int | None = None) -> Dataset:
    """Return a collection with one item for each frame of an animation and each page of a TIFF file.

    The id of a frame is ``path#frame``, from 0; a file with one frame keeps its id. Labels, texts and columns are
    those of the file. Every file is opened once, and only headers are read.

    Args:
        dataset: Image files.
        threads: Number of threads that read; None uses one per processor.

    Raises:
        UsageError: If the items are not image files.
    """
    files = dataset.items
    if not isinstance(files, PathItems) or isinstance(files, (FrameItems, CroppedItems)):
        raise UsageError(f"{dataset.name} holds no image files, so it has no frames; leave frames at 'first'")
    paths = [files.path(row) for row in range(len(files))]
    with ThreadPoolExecutor(threads or processors()) as pool:
        found = list(pool.map(frame_numbers, paths))
    counts = [min(len(numbers), MAX_FRAMES) for numbers in found]
    if max(counts, default=1) == 1:
        return dataset
    rows = np.repeat(np.arange(len(paths)), counts)
    frames = np.concatenate([np.asarray(numbers[:MAX_FRAMES]) for numbers in found])
    several = np.asarray(counts)[rows] > 1
    ids = [
        id_of_frame(dataset.ids[row], frame) if many else str(dataset.ids[row])
        for row, frame, many in zip(rows.tolist(), frames.tolist(), several.tolist(), strict=True)
    ]
    more = [
        Skipped(str(dataset.ids[row]), f"{len(numbers) - MAX_FRAMES:,} frames beyond the first {MAX_FRAMES:,}")
        for row, numbers in enumerate(found)
        if len(numbers) > MAX_FRAMES
    ]
    items = FrameItems([paths[row] for row in rows], frames)
    expanded = dataset.expand(rows, items, np.array(ids, np.str_))
    return replace(expanded, skipped=(*dataset.skipped, *more))


def frame_numbers(path: Path) -> Sequence[int]:
    """Return the numbers of the frames of a file, from 0; ``[0]`` for a still image, and if it cannot be read.

    Pages of a TIFF file that are smaller copies of others do not count. For HEIF, the images of a burst count.
    """
    extension = path.suffix.lower()
    try:
        with open_image_file(path) as file:
            if extension in RAW_EXTENSIONS or not may_have_frames(file.read(32)):
                return [0]
            file.seek(0)
            most = os.fstat(file.fileno()).st_size // _FEWEST_BYTES
            image = open_image(file, extension)
            return _numbers(image, most)
    except Exception:  # Pillow's readers raise many kinds of errors; reading the image will give the reason
        return [0]


def _numbers(image: Image.Image, most: int) -> Sequence[int]:
    count = getattr(image, "n_frames", 1) if image.format in _FORMATS else 1
    if image.format != "TIFF":
        return range(max(1, min(count, most)))
    full = []
    for number in range(min(count, most)):
        image.seek(number)
        tags = getattr(image, "tag_v2", {})
        if not int(tags.get(_SUBFILE, 0)) & _SMALLER:
            full.append(number)
        if len(full) > MAX_FRAMES:
            return range(count)
    return full or [0]


def _read(path: Path, frame: int) -> Image.Image:
    """Decode one frame; the file stays open in this thread for the next frame."""
    stamp = _Stamp.from_path(path)
    image = _take_kept(stamp, frame)
    if image is None:
        data = read_image_file(path)
        image = open_image(io.BytesIO(data), path.suffix.lower())
        keep = len(data) <= _KEPT_BYTES and getattr(image, "n_frames", 1) > 1
    else:
        keep = True
    # The first frame of a file without others is not sought: some readers have no frames at all.
    decoded = image_of(image, frame if frame or getattr(image, "n_frames", 1) > 1 else None)
    if keep and stamp is not None:
        decoded = decoded.copy() if decoded is image else decoded
        _kept.stamp, _kept.image = stamp, image
    return decoded


def _take_kept(stamp: _Stamp | None, frame: int) -> Image.Image | None:
    """Return the open file of this thread, if it is the same and not beyond the frame; it is kept no longer."""
    known, image = getattr(_kept, "stamp", None), getattr(_kept, "image", None)
    _kept.stamp = _kept.image = None
    if stamp is None or known != stamp or image is None or image.tell() >= frame:
        return None
    found: Image.Image = image
    return found
