"""The registry of engines, and the two calls that choose one by the place that they are given."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kinbits._util import import_all
from kinbits.errors import ArtefactError, UsageError, unknown_name
from kinbits.index.engines.base import EngineIndex, PathLike, Supports
from kinbits.index.index import Index
from kinbits.index.items import Encoder

SIDECAR = "engine.json"  # in a folder, names the engine that reads it
EMBEDDED = "exact"
_REGISTRY: dict[str, Engine] = {}
E = TypeVar("E", bound="type[EngineIndex]")


@dataclass(frozen=True)
class Engine:
    """One engine.

    Attributes:
        name: What `create_index` is given.
        schemes: Of the URIs that choose it, e.g. ``"milvus"``; none for an engine in a folder.
        supports: What it promises by default.
        missing: Distributions that it needs and that are not installed.
        remedy: How to install these.
        about: One line.
        index: The class of its indexes.
    """

    name: str
    schemes: tuple[str, ...]
    supports: Supports
    missing: tuple[str, ...]
    remedy: str
    about: str
    index: type[EngineIndex] | type[Index]


def register_engine(name: str, *, schemes: tuple[str, ...] = ()) -> Callable[[E], E]:
    """Register a class of indexes under the name, and the URI schemes, that choose it."""

    def add(cls: E) -> E:
        known = _REGISTRY.get(name)
        if known and known.index.__qualname__ != cls.__qualname__:
            raise UsageError(f"two engines are called '{name}': {known.index.__qualname__}, {cls.__qualname__}")
        cls.name = name
        about = (cls.__doc__ or "").strip().splitlines()[0]
        _REGISTRY[name] = Engine(name, schemes, cls.supports, tuple(cls.missing()), cls.remedy, about, cls)
        return cls

    return add


def list_engines() -> list[Engine]:
    """List all engines, and what each supports.

    Example:
        >>> [engine.name for engine in list_engines() if engine.supports.exact]
        ['exact', 'milvus']
    """
    import_all("kinbits.index.engines")  # which loads no engine
    about = (Index.__doc__ or "").splitlines()[0]
    embedded = Engine(EMBEDDED, (), Supports(), (), "", about, Index)
    return [embedded, *(_REGISTRY[name] for name in sorted(_REGISTRY))]


def create_index(
    place: PathLike | None = None,
    *,
    engine: str | None = None,
    bits: int | None = None,
    model: Encoder | None = None,
    **options: Any,
) -> Any:
    """Make an empty index where, and with the engine, that the user chooses.

    Args:
        place: A new folder; None for memory; ``"milvus://HOST:PORT/COLLECTION"`` for a Milvus server;
            ``"milvus-lite:FILE.db"`` or ``"milvus-lite:FILE.db#COLLECTION"`` for Milvus in a local file.
        engine: ``"exact"`` (what None means for a folder), ``"faiss-hnsw"`` or ``"faiss-ivf"``; a URI chooses
            its engine itself.
        bits: Code length; may be left out if a model is given.
        model: Encodes what is not codes yet.
        options: The engine's own, see its class; ``exist_ok`` for the embedded one.

    Returns:
        `kinbits.index.Index`, or an index of another engine with the same calls.

    Raises:
        UsageError: for an unknown engine or option, or a place that another engine needs.
        PlatformError: If a package is missing, or the place cannot be reached or written.
    """
    chosen = _by_place(place, engine)
    if chosen.index is Index:
        unknown = [name for name in options if name != "exist_ok"]
        if unknown:
            raise unknown_name(f"option of engine '{EMBEDDED}'", unknown[0], ["exist_ok"])
    return chosen.index.create(place, bits=bits, model=model, **options)


def open_index(place: PathLike, *, model: Encoder | None = None, **options: Any) -> Any:
    """Open an index; its place tells the engine.

    Args:
        place: As for `create_index`.
        model: Encodes queries; must be the one that the index was made with.
        options: The engine's own that may change after creation, see its class.

    Raises:
        ArtefactError: If there is none, it is damaged, or made by another model.
        UsageError: for an option that the engine does not have.
        PlatformError: If a package is missing, or the place cannot be reached.
    """
    if _scheme(place) is None and (Path(place) / SIDECAR).is_file():
        chosen = _by_place(place, _engine_of(Path(place)))
    else:
        chosen = _by_place(place, None)
    if chosen.index is Index and options:
        raise UsageError(f"an exact index in a folder has no options at opening, but was given {', '.join(options)}")
    return chosen.index.open(place, model=model, **options)


def _by_place(place: PathLike | None, name: str | None) -> Engine:
    known = {engine.name: engine for engine in list_engines()}
    if name is not None and name not in known:
        raise unknown_name("engine", name, known)
    scheme = _scheme(place)
    if scheme is None:
        chosen = known[name or EMBEDDED]
        if chosen.schemes:
            raise UsageError(f"engine '{name}' needs a URI, e.g. {chosen.schemes[0]}:..., not {place!r}")
        return chosen
    by_scheme = {scheme: engine for engine in known.values() for scheme in engine.schemes}
    if scheme not in by_scheme:
        raise unknown_name("URI scheme", scheme, by_scheme)
    if name not in (None, by_scheme[scheme].name):
        raise UsageError(f"{place!r} is a place of engine '{by_scheme[scheme].name}', not '{name}'; leave engine out")
    return by_scheme[scheme]


def _scheme(place: PathLike | None) -> str | None:
    """Return the scheme of a URI; a path, even one with a colon in its last part, has none."""
    text = os.fspath(place) if place is not None else ""
    head, colon, rest = text.partition(":")
    known = {scheme for engine in list_engines() for scheme in engine.schemes}
    return head if colon and (head in known or rest.startswith("//")) else None


def _engine_of(folder: Path) -> str:
    try:
        return str(json.loads((folder / SIDECAR).read_text())["engine"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtefactError(
            f"{folder / SIDECAR} cannot be read ({error}); restore it from a backup, or delete it and open "
            f"{folder / 'items'} as an exact index"
        ) from None
