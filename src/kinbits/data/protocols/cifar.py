"""Protocols of CIFAR-10 (four published forms) and CIFAR-100 (with superclasses)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kinbits.data.dataset import Dataset
from kinbits.data.items import ArrayItems, digest, file_identity
from kinbits.data.labels import LabelSpace
from kinbits.data.protocols.definition import CLASS_TREE, Protocol
from kinbits.data.protocols.official import by_split, official, renamed
from kinbits.data.protocols.registry import register_protocol
from kinbits.data.protocols.required_files import Folder, RequiredFiles
from kinbits.data.sources.open import open_dataset
from kinbits.data.sources.safe_pickle import read_pickle
from kinbits.data.splits import Draw, SplitRows, draw_per_class
from kinbits.errors import DataError

CIFAR10 = RequiredFiles(
    ("cifar10.parquet", "cifar10", "cifar-10-batches-py"),
    get="a table with the columns image, label, split, name, or a folder cifar10/train/<class>/<name>.png, or "
    "the original "
    "cifar-10-batches-py of www.cs.toronto.edu/~kriz/cifar.html",
)
CIFAR100 = RequiredFiles(
    ("cifar100.parquet", "cifar-100-python"),
    get="a table with the columns image, label, coarse_label, split, name and coarse_of_label in its metadata, or the "
    "original cifar-100-python of www.cs.toronto.edu/~kriz/cifar.html",
)
CIFAR100_SUBSET = RequiredFiles(
    ("cifar100_subset.parquet",),
    get="columns image, label, coarse_label, split, name; label_names, coarse_of_label in the metadata",
)
HIERARCHY_METRICS = ("map@all", "mahp@100", "precision@100", "precision@r2")


@register_protocol(
    Protocol(
        "cifar10-1k-5k-54k",
        1,
        "CIFAR-10, all 60,000; query 100 and train 500 a class, database the other 54,000",
        train=5_000,
        query=1_000,
        database=54_000,
        checksum="3f99d4960a2f7185dfcf26ba99a1aab756ca3ce50e070aeb714cea20dd64040e",
        classes=10,
        legacy="deephash-pytorch",
        source="form I': thulab/DeepHash, DeepHash-pytorch 'cifar10'; drawn here by seed, as every code draws its own",
        required_files=CIFAR10,
    )
)
def _cifar10_54k(data_dir: Folder, seed: int) -> tuple[Dataset, SplitRows]:
    data = _cifar10(data_dir)
    draw, labels, _, _ = official(data, seed)
    query, train, rest = draw_per_class(draw, labels, np.arange(len(data)), [100, 500])
    return data, SplitRows(train, query, rest)


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
        classes=10,
        legacy="deephash-pytorch",
        source="form I: GreedyHash cifar1, DeepHash-pytorch 'cifar10-1'; drawn here by seed",
        required_files=CIFAR10,
    )
)
def _cifar10_59k(data_dir: Folder, seed: int) -> tuple[Dataset, SplitRows]:
    # query and train rows are the same as in the protocol with 54,000; only the database differs
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
        classes=10,
        source="form II: GreedyHash; unsupervised papers report map@1000",
        required_files=CIFAR10,
    )
)
def _cifar10_50k(data_dir: Folder, seed: int) -> tuple[Dataset, SplitRows]:
    data = _cifar10(data_dir)
    return data, by_split(data, seed)


@register_protocol(
    Protocol(
        "cifar10-10k-5k-50k",
        1,
        "CIFAR-10; query the official test part, database the official train part, train 500 a class of it",
        train=5_000,
        query=10_000,
        database=50_000,
        overlap=True,
        checksum="1ddf90dc3a9b10ace057aef72099e6f63caf2cdd2a2528afbd1bf322f796a680",
        metrics=("map@1000", "map@all", "precision@100", "precision@r2"),
        classes=10,
        source="form III: Bi-half style; cisip-FIRe has this split and scores all 50,000",
        required_files=CIFAR10,
    )
)
def _cifar10_5k(data_dir: Folder, seed: int) -> tuple[Dataset, SplitRows]:
    data = _cifar10(data_dir)
    draw, labels, train, test = official(data, seed)
    chosen, rest = draw_per_class(draw, labels, train, [500])
    return data, SplitRows(chosen, draw.shuffled(test), draw.shuffled(np.concatenate([chosen, rest])))


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
        relevance=CLASS_TREE,
        metrics=HIERARCHY_METRICS,
        classes=100,
        source="a quarter of CIFAR-100, for quick runs; no published table uses it",
        required_files=CIFAR100_SUBSET,
    )
)
def _cifar100_subset(data_dir: Folder, seed: int) -> tuple[Dataset, SplitRows]:
    data = _hierarchical(renamed(open_dataset(CIFAR100_SUBSET.find(data_dir))))
    return data, by_split(data, seed)


@register_protocol(
    Protocol(
        "cifar100",
        1,
        "CIFAR-100 with 20 superclasses; query the official test part, train and database the official train part",
        train=50_000,
        query=10_000,
        database=50_000,
        overlap=True,
        relevance=CLASS_TREE,
        metrics=HIERARCHY_METRICS,
        classes=100,
        source="official parts, as Barz and Denzler (WACV 2019) use them",
        required_files=CIFAR100,
    )
)
def _cifar100(data_dir: Folder, seed: int) -> tuple[Dataset, SplitRows]:
    path = CIFAR100.find(data_dir)
    data = _originals(path, "fine_labels") if path.is_dir() else renamed(open_dataset(path))
    return _hierarchical(data), by_split(data, seed)


def _cifar10(data_dir: Folder) -> Dataset:
    path = CIFAR10.find(data_dir)
    return _originals(path, "labels") if (path / "batches.meta").is_file() else renamed(open_dataset(path))


def _hierarchical(data: Dataset) -> Dataset:
    if data.label_space is None or not data.label_space.hierarchical:
        raise DataError(f"{data.name} lacks coarse_label_names or coarse_of_label in its metadata")
    return data


def _originals(folder: Path, key: str) -> Dataset:
    """Open the original pickles; the ids are the same as `renamed` gives to other copies of the data."""
    files = {path: "test" if path.name.startswith("test") else "train" for path in _batches(folder)}
    batches = [_batch(path, key) for path in files]
    labels = np.concatenate([np.asarray(batch[key], np.int64) for batch in batches])
    splits = [split for split, batch in zip(files.values(), batches, strict=True) for _ in batch[key]]
    names = [Path(name).stem for batch in batches for name in batch["filenames"]]
    pixels = np.concatenate([batch["data"] for batch in batches])
    images = np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    space = _space(folder, batches, labels)
    ids = [f"{split}/{space.names[c]}/{name}" for split, c, name in zip(splits, labels, names, strict=True)]
    identity = digest(*map(file_identity, files))
    return Dataset(
        ArrayItems(images, identity), np.array(ids), labels, space, columns={"split": splits}, name=folder.name
    )


def _batches(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.name in ("train", "test") or "_batch" in path.name)
    if len(found) not in (2, 6):
        raise DataError(f"{folder} holds {len(found)} of the original batches; unpack the original archive again")
    return found


def _batch(path: Path, key: str) -> dict[str, Any]:
    batch = _read_dict(path, key, "data", "filenames", *(["coarse_labels"] if key == "fine_labels" else []))
    data = batch["data"]
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape != (len(batch[key]), 3072):
        raise DataError(
            f"{path}: 'data' is not a uint8 array of {len(batch[key])} x 3072; unpack the original archive again"
        )
    return batch


def _space(folder: Path, batches: list[dict[str, Any]], labels: np.ndarray) -> LabelSpace:
    """Return the label space: class names from the metadata file, superclasses from the rows."""
    if (folder / "batches.meta").is_file():
        space = LabelSpace(tuple(_read_dict(folder / "batches.meta", "label_names")["label_names"]))
    else:
        meta = _read_dict(folder / "meta", "fine_label_names", "coarse_label_names")
        coarse = np.concatenate([np.asarray(batch["coarse_labels"], np.int64) for batch in batches])
        table = dict(zip(labels.tolist(), coarse.tolist(), strict=True))
        above = [table.get(label, -1) for label in range(len(meta["fine_label_names"]))]
        space = LabelSpace.with_levels(meta["fine_label_names"], [(above, meta["coarse_label_names"])])
    if not 0 <= labels.min() <= labels.max() < space.classes:
        raise DataError(f"{folder}: label {labels.max()} of {space.classes} classes; unpack the original archive again")
    return space


def _read_dict(path: Path, *keys: str) -> dict[str, Any]:
    """Read a pickled dictionary and check that it has the keys."""
    content = read_pickle(path)
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing:
        raise DataError(f"{path}: no {', '.join(missing)} in it; unpack the original archive again")
    return dict(content)
