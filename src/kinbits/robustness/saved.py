"""A robustness report on disk: its numbers as JSON, and what each query got as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from kinbits._util import full_path, parse_json
from kinbits.errors import ArtefactError
from kinbits.robustness.row import RobustnessRow, row_from_dict
from kinbits.robustness.table import name_of

NUMBERS, QUERIES = "report.json", "queries.csv"
Saved = tuple[str, Mapping[str, Any], Sequence[RobustnessRow], Sequence[str], Sequence[str]]


def queries_table(rows: Sequence[RobustnessRow], queries: Sequence[str]) -> str:
    """Return the average precision of each query under each change, as CSV: a line for each query."""
    kept = [row for row in rows if len(row.precisions) == len(queries)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["query", *(name_of(row) for row in kept)])
    writer.writerows([name, *values] for name, *values in zip(queries, *(row.precisions for row in kept), strict=True))
    return text.getvalue()


def read_report(folder: str | Path) -> Saved:
    """Return the protocol, facts, rows, notes and queries of a saved report; its pictures stay on disk.

    Raises:
        ArtefactError: If the folder holds no report, or a file is damaged.
    """
    place = full_path(folder)
    try:
        told = dict(parse_json((place / NUMBERS).read_text("utf-8")))
        known = {field.name for field in fields(RobustnessRow)}
        rows = [row_from_dict({"precisions": (), "example": None, **row}) for row in told.pop("rows")]
        if not rows or not known >= set(rows[0].to_dict()) or not isinstance(told["queries"], int):
            raise ValueError("no rows")
        queries, rows = _with_queries(place / QUERIES, rows)
        notes, protocol = [str(note) for note in told.pop("notes")], str(told.pop("protocol"))
    except FileNotFoundError as error:
        raise ArtefactError(
            f"{place} holds no report of robustness; `measure_robustness` and `save` make one"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise ArtefactError(f"{place} holds a damaged report ({type(error).__name__}); measure it again") from error
    told.pop("curves", None)
    return protocol, told, rows, notes, queries


def _with_queries(path: Path, rows: Sequence[RobustnessRow]) -> tuple[list[str], list[RobustnessRow]]:
    """Return the names of the queries and the rows with their precisions; nothing of either where no file is."""
    if not path.exists():
        return [], list(rows)
    with path.open(newline="", encoding="utf-8") as file:
        head, *lines = csv.reader(file, strict=True)
    names, *columns = zip(*lines, strict=True)
    values = [tuple(float(cell) if cell else None for cell in column) for column in columns]
    found = dict(zip(head[1:], values, strict=True))
    return list(names), [replace(row, precisions=found.get(name_of(row), ())) for row in rows]
