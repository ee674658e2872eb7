"""Relevance by the similarity of classes in a hierarchy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinbits.errors import DataError, UsageError, unknown_name
from kinbits.metrics.groups import Floats, Scale
from kinbits.metrics.relevance import GroupedRelevance, Levels, checked_labels

Similarity = Literal["height", "wu-palmer"]
_RULES = ("height", "wu-palmer")


class HierarchyRelevance(GroupedRelevance):
    """Relevance by the similarity of classes: the nearer two classes are in a tree, the higher the grade.

    The grade is the similarity of the two classes. In metrics without grades, only the same class is relevant.

    Args:
        query_labels: Class numbers, int ``(q,)``.
        database_labels: Class numbers, int ``(n,)``.
        parents: The node above each node, -1 for the root; the classes are the nodes 0..C-1, inner nodes follow (the
            layout of `kinbits.data.LabelSpace`). An inner node need not have a class below it.
        classes: Number of classes C.
        similarity: ``"height"``: 1 - height(lcs) / height(root), where lcs is the lowest node above both classes and
            height the longest way down to a class (Deng et al., CVPR 2011; Barz and Denzler, WACV 2019, eq. 1).
            ``"wu-palmer"``: 2 depth(lcs) / (depth(a) + depth(b)), the root having depth 1 (Wu and Palmer, ACL 1994).

    Raises:
        DataError: If a label is no class of the tree, or items have several labels.
        UsageError: If the tree has a cycle or a node below a class, or the similarity is unknown.

    Example:
        >>> from kinbits.metrics import HierarchyRelevance
        >>> tree = [3, 3, 4, -1, -1]  # cat and dog below animal, car below vehicle
        >>> HierarchyRelevance([0], [0, 1, 2], tree, 3).scale.grades.tolist()
        [0.0, 0.5, 1.0]
    """

    def __init__(
        self,
        query_labels: ArrayLike,
        database_labels: ArrayLike,
        parents: Sequence[int],
        classes: int,
        *,
        similarity: Similarity = "height",
    ) -> None:
        query, database = checked_labels(query_labels, database_labels)
        if query.ndim != 1:
            raise DataError("items with several labels have no one place in a hierarchy; give class numbers (n,)")
        if similarity not in _RULES:
            raise unknown_name("similarity of classes", similarity, _RULES)
        values = class_similarity(parents, classes, similarity)
        for labels in (query, database):
            if len(labels) and not (labels.min() >= 0 and labels.max() < len(values)):
                raise DataError(
                    f"labels go from {labels.min()} to {labels.max()}, the tree has classes 0..{len(values) - 1}"
                )
        grades, places = np.unique(values, return_inverse=True)
        if grades[0] > 0:  # level 0 has the grade 0
            grades, places = np.concatenate([[0.0], grades]), places + 1
        self._query, self._levels = query, places.reshape(values.shape).astype(np.uint16)
        super().__init__(database, len(query), Scale.from_grades(grades, grades == 1))

    def table(self, start: int, stop: int) -> Levels:
        """Return how similar each class is to those of queries ``start`` to ``stop``, as a level."""
        return np.asarray(self._levels[self._query[start:stop]])


def class_similarity(parents: Sequence[int], classes: int, rule: Similarity = "height") -> Floats:
    """Return the similarity of every two classes of a tree, float64 ``(C, C)``; arguments as above.

    Raises:
        UsageError: If the tree has a cycle, a node that does not exist, or a node below a class.
    """
    if not 0 < classes <= len(parents):
        raise UsageError(f"a tree of {len(parents)} nodes cannot have {classes} classes; the classes come first")
    paths = [_path(parents, classes, start) for start in range(classes)]
    common = _common_depth(paths)
    depth = np.array([len(path) for path in paths]) + 1  # of the root: 1
    if rule == "wu-palmer":
        return np.asarray(2.0 * (common + 1) / (depth[:, None] + depth))
    below: dict[int, int] = {}  # height of each node above a class
    for path in paths:
        for height, node in enumerate((*reversed(path), -1)):
            below[node] = max(below.get(node, 0), height)
    heights = np.array([[below[-1], *(below[node] for node in path)] for path in _even(paths)])
    return np.asarray(1.0 - heights[np.arange(classes)[:, None], common] / below[-1])


def _path(parents: Sequence[int], classes: int, start: int) -> list[int]:
    """Return the nodes on the way from below the root to a class."""
    node, path = start, list[int]()
    while node != -1:
        if not 0 <= node < len(parents) or len(path) > len(parents):
            raise UsageError(f"the way up from node {start} leaves the tree or never ends; check `parents`")
        if path and node < classes:
            raise UsageError(
                f"node {path[-1]} is below the class {node}; only nodes from {classes} on may have children"
            )
        path.append(node)
        node = int(parents[node])
    return path[::-1]


def _even(paths: list[list[int]]) -> list[list[int]]:
    """Make paths equally long by repeating their last node."""
    longest = max(map(len, paths))
    return [path + path[-1:] * (longest - len(path)) for path in paths]


def _common_depth(paths: list[list[int]]) -> NDArray[np.int64]:
    """Return how many nodes below the root the ways to two classes share, int64 ``(C, C)``."""
    longest = max(map(len, paths))
    filled = np.array([path + [-2 - row] * (longest - len(path)) for row, path in enumerate(paths)])
    shared = np.zeros((len(paths), len(paths)), np.int64)
    for level in filled.T:
        shared += level[:, None] == level
    own = np.arange(len(paths))
    shared[own, own] = [len(path) for path in paths]
    return shared
