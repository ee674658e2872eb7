"""Roles of the columns of a table: named by the user, or guessed from the names and checked against the cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from kinbits.data.labels import LabelSpace
from kinbits.data.sources.arrow_table import ArrowTable
from kinbits.data.sources.cells import decoded, to_ids, to_texts
from kinbits.data.sources.columns import (
    ID_NAMES,
    IMAGE_NAMES,
    LABEL_NAMES,
    PATH_TABLE_ID_NAMES,
    TEXT_NAMES,
    VECTOR_NAMES,
    Options,
    find_column,
    find_text_column,
    matching_columns,
    named_classes,
    to_labels,
)
from kinbits.data.sources.csv import typed, why_no_labels
from kinbits.errors import DataError, UsageError

_Value = TypeVar("_Value")


class Roles:
    """The role of each column of a table: images or vectors, labels, texts, ids or metadata.

    A column that the user names must fit its role, or an error is raised. A column can also get a role by its name.
    It keeps this role only if its cells fit; otherwise it stays metadata. ``guesses`` describes both cases.

    Attributes:
        image: Name of the column with images, their paths, or vectors.
        label: Name of the label column; None without labels.
        labels: The labels and their `LabelSpace`; ``(None, None)`` without labels.
        text: Name of the text column; None without texts.
        texts: One text per row; None without texts.
        id: Name of the id column, or None.
        ids: Values of the id column, int64 or str ``(n,)``; None without one.
        guesses: A short description of each guess.

    Raises:
        UsageError: If a named column does not exist.
        DataError: If a named column does not fit its role, or there is no column of images or vectors.
    """

    def __init__(self, table: ArrowTable, options: Options) -> None:
        self.table, self.options = table, options
        self.guesses: list[str] = []
        self.image = self._image()
        self.text, self.texts = self._texts()
        self.label, self.labels = self._labels()
        self.id, self.ids = self._ids()

    def metadata(self, *, with_image: bool) -> dict[str, list[Any]]:
        """Return the columns that are neither labels nor texts, n plain values each; note columns that do not fit.

        Args:
            with_image: Whether to include the column of image paths.
        """
        found = {}
        left_out = {self.label, self.text} if with_image else {self.label, self.text, self.image}
        for name in self.table.names:
            if not name.strip():  # e.g. the row numbers that pandas writes
                self.guesses.append("a column without a name is left out")
            elif name not in left_out:
                values, note = self._values(name)
                if values is not None:
                    found[name] = values
                if note is not None:
                    self.guesses.append(f"column '{name}' {note}")
        return found

    def _values(self, name: str) -> tuple[list[Any] | None, str | None]:
        try:
            return self.table.metadata(name, typed if self.table.text and name != self.image else decoded)
        except DataError as error:
            return None, f"is left out: {error}"

    def _image(self) -> str:
        named = find_column(self.options.item_column, (), self.table.names)
        if named is not None:
            holds = self.table.holds_images if self.options.vector_column is None else self.table.holds_vectors
            if not holds(named):
                raise self.options.wrong_items(self.table.source, str(self.table.column(named).type))
            return named
        known = matching_columns(IMAGE_NAMES, self.table.names)
        found = next((name for name in known if self.table.holds_images(name)), None)
        if found is not None:
            self.guesses.append(f"images from column '{found}'")
            return found
        vectors = matching_columns(VECTOR_NAMES, self.table.names)
        found = next((name for name in vectors if self.table.holds_vectors(name)), None)
        if found is None:
            raise self._no_image(known)
        self.guesses.append(f"vectors from column '{found}'")
        return found

    def _no_image(self, known: Sequence[str]) -> DataError:
        text_column = find_text_column(self.table.names)
        texts = f" (texts without images, such as '{text_column}', go to HashModel.encode with modality='text')"
        text_hint = texts if text_column else ""
        wrong_type = f" ('{known[0]}' holds {self.table.column(known[0]).type}, not bytes or paths)" if known else ""
        return DataError(
            f"{self.table.source}: no image column among {', '.join(self.table.names)}{wrong_type}; looked for "
            f"{', '.join(IMAGE_NAMES)}, and for vectors {', '.join(VECTOR_NAMES)}; name it by image_column or "
            f"vector_column{text_hint}"
        )

    def _texts(self) -> tuple[str | None, tuple[str, ...] | None]:
        named = find_column(self.options.text_column, (), self.table.names)
        if named is not None:
            return named, self._texts_of(named)
        name, texts = self._first(TEXT_NAMES, "texts", self._texts_of)
        if name is not None:
            self.guesses.append(f"texts from column '{name}'")
        return name, texts

    def _texts_of(self, name: str) -> tuple[str, ...]:
        return to_texts(self.table.cells(name), self.table.source)

    def _labels(self) -> tuple[str | None, tuple[np.ndarray | None, LabelSpace | None]]:
        given = self.options.label_column
        if self.options.unlabelled:
            return None, (None, None)
        if given is not None:
            names = [given] if isinstance(given, str) else list(given)
            if not names:
                raise UsageError("label_column is an empty list; name columns, or leave it out")
            for one in names:
                find_column(one, (), self.table.names)
            if len(names) > 1:
                return None, (None, None)  # several columns of 0 and 1, which stay metadata too
            return names[0], to_labels(self.table.cells(names[0]), self.options, self.table.source)
        known = matching_columns(LABEL_NAMES, self.table.names)
        if known and self.options.label_names is not None:  # given class names require labels: errors are raised
            return known[0], to_labels(self.table.cells(known[0]), self.options, self.table.source)
        name, found = self._first(LABEL_NAMES, "labels", self._guessed_labels)
        if name is None or found is None:
            return None, (None, None)
        self.guesses.append(named_classes(found[1], f"column '{name}'"))
        return name, found

    def _guessed_labels(self, name: str) -> tuple[np.ndarray, LabelSpace]:
        import pyarrow.types as types

        column, cells = decoded(self.table.column(name)), self.table.cells(name)
        why: str | None = why_no_labels(column) if self.table.text else None
        if types.is_temporal(column.type):
            why = "it holds dates or times"
        if all(cell is None for cell in cells):
            why = "it is empty"
        if why is not None:
            raise DataError(why)
        return to_labels(cells, self.options, self.table.source)

    def _ids(self) -> tuple[str | None, np.ndarray | None]:
        given = find_column(self.options.id_column, (), self.table.names)
        if given is not None:
            return given, self.table.ids(given)
        paths = self.table.holds_text(self.image)
        name, ids = self._first(PATH_TABLE_ID_NAMES if paths else ID_NAMES, "ids", self._guessed_ids)
        if name is not None:
            self.guesses.append(f"ids from column '{name}'")
        return name, ids

    def _guessed_ids(self, name: str) -> np.ndarray:
        ids = to_ids(self.table.cells(name), self.table.source)
        if len(set(ids.tolist())) < len(ids):
            raise DataError("some rows have the same id")
        return ids

    def _first(
        self, guesses: Sequence[str], what: str, read: Callable[[str], _Value]
    ) -> tuple[str | None, _Value | None]:
        """Return the first column that has one of the names and can be read; note why the others cannot."""
        for name in matching_columns(guesses, self.table.names):
            if name in (self.image, *self._named()):
                continue
            try:
                return name, read(name)
            except DataError as error:
                why = str(error).removeprefix(f"{self.table.source}: ").partition("; ")[0]  # without the remedy
                self.guesses.append(f"column '{name}' is not used as {what}: {why}")
        return None, None

    def _named(self) -> set[str]:
        """Return the columns that the user named; each has exactly one role."""
        labels = self.options.label_column
        several = [] if labels is None else [labels] if isinstance(labels, str) else labels
        given = (self.options.item_column, self.options.text_column, self.options.id_column, *several)
        return {name for name in given if name is not None}
