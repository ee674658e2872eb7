"""Codes of a collection, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kinbits._util import Bar

if TYPE_CHECKING:
    from kinbits._util import Modality
    from kinbits.data import Dataset, Skipped
    from kinbits.model import HashModel

BATCH = 8192
CACHED = 100_000
"""Up to so many images, features are kept in the cache, so that `evaluate` and other models find them there;
beyond, they would fill the disk (2.5 kB an image)."""


@dataclass(frozen=True)
class Encoded:
    """One batch: codes uint8 ``(m, w)`` of the rows of ``dataset``, which lists what could not be read."""

    codes: np.ndarray
    dataset: Dataset


def encoded(model: HashModel, dataset: Dataset, *, first: int = 0, modality: Modality = "image") -> Iterator[Encoded]:
    """Encode a collection in batches of `BATCH` rows, and show progress on standard error.

    Args:
        model: The model.
        dataset: Images or vectors.
        first: Number of the batch to begin with.
        modality: ``"text"`` encodes the texts of the collection instead; rows without one are skipped.
    """
    spans = [(start, min(start + BATCH, len(dataset))) for start in range(first * BATCH, len(dataset), BATCH)]
    if modality == "image" and dataset.kind == "image" and len(dataset) <= CACHED and spans:
        yield from _through_cache(model, dataset, spans)
        return
    with Bar("encoding", len(dataset), shown=True) as bar:
        for start, stop in spans:
            yield _batch(model, _rows(dataset, start, stop), modality)
            bar.update(stop)


def _through_cache(model: HashModel, dataset: Dataset, spans: list[tuple[int, int]]) -> Iterator[Encoded]:
    from kinbits.data import FeatureCache

    model.encode(dataset, on_error="skip", cache=FeatureCache(), progress=True)
    for start, stop in spans:
        yield _batch(model, _rows(dataset, start, stop), "image")


def _batch(model: HashModel, part: Dataset, modality: Modality) -> Encoded:
    found = model.encode(part, modality=modality, on_error="skip")
    lost = np.setdiff1d(np.arange(len(part)), found.rows)
    return Encoded(found.array, part.without(lost, [one.reason for one in found.skipped]) if len(lost) else part)


def _rows(dataset: Dataset, start: int, stop: int) -> Dataset:
    return dataset.select(np.arange(start, stop))


def collect(batches: Iterator[Encoded]) -> tuple[np.ndarray, np.ndarray, dict[str, list[Any]], list[Skipped]]:
    """Join batches to codes, ids, columns and what could not be read."""
    found = list(batches)
    columns: dict[str, list[Any]] = {}
    for batch in found:
        for name, values in batch.dataset.metadata().items():
            columns.setdefault(name, []).extend(values)
    skipped = [one for batch in found for one in batch.dataset.skipped]
    codes, ids = [batch.codes for batch in found], [batch.dataset.ids for batch in found]
    return np.concatenate(codes), np.concatenate(ids), columns, skipped
