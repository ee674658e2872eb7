"""The registry of engines; `create_index` and `open_index` choose an engine by the location of the index."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kinbits._util import full_path, import_all
from kinbits.errors import ArtefactError, UsageError, unknown_name
from kinbits.index.engines.base import EngineIndex, PathLike, Supports
from kinbits.index.index import Index
from kinbits.index.items import Encoder
from kinbits.index.linked_model import encoder_of

SIDECAR = "engine.json"  # file in a folder with the name of its engine
EMBEDDED = "exact"
_REGISTRY: dict[str, Engine] = {}
E = TypeVar("E", bound="type[EngineIndex]")


@dataclass(frozen=True)
class Engine:
    """An engine.

    Attributes:
        name: Name for `create_index`.
        schemes: URI schemes that choose it, e.g. ``"milvus"``; none for an engine in a folder.
        supports: What it supports by default.
        missing: Needed distributions that are not installed.
        remedy: How to install them.
        about: Summary in one line.
        index: Class of its indexes.
    """

    name: str
    schemes: tuple[str, ...]
    supports: Supports
    missing: tuple[str, ...]
    remedy: str
    about: str
    index: type[EngineIndex] | type[Index]


def register_engine(name: str, *, schemes: tuple[str, ...] = ()) -> Callable[[E], E]:
    """Register a class of indexes under a name and URI schemes."""

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
    """Return all engines, with what each supports.

    Example:
        >>> [engine.name for engine in list_engines() if engine.supports.exact]
        ['exact', 'milvus', 'postgres']
    """
    import_all("kinbits.index.engines")  # loads no package of an engine
    about = (Index.__doc__ or "").splitlines()[0]
    embedded = Engine(EMBEDDED, (), Supports(), (), "", about, Index)
    return [embedded, *(_REGISTRY[name] for name in sorted(_REGISTRY))]


def create_index(
    location: PathLike | None = None,
    *,
    engine: str | None = None,
    bits: int | None = None,
    model: Encoder | PathLike | None = None,
    **options: Any,
) -> Any:
    """Create an empty index of any engine.

    Args:
        location: A new folder; None for memory; ``"milvus://HOST:PORT/COLLECTION"`` for a Milvus server;
            ``"milvus-lite:FILE.db"`` or ``"milvus-lite:FILE.db#COLLECTION"`` for Milvus in a local file;
            ``"postgresql://USER@HOST/DATABASE?table=NAME"`` for PostgreSQL.
        engine: ``"exact"`` (what None means for a folder), ``"faiss-hnsw"`` or ``"faiss-ivf"``; a URI chooses
            its engine itself.
        bits: Code length; optional if a model is given.
        model: Encodes items and queries; a model, or its folder.
        options: Options of the engine, see its class; ``exist_ok`` for the exact one.

    Returns:
        `kinbits.index.Index`, or an index of another engine with the same calls.

    Raises:
        UsageError: If the engine or an option is unknown, or the location belongs to another engine.
        PlatformError: If a package is missing, or the location cannot be reached or written.
    """
    chosen = _by_location(location, engine)
    if chosen.index is Index:
        unknown = [name for name in options if name != "exist_ok"]
        if unknown:
            raise unknown_name(f"option of engine '{EMBEDDED}'", unknown[0], ["exist_ok"])
    return chosen.index.create(location, bits=bits, model=encoder_of(model), **options)


def open_index(location: PathLike, *, model: Encoder | PathLike | None = None, **options: Any) -> Any:
    """Open an index; its location determines the engine.

    Args:
        location: As for `create_index`.
        model: Encodes items and queries: the model of the index, or its folder. An index in a folder finds its model
            itself, see `Index.open`.
        options: Options of the engine that may change after creation, see its class.

    Raises:
        ArtefactError: If there is no index, it is damaged, or it has another model.
        UsageError: If the engine does not have an option.
        PlatformError: If a package is missing, or the location cannot be reached.
    """
    if _scheme(location) is None and (full_path(location) / SIDECAR).is_file():
        chosen = _by_location(location, _engine_of(full_path(location)))
    else:
        chosen = _by_location(location, None)
    if chosen.index is Index and options:
        raise UsageError(f"an exact index has no options when it is opened, but was given {', '.join(options)}")
    return chosen.index.open(location, model=encoder_of(model), **options)


def _by_location(location: PathLike | None, name: str | None) -> Engine:
    known = {engine.name: engine for engine in list_engines()}
    if name is not None and name not in known:
        raise unknown_name("engine", name, known)
    scheme = _scheme(location)
    if scheme is None:
        chosen = known[name or EMBEDDED]
        if chosen.schemes:
            raise UsageError(f"engine '{name}' needs a URI, e.g. {chosen.schemes[0]}:..., not {location!r}")
        return chosen
    by_scheme = {scheme: engine for engine in known.values() for scheme in engine.schemes}
    if scheme not in by_scheme:
        raise unknown_name("URI scheme", scheme, by_scheme)
    if name not in (None, by_scheme[scheme].name):
        raise UsageError(
            f"{location!r} is a location for engine '{by_scheme[scheme].name}', not '{name}'; leave out engine="
        )
    return by_scheme[scheme]


def _scheme(location: PathLike | None) -> str | None:
    """Return the scheme of a URI; None for a path, even one with a colon in its last part."""
    if location is None:
        return None
    full_path(location)  # refuses what is no path
    text = os.fspath(location)
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
