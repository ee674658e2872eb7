"""Creating, opening and pickling of indexes."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self, TypeVar

from kinbits import hamming
from kinbits._util import full_path
from kinbits.backbones import Concepts
from kinbits.encoding import CodesFile
from kinbits.errors import UsageError
from kinbits.index.changes import Change, Contents, contents_of, reopen, state_of
from kinbits.index.items import Encoder, Metadata, new_state, require_model, state_of_codes, words_of
from kinbits.index.linked_model import LinkedModel, encoder_of, gives_concepts, reads_text
from kinbits.index.store.copies import new_folder
from kinbits.index.store.folder import Folder
from kinbits.index.store.kept_vectors import Kept, Metric, Precision, keeps_alike
from kinbits.index.store.lock import ChangeLock
from kinbits.index.store.memory import MemoryBuilder
from kinbits.index.store.options import DEFAULT, IndexOptions
from kinbits.index.store.state import SegmentBuilder, State

PathLike = str | os.PathLike[str]
S = TypeVar("S", bound="StoredIndex")
_CREATION = 5.0  # seconds to wait for another process that creates the same index


class StoredIndex(ABC):
    """The part of `kinbits.index.Index` that creates and opens an index."""

    def __init__(
        self, state: State, folder: Folder | None, model: Encoder | None, options: IndexOptions = DEFAULT
    ) -> None:
        """Not for users: see `create` and `open`."""
        require_model(model, state)
        self._state = state
        self._folder = folder
        self._builder: SegmentBuilder = MemoryBuilder(options) if folder is None else folder
        self._model = model
        self._changing = ChangeLock()
        self.last_change: Change | None = None

    @classmethod
    def create(
        cls,
        path: PathLike | None = None,
        items: Any = None,
        ids: Any = None,
        metadata: Metadata | None = None,
        *,
        bits: int | None = None,
        words: int | None = None,
        model: Encoder | PathLike | None = None,
        keep: Precision | None = None,
        metric: Metric | None = None,
        vectors: Any = None,
        concepts: bool | None = None,
        exist_ok: bool = False,
        wait: float = 0.0,
        options: IndexOptions = DEFAULT,
    ) -> Self:
        """Create an index, empty or with items; with items, the folder appears complete, in one step.

        Args:
            path: A new or empty folder; None keeps the index in memory.
            items: As for `add`. A `kinbits.encoding.CodesFile` also sets length and model.
            ids: As for `add`.
            metadata: As for `add`.
            bits: Code length; optional if a model is given.
            words: 16 or 256 for product codes, whose parts number so many words of codebooks; 0 for scaled codes; 2 for
                bits. None takes those of the model, or else bits.
            model: Encodes items and queries: a `kinbits.HashModel`, or its folder, which is loaded on first use. The
                index stores its fingerprint, and its folder if it was saved.
            keep: Keep a vector beside each code, by which `search` scores candidates again (``rescore=``): ``"int8"``
                (d + 4 bytes an item), ``"float16"`` or ``"float32"``. None keeps none.
            metric: What kept vectors are scored by: ``"cosine"``, ``"inner"`` (the inner product) or ``"euclidean"``;
                None for what codes of the model stand for (pq, opq, rabitq), else the cosine.
            vectors: As for `add`.
            concepts: Keep the likeliest classes of each image, in 39 bytes, so that words find images (``text=`` of
                `search`) although the model reads none. None keeps them where the items bring them (`CodesFile`), or
                where a model that is loaded gives them and reads no texts: one whose backbone is an EfficientNet-Lite
                as it was published.
            exist_ok: Without items, open an index that exists at ``path``, if it has the same length and model.
            wait: Seconds that a change waits for another writer; 0 refuses at once.
            options: Sizes of segments and blocks.

        Raises:
            UsageError: If the length is missing or invalid, a name is unknown, the folder is not empty, or the model
                gives no concepts.
            ArtefactError: If the model does not fit ``bits`` or the existing index.
            PlatformError: If the folder cannot be written.
        """
        encoder = encoder_of(model)
        if metric is not None and keep is None:
            raise UsageError(f"metric={metric!r} is of kept vectors; give keep= too, or leave it out")
        kept = None if keep is None else Kept.checked(keep, metric or _metric_of(encoder))
        known = Concepts() if _keeps_concepts(concepts, items, encoder) else None
        state = (
            state_of_codes(items, bits, kept, known)
            if encoder is None and isinstance(items, CodesFile)
            else new_state(bits, words, encoder, kept, known)
        )
        require_model(encoder, state)
        if path is None:
            made = cls(state, None, encoder, options)
            return made if items is None else made.add(items, ids, metadata, vectors=vectors)
        if items is not None:
            return cls._built(full_path(path), state, (items, ids, metadata, vectors), encoder, exist_ok, wait, options)
        folder = Folder(path, wait, options)
        if not folder.exists():
            folder.create()
            with folder.writing(least_wait=_CREATION):
                if not folder.exists():  # no other process was first
                    return cls(folder.commit(state), folder, encoder)
        return _existing(cls.open(path, model=encoder, wait=wait, options=options), state, exist_ok, bool(concepts))

    @classmethod
    def _built(
        cls,
        path: Path,
        state: State,
        items: tuple[Any, Any, Any, Any],
        model: Encoder | None,
        exist_ok: bool,
        wait: float,
        options: IndexOptions,
    ) -> Self:
        """Create an index with items aside, and move it to its place; the first of two processes wins."""
        if exist_ok:
            raise UsageError("exist_ok=True cannot be given with items; open the index, then add them")
        with new_folder(path) as aside:
            folder = Folder(aside, options=options)
            with folder.writing():
                committed = folder.commit(state)
            built = cls(committed, folder, model).add(*items[:3], vectors=items[3])
        made = cls.open(path, model, wait=wait, options=options)
        made.last_change = built.last_change
        return made

    @classmethod
    def open(
        cls,
        path: PathLike,
        model: Encoder | PathLike | None = None,
        *,
        wait: float = 0.0,
        options: IndexOptions = DEFAULT,
    ) -> Self:
        """Open an index in a folder. This takes milliseconds at any size, because large files are mapped, not read.

        Args:
            path: The folder.
            model: Encodes items and queries: the model of the index, or its folder. It is optional if the index knows
                the folder, which is also found after index and model have moved together, and beside the index. The
                model is loaded on first use.
            wait: Seconds that a change waits for another writer; 0 refuses at once.
            options: Sizes of segments and blocks.

        Raises:
            ArtefactError: If there is no index, files are missing or cut short, or it has another format version or
                another model.
        """
        folder = Folder(path, wait, options)
        state = folder.read()
        return cls(state, folder, encoder_of(model, state))

    def view(self) -> Self:
        """Return the index as it is now, to read from: later changes and `refresh` of this one do not change it."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made

    @property
    def model(self) -> Any:
        """The model of the index, loaded on first use; None if the index has none.

        Raises:
            ArtefactError: If the model is missing or damaged, or another model is in its folder.
        """
        return self._model.loaded if isinstance(self._model, LinkedModel) else self._model

    @property
    def bits(self) -> int:
        """Code length."""
        return self._state.bits

    @property
    def words(self) -> int:
        """Words of a part of a code: 2 for bits, 16 or 256 for product codes, 0 for scaled codes."""
        return self._state.words

    def _require_bits(self, what: str, instead: str) -> None:
        """Refuse what is of Hamming distances in an index of codes that have none."""
        if self.words != hamming.BITS:
            held = self._state.kind
            raise UsageError(f"{what} Hamming distances of bits, and this index holds {held}; {instead}")

    @property
    def fingerprint(self) -> str | None:
        """Fingerprint of the model; None if the index was created without one."""
        return self._state.fingerprint

    @property
    def stamp(self) -> str:
        """Digest of the index on disk, hex; every change changes it. Empty for an index in memory."""
        return "" if self._folder is None else self._folder.stamp

    def __len__(self) -> int:
        return len(self._state)

    @abstractmethod
    def add(
        self,
        items: Any,
        ids: Any = None,
        metadata: Metadata | None = None,
        *,
        upsert: bool = False,
        vectors: Any = None,
    ) -> Self:
        """Add items."""

    def __reduce__(self) -> tuple[Any, ...]:
        if self._folder is not None:
            return reopen, (
                type(self),
                self._folder.path,
                self._model,
                {"wait": self._folder.wait, "options": self._folder.options},
            )
        return _in_memory, (type(self), contents_of(self._state), self._model, self._builder.options)


def _in_memory(
    kind: type[StoredIndex], contents: Contents, model: Encoder | None, options: IndexOptions
) -> StoredIndex:
    return kind(state_of(contents), None, model, options)


def _existing(index: S, wanted: State, exist_ok: bool, chosen: bool) -> S:
    place = index._folder.path if index._folder is not None else None
    if not exist_ok:
        raise UsageError(f"there is an index at {place} already; open it with Index.open, or pass exist_ok=True")
    if index._state.kind != wanted.kind:
        raise UsageError(f"the index at {place} holds {index._state.kind}, not {wanted.kind}")
    have, asked = index._state.keep, wanted.keep
    if not keeps_alike(have, asked):
        raise UsageError(f"the index at {place} keeps vectors: {have or 'none'}, not {asked or 'none'}")
    if wanted.concepts is not None and index._state.concepts is None and chosen:
        raise UsageError(f"the index at {place} keeps no concepts; leave concepts out, or create another index")
    return index


def _keeps_concepts(concepts: bool | None, items: Any, model: Any) -> bool:
    """Return whether a new index keeps concepts.

    Raises:
        UsageError: If they are asked for, and the model gives none.
    """
    brought = getattr(items, "concepts", None) is not None
    if concepts is None:
        loaded = model is not None and not isinstance(model, LinkedModel)
        return brought or (loaded and gives_concepts(model) and not reads_text(model))
    if concepts and not brought and model is not None and not gives_concepts(model):
        raise UsageError(
            "this model gives no concepts: those are classes of an EfficientNet-Lite as it was published, not "
            "fine-tuned; leave concepts out"
        )
    return concepts


def _metric_of(model: Any) -> Metric:
    """Return the metric of the features that codes of a model stand for; else the cosine."""
    if words_of(model) == hamming.BITS or not hasattr(model, "tower"):
        return "cosine"
    return model.tower().head.features_metric or "cosine"
