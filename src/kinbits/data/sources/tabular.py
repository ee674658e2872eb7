"""Tables: CSV and TSV, Parquet with paths, image bytes or vectors, and `datasets` objects and names."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kinbits._util import open_arrow, parse_json
from kinbits.data.dataset import Dataset
from kinbits.data.items import ArrowItems, Items, PathItems, VectorItems, file_identity
from kinbits.data.labels import LabelSpace
from kinbits.data.sources.arrow_table import ArrowTable
from kinbits.data.sources.columns import LABEL_NAMES, Options, from_multi_hot, matching_columns, unique_names
from kinbits.data.sources.copies import first_line, mapped_copy
from kinbits.data.sources.csv import read_csv, require_distinct
from kinbits.data.sources.files import drop_missing
from kinbits.data.sources.roles import Roles
from kinbits.data.sources.vectors import without_not_finite
from kinbits.errors import DataError, UsageError


def open_csv(path: Path, options: Options) -> Dataset:
    """Open a CSV or TSV table with a header and a column of image paths.

    Labels, ids, texts and paths are read as text: only an empty cell is missing, and 007, NA and true are names.
    Another column becomes numbers if all its cells are numbers; see `kinbits.data.sources.csv.typed`.

    Raises:
        DataError: If the table cannot be parsed, or has no usable image.
    """
    return _from_arrow(ArrowTable(read_csv(path), str(path), text=True), {}, path, options, file_identity(path))


def open_parquet(paths: Sequence[Path], options: Options) -> Dataset:
    """Open one Parquet file, or the shards of one table, with a column of image bytes, paths or vectors.

    Everything is copied to an uncompressed Arrow file in the cache folder, which is memory-mapped. Vectors, which are
    lists of numbers of one length, stay there if they are floats without empty places; those that are not finite as
    float32 are skipped. Class names and a hierarchy come from the metadata of the schema: JSON under ``label_names``,
    ``coarse_label_names`` and ``coarse_of_label``.

    Raises:
        DataError: If a file is damaged, two columns have the same name, or there is no column of images or vectors.
        PlatformError: If the cache folder cannot be written.
    """
    import pyarrow as pa

    try:
        found = [_metadata(path) for path in paths]
        schema, rows = found[0].schema.to_arrow_schema(), sum(one.num_rows for one in found)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{paths[0]}: not a readable Parquet file ({error}); copy it again") from None
    require_distinct(schema.names, str(paths[0]))
    if not rows:
        raise DataError(f"{paths[0]}: the table has no rows")
    source, identity = mapped_copy(paths)
    metadata = {key.decode(errors="replace"): value for key, value in (schema.metadata or {}).items()}
    return _from_arrow(ArrowTable(source, str(paths[0])), metadata, paths[0], options, identity)


def _metadata(path: Path) -> Any:
    """Return the metadata of a Parquet file, `pyarrow.parquet.FileMetaData`."""
    import pyarrow.parquet as pq

    with open_arrow(path) as file:
        return pq.read_metadata(file)


def open_hub(name: str, options: Options) -> Dataset:
    """Open a data set of the Hugging Face hub, or a local folder that `datasets` can read.

    Raises:
        DataError: If the data set does not exist, or the hub cannot be reached.
    """
    import datasets

    try:
        if os.path.isfile(os.path.join(name, "state.json")) or os.path.isfile(os.path.join(name, "dataset_dict.json")):
            loaded = datasets.load_from_disk(name)
        else:
            loaded = datasets.load_dataset(name)
    except Exception as error:  # the hub client raises many kinds of errors
        raise DataError(
            f"datasets cannot open '{name}' ({first_line(error)}); check the name and the network, or give "
            "a local folder"
        ) from None
    return from_datasets(loaded, options, name)


def from_datasets(source: Any, options: Options, name: str = "datasets") -> Dataset:
    """Open a `datasets.Dataset`, or a `DatasetDict`: one split, or all splits with a column ``split``.

    Raises:
        DataError: If the split does not exist, or there is no image column.
        UsageError: If the data set is streaming.
    """
    import datasets

    if isinstance(source, (datasets.IterableDataset, datasets.IterableDatasetDict)):
        raise UsageError("streaming data sets have no row numbers; load the data set without streaming=True")
    if isinstance(source, datasets.DatasetDict):
        source, options = _joined(source, options.split), replace(options, split=None)
    decoded = [column for column, kind in source.features.items() if isinstance(kind, datasets.Image)]
    for column in decoded:
        source = source.cast_column(column, datasets.Image(decode=False))
    if decoded and options.item_column is None:
        options = replace(options, image_column=decoded[0])
    indices = source._indices
    rows = None if indices is None else np.asarray(indices.column(0), np.int64)
    metadata = _feature_names(source.features, options)
    return _from_arrow(ArrowTable(source.data.table, name, rows), metadata, Path(name), options, source._fingerprint)


def _joined(source: Mapping[str, Any], split: str | None) -> Any:
    import datasets

    if split is not None:
        if split not in source:
            raise DataError(f"no split '{split}'; the splits are: {', '.join(source)}")
        return source[split]
    if len(source) == 1:
        return next(iter(source.values()))
    parts = [
        part if "split" in part.column_names else part.add_column("split", [name] * len(part))
        for name, part in source.items()
    ]
    return datasets.concatenate_datasets(parts)


def _feature_names(features: Mapping[str, Any], options: Options) -> dict[str, bytes]:
    """Return the class names in the feature type of a label column, as metadata."""
    named = (
        [options.label_column]
        if isinstance(options.label_column, str)
        else matching_columns(LABEL_NAMES, list(features))
    )
    kind = features.get(named[0]) if named else None
    kind = kind[0] if isinstance(kind, list) else getattr(kind, "feature", kind)
    names = getattr(kind, "names", None)
    return {"label_names": json.dumps(names).encode()} if names else {}


def _from_arrow(
    table: ArrowTable, metadata: Mapping[str, bytes], path: Path, options: Options, identity: str
) -> Dataset:
    """Build a collection from a table whose image column holds bytes, structs with bytes, paths, or vectors."""
    if options.split is not None:
        table = _only_split(table, options.split)
    if not len(table):
        raise DataError(f"{path}: the table has no rows")
    if options.label_names is None and "label_names" in metadata:
        options = replace(options, label_names=_json(metadata, "label_names", table.source))
    roles = Roles(table, options)
    items, names = _store(table, roles.image, path, options, identity)
    ids = roles.ids if roles.ids is not None else np.arange(len(items)) if names is None else unique_names(names)
    labels, space = _labels(table, roles, options)
    if labels is not None and space is not None:
        space = _coarse(table, metadata, labels, space) or space
    columns = roles.metadata(with_image=names is not None and roles.ids is not None)
    data = Dataset(
        items=items,
        ids=ids,
        labels=labels,
        label_space=space,
        texts=roles.texts,
        columns=columns,
        name=path.stem,
        label_column=roles.label or "label",
        text_column=roles.text or "text",
        guesses=tuple(roles.guesses),
    )
    root = options.root if options.root is not None else path.parent
    if names is not None:
        return drop_missing(data, f"{path} (paths start from {root}; another folder: root=)")
    return without_not_finite(data)


def _only_split(table: ArrowTable, split: str) -> ArrowTable:
    cells = table.cells("split") if "split" in table.names else []
    chosen = np.flatnonzero([str(cell) == split for cell in cells])
    if not len(chosen):
        known = ", ".join(sorted({str(cell) for cell in cells})) or "none"
        raise DataError(f"{table.source}: no split '{split}'; the splits in its column 'split' are: {known}")
    return table.take(chosen)


def _store(
    table: ArrowTable, image: str, path: Path, options: Options, identity: str
) -> tuple[Items, list[str] | None]:
    """Return the store of the images or vectors, and the paths of images; None instead if the column holds none."""
    if table.holds_text(image):
        root = Path(options.root) if options.root is not None else path.parent
        names = [name or "" for name in table.cells(image)]
        return PathItems([root / name for name in names]), names
    if table.holds_vectors(image):
        return VectorItems(table.vectors(image)), None
    return ArrowItems(table.column(image), identity, table.rows), None


def _labels(table: ArrowTable, roles: Roles, options: Options) -> tuple[np.ndarray | None, LabelSpace | None]:
    names = options.label_column
    if names is None or isinstance(names, str) or len(names) == 1:
        return roles.labels
    hot = np.array([_zeros_and_ones(table, name) for name in names], object).T
    return from_multi_hot(hot, options.label_names or names, table.source)


def _zeros_and_ones(table: ArrowTable, name: str) -> list[Any]:
    """Return a column of 0 and 1, also written as text; `from_multi_hot` reports other values."""
    return [{"0": 0, "1": 1}.get(cell, cell) if isinstance(cell, str) else cell for cell in table.cells(name)]


def _coarse(
    table: ArrowTable, metadata: Mapping[str, bytes], labels: np.ndarray, space: LabelSpace
) -> LabelSpace | None:
    """Build the hierarchy from ``coarse_of_label``, or else from the column ``coarse_label``."""
    if "coarse_label_names" not in metadata or space.multi:
        return None
    names = _json(metadata, "coarse_label_names", table.source)
    if "coarse_of_label" in metadata:
        coarse = _json(metadata, "coarse_of_label", table.source)
        if not all(type(one) is int for one in coarse):
            raise DataError(f"{table.source}: 'coarse_of_label' must be a list of whole numbers, one per class")
        return LabelSpace.with_levels(space.names, [(coarse, names)])
    if "coarse_label" not in table.names:
        return None
    coarse_classes = _coarse_of_rows(labels, table.cells("coarse_label"), space.classes)
    return None if coarse_classes is None else LabelSpace.with_levels(space.names, [(coarse_classes, names)])


def _coarse_of_rows(labels: np.ndarray, column: Sequence[Any], classes: int) -> list[int] | None:
    """Return the coarse class of each class in the rows; None unless each class has exactly one."""
    if not all(cell is None or type(cell) is int for cell in column):
        return None
    pairs = {(int(fine), coarse) for fine, coarse in zip(labels, column, strict=True) if fine >= 0}
    table = dict(pairs)
    complete = len(pairs) == len(table) == classes and None not in table.values()
    return [int(table[label]) for label in range(classes)] if complete else None


def _json(metadata: Mapping[str, bytes], key: str, source: str) -> list[Any]:
    try:
        value = parse_json(metadata[key])
    except ValueError as error:
        raise DataError(f"{source}: '{key}' in the schema metadata is not JSON ({error}); write a JSON list") from None
    if not isinstance(value, list):
        raise DataError(f"{source}: '{key}' in the schema metadata is not a JSON list; write one name per class")
    return value
