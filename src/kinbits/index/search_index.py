"""The interface of every index, whatever its engine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self, runtime_checkable

from kinbits.index.filters.where import Where
from kinbits.index.query.request import Distance


@runtime_checkable
class SearchIndex(Protocol):
    """What `kinbits.index.Index` and the index of every engine offer; `kinbits.testing.check_index` checks it.

    An engine that lacks a part says so in an attribute ``supports`` (`kinbits.index.Supports`), and refuses the call
    with a `kinbits.UsageError`.
    """

    @property
    def bits(self) -> int:
        """Code length."""

    @property
    def fingerprint(self) -> str | None:
        """Fingerprint of the model that makes the codes; None if it is unknown."""

    def __len__(self) -> int:
        """Return the number of items."""
        ...

    def add(
        self, items: Any, ids: Any = None, metadata: Mapping[str, Sequence[Any]] | None = None, *, upsert: bool = False
    ) -> Self:
        """Add items; see `kinbits.index.Index.add`."""
        ...

    def delete(self, ids: Any) -> Self:
        """Remove items by id; see `kinbits.index.Index.delete`."""
        ...

    def search(
        self,
        query: Any = None,
        k: int | None = None,
        *,
        text: Any = None,
        radius: int | None = None,
        where: Where | None = None,
        distance: Distance | None = None,
        rerank: int | bool = False,
    ) -> Any:
        """Find the nearest items, or all within a radius; see `kinbits.index.Index.search`."""
        ...

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the contents into a new folder."""
        ...

    def info(self) -> dict[str, Any]:
        """Describe the index in plain values."""
        ...
