"""New items of an index: their codes, ids, columns and, where they are kept, vectors."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinbits.data import Dataset, Skipped, is_single, open_dataset
from kinbits.encoding import CodesFile, encode_with_concepts, file_stamps
from kinbits.errors import DataError, UsageError
from kinbits.hamming import SCALED, Codes, require_factors
from kinbits.index.items import Encoder, Metadata, are_codes, encode
from kinbits.index.linked_model import gives_concepts
from kinbits.index.store.columns import as_columns
from kinbits.index.store.ids import Ids, as_ids
from kinbits.index.store.kept_vectors import Packed, Vectors, as_vectors
from kinbits.index.store.merge import Batch
from kinbits.index.store.segment import check_query
from kinbits.index.store.state import State

_NAMED = 3  # items in a message


@dataclass(frozen=True)
class NewItems:
    """Items that are to be added.

    Attributes:
        codes: Packed codes, uint8 ``(n, w)``.
        ids: Ids ``(n,)``; None for those that follow the index's.
        columns: Metadata columns of n values each.
        vectors: Float32 ``(n, d)`` to keep; None where none are kept.
        stamps: Sizes and times of the files that are the ids, as `kinbits.encoding.file_stamps` returns them; or None.
        concepts: Rows of concepts, uint8 ``(n, c)``; None where none are kept or known.
    """

    codes: Codes
    ids: Ids | None
    columns: dict[str, list[Any]]
    vectors: Vectors | None
    stamps: NDArray[np.int64] | None = None
    concepts: Packed | None = None

    def batch(self, state: State) -> tuple[State, Batch]:
        """Return the items as an index stores them, and its state, which learns the length of the first vectors.

        Raises:
            UsageError: If the index needs ids.
            DataError: If the vectors have another length than those kept, or scaled codes have no factors.
        """
        if state.words == SCALED:
            require_factors(self.codes)
        ids = _next_ids(state, len(self.codes)) if self.ids is None else self.ids
        if state.keep is None or self.vectors is None:
            return state, Batch(self.codes, ids, self.columns, classes=self.concepts)
        known = state.keep.dims if len(state) else 0  # an index without items takes vectors of any length
        keep = replace(state.keep, dims=known or self.vectors.shape[1])
        keep.require_dims(self.vectors)
        return replace(state, keep=keep), Batch(self.codes, ids, self.columns, keep.pack(self.vectors), self.concepts)


class EncodedItems(NamedTuple):
    """Codes of those of some items that could be read.

    Attributes:
        codes: Packed codes, uint8 ``(m, w)``.
        vectors: Features, float32 ``(m, d)``; None if they were not asked for.
        rows: Which items these are, bool ``(n,)``.
        skipped: The other items, with reasons.
        concepts: Rows of concepts, uint8 ``(m, c)``; None if the index keeps none, or they are not known.
    """

    codes: Codes
    vectors: Vectors | None
    rows: NDArray[np.bool_]
    skipped: tuple[Skipped, ...] = ()
    concepts: Packed | None = None


def read_items(
    items: Any, ids: Any, metadata: Metadata | None, model: Encoder | None, state: State, vectors: Any = None
) -> NewItems:
    """Read new items of an index.

    Unreadable items of a data set are left out with their ids and metadata; a warning names them.

    Args:
        items: As for `Index.add`.
        ids: As for `Index.add`.
        metadata: As for `Index.add`.
        model: Model of the index.
        state: Contents of the index.
        vectors: One vector for each item; None for the features that the model computes, where vectors are kept.

    Raises:
        UsageError: If the items need a model and the index has none, the type of a value cannot be stored, or vectors
            are missing or not kept.
        DataError: If no item can be read, lengths differ, or ids, codes or vectors cannot be stored.
    """
    metadata = {} if metadata is None else metadata
    if vectors is not None and state.keep is None:
        raise UsageError("this index keeps no vectors; create it with keep='int8', or leave vectors= out")
    items = opened_items(items)
    stamps = _stamps(items) if ids is None else None
    if isinstance(items, CodesFile):
        ids, metadata = items.ids if ids is None else ids, {**items.columns, **metadata}
    elif isinstance(items, Dataset):
        ids, metadata = items.ids if ids is None else ids, {**items.metadata(), **metadata}
    found = encode_items(items, model, state, featured=state.keep is not None and vectors is None)
    codes, rows = found.codes, found.rows
    if found.skipped:
        _warn_of_skipped(items, found.skipped)
    given = None if ids is None else as_ids(ids)
    if given is not None and len(given) != len(rows):
        raise DataError(f"{len(rows)} items, but {len(given)} ids; give one id per item")
    columns = as_columns(metadata, len(rows))
    kept = found.vectors if vectors is None else as_vectors(vectors, len(rows))[rows]
    if rows.all():
        return NewItems(codes, given, columns, kept, stamps, found.concepts)
    some = {name: list(compress(values, rows)) for name, values in columns.items()}
    some_stamps = None if stamps is None else stamps[rows]
    return NewItems(codes, None if given is None else given[rows], some, kept, some_stamps, found.concepts)


def opened_items(items: Any) -> Any:
    """Open a folder or a table, whose names and labels belong to the items; anything else is returned as it is."""
    several = isinstance(items, (str, os.PathLike)) and os.path.exists(items) and not is_single(items)
    return open_dataset(items) if several else items


def _stamps(items: Any) -> NDArray[np.int64] | None:
    """Return sizes and times of the files of items, before they are encoded; None where items are no such files."""
    if isinstance(items, CodesFile):
        return items.stamps
    return file_stamps(items) if isinstance(items, Dataset) else None


def roots_of(items: Any) -> list[str]:
    """Return the folder from which paths of images start, if it is known."""
    root = items.root if isinstance(items, (CodesFile, Dataset)) else None
    return [] if root is None else [os.fspath(root)]


def encode_items(items: Any, model: Encoder | None, state: State, *, featured: bool) -> EncodedItems:
    """Encode those items that can be read.

    Args:
        items: As for `Index.add`.
        model: Model of the index.
        state: Contents of the index.
        featured: Whether to return the features too.

    Raises:
        UsageError: If the items need a model and the index has none, or the model returns no features.
    """
    if isinstance(items, CodesFile) or are_codes(items, model, state.bits):
        if featured:
            raise UsageError(
                "this index keeps vectors, and codes have none; give the items themselves, or their vectors too"
            )
        codes, _ = encode(items, model, state.bits, "codes" if isinstance(items, CodesFile) else "items")
        return EncodedItems(codes, None, np.ones(len(codes), bool), concepts=_given_concepts(items, state))
    able: Any = model
    options = {} if able is None else signature(able.encode).parameters
    if featured and able is not None and not ("output" in options and hasattr(able, "tower")):
        raise UsageError(f"this index keeps vectors, and {type(able).__name__} returns none; give vectors=")
    classed = state.concepts is not None and gives_concepts(model)
    if classed and not featured and isinstance(items, Dataset):
        coded, concepts = encode_with_concepts(able, items)
        return EncodedItems(coded.array, None, _marked(coded.rows, len(items.ids)), coded.skipped, concepts)
    featured, wanted = featured or classed, featured
    how: Mapping[str, Any] = {"output": "features"} if featured else {}
    skipped: Sequence[Skipped] = ()
    if isinstance(items, Dataset) and "on_error" in options:
        found = able.encode(items, on_error="skip", **how)
        skipped = found.skipped
        made, rows = found.array, _marked(found.rows, len(items.ids))
    elif not featured or able is None:
        made, _ = encode(items, model, state.bits, "items")
        rows = np.ones(len(made), bool)
    else:
        made = np.atleast_2d(able.encode(items, **how))
        rows = np.ones(len(made), bool)
    if not featured:
        return EncodedItems(check_query(made, state.bits, "items"), None, rows, tuple(skipped))
    codes = check_query(able.tower().compute(made), state.bits, "items")
    vectors, classes = as_vectors(made) if wanted else None, able.tower().compute(made, "concepts") if classed else None
    return EncodedItems(codes, vectors, rows, tuple(skipped), classes)


def _marked(rows: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    marked = np.zeros(count, bool)
    marked[rows] = True
    return marked


def _given_concepts(items: Any, state: State) -> Packed | None:
    """Return the concepts that come with codes, if the index keeps any.

    Raises:
        DataError: If they do not fit.
    """
    given = items.concepts if isinstance(items, CodesFile) else None
    return None if given is None or state.concepts is None else state.concepts.checked(given, len(items))


def _warn_of_skipped(dataset: Any, skipped: Sequence[Any]) -> None:
    """Warn of unreadable items; the message names the first ones.

    Raises:
        DataError: If no item can be read.
    """
    reasons = "; ".join([f"{one.id}: {one.reason}" for one in skipped[:_NAMED]] + ["..."] * (len(skipped) > _NAMED))
    if len(skipped) == len(dataset.ids):
        raise DataError(
            f"{dataset.name}: no {dataset.kind} can be read ({reasons}); check the paths, or replace the damaged files"
        )
    what = f"skipped {len(skipped):,} of {len(dataset.ids):,} {dataset.kind}s that cannot be read"
    warnings.warn(f"{dataset.name}: {what} ({reasons})", stacklevel=4)


def _next_ids(state: State, count: int) -> Ids:
    if state.id_kind == "str":
        raise UsageError("this index has str ids; pass ids= for the new items")
    if state.next_id + count > np.iinfo(np.int64).max:
        raise UsageError("the index has used its largest possible id; pass ids= for the new items")
    return np.arange(state.next_id, state.next_id + count, dtype=np.int64)
