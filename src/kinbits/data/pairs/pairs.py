"""Similar and dissimilar pairs of items: from labels, from tables, and from 3D reconstructions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from kinbits._util import full_path
from kinbits.data.dataset import Dataset
from kinbits.data.items import digest
from kinbits.data.pairs.colmap import find_models, read_model
from kinbits.data.pairs.pair_files import Covisible, NamedPairs, read_pair_file
from kinbits.data.sources.files import require_file
from kinbits.errors import DataError, UsageError

SHOWN = 3


@dataclass(frozen=True)
class Pairs:
    """Pairwise similarity of n rows: similar and dissimilar pairs, and clusters.

    Rows of different clusters are dissimilar.

    Attributes:
        a: First row of each pair, int64 ``(p,)``.
        b: Second row of each pair, int64 ``(p,)``.
        similar: Whether the two rows are similar, bool ``(p,)``.
        weight: Weight of each pair, float32 ``(p,)``.
        clusters: Cluster of each row, int64 ``(n,)``; -1 if it is unknown.
        sets: Labels of each cluster, bool ``(clusters, C)``, for multi-label data: only clusters without a common label
            are dissimilar. None if all clusters are.

    Raises:
        DataError: If lengths differ, or a pair has the same row twice or a row that does not exist.
    """

    a: np.ndarray
    b: np.ndarray
    similar: np.ndarray
    weight: np.ndarray
    clusters: np.ndarray
    sets: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not len(self.a) == len(self.b) == len(self.similar) == len(self.weight):
            raise DataError("pairs need a, b, similar and weight of one length")
        ends = np.concatenate([self.a, self.b])
        if len(ends) and not 0 <= ends.min() <= ends.max() < len(self.clusters):
            raise DataError(f"pairs name rows {ends.min()} to {ends.max()} of {len(self.clusters)}")
        if (self.a == self.b).any():
            raise DataError("an image is paired with itself; leave such pairs out")

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of all fields."""
        parts = (self.a, self.b, self.similar, self.weight, self.clusters, self.sets)
        return digest(*(b"" if part is None else np.ascontiguousarray(part).tobytes() for part in parts))

    @property
    def has_dissimilar(self) -> bool:
        """Whether there are dissimilar rows: a dissimilar pair, or two clusters."""
        return bool((~self.similar).any()) or len(np.unique(self.clusters[self.clusters >= 0])) > 1

    def select(self, rows: np.ndarray) -> Pairs:
        """Return the pairs and clusters of some rows, renumbered; a pair is kept if both rows are.

        Args:
            rows: Distinct rows, int64 ``(m,)``.
        """
        new_row = np.full(len(self.clusters), -1)
        new_row[rows] = np.arange(len(rows))
        a, b = new_row[self.a], new_row[self.b]
        keep = (a >= 0) & (b >= 0)
        kept = {"a": a[keep], "b": b[keep], "similar": self.similar[keep], "weight": self.weight[keep]}
        return replace(self, **kept, clusters=self.clusters[rows])

    def counts(self) -> dict[str, int]:
        """Return the numbers of similar pairs, dissimilar pairs, and clusters."""
        clusters = len(np.unique(self.clusters[self.clusters >= 0]))
        return {"similar": int(self.similar.sum()), "dissimilar": int((~self.similar).sum()), "clusters": clusters}


def pairs_from_labels(labels: np.ndarray, each: int = 5, *, rng: np.random.Generator | int = 0) -> Pairs:
    """Draw similar pairs of rows with a common label; rows without a common label are dissimilar.

    Args:
        labels: int64 ``(n,)`` with -1 for unlabelled, or multi-hot ``(n, C)``.
        each: Number of pairs drawn per labelled row; a row without a partner gets none.
        rng: Random generator, or a seed.

    Example:
        >>> pairs_from_labels(np.array([0, 0, 1, -1]), each=1).counts()
        {'similar': 2, 'dissimilar': 0, 'clusters': 2}
    """
    rng = np.random.default_rng(rng)
    rows, classes = np.nonzero(labels) if labels.ndim == 2 else (np.flatnonzero(labels >= 0), labels[labels >= 0])
    order = np.argsort(classes, kind="stable")
    members, sizes = rows[order], np.bincount(classes)
    starts = np.cumsum(sizes) - sizes
    position = np.empty(len(order), np.int64)  # of each entry among the members of its class
    position[order] = np.arange(len(order)) - starts[classes[order]]
    entries = np.repeat(np.arange(len(rows)), each)  # an entry is one label of one row
    entries = entries[sizes[classes[entries]] > 1]
    if labels.ndim == 2:  # on average, a row with many labels gets the same number of pairs
        counts = np.bincount(rows, minlength=len(labels))
        entries = entries[rng.random(len(entries)) * counts[rows[entries]] < 1]
    label = classes[entries]
    step = rng.integers(1, np.maximum(sizes[label], 2))  # uniform over the other members
    partner = members[starts[label] + (position[entries] + step) % sizes[label]]
    clusters, sets = _label_clusters(labels)
    similar = np.ones(len(entries), bool)
    return Pairs(rows[entries], partner, similar, similar.astype(np.float32), clusters, sets)


def _label_clusters(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    if labels.ndim == 1:
        return labels.astype(np.int64), None
    sets, clusters = np.unique(labels > 0, axis=0, return_inverse=True)
    clusters = clusters.ravel().astype(np.int64)
    return np.where(labels.any(1), clusters, -1), sets


def open_pairs(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    dataset: Dataset,
    *,
    min_shared: int = 20,
    min_overlap: float = 0.1,
    max_overlap: float = 1.0,
    most: int = 20,
    longest_track: int = 100,
    unknown: Literal["refuse", "skip"] = "refuse",
) -> Pairs:
    """Read pairs from files, and match their names to the rows of a collection.

    A name matches the image with that id, or else the only image whose path ends with the name. Images that the
    collection skipped are ignored. Clusters with a common image, or with a similar pair between them, are merged.

    Args:
        source: One or several of the following. A table (``.csv``, ``.tsv``) of pairs with columns ``path_a, path_b,
            label`` (1 similar, 0 not) and optionally ``weight``. A table of clusters with columns ``path, cluster``. A
            table of common 3D points with columns ``name_a, name_b, shared_points, overlap``. A COLMAP model, text or
            binary, or a folder of models (needs ``kinbits[sfm]``). Each model and each table of common points is one
            cluster.
        dataset: The collection.
        min_shared: Minimum number of common 3D points of a similar pair.
        min_overlap: Minimum ratio of common points to the points of the image with fewer points.
        max_overlap: Maximum ratio of this kind; a value below 1 excludes near duplicates.
        most: Maximum number of similar pairs per image; those with most common points are kept.
        longest_track: Maximum number of images that are used per 3D point; limits the run time.
        unknown: ``"refuse"`` raises an error for a name that is not in the collection, ``"skip"`` ignores it.

    Raises:
        DataError: If a source is missing or damaged, names unknown images, or contradicts another.
        UsageError: If a threshold is out of range, or no source is given.
        PlatformError: If a COLMAP model is given, and pycolmap is not installed.
    """
    limits = Covisible(min_shared, min_overlap, max_overlap, most, longest_track)
    several = isinstance(source, Iterable) and not isinstance(source, (str, bytes, os.PathLike))
    sources: Any = source if several else [source]
    named = [pairs for one in sources for pairs in _read(full_path(one), limits)]
    if not named:
        raise UsageError("no source of pairs is given; name a table or a COLMAP folder")
    return _to_rows(named, dataset, unknown == "skip")


def as_pairs(given: Any, dataset: Dataset, **limits: Any) -> Pairs:
    """Return `Pairs` unchanged, or read pairs from files.

    Args:
        given: `Pairs`, or a source for `open_pairs`.
        dataset: The collection.
        limits: Further arguments of `open_pairs`.

    Raises:
        DataError: If the pairs have another number of rows, or cannot be read.
    """
    if not isinstance(given, Pairs):
        return open_pairs(given, dataset, **limits)
    if len(given.clusters) != len(dataset):
        raise DataError(
            f"the pairs are of {len(given.clusters)} rows, and {dataset.name} has {len(dataset)}; "
            "read them with open_pairs for this collection"
        )
    return given


def _read(path: Path, limits: Covisible) -> Iterable[NamedPairs]:
    if not path.exists():
        raise DataError(f"no pairs in {path}: there is no such file or folder; give a .csv or a COLMAP folder")
    if path.is_dir():
        return (read_model(model, limits) for model in find_models(path))
    require_file(path, "give a .csv or a COLMAP folder")
    return [read_pair_file(path, limits)]


class _RowsByName:
    """Rows of a collection by their names, or by the ends of their paths."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.rows = {str(one): row for row, one in enumerate(dataset.ids.tolist())}
        self.rows |= {skipped.id: -1 for skipped in dataset.skipped if skipped.id not in self.rows}
        self.ends: dict[str, list[str]] = {}
        for one in self.rows:
            self.ends.setdefault(one.rpartition("/")[2], []).append(one)

    def find(self, names: Sequence[str], source: str, skip: bool) -> np.ndarray:
        """Return the row of each name, int64; -1 for skipped names."""
        known = {name: self._row(name, source) for name in set(names)}
        missing = sorted(name for name, row in known.items() if row is None)
        if missing and not skip:
            shown = ", ".join(f"'{name}'" for name in missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
            raise DataError(
                f"{source} names {len(missing)} images that are not in {self.dataset.name} ({shown}; its ids look like "
                f"'{next(iter(self.rows), '')}'); open the data that holds them, correct the names, or leave these out "
                "with open_pairs(..., unknown='skip')"
            )
        return np.array([-1 if (row := known[name]) is None else row for name in names], np.int64)

    def _row(self, name: str, source: str) -> int | None:
        if name in self.rows:
            return self.rows[name]
        ends = [one for one in self.ends.get(name.rpartition("/")[2], ()) if _same_end(one, name)]
        if len(ends) > 1:
            raise DataError(f"{source}: '{name}' may be '{ends[0]}' or '{ends[1]}'; write more of its path")
        return self.rows[ends[0]] if ends else None


def _same_end(one: str, other: str) -> bool:
    return f"/{one}".endswith(f"/{other}") or f"/{other}".endswith(f"/{one}")


def _to_rows(named: Sequence[NamedPairs], dataset: Dataset, skip: bool) -> Pairs:
    """Convert names to rows, and merge the pairs and clusters of several sources."""
    names, n = _RowsByName(dataset), len(dataset)
    rows = [names.find([*one.a, *one.b, *one.members], one.source, skip) for one in named]
    parts = zip(
        *(np.split(part, [len(one.a), 2 * len(one.a)]) for part, one in zip(rows, named, strict=True)), strict=True
    )
    a, b, members = map(np.concatenate, parts)
    similar, weight = (np.concatenate([getattr(one, part) for one in named]) for part in ("similar", "weight"))
    keys = np.concatenate([[f"{number}/{key}" for key in one.clusters] for number, one in enumerate(named)])
    keep = (a >= 0) & (b >= 0)
    a, b = np.minimum(a, b)[keep], np.maximum(a, b)[keep]
    pair, first, index = np.unique(a * n + b, return_index=True, return_inverse=True)
    similar, weight = similar[keep], weight[keep]
    conflicts = similar != similar[first][index]
    if conflicts.any():
        conflict = pair[index[conflicts][0]]
        both = f"'{dataset.ids[conflict // n]}' and '{dataset.ids[conflict % n]}'"
        raise DataError(f"{both} are similar in one line and not similar in another; remove one of the two lines")
    a, b, similar, weight = a[first], b[first], similar[first], weight[first]
    clusters = _merged_clusters(members, keys, np.stack([a, b])[:, similar], n)
    return Pairs(a, b, similar, weight.astype(np.float32), clusters)


def _merged_clusters(members: np.ndarray, keys: np.ndarray, edges: np.ndarray, n: int) -> np.ndarray:
    """Return the cluster of each row after merging clusters with a common image or a similar pair, int64 ``(n,)``."""
    known, key = np.unique(keys[members >= 0], return_inverse=True)
    ends = np.concatenate([np.stack([members[members >= 0], key + n]), edges], axis=1)
    graph = sp.coo_array((np.ones(ends.shape[1], bool), (ends[0], ends[1])), shape=(n + len(known),) * 2)
    part = sp.csgraph.connected_components(graph, directed=False)[1]
    named = np.unique(part[n:])
    cluster = np.searchsorted(named, part[:n])
    inside = np.isin(part[:n], named)
    return np.where(inside, cluster, -1).astype(np.int64)
