"""From a collection to codes, bits, logits or features, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from kinbits.backbones import Features, extract
from kinbits.data import Dataset, FeatureCache, Skipped
from kinbits.errors import DataError, UsageError
from kinbits.model.tower import Output, Tower

Progress = Callable[[int, int], None]
OUTPUTS = ("codes", "bits", "logits", "tables", "features", "quality", "concepts")
ON_ERROR = ("raise", "skip")
READY = Dataset, Features  # inputs of `HashModel.encode` that are taken as they are
_NAMED = 3  # items that a message names


@dataclass(frozen=True)
class Encoded:
    """What `HashModel.encode` returns where inputs may be skipped.

    Attributes:
        array: One row for each input that could be read: codes, bits, logits or features.
        rows: The inputs that the rows of ``array`` belong to, int64 ``(m,)``, ascending.
        skipped: The other inputs, with the reason.
    """

    array: np.ndarray
    rows: np.ndarray
    skipped: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        return len(self.array)


def encode_dataset(
    tower: Tower,
    dataset: Dataset | Features,
    output: Output = "codes",
    *,
    batch_size: int,
    cache: FeatureCache | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> Encoded:
    """Encode what can be read of a collection.

    Args:
        tower: The path of one modality.
        dataset: n images, vectors or texts, or their features; rows without a text are skipped where the tower reads
            texts.
        output: What to return of each row; see `Tower.compute`.
        batch_size: Rows whose features are in memory at once.
        cache: Where features are kept between runs, or None.
        strict: Refuse a collection of which something cannot be read.
        progress: Called with (rows done, n).

    Raises:
        DataError: If something cannot be read, and ``strict``.
    """
    if isinstance(dataset, Features):
        return _encode_features(tower, dataset, output, strict)
    rows = _rows_to_read(tower, dataset)
    lost = np.setdiff1d(np.arange(len(dataset)), rows)
    skipped = [Skipped(str(dataset.ids[row]), "no text") for row in lost]
    kept = dataset.select(rows) if len(lost) else dataset
    arrays, places = [], []
    for start, found in _features(tower, kept, batch_size, cache, progress):
        skipped += found.skipped
        if strict and skipped:
            raise _unreadable(tower, len(dataset), skipped)
        part = _encode_features(tower, found, output)
        arrays.append(part.array)
        places.append(rows[start + part.rows])
    return Encoded(np.concatenate(arrays), np.concatenate(places), tuple(skipped))


def _encode_features(tower: Tower, found: Features, output: Output, strict: bool = False) -> Encoded:
    """Encode the valid rows of features."""
    if strict and found.skipped:
        raise _unreadable(tower, len(found), list(found.skipped))
    valid = np.flatnonzero(found.valid)
    array = tower.compute(found.array if len(valid) == len(found) else found.array[valid], output)
    return Encoded(array, valid, found.skipped)


def _rows_to_read(tower: Tower, dataset: Dataset) -> np.ndarray:
    reads_text = tower.backbone.modality == "text" and dataset.texts is not None
    return np.flatnonzero(dataset.has_text) if reads_text else np.arange(len(dataset))


def _features(
    tower: Tower, dataset: Dataset, batch_size: int, cache: FeatureCache | None, progress: Progress | None
) -> Iterator[tuple[int, Features]]:
    """Yield features, and the row that they begin at: batch by batch, or all together from the cache."""
    if cache is not None:
        yield 0, extract(dataset, tower.backbone, cache=cache, progress=progress)
        return
    total = len(dataset)
    for start in range(0, max(total, 1), batch_size):
        part = dataset.select(np.arange(start, min(start + batch_size, total))) if total > batch_size else dataset
        yield start, extract(part, tower.backbone, progress=_from(start, total, progress))


def _from(start: int, total: int, progress: Progress | None) -> Progress | None:
    return None if progress is None else lambda done, _: progress(start + done, total)


def _unreadable(tower: Tower, total: int, skipped: list[Skipped]) -> DataError:
    named = "; ".join(f"{one.id}: {one.reason}" for one in skipped[:_NAMED])
    return DataError(
        f"{len(skipped)} of {total} {tower.backbone.modality}s cannot be read ({named}); leave them out, or encode "
        "with on_error='skip', which lists them"
    )


def check_encode_options(output: str, on_error: str, batch_size: int) -> None:
    """Refuse options that are none.

    Raises:
        UsageError: If one has a value that is not allowed.
    """
    for name, given, allowed in (("output", output, OUTPUTS), ("on_error", on_error, ON_ERROR)):
        if given not in allowed:
            raise UsageError(f"{name}={given!r} is unknown; allowed: {', '.join(allowed)}")
    if not isinstance(batch_size, Integral) or batch_size < 1:
        raise UsageError(f"batch_size={batch_size!r} is no number of rows; give 1 or more")
