"""Tables: CSV and TSV, Parquet with paths or image bytes, and `datasets` objects and names."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import DataError, PlatformError, UsageError
from ._columns import (
    ID_NAMES,
    LABEL_NAMES,
    TEXT_NAMES,
    Options,
    from_multi_hot,
    pick,
    pick_image,
    to_labels,
    unique_names,
)
from ._dataset import Dataset
from ._files import drop_missing
from ._items import ArrowItems, Items, PathItems, digest, file_identity
from ._labels import LabelSpace


def open_csv(path: Path, options: Options) -> Dataset:
    """Open a CSV or TSV table with a header and a column of image paths.

    Raises:
        DataError: The table cannot be parsed, or has no usable image.
    """
    import pyarrow as pa
    from pyarrow import csv

    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        table = csv.read_csv(
            path,
            parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=csv.ConvertOptions(strings_can_be_null=True),
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: not a readable table ({error}); save it as UTF-8 with a header line") from None
    return _from_arrow(table, {}, path, options, file_identity(path))


def open_parquet(paths: Sequence[Path], options: Options) -> Dataset:
    """Open one Parquet file, or the shards of one table, with a column of image bytes or of paths.

    Bytes are kept encoded, in an uncompressed Arrow copy that is memory-mapped from the cache folder. Class
    names and a hierarchy are read from the schema's metadata: JSON under ``label_names``,
    ``coarse_label_names`` and ``coarse_of_label``.

    Raises:
        DataError: A file is damaged, or there is no image column.
        PlatformError: The cache folder cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(paths[0])
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{paths[0]}: not a readable Parquet file ({error}); copy it again") from None
    source = _mapped_copy(paths)
    metadata = {key.decode(): value for key, value in (schema.metadata or {}).items()}
    return _from_arrow(source.data.table, metadata, paths[0], options, digest(*map(file_identity, paths)))


def open_hub(name: str, options: Options) -> Dataset:
    """Open a `datasets` name, or a local folder that `datasets` reads or has saved.

    Raises:
        DataError: It does not exist, or the hub cannot be reached.
    """
    import datasets

    try:
        if os.path.isfile(os.path.join(name, "state.json")) or os.path.isfile(os.path.join(name, "dataset_dict.json")):
            loaded = datasets.load_from_disk(name)
        else:
            loaded = datasets.load_dataset(name)
    except Exception as error:  # the hub client raises many kinds: no network, unknown name, gated, no loader
        raise DataError(
            f"datasets cannot open '{name}' ({_first_line(error)}); check the name and the network, or give "
            "a local folder"
        ) from None
    return from_datasets(loaded, options, name)


def from_datasets(source: Any, options: Options, name: str = "datasets") -> Dataset:
    """Wrap a `datasets.Dataset`, or a `DatasetDict`: one split, or all with a column ``split``.

    Raises:
        DataError: There is no such split, or no image column.
        UsageError: It is a streaming data set.
    """
    import datasets

    if isinstance(source, (datasets.IterableDataset, datasets.IterableDatasetDict)):
        raise UsageError("streaming data sets have no rows to address; load it without streaming=True")
    if isinstance(source, datasets.DatasetDict):
        source, options = _joined(source, options.split), replace(options, split=None)
    decoded = [column for column, kind in source.features.items() if isinstance(kind, datasets.Image)]
    for column in decoded:
        source = source.cast_column(column, datasets.Image(decode=False))
    if decoded and options.image_column is None:
        options = replace(options, image_column=decoded[0])
    indices = source._indices
    rows = None if indices is None else np.asarray(indices.column(0), np.int64)
    metadata = _feature_names(source.features, options)
    return _from_arrow(source.data.table, metadata, Path(name), options, source._fingerprint, rows)


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
    """Find the class names that `datasets` keeps in the type of a label column."""
    column = options.label_column if isinstance(options.label_column, str) else None
    column = column if column in features else pick(None, LABEL_NAMES, list(features))
    kind = features.get(column) if column else None
    kind = kind[0] if isinstance(kind, list) else getattr(kind, "feature", kind)
    names = getattr(kind, "names", None)
    return {"label_names": json.dumps(names).encode()} if names else {}


def _mapped_copy(paths: Sequence[Path]) -> Any:
    """Let `datasets` write the uncompressed Arrow copy that can be memory-mapped; later calls find it."""
    import datasets

    cache = os.environ.get("KINBITS_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "kinbits")
    folder = os.path.join(cache, "arrow")
    try:
        with _no_progress():
            return datasets.Dataset.from_parquet([str(path) for path in paths], cache_dir=folder)
    except (PermissionError, OSError) as error:
        raise PlatformError(
            f"cannot keep a working copy of {paths[0]} in {folder} ({_first_line(error)}); free some space, "
            "or name a writable folder in KINBITS_CACHE"
        ) from None
    except Exception as error:  # datasets wraps whatever its readers raise
        raise DataError(f"{paths[0]}: not a readable Parquet table ({_first_line(error)})") from None


@contextmanager
def _no_progress() -> Iterator[None]:
    import datasets

    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


def _first_line(error: BaseException) -> str:
    cause = error.__cause__ or error
    return (str(cause).strip() or type(cause).__name__).splitlines()[0][:300]


def _from_arrow(
    table: Any,
    metadata: Mapping[str, bytes],
    path: Path,
    options: Options,
    identity: str,
    rows: np.ndarray | None = None,
) -> Dataset:
    """Build the data set from an Arrow table whose image column holds bytes, structs with bytes, or paths."""
    if options.split is not None:
        rows = _split_rows(table, options.split, rows, str(path))
    if not (len(table) if rows is None else len(rows)):
        raise DataError(f"{path}: the table has no rows")
    columns = list(table.column_names)
    image = pick_image(options.image_column, columns, str(path))
    others = {name: _values(table, name, rows) for name in columns if name != image}
    items, names = _store(table.column(image), path, options, identity, rows)
    labels, space = _labels(others, columns, metadata, options, str(path))
    text = pick(options.text_column, TEXT_NAMES, [name for name in others])
    texts = None if text is None else tuple(str(value or "") for value in others[text])
    used = {text, *_label_columns(options, columns)}
    data = Dataset(
        items=items,
        ids=_ids(others, names, options, len(items)),
        labels=labels,
        space=space,
        texts=texts,
        columns={name: values for name, values in others.items() if name not in used},
        name=path.stem,
    )
    root = options.root if options.root is not None else path.parent
    return data if names is None else drop_missing(data, f"{path} (paths start from {root}; another folder: root=)")


def _split_rows(table: Any, split: str, rows: np.ndarray | None, source: str) -> np.ndarray:
    values = np.array(_values(table, "split", rows) if "split" in table.column_names else [], dtype=object)
    if split not in values:
        known = ", ".join(sorted({str(value) for value in values})) or "none"
        raise DataError(f"{source}: no split '{split}'; the splits in its column 'split' are: {known}")
    chosen = np.flatnonzero(values == split)
    return chosen if rows is None else rows[chosen]


def _values(table: Any, name: str, rows: np.ndarray | None) -> list[Any]:
    column = table.column(name)
    return (column if rows is None else column.take(rows)).to_pylist()  # type: ignore[no-any-return]


def _store(
    column: Any, path: Path, options: Options, identity: str, rows: np.ndarray | None
) -> tuple[Items, list[str] | None]:
    """Choose the store by the column's type; the second part is the paths, None for bytes."""
    import pyarrow.types as types

    kind = column.type
    if types.is_string(kind) or types.is_large_string(kind):
        root = Path(options.root) if options.root is not None else path.parent
        names = [value or "" for value in (column if rows is None else column.take(rows)).to_pylist()]
        return PathItems([root / name for name in names]), names
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_struct(kind):
        return ArrowItems(column, identity, rows), None
    raise DataError(
        f"{path}: the image column holds {kind}, not bytes or paths; name another with image_column=, on the command "
        f"line --image-column"
    )


def _ids(others: Mapping[str, Sequence[Any]], paths: list[str] | None, options: Options, count: int) -> np.ndarray:
    """Take the id column, else the paths, else a guessed column if it is unique, else row numbers."""
    column = pick(options.id_column, [] if paths is not None else ID_NAMES, list(others))
    if column is None:
        return np.arange(count) if paths is None else unique_names(paths)
    values = others[column]
    if options.id_column is None and (None in values or len(set(values)) < len(values)):
        return np.arange(count)
    whole = all(isinstance(value, int) for value in values)
    return np.array(values, np.int64) if whole else np.array([str(value) for value in values], np.str_)


def _label_columns(options: Options, columns: Sequence[str]) -> list[str]:
    if options.label_column is None or isinstance(options.label_column, str):
        found = pick(options.label_column, LABEL_NAMES, columns)
        return [] if found is None else [found]
    return [name for name in (pick(name, (), columns) for name in options.label_column) if name is not None]


def _labels(
    others: Mapping[str, Sequence[Any]],
    columns: Sequence[str],
    metadata: Mapping[str, bytes],
    options: Options,
    source: str,
) -> tuple[np.ndarray | None, LabelSpace | None]:
    names = _label_columns(options, columns)
    if not names:
        return None, None
    if len(names) > 1:
        hot = np.array([others[name] for name in names], dtype=object).T
        return from_multi_hot(hot.astype(np.int64), options.label_names or names, source)
    if options.label_names is None and "label_names" in metadata:
        options = replace(options, label_names=_json(metadata, "label_names", source))
    labels, space = to_labels(others[names[0]], options, source)
    coarse = _coarse(metadata, labels, others.get("coarse_label"), space, source)
    return labels, coarse or space


def _coarse(
    metadata: Mapping[str, bytes],
    labels: np.ndarray,
    column: Sequence[Any] | None,
    space: LabelSpace,
    source: str,
) -> LabelSpace | None:
    """Build the hierarchy from ``coarse_of_label``, else from the rows of the column ``coarse_label``."""
    if "coarse_label_names" not in metadata or space.multi:
        return None
    names = _json(metadata, "coarse_label_names", source)
    if "coarse_of_label" in metadata:
        return LabelSpace.with_levels(space.names, [(_json(metadata, "coarse_of_label", source), names)])
    table = _seen_together(labels, column, space.classes)
    return None if table is None else LabelSpace.with_levels(space.names, [(table, names)])


def _seen_together(labels: np.ndarray, column: Sequence[Any] | None, classes: int) -> list[int] | None:
    """Read the coarse class of each class off the rows; None unless the rows show exactly one for each."""
    if column is None:
        return None
    pairs = {(int(fine), coarse) for fine, coarse in zip(labels, column, strict=True) if fine >= 0}
    table = dict(pairs)
    complete = len(pairs) == len(table) == classes and None not in table.values()
    return [int(table[label]) for label in range(classes)] if complete else None


def _json(metadata: Mapping[str, bytes], key: str, source: str) -> list[Any]:
    try:
        value = json.loads(metadata[key])
    except ValueError as error:
        raise DataError(f"{source}: '{key}' in the schema metadata is no JSON ({error}); write a JSON list") from None
    if not isinstance(value, list):
        raise DataError(f"{source}: '{key}' in the schema metadata is no JSON list; write one name a class")
    return value
