"""A saved model of an index, loaded on first use."""

from __future__ import annotations

import os
from contextlib import suppress
from inspect import signature
from pathlib import Path
from typing import Any, cast

from kinbits import hamming
from kinbits._util import lazy
from kinbits.errors import ArtefactError, UsageError
from kinbits.index.items import Encoder
from kinbits.index.store.state import State
from kinbits.perceptual import hash_of_fingerprint


class LinkedModel:
    """A saved model that is not loaded yet, so that an index can be searched with codes without PyTorch.

    Code length and fingerprint are known, and the metric is read; every other attribute loads the model.

    Attributes:
        folder: Folder of the model; None for a perceptual hash, which its fingerprint names.
        bits: Code length.
        fingerprint: Identity of the model.
        words: Words of a part of a code.
    """

    def __init__(self, folder: Path | None, bits: int, fingerprint: str, words: int = hamming.BITS) -> None:
        self.folder, self.bits, self.fingerprint, self.words = folder, bits, fingerprint, words

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str]) -> LinkedModel:
        """Read length and fingerprint from a model folder, or of a perceptual hash by its name.

        Raises:
            ArtefactError: If the folder holds no model.
        """
        from kinbits.model import describe_model, model_folder

        found = describe_model(folder)
        place = None if hash_of_fingerprint(found.fingerprint) else model_folder(folder)
        return cls(place, found.bits, found.fingerprint, found.words)

    @lazy
    def metric(self) -> str | None:
        """What its codes are compared by; None if its folder does not say it, or holds another model."""
        from kinbits.model import describe_model

        if self.folder is None:
            return None
        with suppress(ArtefactError):
            found = describe_model(self.folder)
            return found.metric if found.fingerprint == self.fingerprint else None
        return None

    @lazy
    def modalities(self) -> tuple[str, ...]:
        """What it encodes; nothing if its folder is gone, or holds another model."""
        from kinbits.model import describe_model

        if hash_of_fingerprint(self.fingerprint):
            return ("image",)
        with suppress(ArtefactError):
            found = describe_model(self.folder) if self.folder is not None else None
            return found.modalities if found is not None and found.fingerprint == self.fingerprint else ()
        return ()

    @lazy
    def loaded(self) -> Any:
        """The model.

        Raises:
            ArtefactError: If the model is missing or damaged, or another model is in its folder.
        """
        from kinbits.model import HashModel, describe_model

        known = hash_of_fingerprint(self.fingerprint)
        if known is not None:
            return HashModel.from_pretrained(known.name)
        assert self.folder is not None
        if not self.folder.exists():
            raise ArtefactError(
                f"the model of the index was at {self.folder}, which is gone; put it beside the index, or name the "
                "model"
            )
        found = describe_model(self.folder).fingerprint
        if found != self.fingerprint:
            raise ArtefactError(
                f"the index was made with another model ({self.fingerprint[:12]}) than the one at {self.folder} "
                f"({found[:12]}); open it with that model, or encode and index the items again"
            )
        return HashModel.from_pretrained(self.folder)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.loaded, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return LinkedModel, (self.folder, self.bits, self.fingerprint, self.words)


def encoder_of(model: Encoder | str | os.PathLike[str] | None, state: State | None = None) -> Encoder | None:
    """Return the given model, that of a given folder or name, or else the one that the index refers to.

    Raises:
        UsageError: If neither a model nor a folder is given.
        ArtefactError: If the given folder holds no model.
    """
    if isinstance(model, (str, os.PathLike)):
        return cast(Encoder, LinkedModel.from_folder(model))
    if model is None and state is not None and state.fingerprint is not None:
        folder = None if state.model_folder is None else Path(state.model_folder)
        if folder is not None or hash_of_fingerprint(state.fingerprint):
            return cast(Encoder, LinkedModel(folder, state.bits, state.fingerprint, state.words))
    if model is not None and not _is_encoder(model):
        raise UsageError(f"model= takes a model or the folder of one, not {type(model).__name__}; see kinbits.fit")
    return model


def metric_of(model: Any) -> str | None:
    """Return what codes of a model are compared by, as its head is described; None if it does not say it.

    A model that is not loaded stays so.
    """
    if isinstance(model, LinkedModel):
        return model.metric
    return model.tower().head.options.get("metric") if hasattr(model, "tower") else None


def reads_text(model: Any) -> bool:
    """Return whether a model encodes texts; one that is not loaded stays so."""
    if model is None:
        return False
    if isinstance(model, LinkedModel):
        return "text" in model.modalities
    return "text" in model.towers if hasattr(model, "towers") else "modality" in signature(model.encode).parameters


def gives_concepts(model: Any) -> bool:
    """Return whether a model gives concepts of images; one that is not loaded is loaded for it."""
    tower = model.tower() if hasattr(model, "tower") else None
    return bool(getattr(tower, "gives_concepts", False))


def _is_encoder(model: Any) -> bool:
    if isinstance(model, type):
        return False
    return isinstance(model, LinkedModel) or all(hasattr(model, name) for name in ("bits", "fingerprint", "encode"))
