"""A saved model of an index, loaded on first use."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from kinbits import hamming
from kinbits._util import full_path, lazy
from kinbits.errors import ArtefactError, UsageError
from kinbits.index.items import Encoder
from kinbits.index.store.state import State


class LinkedModel:
    """A saved model that is not loaded yet, so that an index can be searched with codes without PyTorch.

    Code length and fingerprint are known, and the metric is read; every other attribute loads the model.

    Attributes:
        folder: Folder of the model.
        bits: Code length.
        fingerprint: Identity of the model.
        words: Words of a part of a code.
    """

    def __init__(self, folder: Path, bits: int, fingerprint: str, words: int = hamming.BITS) -> None:
        self.folder, self.bits, self.fingerprint, self.words = folder, bits, fingerprint, words

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str]) -> LinkedModel:
        """Read length and fingerprint from a model folder.

        Raises:
            ArtefactError: If the folder holds no model.
        """
        from kinbits.model import describe_model

        found = describe_model(folder)
        return cls(full_path(folder), found.bits, found.fingerprint, found.words)

    @lazy
    def metric(self) -> str | None:
        """What its codes are compared by; None if its folder does not say it, or holds another model."""
        from kinbits.model import describe_model

        with suppress(ArtefactError):
            found = describe_model(self.folder)
            return found.metric if found.fingerprint == self.fingerprint else None
        return None

    @lazy
    def loaded(self) -> Any:
        """The model.

        Raises:
            ArtefactError: If the model is missing or damaged, or another model is in its folder.
        """
        from kinbits.model import HashModel, describe_model

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
    """Return the given model, the model of a given folder, or else the model that the index refers to.

    Raises:
        UsageError: If neither a model nor a folder is given.
        ArtefactError: If the given folder holds no model.
    """
    if isinstance(model, (str, os.PathLike)):
        return cast(Encoder, LinkedModel.from_folder(model))
    if model is None and state is not None and state.model_folder is not None and state.fingerprint is not None:
        return cast(Encoder, LinkedModel(Path(state.model_folder), state.bits, state.fingerprint, state.words))
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


def _is_encoder(model: Any) -> bool:
    if isinstance(model, type):
        return False
    return isinstance(model, LinkedModel) or all(hasattr(model, name) for name in ("bits", "fingerprint", "encode"))
