"""Official splits of published collections, from a column ``split``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from kinbits.data.dataset import Dataset
from kinbits.data.splits import Draw, SplitRows
from kinbits.errors import DataError


def official(data: Dataset, seed: int) -> tuple[Draw, np.ndarray, np.ndarray, np.ndarray]:
    """Return the shuffler, the labels, and the rows of the official train and test parts.

    Raises:
        DataError: If there are no labels, or no column ``split``.
    """
    if data.labels is None:
        raise DataError(f"{data.name}: the data of this protocol have no labels; get the original files")
    splits = np.asarray(column(data, "split"))
    return Draw(data.ids, seed), data.labels, np.flatnonzero(splits == "train"), np.flatnonzero(splits == "test")


def by_split(data: Dataset, seed: int, *, also_searched: Sequence[str] = ()) -> SplitRows:
    """Return the test rows as queries, and the train rows as train and database.

    Args:
        data: A collection with a column ``split``.
        seed: Seed for shuffling the rows of each part.
        also_searched: Further splits that belong to the database, e.g. ``val``.
    """
    draw, _, train, test = official(data, seed)
    train = draw.shuffled(train)
    query = draw.shuffled(test)
    more = np.flatnonzero(np.isin(np.asarray(column(data, "split")), also_searched)) if also_searched else train[:0]
    database = draw.shuffled(np.concatenate([train, more])) if len(more) else train
    return SplitRows(train, query, database)


def renamed(data: Dataset) -> Dataset:
    """Return the collection with ids split/class/file, because file names can repeat across classes."""
    if data.labels is None or data.label_space is None:
        raise DataError(f"{data.name}: the data of this protocol have no labels; get the original files")
    classes = np.array(data.label_space.names)[data.labels]
    names = data.columns["name"] if "name" in data.columns else [Path(name).stem for name in data.ids.tolist()]
    ids = [f"{s}/{c}/{n}" for s, c, n in zip(column(data, "split"), classes, names, strict=True)]
    return replace(data, ids=np.array(ids, dtype=np.str_))


def split_names(data: Dataset) -> Dataset:
    """Return the collection with ids split/name, or split/row if it has no column ``name``."""
    names = data.columns["name"] if "name" in data.columns else range(len(data))
    ids = [f"{split}/{name}" for split, name in zip(column(data, "split"), names, strict=True)]
    return replace(data, ids=np.array(ids, dtype=np.str_))


def column(data: Dataset, name: str) -> Sequence[object]:
    """Return a column of metadata.

    Raises:
        DataError: If the column does not exist.
    """
    if name not in data.columns:
        raise DataError(f"{data.name}: no column '{name}', which this protocol needs; get the original files")
    return data.columns[name]
