"""Label spaces: class names, single-label or multi-label, and an optional class hierarchy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kinbits.errors import UsageError

UNLABELLED = -1


@dataclass(frozen=True)
class LabelSpace:
    """The classes of a collection, with an optional hierarchy that defines their similarity.

    A hierarchy is a tree whose leaves are the classes. Its nodes have numbers: first the classes 0..C-1, then the inner
    nodes C..C+P-1 with the names ``parent_names``. The root has no number. ``parents[i]`` is the parent of node i, or
    -1 if the parent is the root.

    Attributes:
        names: C class names, in the order of the labels.
        multi: Whether an item can have several labels or none (multi-hot rows).
        parents: Parent of each of the C + P nodes, -1 for the root; None without a hierarchy.
        parent_names: Names of the P inner nodes.

    Raises:
        UsageError: If the tree has the wrong length, a cycle, or a class as an inner node.

    Example:
        >>> space = LabelSpace.with_levels(("cat", "dog", "car"), [((0, 0, 1), ("animal", "vehicle"))])
        >>> space.class_similarity().tolist()
        [[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """

    names: tuple[str, ...]
    multi: bool = False
    parents: tuple[int, ...] | None = None
    parent_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.parents is not None:
            _check_tree(self.parents, len(self.names), len(self.parent_names))

    @classmethod
    def with_levels(
        cls,
        names: Sequence[str],
        levels: Sequence[tuple[Sequence[int], Sequence[str]]],
        *,
        multi: bool = False,
    ) -> LabelSpace:
        """Build a label space with a hierarchy from its levels, finest level first.

        Args:
            names: Class names.
            levels: For each level above the classes: the coarse class of each class of the level below, and the names
                of the coarse classes.
            multi: As in the class.

        Raises:
            UsageError: If a level does not fit the level below it.
        """
        parents: list[int] = []
        parent_names: list[str] = []
        below, offset = len(names), len(names)
        for table, coarse in levels:
            if len(table) != below or not all(0 <= int(c) < len(coarse) for c in table):
                raise UsageError(
                    f"a hierarchy level must give each of the {below} classes below it a number in "
                    f"0..{len(coarse) - 1}; got {len(table)} numbers"
                )
            parents += [offset + int(c) for c in table]
            parent_names += [str(name) for name in coarse]
            below, offset = len(coarse), offset + len(coarse)
        return cls(tuple(map(str, names)), multi, (*parents, *([-1] * below)), tuple(parent_names))

    @property
    def classes(self) -> int:
        """Number of classes C."""
        return len(self.names)

    @property
    def hierarchical(self) -> bool:
        """Whether the classes have a hierarchy."""
        return self.parents is not None

    def class_similarity(self) -> np.ndarray:
        """Return the class similarities s(a, b) = 1 - height(lcs(a, b)) / height(root), float64 ``(C, C)``.

        The height of a node is the length of the longest path down to a class; lcs(a, b) is the lowest common ancestor.
        Without a hierarchy, the result is the identity matrix. (Barz and Denzler, Hierarchy-based image embeddings,
        WACV 2019, eq. 1.)
        """
        from kinbits.metrics import class_similarity  # here: reading data needs no metrics

        return np.eye(self.classes) if self.parents is None else class_similarity(self.parents, self.classes)

    def texts(self, labels: np.ndarray) -> list[str | None]:
        """Return the class names of each item, joined by ", "; None without a class.

        Args:
            labels: int64 ``(n,)`` with -1 for no label, or multi-hot ``(n, C)``.
        """
        if labels.ndim == 1:
            return [self.names[c] if c >= 0 else None for c in labels.tolist()]
        return [", ".join(self.names[c] for c in np.flatnonzero(row)) or None for row in labels]

    def describe(self) -> str:
        """Return the number of classes and the kind of labels, in a few words."""
        kind = "multi-label" if self.multi else "single-label"
        tree = f", hierarchy with {len(self.parent_names)} inner nodes" if self.hierarchical else ""
        return f"{self.classes} classes, {kind}{tree}"


def _check_tree(parents: tuple[int, ...], classes: int, inner: int) -> None:
    nodes = classes + inner
    if len(parents) != nodes:
        raise UsageError(f"parents has {len(parents)} entries; {classes} classes + {inner} inner nodes need {nodes}")
    if any(p != -1 and not classes <= p < nodes for p in parents):
        raise UsageError(f"a parent must be -1 (the root) or an inner node {classes}..{nodes - 1}")
    for start in range(classes, nodes):
        node, steps = start, 0
        while node >= 0:
            node, steps = parents[node], steps + 1
            if steps > inner:
                raise UsageError(f"the hierarchy has a cycle at node {start}")
