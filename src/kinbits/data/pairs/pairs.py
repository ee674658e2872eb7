"""Pairs of items that belong together or do not: from labels, from tables, and from 3D reconstructions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from kinbits.data.dataset import Dataset
from kinbits.data.items import digest
from kinbits.data.pairs.colmap import find_models, read_model
from kinbits.data.pairs.pair_files import Covisible, NamedPairs, read_pair_file
from kinbits.data.sources.files import require_file
from kinbits.errors import DataError, UsageError

SHOWN = 3


@dataclass(frozen=True)
class Pairs:
    """What is known of n rows: pairs that are similar or not, and clusters whose rows are never similar.

    Attributes:
        a: One row of each pair, int64 ``(p,)``.
        b: The other row, int64 ``(p,)``.
        similar: Whether the two belong together, bool ``(p,)``.
        weight: How much the pair counts, float32 ``(p,)``.
        clusters: Cluster of each row, int64 ``(n,)``; -1 where it is unknown.
        sets: Where clusters may overlap: the labels of each cluster, bool ``(clusters, C)``; two clusters are apart if
            they share none. None: any two are.

    Raises:
        DataError: If a pair holds one row twice, or rows that are not there.
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
        """Identity of all that is known (sha256 hex)."""
        parts = (self.a, self.b, self.similar, self.weight, self.clusters, self.sets)
        return digest(*(b"" if part is None else np.ascontiguousarray(part).tobytes() for part in parts))

    @property
    def tells_apart(self) -> bool:
        """Whether anything is known to be dissimilar."""
        return bool((~self.similar).any()) or len(np.unique(self.clusters[self.clusters >= 0])) > 1

    def select(self, rows: np.ndarray) -> Pairs:
        """Return what is known of some rows, renumbered; a pair stays if both its rows do.

        Args:
            rows: Distinct rows, int64 ``(m,)``.
        """
        place = np.full(len(self.clusters), -1)
        place[rows] = np.arange(len(rows))
        a, b = place[self.a], place[self.b]
        keep = (a >= 0) & (b >= 0)
        kept = {"a": a[keep], "b": b[keep], "similar": self.similar[keep], "weight": self.weight[keep]}
        return replace(self, **kept, clusters=self.clusters[rows])

    def counts(self) -> dict[str, int]:
        """Return how many pairs are similar, how many are not, and how many clusters there are."""
        clusters = len(np.unique(self.clusters[self.clusters >= 0]))
        return {"similar": int(self.similar.sum()), "dissimilar": int((~self.similar).sum()), "clusters": clusters}


def pairs_from_labels(labels: np.ndarray, each: int = 5, *, rng: np.random.Generator | int = 0) -> Pairs:
    """Draw similar pairs of rows that share a label; rows that share none are apart.

    Args:
        labels: int64 ``(n,)`` with -1 for unlabelled, or multi-hot ``(n, C)``.
        each: Partners drawn for every labelled row; a row that is alone with its labels gets none.
        rng: Where randomness comes from, or a seed.

    Example:
        >>> pairs_from_labels(np.array([0, 0, 1, -1]), each=1).counts()
        {'similar': 2, 'dissimilar': 0, 'clusters': 2}
    """
    rng = np.random.default_rng(rng)
    rows, classes = np.nonzero(labels) if labels.ndim == 2 else (np.flatnonzero(labels >= 0), labels[labels >= 0])
    order = np.argsort(classes, kind="stable")
    members, sizes = rows[order], np.bincount(classes)
    starts = np.cumsum(sizes) - sizes
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - starts[classes[order]]
    own = np.repeat(np.arange(len(rows)), each)  # one entry for each label of a row
    own = own[sizes[classes[own]] > 1]
    if labels.ndim == 2:  # as many pairs for a row of many labels as for others
        counts = np.bincount(rows, minlength=len(labels))
        own = own[rng.random(len(own)) * counts[rows[own]] < 1]
    kind = classes[own]
    step = rng.integers(1, np.maximum(sizes[kind], 2))  # to another member, each as likely
    partner = members[starts[kind] + (place[own] + step) % sizes[kind]]
    clusters, sets = _label_clusters(labels)
    full = np.ones(len(own), bool)
    return Pairs(rows[own], partner, full, full.astype(np.float32), clusters, sets)


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
    """Read pairs, and match their names to the rows of a collection.

    A name means the image of that id, or else the one image of whose path it is the end. Names of images that the
    collection had to skip are passed over. Clusters that share an image, or are joined by a similar pair, become one.

    Args:
        source: One or several of: a table (``.csv``, ``.tsv``) of pairs with columns ``path_a, path_b, label`` (1
            similar, 0 not) and perhaps ``weight``; one of clusters with columns ``path, cluster``; one of images that
            see common 3D points, ``name_a, name_b, shared_points, overlap``; a COLMAP model, text or binary, or a
            folder of models (needs ``kinbits[sfm]``). Each model and each table of common points is one cluster.
        dataset: Whose rows are meant.
        min_shared: Least number of common 3D points of a similar pair.
        min_overlap: Least ratio of common points to the points of that image of the two that sees fewer.
        max_overlap: Largest such ratio; below 1 it leaves out near duplicates.
        most: Similar pairs kept for each image, those with most common points.
        longest_track: Images taken at most of those that see one point, which bounds the work.
        unknown: Whether names that the collection lacks are an error, or are skipped.

    Raises:
        DataError: If a source is missing or damaged, names unknown images, or contradicts itself.
        UsageError: If a threshold is out of range.
        PlatformError: If a COLMAP model is given, and pycolmap is not installed.
    """
    limits = Covisible(min_shared, min_overlap, max_overlap, most, longest_track)
    sources = [source] if isinstance(source, (str, os.PathLike)) else source
    found = [named for one in sources for named in _read(Path(one).expanduser(), limits)]
    if not found:
        raise UsageError("no source of pairs is given; name a table or a COLMAP folder")
    return _bind(found, dataset, unknown == "skip")


def as_pairs(given: Any, dataset: Dataset, **limits: Any) -> Pairs:
    """Return given pairs of a collection's rows, read from their source unless they are `Pairs` already.

    Args:
        given: `Pairs`, or what `open_pairs` reads.
        dataset: Whose rows are meant.
        limits: Other arguments of `open_pairs`.

    Raises:
        DataError: If they are of another number of rows, or cannot be read.
    """
    if not isinstance(given, Pairs):
        return open_pairs(given, dataset, **limits)
    if len(given.clusters) != len(dataset):
        raise DataError(
            f"the pairs are of {len(given.clusters)} rows, and {dataset.name} has {len(dataset)}; "
            "read them with open_pairs for this very collection"
        )
    return given


def _read(path: Path, limits: Covisible) -> Iterable[NamedPairs]:
    if not path.exists():
        raise DataError(f"no pairs in {path}: there is no such file or folder; give a .csv or a COLMAP folder")
    if path.is_dir():
        return (read_model(model, limits) for model in find_models(path))
    require_file(path, "give a .csv or a COLMAP folder")
    return [read_pair_file(path, limits)]


class _Names:
    """The rows that names stand for."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.rows = {str(one): row for row, one in enumerate(dataset.ids.tolist())}
        self.rows |= {skipped.id: -1 for skipped in dataset.skipped if skipped.id not in self.rows}
        self.ends: dict[str, list[str]] = {}
        for one in self.rows:
            self.ends.setdefault(one.rpartition("/")[2], []).append(one)

    def find(self, names: Sequence[str], source: str, skip: bool) -> np.ndarray:
        """Return a row for each name, int64; -1 for what is skipped."""
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


def _bind(found: Sequence[NamedPairs], dataset: Dataset, skip: bool) -> Pairs:
    """Turn names into rows, and join what several sources say."""
    names, n = _Names(dataset), len(dataset)
    rows = [names.find([*one.a, *one.b, *one.members], one.source, skip) for one in found]
    parts = zip(
        *(np.split(part, [len(one.a), 2 * len(one.a)]) for part, one in zip(rows, found, strict=True)), strict=True
    )
    a, b, members = map(np.concatenate, parts)
    similar, weight = (np.concatenate([getattr(one, part) for one in found]) for part in ("similar", "weight"))
    keys = np.concatenate([[f"{number}/{key}" for key in one.clusters] for number, one in enumerate(found)])
    keep = (a >= 0) & (b >= 0)
    a, b = np.minimum(a, b)[keep], np.maximum(a, b)[keep]
    pair, first, place = np.unique(a * n + b, return_index=True, return_inverse=True)
    similar, weight = similar[keep], weight[keep]
    if (similar != similar[first][place]).any():
        worst = pair[place[similar != similar[first][place]][0]]
        both = f"'{dataset.ids[worst // n]}' and '{dataset.ids[worst % n]}'"
        raise DataError(f"{both} are said to be similar and not to be; keep one of the two lines")
    a, b, similar, weight = a[first], b[first], similar[first], weight[first]
    clusters = _joined(members, keys, np.stack([a, b])[:, similar], n)
    return Pairs(a, b, similar, weight.astype(np.float32), clusters)


def _joined(members: np.ndarray, keys: np.ndarray, edges: np.ndarray, n: int) -> np.ndarray:
    """Number clusters after joining those with a common image or a similar pair between them, int64 ``(n,)``."""
    known, key = np.unique(keys[members >= 0], return_inverse=True)
    ends = np.concatenate([np.stack([members[members >= 0], key + n]), edges], axis=1)
    graph = sp.coo_array((np.ones(ends.shape[1], bool), (ends[0], ends[1])), shape=(n + len(known),) * 2)
    part = sp.csgraph.connected_components(graph, directed=False)[1]
    named = np.unique(part[n:])
    place = np.searchsorted(named, part[:n])
    inside = np.isin(part[:n], named)
    return np.where(inside, place, -1).astype(np.int64)
