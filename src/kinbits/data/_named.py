"""The built-in protocols: one function each, its definition in the decorator above it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from .._errors import DataError
from ._dataset import Dataset
from ._fashion_mnist import open_fashion_mnist
from ._open import open_dataset
from ._protocols import SHARED_LABEL, Folder, Protocol, cache_folder, register_protocol
from ._splits import Draw, Parts, draw_per_class


def data_folders(data_dir: Folder) -> list[Path]:
    """List the folders that named data are looked for in, in order."""
    named = [Path(part) for part in os.environ.get("KINBITS_DATA", "").split(os.pathsep) if part]
    return [*([Path(data_dir)] if data_dir is not None else []), *named, cache_folder()]


def find_data(names: Sequence[str], data_dir: Folder, layout: str) -> Path:
    """Return the first of the names that exists in the data folders.

    Args:
        names: File or folder names, the best first.
        data_dir: A folder to look in first.
        layout: What the file must hold, for the error.

    Raises:
        DataError: It lies in none of them.
    """
    folders = data_folders(data_dir)
    for folder in folders:
        for name in names:
            if (folder / name).exists():
                return folder / name
    raise DataError(
        f"{' or '.join(names)} is in none of {', '.join(map(str, folders))}; put it there, or "
        f"name its folder in KINBITS_DATA or data_dir= ({layout})"
    )


@register_protocol(
    Protocol(
        "fashion-mnist",
        1,
        "Fashion-MNIST; query 100 a class of the official test part, train 1,000 a class of the official "
        "train part, database all other 59,000",
        train=10_000,
        query=1_000,
        database=59_000,
        checksum="65d703d49d8200d829698d6a4a5655b00ab3870553fdad99c622c11ef233325a",
    )
)
def _fashion_mnist(data_dir: Folder, seed: int) -> tuple[Dataset, Parts]:
    data = open_fashion_mnist(data_folders(data_dir))
    draw, labels, train, test = _official(data, seed)
    query, test_rest = draw_per_class(draw, labels, test, [100])
    chosen, train_rest = draw_per_class(draw, labels, train, [1_000])
    return data, Parts(chosen, query, draw.shuffled(np.concatenate([train_rest, test_rest])))


@register_protocol(
    Protocol(
        "cifar10-1k-5k-54k",
        1,
        "CIFAR-10, all 60,000; query 100 and train 500 a class, database the other 54,000",
        train=5_000,
        query=1_000,
        database=54_000,
        checksum="3f99d4960a2f7185dfcf26ba99a1aab756ca3ce50e070aeb714cea20dd64040e",
    )
)
def _cifar10_54k(data_dir: Folder, seed: int) -> tuple[Dataset, Parts]:
    data = _cifar10(data_dir)
    draw, labels, _, _ = _official(data, seed)
    query, train, rest = draw_per_class(draw, labels, np.arange(len(data)), [100, 500])
    return data, Parts(train, query, rest)


@register_protocol(
    Protocol(
        "cifar10-1k-5k-59k",
        1,
        "CIFAR-10, all 60,000; query 100 and train 500 a class, database the 59,000 that are no query",
        train=5_000,
        query=1_000,
        database=59_000,
        overlap=True,
        checksum="6e0e231974250bf2f9b6f1a4c4d2063e00a83f7318160fb3cfa64e1454795f39",
    )
)
def _cifar10_59k(data_dir: Folder, seed: int) -> tuple[Dataset, Parts]:
    # The same query and train rows as the protocol with 54,000: the two differ by the database alone.
    data, parts = _cifar10_54k(data_dir, seed)
    database = np.concatenate([parts.train, parts.database])
    return data, replace(parts, database=Draw(data.ids, seed).shuffled(database))


@register_protocol(
    Protocol(
        "cifar10-10k-50k",
        1,
        "CIFAR-10; query the official test part, train and database the official train part",
        train=50_000,
        query=10_000,
        database=50_000,
        overlap=True,
        checksum="e770d99c8b49c9b3e31c0eb6a9d8a81207189afef6aef11cd3a1267a6975224a",
    )
)
def _cifar10_50k(data_dir: Folder, seed: int) -> tuple[Dataset, Parts]:
    data = _cifar10(data_dir)
    return data, _official_parts(data, seed)


@register_protocol(
    Protocol(
        "cifar100-hierarchy",
        1,
        "CIFAR-100, 120 + 30 a class of 100 classes in 20 superclasses; query the test rows, train and "
        "database the "
        "train rows",
        train=12_000,
        query=3_000,
        database=12_000,
        overlap=True,
        checksum="04dc8adac9ba0010c91ca76212b441d0cd3d25472360481583cb63ec928bc93c",
    )
)
def _cifar100(data_dir: Folder, seed: int) -> tuple[Dataset, Parts]:
    layout = "columns image, label, coarse_label, split, name; label_names, coarse_of_label in the metadata"
    data = _renamed(open_dataset(find_data(["cifar100_subset.parquet"], data_dir, layout)))
    if data.space is None or not data.space.hierarchical:
        raise DataError("cifar100_subset.parquet lacks coarse_label_names or coarse_of_label in its metadata")
    return data, _official_parts(data, seed)


@register_protocol(
    Protocol(
        "fashion-products",
        1,
        "shop photos with titles, types and colours as labels; query the test rows, train 5,000 of the "
        "others, "
        "database the rest",
        train=5_000,
        query=1_500,
        database=4_953,
        relevance=SHARED_LABEL,
        checksum="b8206d252e2bd72b90b93a08ef994507d0accc46f229b0391fa724acb9cb2cf9",
    )
)
def _fashion_products(data_dir: Folder, seed: int) -> tuple[Dataset, Parts]:
    layout = "columns image, label (a list), text, split, name; label_names in the metadata"
    data = open_dataset(find_data(["fashion_products.parquet"], data_dir, layout))
    data = replace(data, ids=_split_names(data))
    draw, _, train, test = _official(data, seed)
    mixed = draw.shuffled(train)
    return data, Parts(mixed[:5_000], draw.shuffled(test), mixed[5_000:])


def _cifar10(data_dir: Folder) -> Dataset:
    layout = "cifar10.parquet with the columns image, label, split, name, or a folder cifar10/train/<class>/<name>.png"
    path = find_data(["cifar10.parquet", "cifar10"], data_dir, layout)
    return _renamed(open_dataset(path))


def _official(data: Dataset, seed: int) -> tuple[Draw, np.ndarray, np.ndarray, np.ndarray]:
    """Return the shuffler, the labels, and the rows of the official train and test parts."""
    if data.labels is None:
        raise DataError(f"{data.name}: the data of this protocol have no labels; get the original files")
    splits = np.asarray(_column(data, "split"))
    return (
        Draw(data.ids, seed),
        data.labels,
        np.flatnonzero(splits == "train"),
        np.flatnonzero(splits == "test"),
    )


def _official_parts(data: Dataset, seed: int) -> Parts:
    draw, _, train, test = _official(data, seed)
    train = draw.shuffled(train)
    return Parts(train, draw.shuffled(test), train)


def _renamed(data: Dataset) -> Dataset:
    """Name each row split/class/file: the sources' own file names may repeat across classes."""
    if data.labels is None or data.space is None:
        raise DataError(f"{data.name}: the data of this protocol have no labels; get the original files")
    classes = np.array(data.space.names)[data.labels]
    names = data.columns["name"] if "name" in data.columns else [Path(name).stem for name in data.ids.tolist()]
    ids = [f"{s}/{c}/{n}" for s, c, n in zip(_column(data, "split"), classes, names, strict=True)]
    return replace(data, ids=np.array(ids, dtype=np.str_))


def _split_names(data: Dataset) -> np.ndarray:
    pairs = zip(_column(data, "split"), _column(data, "name"), strict=True)
    return np.array([f"{split}/{name}" for split, name in pairs], dtype=np.str_)


def _column(data: Dataset, name: str) -> Sequence[object]:
    if name not in data.columns:
        raise DataError(f"{data.name}: no column '{name}', which this protocol needs; get the original files")
    return data.columns[name]
