"""Tables of pairs, of clusters, and of images that see common 3D points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kinbits._util import cumcount, parse_float
from kinbits.data.sources.csv import read_csv
from kinbits.errors import DataError, UsageError

A, B = ("path_a", "name_a", "id_a"), ("path_b", "name_b", "id_b")
ONE, CLUSTER = ("path", "name", "id"), ("cluster", "cluster_id")
FORMS = "path_a,path_b,label[,weight] or path,cluster or name_a,name_b,shared_points,overlap"


@dataclass(frozen=True)
class Covisible:
    """Thresholds for similar images of one reconstruction.

    Attributes:
        min_shared: Minimum number of common 3D points.
        min_overlap: Minimum ratio of common points to the points of the image with fewer points.
        max_overlap: Maximum ratio of this kind.
        most: Maximum number of similar pairs per image.
        longest_track: Maximum number of images that are used per 3D point.

    Raises:
        UsageError: If a threshold is out of range.
    """

    min_shared: int = 20
    min_overlap: float = 0.1
    max_overlap: float = 1.0
    most: int = 20
    longest_track: int = 100

    def __post_init__(self) -> None:
        if self.min_shared < 1 or self.most < 1 or self.longest_track < 2:
            raise UsageError(
                f"min_shared {self.min_shared}, most {self.most}, longest_track {self.longest_track}: "
                "need at least 1, 1 and 2"
            )
        if not 0 <= self.min_overlap <= self.max_overlap <= 1:
            raise UsageError(
                f"min_overlap {self.min_overlap}, max_overlap {self.max_overlap}: "
                "need 0 <= min_overlap <= max_overlap <= 1"
            )

    def enough(self, shared: np.ndarray, overlap: np.ndarray) -> np.ndarray:
        """Return the mask of the pairs above the thresholds, bool ``(p,)``."""
        kept: np.ndarray = (shared >= self.min_shared) & (overlap >= self.min_overlap) & (overlap <= self.max_overlap)
        return kept

    def choose(self, a: np.ndarray, b: np.ndarray, shared: np.ndarray, overlap: np.ndarray) -> np.ndarray:
        """Return the mask of the pairs above the thresholds and among the best of one image, bool ``(p,)``."""
        rows = np.flatnonzero(self.enough(shared, overlap))
        ends = np.concatenate([a[rows], b[rows]])
        others, points = np.concatenate([b[rows], a[rows]]), np.tile(shared[rows], 2)
        order = np.lexsort([others, -points, ends])
        best = order[cumcount(ends[order]) < self.most]
        chosen = np.zeros(len(a), bool)
        chosen[np.tile(rows, 2)[best]] = True
        return chosen


@dataclass
class NamedPairs:
    """Pairs and clusters of images, by the names in the source.

    Attributes:
        source: Name of the source in errors.
        a: First image of each pair.
        b: Second image of each pair.
        similar: Whether the two images are similar, bool ``(p,)``.
        weight: Weight of each pair, float ``(p,)``.
        members: Images with a known cluster.
        clusters: Clusters of the members.
    """

    source: str
    a: Sequence[str] = ()
    b: Sequence[str] = ()
    similar: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    weight: np.ndarray = field(default_factory=lambda: np.zeros(0))
    members: Sequence[str] = ()
    clusters: Sequence[str] = ()


def read_pair_file(path: Path, limits: Covisible) -> NamedPairs:
    """Read a table of pairs, of clusters, or of common points; the header determines the kind.

    Args:
        path: A ``.csv`` file, or a ``.tsv`` file with tabs.
        limits: Thresholds for similar pairs, for tables of common points.

    Raises:
        DataError: If the table has other columns, or a value is out of range.
    """
    columns = _table(path)
    a, b, one, cluster = (_first(columns, names) for names in (A, B, ONE, CLUSTER))
    if a is not None and b is not None and "label" in columns:
        return _labelled(path, a, b, columns)
    if a is not None and b is not None and {"shared_points", "overlap"} <= set(columns):
        shared, overlap = (_numbers(path, columns, name) for name in ("shared_points", "overlap"))
        names, ends = np.unique([*a, *b], return_inverse=True)
        first, second = ends.reshape(2, -1)
        chosen = np.flatnonzero(limits.choose(first, second, shared, overlap))
        return similar_pairs(path, [a[row] for row in chosen], [b[row] for row in chosen], names.tolist())
    if one is not None and cluster is not None:
        return NamedPairs(str(path), members=one, clusters=cluster)
    raise DataError(f"{path} has columns {', '.join(columns)}; a table of pairs starts with a line {FORMS}")


def similar_pairs(path: Path, a: list[str], b: list[str], members: list[str]) -> NamedPairs:
    """Return similar pairs of images, with all members in one cluster."""
    full = np.ones(len(a))
    return NamedPairs(str(path), a, b, full > 0, full, members, [""] * len(members))


def _first(columns: dict[str, list[str]], names: Sequence[str]) -> list[str] | None:
    return next((columns[name] for name in names if name in columns), None)


def _labelled(path: Path, a: list[str], b: list[str], columns: dict[str, list[str]]) -> NamedPairs:
    label = _numbers(path, columns, "label")
    wrong = np.flatnonzero((label != 0) & (label != 1))
    if len(wrong):
        raise DataError(f"{path}, line {wrong[0] + 2}: label is {columns['label'][wrong[0]]}; give 1 similar, 0 not")
    weight = _numbers(path, columns, "weight") if "weight" in columns else np.ones(len(a))
    wrong = np.flatnonzero(weight < 0)
    if len(wrong):
        raise DataError(f"{path}, line {wrong[0] + 2}: weight is {weight[wrong[0]]}; give 0 or more")
    selves = [row for row, (one, other) in enumerate(zip(a, b, strict=True)) if one == other]
    if selves:
        raise DataError(f"{path}, line {selves[0] + 2}: '{a[selves[0]]}' is paired with itself; remove the line")
    return NamedPairs(str(path), a, b, label == 1, weight)


def _table(path: Path) -> dict[str, list[str]]:
    """Return all columns as text, so that a name such as 0012 does not change."""
    try:
        table = read_csv(path)
    except (DataError, OSError) as error:
        raise DataError(f"{error}; a table of pairs has a first line {FORMS}") from None
    columns = {name.strip().lower(): table[name].to_pylist() for name in table.column_names}
    return {name: [cell or "" for cell in cells] for name, cells in columns.items()}


def _numbers(path: Path, columns: dict[str, list[str]], name: str) -> np.ndarray:
    try:
        values = np.array([parse_float(cell) for cell in columns[name]], np.float64)
    except ValueError:
        values = np.full(1, np.nan)
    if not np.isfinite(values).all():
        raise DataError(f"{path}: column {name} holds a value that is not a finite number; correct it")
    return values
