"""Hits as a table: the columns that fit the terminal, and a word on those that do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kinbits._util import printable, shortened
from kinbits.cli.output import cell_text, console, show, table
from kinbits.errors import unknown_name

if TYPE_CHECKING:
    from kinbits.index import Hits

OWN = ("id", "distance")  # these are always shown
CONCEPTS = "concepts"  # the classes through which words found an item
LONGEST = 60  # characters of a text in a table
_NARROWEST = 20  # characters of a long text's column; more where there is room
_GAP = 3  # blanks between two columns
_NAMED = 4  # columns that the hint names


class HitsTable:
    """Prints the hits of one query after another in the same columns.

    Args:
        known: Metadata columns of the index.
        chosen: Columns to show whether they fit or not; empty takes those that fit.

    Raises:
        UsageError: A chosen column is not among the known ones.
    """

    def __init__(self, known: Sequence[str], chosen: Sequence[str]) -> None:
        self._chosen = _split(chosen, [*OWN, CONCEPTS, *known])
        self._hidden: list[str] = []

    def show(self, title: str, hits: Hits) -> None:
        """Print the hits of one query."""
        if not len(hits):
            show(f"{printable(title)}: nothing found")
            return
        rows = [{name: _cut(name, value) for name, value in row.items()} for row in hits.to_dicts()]
        columns = self._columns(rows)
        console().print(table(columns, ([row.get(name) for name in columns] for row in rows), title=title))

    @property
    def hint(self) -> str | None:
        """Say which columns were left out, and how they are shown."""
        if not self._hidden:
            return None
        more = ", ..." if len(self._hidden) > _NAMED else ""
        what = "column" if len(self._hidden) == 1 else "columns"
        named = ", ".join(self._hidden[:_NAMED]) + more
        return f"+{len(self._hidden)} {what}: {named}; --columns NAMES chooses, --json shows all"

    def _columns(self, rows: Sequence[dict[str, Any]]) -> list[str]:
        present = list(dict.fromkeys(name for row in rows for name in row))
        if self._chosen:
            return [*OWN, *(name for name in self._chosen if name not in OWN)]
        left, fitting = console().width, []
        for name in sorted(present, key=lambda name: (name not in OWN, name != CONCEPTS, name != "label")):
            needed = _least_width(name, [row.get(name) for row in rows]) + _GAP
            if name in OWN or needed <= left:
                fitting.append(name)
                left -= needed
            elif name not in self._hidden:
                self._hidden.append(name)
        return fitting


def _least_width(name: str, cells: Sequence[Any]) -> int:
    """Return the width below which a column is hard to read: that of its cells, but long texts may be folded."""
    longest = max(len(cell_text(cell)) for cell in cells)
    folded = min(longest, _NARROWEST) if any(isinstance(cell, str) for cell in cells) else longest
    return max(folded, min(len(printable(name)), _NARROWEST))


def _cut(name: str, value: Any) -> Any:
    """Cut a long text, but no id, which a person may want to copy; JSON holds all of both."""
    from kinbits.index import concepts_text

    value = concepts_text(value) if isinstance(value, Mapping) else value
    return shortened(" ".join(value.split()), LONGEST) if isinstance(value, str) and name != "id" else value


def _split(chosen: Sequence[str], known: Sequence[str]) -> list[str]:
    """Read lists of names with commas between them; a name may hold commas itself."""
    names = [name for given in chosen for name in ([given] if given in known else map(str.strip, given.split(",")))]
    for name in names:
        if name not in known:
            raise unknown_name("column", name, known)
    return names
