"""Results of changes, changes of metadata, and pickling of indexes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming
from kinbits.backbones import Concepts
from kinbits.encoding import CodesFile
from kinbits.errors import UsageError
from kinbits.hamming import Codes
from kinbits.index.filters.column_types import joined
from kinbits.index.filters.expression import Expression
from kinbits.index.filters.where import Where, parse_where
from kinbits.index.query.search import codes_at, concepts_at, metadata_at, vectors_at
from kinbits.index.store.bitmap import Rows
from kinbits.index.store.checked_array import detect_truncation
from kinbits.index.store.columns import as_columns
from kinbits.index.store.ids import (
    IdKind,
    Ids,
    as_ids,
    concatenate,
    decode_ids,
    missing_ids_error,
    no_ids,
    require_kind,
)
from kinbits.index.store.kept_vectors import Kept, Packed
from kinbits.index.store.merge import Batch
from kinbits.index.store.metadata import Values
from kinbits.index.store.segment import Segment
from kinbits.index.store.state import State


@dataclass(frozen=True)
class Change:
    """Result of one change.

    Attributes:
        added: Number of items with new ids.
        replaced: Number of items whose ids existed.
        deleted: Number of removed items.
    """

    added: int = 0
    replaced: int = 0
    deleted: int = 0

    @classmethod
    def from_counts(cls, before: int, after: int, given: int) -> Change:
        """Return the result of a change with ``given`` items by the number of items before and after it."""
        return cls(max(0, after - before), given - max(0, after - before), max(0, before - after))


def what_to_delete(ids: Any, where: Where | None) -> tuple[Expression | None, Ids | None]:
    """Return the filter or the ids of the items that are to be deleted.

    Raises:
        UsageError: If neither or both are given, or the filter cannot be used, or is empty.
    """
    if (ids is None) == (where is None):
        raise UsageError("delete() takes ids or where=; give one of them")
    condition, wanted = parse_where(where), None if ids is None else as_ids(ids)
    if wanted is None and condition is None:
        raise UsageError(f"where={where!r} is an empty filter and would delete all items; give a condition")
    return condition, wanted


def matching(state: State, where: Expression | None) -> list[Rows]:
    """Return the rows of each segment that are not deleted and meet a parsed filter.

    Raises:
        UsageError: If the filter names an unknown column, or compares it with a value of another type.
        ArtefactError: If a file is damaged; the message names it.
    """
    for segment in state.segments:
        segment.require_whole(state.bits)
    bound = state.bound(where)
    with detect_truncation():
        return [segment.allowed_rows(bound) for segment in state.segments]


def updated_batch(state: State, ids: Ids, metadata: Any) -> Batch:
    """Return the items with these ids, with new values in some columns.

    Raises:
        DataError: If an id is not in the index, or the columns do not fit.
    """
    origin, rows = _located(state, ids)
    known = metadata_at(state.segments, origin, rows)
    columns = {name: [row.get(name) for row in known] for name in state.columns}
    codes = codes_at(state.segments, origin, rows, hamming.code_width(state.bits))
    kept = None if state.keep is None else vectors_at(state.segments, origin, rows)
    known_classes = None if state.concepts is None else concepts_at(state, origin, rows)
    return Batch(codes, ids, as_columns({**columns, **as_columns(metadata, len(ids))}, len(ids)), kept, known_classes)


def warn_of_mixture(state: State, batch: Batch) -> None:
    """Warn if a batch adds values of another type to a column, because filters then compare each type separately."""
    known = state.column_kinds if batch.columns else {}
    for name, kind in batch.kinds.items():
        before = known.get(name, "empty")
        if before not in ("mixed", "empty") and joined([before, kind]) == "mixed":
            warnings.warn(
                f"column '{name}' held values of type {before}, and now also holds values of type {kind}; filters "
                f"compare each type separately, so give values of one type",
                stacklevel=4,
            )


def codes_of(state: State, columns: Sequence[str], name: str, wanted: Ids | None = None) -> CodesFile:
    """Return the items of all segments without deleted ones, with some columns; kept vectors are left out.

    Args:
        state: The contents.
        columns: Names of metadata columns.
        name: Name of the index.
        wanted: Ids of the items, in the order of which they are returned; None for all, by segment.

    Raises:
        DataError: If an id is not in the index.
        UsageError: If ids are not of the kind that the index holds.
        ArtefactError: If a file is damaged; the message names it.
    """
    if wanted is not None:
        return _codes_of_ids(state, columns, name, wanted if wanted.size else no_ids(state.id_kind))
    codes: list[Codes] = [np.zeros((0, hamming.code_width(state.bits)), np.uint8)]
    ids = [decode_ids(no_ids(state.id_kind))]
    rows: list[Values] = []
    for segment in state.segments:
        segment.require_whole(state.bits)
        living = segment.living(0, segment.rows)
        codes.append(segment.codes[living])
        ids.append(decode_ids(segment.ids[living]))
        rows += segment.column_values(columns)
    values = {column: [row[place] for row in rows] for place, column in enumerate(columns)}
    return _codes_file(state, np.concatenate(codes), concatenate(ids), values, name)


def _codes_of_ids(state: State, columns: Sequence[str], name: str, wanted: Ids) -> CodesFile:
    origin, rows = _located(state, wanted)
    codes = codes_at(state.segments, origin, rows, hamming.code_width(state.bits))
    known = metadata_at(state.segments, origin, rows)
    values = {column: [row.get(column) for row in known] for column in columns}
    return _codes_file(state, codes, decode_ids(wanted), values, name)


def _located(state: State, ids: Ids) -> tuple[Rows, Rows]:
    """Return the segment of each id and its row there.

    Raises:
        DataError: If an id is not in the index.
        UsageError: If the ids are not of its kind.
    """
    require_kind(ids, state.id_kind)
    origin, rows = state.locate(ids)
    if (origin < 0).any():
        raise missing_ids_error(ids[origin < 0])
    return origin, rows


def _codes_file(state: State, codes: Codes, ids: NDArray[Any], columns: dict[str, list[Any]], name: str) -> CodesFile:
    return CodesFile(
        codes=codes,
        ids=ids,
        bits=state.bits,
        columns=columns,
        fingerprint=state.fingerprint,
        model=None if state.model_folder is None else Path(state.model_folder),
        name=name,
        words=state.words,
    )


@dataclass(frozen=True)
class _Items:
    """The items of one segment, without deleted ones, for pickling."""

    number: int
    ids: Ids
    codes: Codes
    columns: tuple[str, ...]
    values: list[Values]
    vectors: Packed | None = None
    concepts: Packed | None = None


@dataclass(frozen=True)
class Contents:
    """The contents of an index in memory, for pickling."""

    bits: int
    fingerprint: str | None
    id_kind: IdKind | None
    next_id: int
    next_segment: int
    generation: int
    model_folder: str | None
    image_roots: tuple[str, ...]
    items: tuple[_Items, ...]
    words: int = hamming.BITS
    keep: Kept | None = None
    concepts: Concepts | None = None


def contents_of(state: State) -> Contents:
    """Return the contents of an index; the inverse of `state_of`."""
    parts = []
    for segment in state.segments:
        rows = segment.living(0, segment.rows)
        columns = tuple(segment.columns)
        values = list(segment.column_values(columns)) if columns else []
        vectors = None if state.keep is None else segment.vectors[rows]
        known = None if segment.stored_concepts is None else segment.concepts[rows]
        ids, codes = np.array(segment.ids[rows]), segment.codes[rows]
        items = _Items(segment.number, ids, codes, columns, values, vectors, known)
        parts.append(items)
    kept = {name: getattr(state, name) for name in Contents.__dataclass_fields__ if name != "items"}
    return Contents(**kept, items=tuple(parts))


def state_of(contents: Contents) -> State:
    """Return the state of an index with these contents."""
    kept = {name: getattr(contents, name) for name in Contents.__dataclass_fields__ if name != "items"}
    return State(**kept, segments=tuple(map(_segment, contents.items)))


def _segment(items: _Items) -> Segment:
    columns = dict(zip(items.columns, zip(*items.values, strict=True), strict=True)) if items.columns else {}
    return Segment.from_runs(items.number, [Batch(items.codes, items.ids, columns, items.vectors, items.concepts)])


def reopen(kind: Any, path: Any, model: Any, options: dict[str, Any]) -> Any:
    """Open the index at a path; for `pickle`."""
    return kind.open(path, model=model, **options)
