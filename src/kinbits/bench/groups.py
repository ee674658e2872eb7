"""Groups of methods in tables: methods that learn from the same kind of data compete with each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from kinbits.bench.cells import Cell
from kinbits.bench.sources import is_file
from kinbits.evaluation import UNCOMPRESSED
from kinbits.methods import describe_method, list_methods

Row = tuple[str, tuple[Cell | None, ...]]  # label, one cell for each code length

OTHERS = "other methods"
BASELINES, SUPERVISED = "baselines", "supervised"
ORDER = ("training-free", "unsupervised", BASELINES, SUPERVISED, "images and texts", OTHERS)


@dataclass(frozen=True)
class Group:
    """Rows of a table below one heading.

    Attributes:
        name: That of `group_of`.
        rows: Label and cells, None where there is no result.
    """

    name: str
    rows: tuple[Row, ...]

    @property
    def heading(self) -> str:
        """The name as a heading."""
        return self.name.capitalize()

    def only(self, wanted: Callable[[str], bool]) -> Group:
        """Return the group with the rows whose label is wanted."""
        return Group(self.name, tuple(row for row in self.rows if wanted(row[0])))

    def top(self, count: int) -> list[str]:
        """Return the labels of the best rows, by the sum of their means; the uncompressed features do not count."""
        ranked = sorted((row for row in self.rows if row[0] != UNCOMPRESSED), key=lambda row: -_sum(row[1]))
        return [label for label, _ in ranked[:count]]


def method_of(label: str) -> str:
    """Return the method that a label belongs to: ``csq`` of ``csq (no penalty)``."""
    return label if label == UNCOMPRESSED else label.partition(" ")[0]


def group_of(method: str) -> str:
    """Return the group of a method: a name, or the path of a file that registers one."""
    if method == UNCOMPRESSED:
        return "training-free"
    return describe_method(method).group if is_file(method) or method in list_methods() else OTHERS


def grouped(names: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the labels of each group, by label -> group; groups that `ORDER` lacks come last, and none is left out."""
    order = [*ORDER, *names.values()]
    found = {name: [label for label, own in names.items() if own == name] for name in order}
    return {name: labels for name, labels in found.items() if labels}


def competing(names: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the labels that compete with each other: as `grouped`, but baselines compete with supervised methods.

    The uncompressed features compete with no codes.
    """
    return grouped(
        {label: SUPERVISED if own == BASELINES else own for label, own in names.items() if label != UNCOMPRESSED}
    )


def _sum(cells: Iterable[Cell | None]) -> float:
    return sum(cell.mean if cell else 0.0 for cell in cells)
