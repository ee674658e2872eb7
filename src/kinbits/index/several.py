"""Several indexes of one model that are searched as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kinbits._util import full_path
from kinbits.errors import UsageError
from kinbits.index.hits import Hits, Places
from kinbits.index.image_places import INDEX
from kinbits.index.index import Index
from kinbits.index.items import require_alike
from kinbits.index.opening import PathLike
from kinbits.index.query.request import SearchRequest
from kinbits.index.query.search import search
from kinbits.index.store.ids import concatenate
from kinbits.index.store.state import State


class SeveralIndexes(Index):
    """Indexes of one model that are searched as one; read-only. Use `open_many`.

    Hits are in one order: by distance, then by ascending id, then in the order of the indexes. Their column ``index``
    names the index of each; the same id may be in several indexes.

    Attributes:
        parts: The indexes by name.
    """

    def __init__(self, parts: Mapping[str, Index]) -> None:
        """Not for users: see `open_many`."""
        self.parts = dict(parts)
        first = next(iter(self.parts.values()))
        super().__init__(_joined(self.parts), None, first._model)

    def refresh(self) -> Self:
        """Load the present contents of all indexes."""
        for part in self.parts.values():
            part.refresh()
        self._state = _joined(self.parts)
        return self

    def verify(self) -> None:
        """Verify all indexes."""
        for part in self.parts.values():
            part.verify()

    def info(self) -> dict[str, Any]:
        """Describe what is searched in plain values, and each index under ``indexes``."""
        each = {name: part.info() for name, part in self.parts.items()}
        columns = [INDEX, *(name for name in self._state.columns if name != INDEX)]
        return {**super().info(), "columns": columns, "indexes": each}

    @property
    def stamp(self) -> str:
        """Digests of all indexes on disk; every change changes them."""
        return "".join(part.stamp for part in self.parts.values())

    @contextmanager
    def _change(self) -> Iterator[None]:
        raise UsageError("several indexes that are searched as one are read-only; open the one that is to change")
        yield

    def _found(self, request: SearchRequest) -> list[Hits]:
        each = [search(part._state, request, self._state) for part in self.parts.values()]
        return [_merged(list(self.parts.items()), hits, request.k) for hits in zip(*each, strict=True)]

    def __reduce__(self) -> tuple[Any, ...]:
        return SeveralIndexes, (self.parts,)

    @property
    def _name(self) -> str:
        return f"{len(self.parts)} indexes: {', '.join(self.parts)}"


def open_many(paths: Sequence[PathLike] | Mapping[str, PathLike], model: Any = None) -> SeveralIndexes:
    """Open several indexes of one model, to search them as one.

    Search is exact: the hits are those of an index that holds all items. Nothing is copied.

    Args:
        paths: Folders of the indexes, which their own names stand for in hits; or folders by name.
        model: As for `Index.open`.

    Raises:
        UsageError: If there is no path, two have one name, or some indexes have int and others str ids.
        ArtefactError: If an index is missing or damaged, or is of another length or model than the first one.
    """
    named = paths if isinstance(paths, Mapping) else _named([full_path(path) for path in paths])
    if not named:
        raise UsageError("give the folders of one or more indexes")
    parts = {name: Index.open(path, model) for name, path in named.items()}
    return SeveralIndexes(parts)


def _named(paths: Sequence[Path]) -> dict[str, Path]:
    """Return folders by the last parts of their paths, as many as it takes to tell them apart."""
    if len(set(paths)) < len(paths):
        raise UsageError("an index is given twice; give each once")
    for depth in range(1, max((len(path.parts) for path in paths), default=1) + 1):
        names = [str(Path(*path.parts[-depth:])) for path in paths]
        if len(set(names)) == len(names):
            break
    return dict(zip(names, paths, strict=True)) if paths else {}


def _joined(parts: Mapping[str, Index]) -> State:
    """Return the contents of all indexes as one; ids may occur in several of them."""
    states = [part._state for part in parts.values()]
    first = next((state for state in states if len(state)), states[0])
    for name, state in zip(parts, states, strict=True):
        if state.id_kind not in (None, first.id_kind):
            raise UsageError(f"index {name} has {state.id_kind} ids, and others have {first.id_kind}; search it alone")
        require_alike(first, state)
    segments = tuple(segment for state in states for segment in state.segments)
    roots = tuple(dict.fromkeys(root for state in states for root in state.image_roots))
    return replace(first, segments=segments, image_roots=roots)


def _merged(parts: Sequence[tuple[str, Index]], found: Sequence[Hits], k: int | None) -> Hits:
    """Merge the hits of one query in all indexes."""
    near = np.concatenate([hits.distances for hits in found])
    ids = concatenate([hits.ids for hits in found])
    origin = np.repeat(np.arange(len(found)), [len(hits) for hits in found])
    row = np.concatenate([np.arange(len(hits)) for hits in found])
    order = np.lexsort((origin, ids, near))[:k]
    origin, row = origin[order], row[order]

    def of_part(places: Places, number: int) -> tuple[Places, Hits]:
        """Return which of some hits are of one index, and these hits there."""
        chosen = np.flatnonzero(origin[places] == number)
        return chosen, found[number].take(row[places][chosen])

    def metadata(places: Places) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = [{} for _ in places]
        for number, (name, _) in enumerate(parts):
            chosen, hits = of_part(places, number)
            for place, one in zip(chosen.tolist(), hits.rows, strict=True):
                rows[place] = {INDEX: name, **{column: one[column] for column in one if column != INDEX}}
        return rows

    def stored(read: Callable[[Hits], NDArray[np.uint8]]) -> Callable[[Places], NDArray[np.uint8]]:
        def fetch(places: Places) -> NDArray[np.uint8]:
            blocks = [(chosen, read(hits)) for chosen, hits in (of_part(places, at) for at in range(len(parts)))]
            made = np.zeros((len(places), max(rows.shape[1] for _, rows in blocks)), np.uint8)
            for chosen, rows in blocks:
                if len(chosen):
                    made[chosen] = rows
            return made

        return fetch

    def concepts(places: Places) -> list[dict[str, float]]:
        named: list[dict[str, float]] = [{} for _ in places]
        for number in range(len(parts)):
            chosen, hits = of_part(places, number)
            for place, one in zip(chosen.tolist(), hits.concepts or [], strict=False):
                named[place] = one
        return named

    codes, vectors = stored(lambda hits: hits.codes), stored(lambda hits: hits.kept_vectors())
    columns = list(dict.fromkeys([INDEX, *(name for _, part in parts for name in part._state.columns)]))
    roots = {name: part._state.image_roots for name, part in parts}
    by_words = concepts if any(hits.concepts is not None for hits in found) else None
    return Hits(ids[order], near[order], metadata, codes, roots, columns, vectors, found[0].measure, concepts=by_words)
