"""The base class of engines, what they support, and their options."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming
from kinbits.errors import UsageError, unknown_name
from kinbits.index.filters.where import Where
from kinbits.index.hits import Hits
from kinbits.index.items import Encoder, Metadata, read_bits, words_of
from kinbits.index.query.request import Distance, SearchRequest, check_limits
from kinbits.index.query.rerank import reranked
from kinbits.index.store.state import State

PathLike = str | os.PathLike[str]
O = TypeVar("O")  # noqa: E741
MEASURED_K = 10  # of the recall that an index shows


@dataclass(frozen=True)
class Supports:
    """What an engine supports; `kinbits.testing.check_index` checks it.

    If a field of the first group (``exact...``) is False, results are approximate: hits are correct and in order, but
    some of the nearest items may be missing. If another field is False, the call raises `kinbits.UsageError`.

    Attributes:
        exact: A search finds exactly the k nearest items.
        exact_filters: It also does so with a filter.
        exact_radius: A search by radius finds all items within it.
        radius: Search by radius.
        filters: Filters on metadata.
        contains: The filter operator ``contains``.
        metadata: Metadata columns.
        delete: Remove items.
        upsert: Replace items.
        string_ids: Ids of type str.
        either_ids: The first items decide whether ids are int or str; otherwise `create_index` takes ``ids="str"``.
        automatic_ids: Ids that continue the largest one if none are given.
        save: Copies into a new folder.
        asymmetric: Search by asymmetric distance, which is always exact.
    """

    exact: bool = True
    exact_filters: bool = True
    exact_radius: bool = True
    radius: bool = True
    filters: bool = True
    contains: bool = True
    metadata: bool = True
    delete: bool = True
    upsert: bool = True
    string_ids: bool = True
    either_ids: bool = True
    automatic_ids: bool = True
    save: bool = True
    asymmetric: bool = True

    def lacks(self) -> list[str]:
        """Return the names of the unsupported parts."""
        return [field.name for field in fields(self) if not getattr(self, field.name)]


class EngineIndex(ABC):
    """An index of another engine, with the calls and results of `kinbits.index.Index`.

    Attributes:
        name: Name for `create_index`; set by `register_engine`.
        supports: What this engine supports.
        packages: Distributions that it needs; none is imported before its first use.
        remedy: How to install them.
    """

    name: ClassVar[str]
    supports: Supports
    packages: ClassVar[tuple[str, ...]] = ()
    remedy: ClassVar[str] = ""

    @classmethod
    @abstractmethod
    def create(cls, location: Any, *, bits: int | None = None, model: Encoder | None = None, **options: Any) -> Self:
        """Create an empty index."""

    @classmethod
    @abstractmethod
    def open(cls, location: Any, *, model: Encoder | None = None, **options: Any) -> Self:
        """Open an existing index."""

    @property
    @abstractmethod
    def bits(self) -> int:
        """Code length."""

    @property
    @abstractmethod
    def fingerprint(self) -> str | None:
        """Fingerprint of the model; None if it is unknown."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def add(self, items: Any, ids: Any = None, metadata: Metadata | None = None, *, upsert: bool = False) -> Self:
        """Add items; see `kinbits.index.Index.add`."""

    @abstractmethod
    def delete(self, ids: Any) -> Self:
        """Remove items; see `kinbits.index.Index.delete`."""

    @abstractmethod
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

    @abstractmethod
    def save(self, path: PathLike) -> None:
        """Write the contents into a new folder."""

    @abstractmethod
    def info(self) -> dict[str, Any]:
        """Describe the index in plain values."""

    @classmethod
    def missing(cls) -> list[str]:
        """Return the needed distributions that are not installed."""
        return [name for name in cls.packages if installed(name) is None]


class ServerIndex(EngineIndex):
    """An index on a server that finds Hamming distances."""

    _product: ClassVar[str]
    """Name of the server's program, for messages."""
    _state: State
    _model: Encoder | None
    _recall: float | None = None

    @property
    def bits(self) -> int:
        """Code length."""
        return self._state.bits

    @property
    def fingerprint(self) -> str | None:
        """Fingerprint of the model; None if it is unknown."""
        return self._state.fingerprint

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
        """Find the nearest items, or all within a radius; see `kinbits.index.Index.search`.

        Raises:
            UsageError: If an argument is invalid, or the server cannot return that many hits or lacks the filter.
        """
        if distance not in (None, "hamming"):
            raise UsageError(
                f"{self._product} searches by Hamming distance, not distance='{distance}'; a kinbits index takes both"
            )
        if rerank:
            k, _ = check_limits(k, radius)
            return reranked(query, text, self._model, rerank, k, partial(self.search, radius=radius, where=where))
        request = SearchRequest.from_query(
            query, text, self._model, self.bits, self.fingerprint, k=k, radius=radius, where=where
        )
        return request.result(self._found(request))

    def recall(self, k: int = MEASURED_K, sample: int = 100) -> float:
        """Measure the share of the k nearest items that a search finds, with a sample of stored codes as queries.

        A hit counts if it is not farther than the exact k-th hit, so ties do not matter. Stored codes are easier to
        find than new ones, so expect a lower share for your queries. Every query is also answered exactly, which takes
        a scan of all codes.

        Returns:
            Recall between 0 and 1; 1 if search is exact.
        """
        k, sample = hamming.check_count(k, "k"), hamming.check_count(sample, "sample")
        share = 1.0 if self.supports.exact else self._measured(k, sample)
        self._recall = share if k == MEASURED_K else self._recall
        return share

    @abstractmethod
    def _found(self, request: SearchRequest) -> list[Hits]:
        """Return the hits of each query."""

    @abstractmethod
    def _measured(self, k: int, sample: int) -> float:
        """Return the recall of an approximate search."""

    def _exactness(self) -> str:
        """Return whether search is exact, with the recall that was measured last."""
        if self.supports.exact:
            return "exact"
        measured = "call recall() to measure it" if self._recall is None else f"recall@{MEASURED_K} {self._recall:.3f}"
        return f"approximate, {measured}"


def read_length(bits: int | None, model: Encoder | None, engine: str) -> int:
    """Return the code length of a new index; errors as in `kinbits.index.items.read_bits`.

    Raises:
        UsageError: If the model makes product codes, which engines cannot search.
    """
    length = read_bits(bits, model)
    if words_of(model) != hamming.BITS:
        raise UsageError(
            f"engine '{engine}' searches bits, and the model makes {hamming.describe_kind(length, words_of(model))}; "
            "make a kinbits index"
        )
    return length


def share_found(found: Sequence[NDArray[np.int32]], true: Sequence[NDArray[np.int32]]) -> float:
    """Return the share of true hits that were found, from the distances of both for each query; 1 without any."""
    good = sum(int((some <= near[-1]).sum()) for some, near in zip(found, true, strict=True) if len(near))
    return good / max(1, sum(map(len, true))) if any(map(len, true)) else 1.0


def installed(name: str) -> str | None:
    """Return the version of a distribution; None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def read_options(kind: type[O], given: Mapping[str, Any], engine: str) -> O:
    """Make the options of an engine from keyword arguments, checked by the fields of their dataclass.

    Raises:
        UsageError: If an option is unknown, has another type, or is below 1; 0 is allowed if it is the default.
    """
    defaults: dict[str, Any] = {field.name: field.default for field in fields(kind)}  # type: ignore[arg-type]
    chosen = dict(given)
    for name, value in given.items():
        if name not in defaults:
            raise unknown_name(f"option of engine '{engine}'", name, defaults)
        if type(defaults[name]) is int:
            chosen[name] = hamming.check_count(value, name)  # turns integers of NumPy into int, for JSON
            if chosen[name] < min(defaults[name], 1):
                raise UsageError(f"{name}={value}: give a whole number, 1 or more")
        if type(defaults[name]) in (bool, str) and type(value) is not type(defaults[name]):
            raise UsageError(f"{name}={value!r}: give {type(defaults[name]).__name__}, e.g. {defaults[name]!r}")
    return kind(**chosen)
