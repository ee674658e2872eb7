"""Blocks of the input: what one task of a worker reads. A block can be pickled, and is read where it is encoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from kinbits.data import ArrowItems, Dataset
from kinbits.scale.places import Place


class Block(Protocol):
    """A part of the input.

    Attributes:
        name: What messages call it.
    """

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    def parts(self) -> Iterator[Dataset]:
        """Read it; a large block comes in several parts, which are encoded one by one."""
        ...


@dataclass(frozen=True)
class RowsBlock:
    """Rows of a collection that the sending process has opened.

    Paths are sent as they are, and are read where the block is encoded. Encoded images, pixels and vectors are sent.

    Attributes:
        name: What messages call it.
        rows: The rows, without the rest of the collection.
    """

    name: str
    rows: Dataset

    @classmethod
    def from_dataset(cls, dataset: Dataset, start: int, stop: int) -> RowsBlock:
        """Take the rows from start to stop; the first rows come with what was left out when the data were opened."""
        part = dataset.select(np.arange(start, stop))
        rows = replace(part, items=part.items.compact(), skipped=() if start else dataset.skipped)
        return cls(f"rows {start} to {stop - 1} of {dataset.name}", rows)

    def parts(self) -> Iterator[Dataset]:
        """Yield the rows."""
        yield self.rows


@dataclass(frozen=True)
class ImagesBlock:
    """Images in files of a place, which are fetched where the block is encoded.

    Attributes:
        place: The folder.
        names: Paths of the images in it, which are the ids.
    """

    place: Place
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{len(self.names)} images from {self.place.uri}/{self.names[0]}"

    def parts(self) -> Iterator[Dataset]:
        """Fetch all images; the first folder of a path is the label."""
        found = self.place.read_many(list(self.names))
        folders = [name.partition("/")[0] if "/" in name else None for name in self.names]
        columns = {"label": folders} if any(folders) else {}
        yield images_dataset(self.place.name, found, np.array(self.names, np.str_), columns)


def images_dataset(
    name: str,
    images: Sequence[bytes | None],
    ids: np.ndarray,
    columns: Mapping[str, Sequence[Any]],
    texts: Sequence[str] | None = None,
    missing: str = "no such file",
) -> Dataset:
    """Build a collection of encoded images in memory.

    Args:
        name: Name of the collection.
        images: Bytes of n images; None for one that is missing, which is skipped.
        ids: n unique names.
        columns: Metadata by name, n values each.
        texts: n texts; images may be missing then.
        missing: Why an image is missing.
    """
    import pyarrow as pa

    column = pa.chunked_array([pa.array(images, pa.large_binary())])
    made = Dataset(
        items=ArrowItems(column, name),
        ids=ids,
        columns=columns,
        texts=None if texts is None else tuple(texts),
        name=name,
    )
    lost = [row for row, image in enumerate(images) if image is None]
    return made.without(lost, [missing] * len(lost)) if lost and texts is None else made
