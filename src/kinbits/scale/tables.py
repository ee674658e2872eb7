"""Parquet files: some row groups of one are a block, which is read where it is encoded."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from kinbits._util import one_line, shortened
from kinbits.data import (
    RESERVED,
    ArrowItems,
    ArrowTable,
    Dataset,
    VectorItems,
    find_image_column,
    find_text_column,
    find_vector_column,
)
from kinbits.errors import DataError, UsageError, platform_error
from kinbits.scale.blocks import images_dataset
from kinbits.scale.places import Place, is_uri

_READERS = 16  # threads, since each waits for the network
_ID = "id"


@dataclass(frozen=True)
class TableRoles:
    """What the columns of the files are.

    Attributes:
        images: Column of image bytes, or of paths.
        vectors: Column of vectors.
        texts: Column of texts.
        ids: Column of unique names; None counts the rows of all files from 0, or takes the paths of the images.
        labels: Column of labels, which must exist; it is metadata, as all other columns are.
    """

    images: str | None = None
    vectors: str | None = None
    texts: str | None = None
    ids: str | None = None
    labels: str | None = None


@dataclass(frozen=True)
class TableBlock:
    """Some row groups of a Parquet file.

    Attributes:
        place: The folder.
        file: Path of the file in it.
        groups: Numbers of the row groups.
        first: Number of the first row, counted over all files.
        roles: What the columns are.
    """

    place: Place
    file: str
    groups: tuple[int, ...]
    first: int
    roles: TableRoles

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"row groups {self.groups[0]} to {self.groups[-1]} of {self.place.uri}/{self.file}"

    def parts(self) -> Iterator[Dataset]:
        """Read the row groups.

        Raises:
            DataError: If the file is damaged, or the columns hold something else.
        """
        from pyarrow import ArrowInvalid, parquet

        try:
            with self.place.open_arrow(self.file) as file:
                table = parquet.ParquetFile(file).read_row_groups(list(self.groups))
        except ArrowInvalid as error:
            raise DataError(f"{self.name}: damaged ({one_line(error)}); copy the file again") from None
        yield self._dataset(ArrowTable(table, self.name))

    def _dataset(self, table: ArrowTable) -> Dataset:
        roles = self.roles
        taken = {roles.images, roles.vectors, roles.texts, roles.ids, *RESERVED}
        columns = {name: table.metadata(name)[0] for name in table.names if name not in taken}
        known = {name: values for name, values in columns.items() if values is not None}
        ids = np.arange(self.first, self.first + len(table)) if roles.ids is None else table.ids(roles.ids)
        texts = None if roles.texts is None else tuple(str(cell or "") for cell in table.cells(roles.texts))
        if roles.vectors is not None:
            vectors = VectorItems(table.vectors(roles.vectors))
            return Dataset(vectors, ids, texts=texts, columns=known, name=self.name, text_column=roles.texts or "text")
        assert roles.images is not None
        if table.holds_text(roles.images):
            return self._from_paths(table.cells(roles.images), ids, known, texts)
        items = ArrowItems(table.column(roles.images), self.name)
        return Dataset(items, ids, texts=texts, columns=known, name=self.name, text_column=roles.texts or "text")

    def _from_paths(
        self, paths: Sequence[str | None], ids: np.ndarray, columns: Mapping[str, Any], texts: Sequence[str] | None
    ) -> Dataset:
        """Fetch images whose paths start from the folder of the file; an empty path is a missing image."""
        names = [path and self._joined(path) for path in paths]
        read = iter(self.place.read_many([name for name in names if name]))
        found = [next(read) if name else None for name in names]
        if self.roles.ids is None:
            given = [name or f"{self.file}, row {self.first + row}" for row, name in enumerate(names)]
            ids = np.array(given, np.str_)
        else:
            columns = {**columns, str(self.roles.images): paths}
        return images_dataset(self.name, found, ids, columns, texts)

    def _joined(self, path: str) -> str:
        """Return a path from the folder of the input, instead of that of the file.

        Raises:
            DataError: If it leaves the folder of the input.
        """
        what = f"{self.name}: the path {shortened(path, 80)!r} of an image"
        if path.startswith("/") or is_uri(path):
            raise DataError(f"{what} is absolute; write paths that start from the folder of the file")
        folder, slash, _ = self.file.rpartition("/")
        joined = f"{folder}{slash}{path}"
        if {".", ".."}.isdisjoint(path.split("/")):
            return joined
        joined = posixpath.normpath(joined)
        if joined.split("/")[0] == "..":
            raise DataError(f"{what} leaves the folder {self.place.uri}; give the folder that holds all images")
        return joined


def plan_tables(
    place: Place, files: Sequence[str], roles: TableRoles, rows: int, texts: bool
) -> tuple[list[TableBlock], int]:
    """Divide Parquet files into blocks of whole row groups.

    Args:
        place: The folder.
        files: Paths of the files in it, in order.
        roles: What is known of the columns; the rest is found by their names.
        rows: Number of rows of a block, unless one row group has more.
        texts: Whether the texts are encoded.

    Returns:
        The blocks, and the number of all rows.

    Raises:
        DataError: If a file is damaged, or has no usable column, or other columns than the first.
        PlatformError: If a file cannot be read.
        UsageError: If a named column does not exist.
    """
    with ThreadPoolExecutor(_READERS) as pool:
        found = list(pool.map(lambda file: _footer(place, file), files))
    if not found:
        return [], 0
    first_file, schema = f"{place.uri}/{files[0]}", found[0][0]
    roles = _roles(first_file, schema, roles, texts)
    for file, (other, _) in zip(files[1:], found[1:], strict=True):
        _check_same(f"{place.uri}/{file}", other, first_file, schema, roles)
    blocks: list[TableBlock] = []
    first = 0
    for file, (_, counts) in zip(files, found, strict=True):
        groups: list[int] = []
        size = 0
        for number, count in enumerate(counts):
            if groups and size + count > rows:
                blocks.append(TableBlock(place, file, tuple(groups), first, roles))
                groups, first, size = [], first + size, 0
            groups.append(number)
            size += count
        if size:
            blocks.append(TableBlock(place, file, tuple(groups), first, roles))
            first += size
    return blocks, first


def holds_paths(place: Place, files: Sequence[str], roles: TableRoles) -> bool:
    """Tell whether the images of Parquet files are named by paths, by the first file.

    Raises:
        DataError: If it is damaged, or has no usable column.
        PlatformError: If it cannot be read.
        UsageError: If a named column does not exist.
    """
    source = f"{place.uri}/{files[0]}"
    schema, _ = _footer(place, files[0])
    images = _roles(source, schema, roles, texts=False).images
    return images is not None and ArrowTable(schema.empty_table(), source).holds_text(images)


def _check_same(source: str, schema: Any, first_file: str, first: Any, roles: TableRoles) -> None:
    """Compare the columns of a file with those of the first one, and the kinds of those that are used.

    Raises:
        DataError: If they differ.
    """
    differing = sorted(set(schema.names) ^ set(first.names))
    if differing:
        raise DataError(
            f"{source} has other columns than {first_file} ({', '.join(differing)}); give all files of a table the same"
        )
    for name in (roles.images, roles.vectors, roles.ids):
        if name is not None and _kind(schema, name) != _kind(first, name):
            raise DataError(
                f"{source}: the column {name!r} is {schema.field(name).type}, and {first.field(name).type} in "
                f"{first_file}; write all files with one type"
            )


def _kind(schema: Any, name: str) -> tuple[bool, ...]:
    """Return what tells how a column is read: whether it is text, images, vectors, or whole numbers."""
    from pyarrow import types

    table, kind = ArrowTable(schema.empty_table(), name), schema.field(name).type
    whole = types.is_integer(kind.value_type if types.is_dictionary(kind) else kind)
    return table.holds_text(name), table.holds_images(name), table.holds_vectors(name), whole


def _footer(place: Place, file: str) -> tuple[Any, list[int]]:
    """Return the schema of a Parquet file, and the number of rows of each row group."""
    from pyarrow import ArrowInvalid, parquet

    try:
        with place.open_arrow(file) as opened:
            found = parquet.read_metadata(opened)
    except ArrowInvalid as error:
        raise DataError(f"{place.uri}/{file} is no Parquet file ({one_line(error)}); copy it again") from None
    except OSError as error:
        raise platform_error(f"{place.uri}/{file} cannot be read", error) from None
    return found.schema.to_arrow_schema(), [found.row_group(one).num_rows for one in range(found.num_row_groups)]


def _roles(source: str, schema: Any, given: TableRoles, texts: bool) -> TableRoles:
    """Find the columns that are not named: images, else vectors, by name; texts only if they are encoded."""
    empty = ArrowTable(schema.empty_table(), source)
    for name in (given.images, given.vectors, given.texts, given.ids, given.labels):
        if name is not None and name not in empty.names:
            raise UsageError(f"{source} has no column {name!r}; it has {', '.join(empty.names)}")
    images, vectors = given.images, given.vectors
    if images is None and vectors is None:
        usable = [name for name in empty.names if empty.holds_images(name) and name != given.ids]
        images = find_image_column(usable)
        if images is None:
            usable = [name for name in empty.names if empty.holds_vectors(name)]
            vectors = find_vector_column(usable) or next(iter(usable), None)
    named = given.texts or (find_text_column(empty.names) if texts else None)
    if texts and named is None:
        raise DataError(f"{source} has no column of texts among {', '.join(empty.names)}; name it")
    if images is None and vectors is None:
        raise DataError(f"{source} has no column of images or vectors among {', '.join(empty.names)}; name it")
    return TableRoles(images, vectors, named, given.ids or (_ID if _ID in empty.names else None))
