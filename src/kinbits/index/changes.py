"""What a change of an index did, changes of metadata alone, and indexes that travel between processes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kinbits import hamming
from kinbits.encoding import CodesFile
from kinbits.hamming import Codes
from kinbits.index.filters.column_types import joined
from kinbits.index.filters.expression import Expression
from kinbits.index.query.search import codes_at, metadata_at
from kinbits.index.store.bitmap import Rows
from kinbits.index.store.checked_array import detect_truncation
from kinbits.index.store.columns import as_columns
from kinbits.index.store.ids import IdKind, Ids, decode_ids, missing_ids_error, require_kind
from kinbits.index.store.merge import Batch
from kinbits.index.store.metadata import Values
from kinbits.index.store.segment import Segment
from kinbits.index.store.state import State


@dataclass(frozen=True)
class Change:
    """What one change did.

    Attributes:
        added: Items with new ids.
        replaced: Items whose ids existed.
        deleted: Items that are gone.
    """

    added: int = 0
    replaced: int = 0
    deleted: int = 0

    @classmethod
    def from_counts(cls, before: int, after: int, given: int) -> Change:
        """Tell from the items before and after a change what became of the ``given`` ones."""
        return cls(max(0, after - before), given - max(0, after - before), max(0, before - after))


def matching(state: State, where: Expression | None) -> list[Rows]:
    """Return the living rows of each segment that meet a parsed filter.

    Raises:
        UsageError: If it names a column that the index does not have, or compares it with a value of another type.
        ArtefactError: naming a file that is damaged.
    """
    for segment in state.segments:
        segment.require_whole(state.bits)
    bound = state.bound(where)
    with detect_truncation():
        return [segment.allowed_rows(bound) for segment in state.segments]


def updated_batch(state: State, ids: Ids, metadata: Any) -> Batch:
    """Return the items with these ids, with other values in some columns.

    Raises:
        DataError: If an id is not in the index, or the columns do not fit.
    """
    require_kind(ids, state.id_kind)
    origin, rows = state.locate(ids)
    if (origin < 0).any():
        raise missing_ids_error(ids[origin < 0])
    known = metadata_at(state.segments, origin, rows)
    columns = {name: [row.get(name) for row in known] for name in state.columns}
    codes = codes_at(state.segments, origin, rows, hamming.code_width(state.bits))
    return Batch(codes, ids, as_columns({**columns, **as_columns(metadata, len(ids))}, len(ids)))


def warn_of_mixture(state: State, batch: Batch) -> None:
    """Say so when a batch brings values of another type into a column: filters then compare each type apart."""
    known = state.column_kinds if batch.columns else {}
    for name, kind in batch.kinds.items():
        before = known.get(name, "empty")
        if before not in ("mixed", "empty") and joined([before, kind]) == "mixed":
            warnings.warn(
                f"column '{name}' held values of type {before} and now holds some of type {kind} too; filters compare "
                f"each type apart, so give values of one type",
                stacklevel=4,
            )


def codes_of(state: State, columns: Sequence[str], name: str) -> CodesFile:
    """Return the living items of all segments, with some columns.

    Raises:
        ArtefactError: Naming a file that is damaged.
    """
    codes, ids, rows = [np.zeros((0, hamming.code_width(state.bits)), np.uint8)], [], []
    for segment in state.segments:
        segment.require_whole(state.bits)
        living = segment.living(0, segment.rows)
        codes.append(segment.codes[living])
        ids.append(decode_ids(segment.ids[living]))
        rows += segment.column_values(columns)
    return CodesFile(
        codes=np.concatenate(codes),
        ids=np.concatenate(ids) if ids else np.zeros(0, np.int64),
        bits=state.bits,
        columns={column: [row[place] for row in rows] for place, column in enumerate(columns)},
        fingerprint=state.fingerprint,
        model=None if state.model_folder is None else Path(state.model_folder),
        name=name,
    )


@dataclass(frozen=True)
class _Items:
    """The living items of one segment, as they travel."""

    number: int
    ids: Ids
    codes: Codes
    columns: tuple[str, ...]
    values: list[Values]


@dataclass(frozen=True)
class Contents:
    """An index in memory, as it travels between processes."""

    bits: int
    fingerprint: str | None
    id_kind: IdKind | None
    next_id: int
    next_segment: int
    generation: int
    model_folder: str | None
    image_roots: tuple[str, ...]
    items: tuple[_Items, ...]


def contents_of(state: State) -> Contents:
    """Return what `state_of` makes an equal index of."""
    parts = []
    for segment in state.segments:
        rows = segment.living(0, segment.rows)
        columns = tuple(segment.columns)
        values = list(segment.column_values(columns)) if columns else []
        parts.append(_Items(segment.number, np.array(segment.ids[rows]), segment.codes[rows], columns, values))
    kept = {name: getattr(state, name) for name in Contents.__dataclass_fields__ if name != "items"}
    return Contents(**kept, items=tuple(parts))


def state_of(contents: Contents) -> State:
    """Make the contents of an index in memory."""
    kept = {name: getattr(contents, name) for name in Contents.__dataclass_fields__ if name != "items"}
    return State(**kept, segments=tuple(map(_segment, contents.items)))


def _segment(items: _Items) -> Segment:
    columns = dict(zip(items.columns, zip(*items.values, strict=True), strict=True)) if items.columns else {}
    return Segment.from_runs(items.number, [Batch(items.codes, items.ids, columns)])


def reopen(kind: Any, path: Any, model: Any, options: dict[str, Any]) -> Any:
    """Open the index that lies at a path now; for `pickle`."""
    return kind.open(path, model=model, **options)
