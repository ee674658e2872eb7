"""Items of an index: packed codes, items that its model encodes, or a data set."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from inspect import signature
from typing import Any, Protocol

import numpy as np

from kinbits import hamming
from kinbits.backbones import Concepts
from kinbits.encoding import CodesFile
from kinbits.errors import ArtefactError, UsageError
from kinbits.hamming import Codes, Tables
from kinbits.index.store.kept_vectors import Kept, keeps_alike
from kinbits.index.store.segment import check_query
from kinbits.index.store.state import State

Metadata = Mapping[str, Sequence[Any]]
_NAMED = 3  # items in a message
LEAST_SIDE = 8  # pixels; a smaller array counts as codes, not as a grey image


class Encoder(Protocol):
    """The part of a model that an index needs, e.g. of a `kinbits.HashModel`.

    An index also uses, if the model has them: ``modality="text"`` and ``on_error="skip"`` of ``encode``, and
    ``is_single``, which tells one item from several.

    Attributes:
        bits: Code length.
        fingerprint: Identity of the model; it changes whenever the codes may change.
    """

    @property
    def bits(self) -> int:
        """Code length."""

    @property
    def fingerprint(self) -> str:
        """Identity of the model."""

    def encode(self, items: Any, /) -> Codes:
        """Return packed codes, uint8 ``(n, ceil(bits / 8))``."""
        ...


def read_bits(bits: int | None, model: Encoder | None) -> int:
    """Return the code length of a new index.

    Raises:
        UsageError: If it is missing or invalid.
    """
    if bits is None:
        if model is None:
            raise UsageError("an index needs its code length: pass bits=64, or the model that makes the codes")
        bits = model.bits
    hamming.code_width(bits)
    return int(bits)


def words_of(model: Encoder | None) -> int:
    """Return the words of a part of a model's codes: 2, i.e. bits, for a model that does not say it."""
    return int(getattr(model, "words", hamming.BITS))


def new_state(
    bits: int | None,
    words: int | None,
    model: Encoder | None,
    keep: Kept | None = None,
    concepts: Concepts | None = None,
) -> State:
    """Return the contents of an empty index; errors as in `read_bits`, and if ``words`` is wrong."""
    length = read_bits(bits, model)
    kind = hamming.check_words(words_of(model) if words is None else words, length)
    fingerprint, folder = model.fingerprint if model else None, folder_of(model)
    return State(length, fingerprint, model_folder=folder, words=kind, keep=keep, concepts=concepts)


def folder_of(model: Encoder | None) -> str | None:
    """Return the absolute path of the folder of a model; None if it was not saved."""
    folder = getattr(model, "folder", None)
    return None if folder is None else os.fspath(folder)


def state_of_codes(
    codes: CodesFile, bits: int | None, keep: Kept | None = None, concepts: Concepts | None = None
) -> State:
    """Return the contents of an empty index for codes of a file; errors as in `CodesFile.with_bits`."""
    known = codes.with_bits(bits)
    folder = None if codes.model is None else str(codes.model)
    length = read_bits(known.bits, None)
    return State(length, known.fingerprint, model_folder=folder, words=known.words, keep=keep, concepts=concepts)


def require_alike(state: State, other: State) -> None:
    """Raise if the codes of two indexes cannot be compared.

    Raises:
        ArtefactError: If length or model differ.
    """
    if other.kind != state.kind:
        raise ArtefactError(f"the other index holds {other.kind}, this one {state.kind}")
    own = replace(state.keep, dims=0) if state.keep and not len(state) else state.keep
    if not keeps_alike(own, other.keep):
        theirs, ours = (str(one.keep or "none") for one in (other, state))
        raise ArtefactError(
            f"the other index keeps vectors: {theirs}, this one: {ours}; create it again with the same keep and metric"
        )
    if None not in (state.concepts, other.concepts) and other.concepts != state.concepts:
        raise ArtefactError(f"the other index keeps concepts: {other.concepts}, this one: {state.concepts}")
    if other.fingerprint != state.fingerprint:
        theirs, ours = (str(one.fingerprint)[:12] for one in (other, state))
        raise ArtefactError(
            f"the other index was made with another model ({theirs}) than this one ({ours}); "
            "encode its items again with this model"
        )


def require_model(model: Encoder | None, state: State) -> None:
    """Raise if the codes of a model cannot be compared with those of the index.

    Raises:
        ArtefactError: If length or fingerprint differ.
    """
    if model is None:
        return
    made = hamming.describe_kind(model.bits, words_of(model))
    if made != state.kind:
        raise ArtefactError(f"the model makes {made}, but the index holds {state.kind}")
    if state.fingerprint is not None and model.fingerprint != state.fingerprint:
        raise ArtefactError(
            f"the index was made with another model ({state.fingerprint[:12]}) than this one "
            f"({model.fingerprint[:12]}); open it with that model, or encode and index the items again"
        )


def follows(state: State, known: State, model: Encoder | None) -> bool:
    """Return whether a state may be a later one of the same index, see `adopted` for the model that it may have taken.

    Args:
        state: Contents that were read.
        known: Contents that were known before.
        model: The model that the index was opened with.
    """
    if known.fingerprint is not None:
        same = state.fingerprint == known.fingerprint
    else:
        same = model is None or state.fingerprint in (None, model.fingerprint)
    concepts = known.concepts in (None, state.concepts)
    return same and concepts and state.kind == known.kind and keeps_alike(state.keep, known.keep)


def require_codes(codes: CodesFile, state: State) -> None:
    """Raise if the codes of a file cannot be compared with those of the index.

    Raises:
        ArtefactError: If length or fingerprint differ.
    """
    known = codes.with_bits(None if codes.bits else state.bits)
    if (known.bits, known.words) != (state.bits, state.words):
        held = hamming.describe_kind(known.bits or state.bits, known.words)
        raise ArtefactError(f"{codes.name} holds {held}, but the index holds {state.kind}")
    if None not in (state.fingerprint, codes.fingerprint) and codes.fingerprint != state.fingerprint:
        theirs, ours = (str(one.fingerprint)[:12] for one in (codes, state))
        raise ArtefactError(
            f"the index was made with another model ({ours}) than {codes.name} ({theirs}); encode the items again with "
            "the model of the index"
        )


def adopted(state: State, items: Any, model: Encoder | None) -> State:
    """Return the state that new items are added to: an index without a model takes theirs.

    Args:
        state: Contents of the index.
        items: As for `Index.add`; packed codes name no model.
        model: Encodes the items; None if the index has none.

    Raises:
        ArtefactError: If the codes of a file have another length or model.
    """
    if isinstance(items, CodesFile):
        known = replace(state, fingerprint=state.fingerprint or (model.fingerprint if model is not None else None))
        require_codes(items, known)
        fingerprint, folder = items.fingerprint, None if items.model is None else os.fspath(items.model)
    elif model is None or are_codes(items, model, state.bits):
        return state
    else:
        fingerprint, folder = model.fingerprint, folder_of(model)
    if fingerprint is None or state.fingerprint is not None:
        return state
    if len(state):
        warn_of_unknown_codes(fingerprint)
    return replace(state, fingerprint=fingerprint, model_folder=folder)


def warn_of_unknown_codes(fingerprint: str) -> None:
    """Warn that codes of an unknown model now count as codes of the model with a fingerprint."""
    warnings.warn(
        f"the index held codes of an unknown model; it now takes the model of the new items ({fingerprint[:12]}) "
        "for all of them, and refuses others. Pass model= when an index is created",
        stacklevel=4,
    )


def encode(items: Any, model: Encoder | None, bits: int, name: str) -> tuple[Codes, bool]:
    """Return the codes of items ``(n, w)``, and whether a single item was given.

    Raises:
        UsageError: If the items need a model and the index has none.
        DataError: If the codes are not packed codes of ``bits`` bits.
        ArtefactError: If the codes of a file have another length or model.
    """
    if isinstance(items, CodesFile):
        require_codes(items, State(bits, model.fingerprint if model is not None else None, words=items.words))
        return check_query(items.with_bits(bits).codes, bits, name), False
    if are_codes(items, model, bits):
        single = items.ndim == 1
        return check_query(items[None] if single else items, bits, name), single
    if model is None:
        raise UsageError(
            f"{name} are {type(items).__name__}, not packed uint8 codes, and the index knows no model; "
            "pass model= to Index.create or Index.open: a model, or the folder that it was saved in"
        )
    codes = np.asarray(model.encode(items))
    return check_query(np.atleast_2d(codes), bits, name), codes.ndim == 1 or is_single(items, model, len(codes))


def encode_query(query: Any, text: Any, model: Encoder | None, bits: int) -> tuple[Codes, bool]:
    """Return the codes of a query or text ``(q, w)``, and whether it is a single one.

    Raises:
        UsageError: If both or neither are given, the query is a text file, or a model is missing.
        DataError: If the codes are not packed codes of ``bits`` bits.
    """
    if (query is None) == (text is None):
        raise UsageError("give a query or text=, one of the two")
    if text is None:
        _refuse_text_file(query)
        return encode(query, model, bits, "queries")
    able: Any = model
    if able is None or "modality" not in signature(able.encode).parameters:
        raise UsageError("a text needs a model that encodes texts; pass it as model= when the index is opened")
    return check_query(_encode_text(able, text), bits, "queries"), isinstance(text, str)


def query_tables(
    query: Any, text: Any, model: Encoder | None, bits: int, words: int = hamming.BITS
) -> tuple[Tables, bool]:
    """Return the look-up tables of a query or text, float32 ``(q, parts, entries)``, and whether it is a single one.

    Raises:
        UsageError: If both or neither are given, the query is codes or a text file, or the model makes no tables.
        DataError: If the query cannot be read.
    """
    if (query is None) == (text is None):
        raise UsageError("give a query or text=, one of the two")
    if are_tables(query, bits, words):
        return query, False
    able: Any = model
    if able is None or "output" not in signature(able.encode).parameters:
        parts, entries = hamming.table_shape(bits, words)
        raise UsageError(
            "the asymmetric distance needs the index's model, or look-up tables, float32 "
            f"(queries, {parts}, {entries}); pass model= when the index is created or opened"
        )
    if text is not None:
        return _encode_text(able, text, output="tables"), isinstance(text, str)
    _refuse_text_file(query)
    if isinstance(query, CodesFile) or are_codes(query, model, bits):
        if words != hamming.BITS:
            codes, single = encode(query, model, bits, "queries")
            return able.tower().code_tables(codes), single
        raise UsageError(
            "the asymmetric distance compares a query's logits, and packed codes have none; search with the image or "
            "vector itself, or by Hamming distance"
        )
    tables: Tables = able.encode(query, output="tables")
    return tables, is_single(query, model, len(tables))


def _encode_text(model: Any, text: Any, **options: Any) -> Any:
    try:
        return model.encode(text, modality="text", **options)
    except UsageError as error:
        if "text" in getattr(model, "towers", ("text",)):
            raise
        raise UsageError(
            f"{error}, and the index keeps no concepts. Create it with concepts, if the backbone is an "
            "EfficientNet-Lite, or with a model that learned texts"
        ) from None


def _refuse_text_file(query: Any) -> None:
    if isinstance(query, (str, os.PathLike)) and os.fspath(query).endswith((".txt", ".lst")) and os.path.isfile(query):
        raise UsageError(
            f"{os.fspath(query)} is a text file: it may hold a text to search with, or a list of images. Give the text "
            "as text=..., or the images as kinbits.open_dataset(path)"
        )


def are_codes(items: Any, model: Encoder | None, bits: int) -> bool:
    """Return whether items are packed codes, not items for a model.

    Arrays uint8 ``(w,)`` and ``(n, w)`` are codes. With a model, an array of another width is a grey image ``(h, w)``
    if no side is under 8 pixels or over four times the other.
    """
    if not (isinstance(items, np.ndarray) and items.dtype == np.uint8 and items.ndim <= 2):
        return False
    if model is None or items.ndim < 2 or items.shape[1] == hamming.code_width(bits):
        return True
    short, long = sorted(items.shape)
    return bool(short < LEAST_SIDE or long > 4 * short)


def are_tables(items: Any, bits: int, words: int = hamming.BITS) -> bool:
    """Return whether items are look-up tables, float32 ``(q, parts, entries)``, for codes of this length and kind."""
    shape = hamming.table_shape(bits, words)
    return isinstance(items, np.ndarray) and items.dtype == np.float32 and items.ndim == 3 and items.shape[1:] == shape


def is_single(items: Any, model: Encoder | None, count: int) -> bool:
    """Return whether one item was given, not several or a list of one.

    Args:
        items: Items that the model encodes.
        model: Its ``is_single`` decides if it has one; otherwise text, paths, arrays and objects without length are
            single items.
        count: Number of codes that the model returned.
    """
    able = getattr(model, "is_single", None)
    if able is not None:
        return bool(able(items))
    if isinstance(items, np.ndarray):
        return count == 1 and items.ndim <= (3 if items.dtype == np.uint8 else 1)  # one image, one vector
    return count == 1 and (isinstance(items, (str, os.PathLike, bytes)) or not hasattr(items, "__len__"))
