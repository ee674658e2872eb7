"""What engines share: what they declare, how they read options."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar, Self, TypeVar

from kinbits import hamming
from kinbits.errors import UsageError, unknown_name
from kinbits.index.filters.where import Where
from kinbits.index.items import Encoder, Metadata

PathLike = str | os.PathLike[str]
O = TypeVar("O")  # noqa: E741


@dataclass(frozen=True)
class Supports:
    """What an engine promises; `kinbits.testing.check_index` holds it to this and to nothing else.

    What is False in the first group is answered approximately: hits are true and ordered, but some of the
    nearest may be missing. What is False in the second group raises UsageError with the remedy.

    Attributes:
        exact: The k nearest are the k nearest.
        exact_filters: They are so under a filter.
        exact_radius: A ball is complete.
        radius: Search by radius.
        filters: ``where``.
        contains: The filter operator ``contains``.
        metadata: Columns beside the codes.
        delete: Remove items.
        upsert: Replace items.
        string_ids: Ids that are text.
        either_ids: The first items decide whether ids are int or str; without it ``create`` takes ``ids="str"``.
        automatic_ids: Ids that continue the largest one where none are given.
        save: Copy the contents into a new folder.
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

    def lacks(self) -> list[str]:
        """Name what is not promised."""
        return [field.name for field in fields(self) if not getattr(self, field.name)]


class EngineIndex(ABC):
    """An index of another engine; its calls and answers are those of `kinbits.index.Index`.

    Attributes:
        name: That `create_index` knows; set by the registry.
        supports: What this engine promises.
        packages: Distributions that it needs, none of which is imported before it is used.
        remedy: How to install them.
    """

    name: ClassVar[str]
    supports: Supports
    packages: ClassVar[tuple[str, ...]] = ()
    remedy: ClassVar[str] = ""

    @classmethod
    @abstractmethod
    def create(cls, place: Any, *, bits: int | None = None, model: Encoder | None = None, **options: Any) -> Self:
        """Make an empty index."""

    @classmethod
    @abstractmethod
    def open(cls, place: Any, *, model: Encoder | None = None, **options: Any) -> Self:
        """Open an index that exists."""

    @property
    @abstractmethod
    def bits(self) -> int:
        """Code length."""

    @property
    @abstractmethod
    def fingerprint(self) -> str | None:
        """Fingerprint of the model that makes the codes; None if not known."""

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
        rerank: int | bool = False,
    ) -> Any:
        """Find the nearest items, or all within a radius; see `kinbits.index.Index.search`."""

    @abstractmethod
    def save(self, path: PathLike) -> None:
        """Write the present contents into a new folder."""

    @abstractmethod
    def info(self) -> dict[str, Any]:
        """Describe the index in plain values."""

    @classmethod
    def missing(cls) -> list[str]:
        """Name the distributions that are not installed."""
        return [name for name in cls.packages if installed(name) is None]


def installed(name: str) -> str | None:
    """Return the version of a distribution, None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def read_options(kind: type[O], given: Mapping[str, Any], engine: str) -> O:
    """Make an engine's options of what a user passed, by the fields of their dataclass.

    Raises:
        UsageError: for an option that it does not have, a value of another type, or a number below 1; 0 is taken where
            it is the default.
    """
    defaults: dict[str, Any] = {field.name: field.default for field in fields(kind)}  # type: ignore[arg-type]
    chosen = dict(given)
    for name, value in given.items():
        if name not in defaults:
            raise unknown_name(f"option of engine '{engine}'", name, defaults)
        if type(defaults[name]) is int:
            chosen[name] = hamming.check_count(value, name)  # NumPy's, too, but as an int that JSON can hold
            if chosen[name] < min(defaults[name], 1):
                raise UsageError(f"{name}={value}: give a whole number, 1 or more")
        if type(defaults[name]) in (bool, str) and type(value) is not type(defaults[name]):
            raise UsageError(f"{name}={value!r}: give {type(defaults[name]).__name__}, e.g. {defaults[name]!r}")
    return kind(**chosen)
