"""One index of a service: its contents, which follow the folder, its model, and the images of its items."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kinbits._util import full_path
from kinbits.data import EXTENSIONS, paths_of_id
from kinbits.dedupe import Review
from kinbits.errors import ArtefactError, UsageError
from kinbits.hamming import kind_name
from kinbits.index import Index

_NUMBER = re.compile("-?[0-9]{1,19}")
_CODES = ["id", "code"]  # what needs no model
WAIT = 5.0  # seconds for another writer


class ServedIndex:
    """An index with a name.

    Args:
        name: Name in requests.
        folder: Folder of the index; or an open `kinbits.Index`.
        model: Its model, or the folder of that; None takes the one that the index knows.
        roots: Folders that images may be read from; nothing takes those of the index when it is opened.

    Attributes:
        index: The open index; another object after it was made again.
        queries: What may be asked for: id, code, image, vector, text; None until `load` has told.
        review: Duplicates among its images, and what was decided on them; None without a report.
    """

    def __init__(self, name: str, folder: Any, model: Any = None, roots: Sequence[str | os.PathLike[str]] = ()) -> None:
        self.name, self._given, self._changing = name, model, threading.Lock()
        self.queries: list[str] | None = None
        self.review: Review | None = None
        self._given_roots = roots
        self._take(folder if isinstance(folder, Index) else self._opened(folder))

    def _take(self, index: Index) -> None:
        self.index = index
        self._roots = [full_path(root).resolve() for root in self._given_roots or self.index.info()["image_roots"]]

    def _opened(self, folder: Any) -> Index:
        """Open an index; one that was migrated to another model than the given one has its own."""
        try:
            return Index.open(folder, self._given, wait=WAIT)
        except ArtefactError:
            if self._given is None or not hasattr(self, "index"):  # when the service starts, that is a mistake
                raise
            return Index.open(folder, wait=WAIT)

    def load(self) -> None:
        """Load the model, compile its network, and find out what may be asked for.

        Raises:
            ArtefactError: If the model is missing, or another one.
        """
        self.queries = _queries_of(self.index)

    def refresh(self) -> bool:
        """Follow changes of the folder; an index that was made again is opened again. Return whether it changed."""
        before = self.index.stamp
        try:
            self.index.refresh()
        except ArtefactError:
            with self._changing:
                index = self._opened(self.index.info()["path"])
                queries = _CODES
                try:
                    queries = _queries_of(index)  # before anybody uses the model
                finally:
                    self._take(index)
                    self.queries = queries
        return self.index.stamp != before

    def id_of(self, text: str) -> int | str:
        """Return the id that a part of an address stands for: a number in an index of such ids.

        Raises:
            UsageError: If the index has numbers as ids, and this is none.
        """
        if self.index.info()["ids"] != "int":
            return text
        if not _NUMBER.fullmatch(text):
            raise UsageError(f"ids of index '{self.name}' are numbers, not '{text}'")
        return int(text)

    def file_of(self, item: str | int, columns: dict[str, Any]) -> tuple[Path, int | None] | None:
        """Return the file of an item's image and the frame there; None if it is not below the folders of images.

        Args:
            item: The id.
            columns: Metadata of the item; ``path`` counts first.
        """
        for value in (columns.get("path"), item):
            for name, frame in paths_of_id(value) if isinstance(value, str) else ():
                found = self.below_roots(name)
                if found is not None:
                    return found, frame
        return None

    def below_roots(self, name: str | Path) -> Path | None:
        """Return the real path of an image, given in full or from a folder of images; None if it is in none of them."""
        if Path(name).suffix.lower() not in EXTENSIONS:
            return None
        for root in self._roots:
            try:
                found = (root / name).resolve()
                if found.is_relative_to(root) and found.is_file():
                    return found
            except (OSError, ValueError, RuntimeError):  # no possible path, or a circle of links
                continue
        return None

    def may_show(self, folder: Path) -> bool:
        """Return whether a folder is below one of the folders of images."""
        return any(folder.is_relative_to(root) for root in self._roots)

    def describe(self) -> dict[str, Any]:
        """Return what a client has to know, in plain values; no paths of this machine."""
        info = self.index.info()
        return {
            "name": self.name,
            "items": info["items"],
            "bits": info["bits"],
            "kind": kind_name(info["words"]),
            "words": info["words"],
            "fingerprint": info["fingerprint"],
            "ids": info["ids"],
            "columns": info["column_types"],
            "keep": None if info["keep"] is None else info["keep"]["precision"],
            "concepts": info["concepts"] is not None,
            "images": bool(self._roots),
            "queries": self.queries,
            "duplicates": self.review is not None,
            "generation": info["generation"],
        }


def _queries_of(index: Index) -> list[str]:
    """Return what may be asked for, after the model was loaded and its network compiled."""
    found = list(_CODES)
    if hasattr(index.model, "tower"):
        found += _encoded_by(index.model)
    if index.info()["concepts"] is not None and "text" not in found:
        found += ["text"]
    return found


def _encoded_by(model: Any) -> list[str]:
    """Return what a model encodes, after its network for images was compiled."""
    from kinbits.backbones import features_of_pixels  # here, because an index of codes needs no torch

    found: list[str] = []
    towers = getattr(model, "towers", None)
    if towers is None:  # no model of ours: what it takes is sent as numbers
        return ["vector"]
    if "image" in towers:
        backbone = towers["image"].backbone
        found.append(backbone.modality)
        if backbone.modality == "image":
            side = backbone.preprocessing.size
            features_of_pixels(np.zeros((1, 3, side, side), np.uint8), backbone)
    return [*found, *(["text"] if "text" in towers else [])]
