"""Codes of a whole collection: in memory, or in a file that grows batch by batch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kinbits import hamming
from kinbits._util import Bar, Modality, full_path
from kinbits.data import Dataset, FeatureCache, Skipped, as_dataset
from kinbits.encoding.codes_file import CodesFile
from kinbits.encoding.concepts import encode_with_concepts
from kinbits.encoding.places import path_text
from kinbits.encoding.rows import arrow_columns
from kinbits.encoding.shards import CodeShards
from kinbits.encoding.stamps import file_stamps
from kinbits.encoding.text_files import SIGNALS
from kinbits.encoding.writing import check_codes_path, check_text
from kinbits.errors import DataError, UsageError
from kinbits.perceptual import LEAST_QUALITY, QUALITY

if TYPE_CHECKING:
    from kinbits.model import HashModel

BATCH = 8192
CACHED = 100_000


@dataclass(frozen=True)
class EncodedFile:
    """What `encode_to_file` wrote.

    Attributes:
        path: The file of codes.
        rows: Number of codes.
        bits: Code length.
        skipped: What could not be read.
        resumed: Number of items that an earlier run had finished.
        low_quality: Number of codes with a quality below 50; None of a model that knows no quality. A file of signals
            leaves them out.
    """

    path: Path
    rows: int
    bits: int
    skipped: tuple[Skipped, ...]
    resumed: int
    low_quality: int | None = None


def default_cache(dataset: Dataset) -> FeatureCache | None:
    """Return the cache of features for a collection; None where it would be of no use, or fill the disk.

    Features of up to 100,000 images are kept, about 2.5 kB each, so that an evaluation and other models find them.
    """
    return FeatureCache() if dataset.kind == "image" and len(dataset) <= CACHED else None


def encode_collection(
    model: HashModel,
    data: Any,
    *,
    modality: Modality = "image",
    on_error: Literal["raise", "skip"] = "skip",
    batch_size: int = BATCH,
    cache: FeatureCache | None = None,
    progress: bool = False,
    concepts: bool | None = False,
) -> CodesFile:
    """Encode a collection, with its ids and metadata.

    Codes of model pdq have the quality of each image in the column ``pdq_quality``.

    Args:
        model: Makes the codes.
        data: A Dataset, or whatever `kinbits.open_dataset` takes.
        modality: ``"image"``, or ``"text"`` for the texts of the collection.
        on_error: ``"skip"`` leaves out what cannot be read and rows without a text; ``"raise"`` refuses them.
        batch_size: Maximum number of rows whose features are in memory at once.
        cache: Where features are kept between runs, or None.
        progress: Show progress on standard error.
        concepts: Also return concepts of the images, for an index that words can search (`CodesFile.concepts`). None
            does so where the model gives them and reads no texts.

    Raises:
        DataError: If nothing can be read, or an item cannot be read with ``on_error="raise"``.
        UsageError: If the model does not encode this modality, or gives no concepts.
    """
    dataset = open_collection(data, modality)
    if concepts is None:
        concepts = modality == "image" and "text" not in model.towers and model.tower().gives_concepts
    if concepts and modality != "image":
        raise UsageError("concepts are classes of images; leave them out with texts")
    options: dict[str, Any] = {"batch_size": batch_size, "cache": cache, "progress": progress, "modality": modality}
    if concepts:
        options["concepts"] = True
    codes = encode_part(model, dataset, on_error=on_error, **options)
    if codes.skipped and not len(codes):
        one = codes.skipped[0]
        raise DataError(f"{dataset.name}: no {modality} can be read ({one.id}: {one.reason})")
    return replace(codes, skipped=(*dataset.skipped, *codes.skipped))


def encode_to_file(
    model: HashModel,
    data: Any,
    path: str | os.PathLike[str],
    *,
    modality: Modality = "image",
    on_error: Literal["raise", "skip"] = "skip",
    batch_size: int = BATCH,
    resume: bool = True,
    cache: FeatureCache | None = None,
    progress: bool = False,
) -> EncodedFile:
    """Write the codes of a collection to a file: Parquet, with ids and metadata, or text as `write_codes` writes it.

    Finished batches are kept in a hidden folder until the file is complete. After a kill, the same call with the same
    model, data, metadata and options continues with the next batch. A damaged batch is encoded again.

    Args:
        model: Makes the codes.
        data: A Dataset, or whatever `kinbits.open_dataset` takes.
        path: The file to write; its name ends in .parquet, .csv, .hex or .txt.
        modality: ``"image"``, or ``"text"`` for the texts of the collection.
        on_error: ``"skip"`` leaves out what cannot be read and rows without a text; ``"raise"`` refuses them.
        batch_size: Number of rows that are encoded and kept together.
        resume: Take over the finished batches of an earlier run of the same job.
        cache: Where features are kept between runs. All rows are one batch then, since the cache resumes too.
        progress: Show progress on standard error.

    Raises:
        DataError: If texts are to be encoded and there are none, nothing can be read, or an item cannot be read with
            ``on_error="raise"``.
        UsageError: If an option or the name of the file is not allowed, or the model does not encode this modality.
        PlatformError: If the file cannot be written, or another process encodes to it now.
    """
    from kinbits.model import check_encode_options  # here, because files of codes are read without torch

    check_encode_options("codes", on_error, batch_size)
    check_codes_path(path)
    dataset, target = open_collection(data, modality), full_path(path)
    check_text(target, model.words, model.fingerprint)
    tower = model.tower(modality)  # refuses a modality that the model does not encode, before a folder is made
    step = int(batch_size) if cache is None else max(len(dataset), 1)
    bar = Bar(f"encoding {modality}s", len(dataset), shown=progress and cache is None)
    with CodeShards(target, _job(model, dataset, modality, on_error, step), resume=resume) as shards, bar:
        resumed = min(len(shards) * step, len(dataset))
        for start in range(len(shards) * step, max(len(dataset), 1), step):
            part = dataset.select(np.arange(start, min(start + step, len(dataset))))
            shown = progress and cache is not None
            shards.append(encode_part(model, part, modality=modality, on_error=on_error, cache=cache, progress=shown))
            bar.update(min(start + step, len(dataset)))
        low = shards.count_below(QUALITY, LEAST_QUALITY) if tower.backbone.rates else None
        rows, skipped = shards.merge(dataset.skipped)
    written = rows - (low or 0) if target.suffix == SIGNALS else rows
    return EncodedFile(target, written, model.bits, skipped, resumed, low)


def open_collection(data: Any, modality: Modality) -> Dataset:
    """Open a collection that is to be encoded.

    Raises:
        DataError: If its texts are asked for, and there are none.
    """
    dataset = as_dataset(data)
    if modality == "text" and not dataset.has_text.any():
        raise DataError(f"{dataset.name} has no texts; name its column of texts, or write captions")
    return dataset


def _job(model: HashModel, dataset: Dataset, modality: Modality, on_error: str, step: int) -> dict[str, Any]:
    columns = dataset.metadata()
    arrow_columns(columns)  # refuses what cannot be stored before the first batch
    return {
        "bits": model.bits,
        **hamming.stated_kind(model.words),
        "fingerprint": model.fingerprint,
        "model": path_text(model.folder),
        "root": path_text(dataset.root),
        "multiple": list(_multiple(dataset, columns)),
        "data": dataset.fingerprint,
        "metadata": hashlib.sha256(json.dumps(columns).encode()).hexdigest(),
        "modality": modality,
        "on_error": on_error,
        "batch": step,
    }


def _multiple(dataset: Dataset, columns: Iterable[str]) -> tuple[str, ...]:
    """Return the name of the column of labels, which is the first, if an item can have several labels."""
    space = dataset.label_space
    return tuple(columns)[:1] if space is not None and dataset.labels is not None and space.multi else ()


def encode_part(model: HashModel, dataset: Dataset, concepts: bool = False, **options: Any) -> CodesFile:
    """Encode a part of a collection, and return the codes with ids and metadata of the rows that could be read.

    There may be none; `encode_collection` refuses that.

    Args:
        model: Makes the codes.
        dataset: The part.
        concepts: Also return concepts of the images.
        options: ``modality``, ``on_error``, ``batch_size``, ``cache`` and ``progress`` of `encode_collection`.
    """
    stamps = file_stamps(dataset) if options["modality"] == "image" else None  # before the files are read
    tower = model.tower(options["modality"])
    rates = tower.backbone.rates  # then quality and codes come of the same features
    found: Any
    classes = None
    if concepts:
        found, classes = encode_with_concepts(model, dataset, **{k: v for k, v in options.items() if k != "modality"})
    else:
        found = model.encode(dataset, output="features" if rates else "codes", **options)
    if isinstance(found, np.ndarray):  # nothing may be skipped
        codes, kept, skipped = found, dataset, ()
    else:
        codes, kept, skipped = found.array, dataset.select(found.rows), found.skipped
        stamps = None if stamps is None else stamps[found.rows]
    columns = kept.metadata()
    if rates:
        columns = {**columns, QUALITY: tower.compute(codes, "quality").tolist()}
        codes = tower.compute(codes)
    return CodesFile(
        codes=codes,
        ids=kept.ids,
        bits=model.bits,
        columns=columns,
        fingerprint=model.fingerprint,
        model=model.folder,
        root=dataset.root,
        skipped=skipped,
        name=dataset.name,
        multiple=_multiple(dataset, columns),
        words=model.words,
        stamps=stamps,
        concepts=classes,
    )
