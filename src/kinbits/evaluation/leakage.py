"""Whether a model was trained on the queries that it is evaluated with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import numpy as np

from kinbits.data import Dataset, Splits, split_folder
from kinbits.errors import DataError
from kinbits.model import HashModel


def leakage(model: HashModel, splits: Splits) -> str:
    """Say what a model was trained on, if queries were among it; its numbers are then too good.

    A model remembers the images that it was trained on as one fingerprint. It is compared with those of the queries
    and, where a seed drew the parts, of the whole collection and of the training part of seed 0. Sets that overlap in
    part are not found.

    Args:
        model: The model.
        splits: What it is evaluated on.

    Returns:
        The images that it was trained on, in words, such as ``all of photos, the queries among them``; empty where no
        query is known to be among them.
    """
    if _trained_on(model, splits.train):
        return ""
    found = (words for words, part in _suspects(splits) if _trained_on(model, part) and _holds_a_query(part, splits))
    return next(found, "")


def _suspects(splits: Splits) -> Iterator[tuple[str, Dataset]]:
    """Yield what a model may have been trained on by mistake, the nearest mistake first."""
    yield "the queries", splits.query
    if splits.collection is None:
        return
    yield f"all of {splits.collection.name}, the queries among them", splits.collection
    with suppress(DataError):  # too few images for the usual shares
        first = split_folder(splits.collection).train
        yield f"the training part that seed 0 draws of {splits.collection.name}, which holds some of the queries", first


def _trained_on(model: HashModel, part: Dataset) -> bool:
    """Tell whether a model was trained on exactly these images, with or without their texts."""
    return bool(len(part)) and model.training.get("images_fingerprint") == part.items.fingerprint


def _holds_a_query(part: Dataset, splits: Splits) -> bool:
    return bool(np.isin(splits.query.ids, part.ids).any())
