"""Which column of a table is what: as the user says, else guessed from names and checked against the cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from kinbits.data.labels import LabelSpace
from kinbits.data.sources.cells import cells_of, decoded, id_array, metadata_of, texts_of
from kinbits.data.sources.columns import (
    ID_NAMES,
    IDS_BESIDE_PATHS,
    IMAGE_NAMES,
    LABEL_NAMES,
    TEXT_NAMES,
    Options,
    candidates,
    named_classes,
    pick,
    to_labels,
)
from kinbits.data.sources.csv import typed, why_no_labels
from kinbits.errors import DataError, UsageError

_Found = TypeVar("_Found")


class Table:
    """An Arrow table, or some of its rows.

    Args:
        arrow: A `pyarrow.Table`.
        source: Named in errors.
        rows: int64 rows to show; all when None.
        text: Whether each column is text that only looks like numbers, as in a CSV file.
    """

    def __init__(self, arrow: Any, source: str, rows: np.ndarray | None = None, *, text: bool = False) -> None:
        self.arrow, self.source, self.rows, self.text = arrow, source, rows, text
        self.names: list[str] = list(arrow.column_names)

    def __len__(self) -> int:
        return len(self.arrow) if self.rows is None else len(self.rows)

    def column(self, name: str) -> Any:
        """Return all cells of a column, as a `pyarrow.ChunkedArray`."""
        return self.arrow.column(name)

    def cells(self, name: str, convert: Callable[[Any], Any] = decoded) -> list[Any]:
        """Return the cells of the rows as Python values.

        Args:
            name: Of the column.
            convert: Applied to the Arrow column first.

        Raises:
            DataError: If they have no Python value.
        """
        column = convert(self.column(name))
        return cells_of(column if self.rows is None else column.take(self.rows), name)

    def take(self, rows: np.ndarray) -> Table:
        """Return some of the rows that this table shows."""
        return Table(self.arrow, self.source, rows if self.rows is None else self.rows[rows], text=self.text)

    def holds_text(self, name: str) -> bool:
        """Tell whether a column is text."""
        import pyarrow.types as types

        kind = decoded(self.column(name)).type
        return bool(types.is_string(kind) or types.is_large_string(kind))

    def holds_images(self, name: str) -> bool:
        """Tell whether a column may hold images: paths, bytes, or structs with one of them."""
        import pyarrow.types as types

        kind = self.column(name).type
        if types.is_struct(kind):
            return bool({"bytes", "path"} & {kind.field(place).name for place in range(kind.num_fields)})
        return self.holds_text(name) or bool(types.is_binary(kind) or types.is_large_binary(kind))


class Roles:
    """What each column of a table is.

    What a user names is taken, or refused with the reason. What is only guessed from a column's name is taken if its
    cells fit, and said in ``guesses``; else the column stays metadata, which is said too.

    Attributes:
        image: The column of images or their paths.
        label: The column of labels, if there is one.
        labels: The labels and what they mean; None twice without labels.
        text: The column of texts, if there is one.
        texts: One text a row.
        ids: From a column of ids, int64 or str ``(n,)``; None without one.
        guesses: A few words for each guess.

    Raises:
        UsageError: If a column that was named does not exist.
        DataError: If a column that was named does not fit, or there is no image column.
    """

    def __init__(self, table: Table, options: Options) -> None:
        self.table, self.options = table, options
        self.guesses: list[str] = []
        self.image = self._image()
        self.text, self.texts = self._texts()
        self.label, self.labels = self._labels()
        self.id, self.ids = self._ids()

    def metadata(self, *, with_image: bool) -> dict[str, list[Any]]:
        """Return the columns that are neither labels nor texts, n plain values each; say what does not fit.

        Args:
            with_image: Whether the paths of the images are among them.
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
            return metadata_of(self.table.cells(name, typed if self.table.text and name != self.image else decoded))
        except DataError as error:
            return None, f"is left out: {error}"

    def _image(self) -> str:
        named = pick(self.options.image_column, (), self.table.names)
        if named is not None:
            if not self.table.holds_images(named):
                kind = self.table.column(named).type
                raise DataError(f"{self.table.source}: column '{named}' holds {kind}, not images or their paths")
            return named
        known = candidates(IMAGE_NAMES, self.table.names)
        found = next((name for name in known if self.table.holds_images(name)), None)
        if found is None:
            raise self._no_image(known)
        self.guesses.append(f"images from column '{found}'")
        return found

    def _no_image(self, known: Sequence[str]) -> DataError:
        text_column = pick(None, TEXT_NAMES, self.table.names)
        texts = f" (texts without images, such as '{text_column}', go to HashModel.encode with modality='text')"
        alone = texts if text_column else ""
        strange = f" ('{known[0]}' holds {self.table.column(known[0]).type}, not bytes or paths)" if known else ""
        return DataError(
            f"{self.table.source}: no image column among {', '.join(self.table.names)}{strange}; looked for "
            f"{', '.join(IMAGE_NAMES)}; name it with image_column={alone}"
        )

    def _texts(self) -> tuple[str | None, tuple[str, ...] | None]:
        named = pick(self.options.text_column, (), self.table.names)
        if named is not None:
            return named, self._texts_of(named)
        name, texts = self._first(TEXT_NAMES, "texts", self._texts_of)
        if name is not None:
            self.guesses.append(f"texts from column '{name}'")
        return name, texts

    def _texts_of(self, name: str) -> tuple[str, ...]:
        return texts_of(self.table.cells(name), self.table.source)

    def _labels(self) -> tuple[str | None, tuple[np.ndarray | None, LabelSpace | None]]:
        given = self.options.label_column
        if self.options.unlabelled:
            return None, (None, None)
        if given is not None:
            names = [given] if isinstance(given, str) else list(given)
            if not names:
                raise UsageError("label_column is an empty list; name columns, or leave it out")
            for one in names:
                pick(one, (), self.table.names)
            if len(names) > 1:
                return None, (None, None)  # several columns of 0 and 1, which stay metadata too
            return names[0], to_labels(self.table.cells(names[0]), self.options, self.table.source)
        known = candidates(LABEL_NAMES, self.table.names)
        if known and self.options.label_names is not None:  # they belong to labels, which have to fit
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
        given = pick(self.options.id_column, (), self.table.names)
        if given is not None:
            return given, id_array(self.table.cells(given), f"{self.table.source}, column '{given}'")
        paths = self.table.holds_text(self.image)
        name, ids = self._first(IDS_BESIDE_PATHS if paths else ID_NAMES, "ids", self._guessed_ids)
        if name is not None:
            self.guesses.append(f"ids from column '{name}'")
        return name, ids

    def _guessed_ids(self, name: str) -> np.ndarray:
        ids = id_array(self.table.cells(name), self.table.source)
        if len(set(ids.tolist())) < len(ids):
            raise DataError("it names some rows alike")
        return ids

    def _first(
        self, guesses: Sequence[str], what: str, read: Callable[[str], _Found]
    ) -> tuple[str | None, _Found | None]:
        """Return the first column that is called as a guess and can be read as such; say why others cannot."""
        for name in candidates(guesses, self.table.names):
            if name in (self.image, *self._named()):
                continue
            try:
                return name, read(name)
            except DataError as error:
                why = str(error).removeprefix(f"{self.table.source}: ").partition("; ")[0]  # without the remedy
                self.guesses.append(f"column '{name}' is not taken as {what}: {why}")
        return None, None

    def _named(self) -> set[str]:
        """Return the columns that the user has named, each of which is nothing else."""
        labels = self.options.label_column
        several = [] if labels is None else [labels] if isinstance(labels, str) else labels
        given = (self.options.image_column, self.options.text_column, self.options.id_column, *several)
        return {name for name in given if name is not None}
