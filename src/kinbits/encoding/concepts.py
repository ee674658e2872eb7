"""Codes and concepts of a collection from one pass over its images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kinbits._util import Bar
from kinbits.data import Dataset, FeatureCache, Skipped
from kinbits.errors import UsageError

if TYPE_CHECKING:
    from kinbits.model import Encoded, HashModel

BATCH = 8192


def encode_with_concepts(
    model: HashModel,
    dataset: Dataset,
    *,
    on_error: Literal["raise", "skip"] = "skip",
    batch_size: int = BATCH,
    cache: FeatureCache | None = None,
    progress: bool = False,
) -> tuple[Encoded, np.ndarray]:
    """Return the codes of what can be read of a collection, and rows of concepts of the same items, uint8 ``(m, c)``.

    Args:
        model: Makes the codes.
        dataset: n images.
        on_error: ``"skip"`` leaves out what cannot be read; ``"raise"`` refuses it.
        batch_size: Maximum number of rows whose features are in memory at once.
        cache: Where features are kept between runs; without one, features of a batch are computed once for both.
        progress: Show progress on standard error.

    Raises:
        UsageError: If the model gives no concepts.
        DataError: If an item cannot be read, and is not to be skipped.
    """
    if not model.tower().gives_concepts:
        raise UsageError(
            "concepts are classes of an EfficientNet-Lite as it was published, and this model has another backbone, or "
            "a fine-tuned one; leave concepts out"
        )
    if cache is not None:
        codes: Any = model.encode(dataset, on_error="skip", cache=cache, progress=progress)
        concepts = model.encode(dataset, output="concepts", on_error="skip", cache=cache).array
    else:
        codes, concepts = _in_batches(model, dataset, batch_size, progress)
    if on_error == "raise" and codes.skipped:
        model.encode(dataset.select(np.setdiff1d(np.arange(len(dataset)), codes.rows)))  # names what cannot be read
    return codes, concepts


def _in_batches(model: HashModel, dataset: Dataset, batch_size: int, progress: bool) -> tuple[Encoded, np.ndarray]:
    from kinbits.model import Encoded

    tower, total = model.tower(), len(dataset)
    codes, concepts, rows = [], [], []
    skipped: list[Skipped] = []
    with Bar("encoding images", total, shown=progress) as bar:
        for start in range(0, max(total, 1), batch_size):
            part = dataset.select(np.arange(start, min(start + batch_size, total))) if total > batch_size else dataset
            found = model.encode(part, output="features", on_error="skip")
            codes.append(tower.compute(found.array))
            concepts.append(tower.compute(found.array, "concepts"))
            rows.append(start + found.rows)
            skipped += found.skipped
            bar.update(min(start + batch_size, total))
    return Encoded(np.concatenate(codes), np.concatenate(rows), tuple(skipped)), np.concatenate(concepts)
