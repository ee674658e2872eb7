"""Protocols of CUB-200-2011 and Clothing1M, from their published text files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kinbits.data.dataset import Dataset
from kinbits.data.items import PathItems
from kinbits.data.labels import LabelSpace
from kinbits.data.protocols.definition import Protocol
from kinbits.data.protocols.registry import register_protocol
from kinbits.data.protocols.required_files import Folder, RequiredFiles, check_images
from kinbits.data.sources.list_files import read_keyed, read_lines
from kinbits.data.splits import Draw, SplitRows
from kinbits.errors import DataError

CUB = RequiredFiles(
    ("CUB_200_2011", "cub-200-2011", "cub200"),
    ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt", "images"),
    "the archive CUB_200_2011.tgz, unpacked",
)
_KEYS = ("noisy_train_key_list.txt", "clean_train_key_list.txt", "clean_test_key_list.txt")
_LABELS = ("noisy_label_kv.txt", "clean_label_kv.txt")
_NAMES = "category_names_eng.txt"
CLOTHING1M = RequiredFiles(
    ("clothing1m", "Clothing1M"),
    (*(f"{name} | annotations/{name}" for name in (*_KEYS, *_LABELS, _NAMES)), "images"),
    "the files of github.com/Cysu/noisy_label",
)


@register_protocol(
    Protocol(
        "cub-200",
        1,
        "CUB-200-2011, 200 species of birds; query the official test part, train and database the official train part",
        train=5_994,
        query=5_794,
        database=5_994,
        overlap=True,
        classes=200,
        source="official train_test_split.txt (Wah et al., 2011)",
        required_files=CUB,
    )
)
def _cub(data_dir: Folder, seed: int) -> tuple[Dataset, SplitRows]:
    folder = CUB.find(data_dir)
    images, classes, kept = (read_keyed(folder / name) for name in CUB.files[:3])
    names = read_keyed(folder / "classes.txt")
    if not images.keys() == classes.keys() == kept.keys():
        raise DataError(f"{folder}: images.txt, image_class_labels.txt and train_test_split.txt number other images")
    label_of = {number: label for label, number in enumerate(names)}
    ids = list(images.values())
    try:
        labels = np.array([label_of[classes[key]] for key in images], np.int64)
    except KeyError as error:
        raise DataError(f"{folder}: class {error} is not in classes.txt") from None
    is_train = np.array([kept[key] == "1" for key in images])
    data = _files(folder / "images", ids, ids, labels, tuple(names.values()), "cub-200")
    draw = Draw(data.ids, seed)
    train = draw.shuffled(np.flatnonzero(is_train))
    return data, SplitRows(train, draw.shuffled(np.flatnonzero(~is_train)), train)


@register_protocol(
    Protocol(
        "clothing1m",
        1,
        "Clothing1M, 14 kinds of clothes; query the clean test part, database the clean train part, train the million "
        "images whose labels are taken from the text around them",
        train=1_000_000,
        query=10_526,
        database=47_570,
        metrics=("map@1000", "map@all", "precision@100", "precision@r2"),
        classes=14,
        source="parts of Xiao et al. (CVPR 2015); as a retrieval protocol it is ours: about 38 % of the train "
        "labels are "
        "wrong, scores use clean labels only",
        required_files=CLOTHING1M,
    )
)
def _clothing1m(data_dir: Folder, seed: int) -> tuple[Dataset, SplitRows]:
    folder = CLOTHING1M.find(data_dir)
    noisy, searched, asked = (read_lines(CLOTHING1M.file(folder, wanted)) for wanted in CLOTHING1M.files[:3])
    wrong, clean = (read_keyed(CLOTHING1M.file(folder, wanted)) for wanted in CLOTHING1M.files[3:5])
    names = read_lines(CLOTHING1M.file(folder, CLOTHING1M.files[5]))
    leaked = set(asked) & {*noisy, *searched}
    if leaked:
        raise DataError(
            f"{folder}: {len(leaked)} test images are in a train list, e.g. {min(leaked)}; get the original"
        )
    # an image can be in both train lists, with a noisy and a clean label; the prefix makes the two ids unique
    ids = [*(f"noisy/{key}" for key in noisy), *searched, *asked]
    labels = [_looked_up(wrong, noisy, folder), _looked_up(clean, [*searched, *asked], folder)]
    data = _files(folder, [*noisy, *searched, *asked], ids, np.concatenate(labels), tuple(names), "clothing1m")
    ends = np.cumsum([len(noisy), len(searched)])
    train, database, query = np.split(np.arange(len(ids)), ends)
    both = len(set(noisy) & set(searched))
    notes = (f"{both:,} images are in train with a noisy and in the database with a clean label",) if both else ()
    draw = Draw(data.ids, seed)
    return data, SplitRows(draw.shuffled(train), draw.shuffled(query), draw.shuffled(database), notes=notes)


def _looked_up(labels: dict[str, str], keys: Sequence[str], folder: Path) -> np.ndarray:
    try:
        return np.array([int(labels[key]) for key in keys], np.int64)
    except (KeyError, ValueError) as error:
        raise DataError(f"{folder}: no usable label for {error}; get the original label files") from None


def _files(
    root: Path, paths: Sequence[str], ids: Sequence[str], labels: np.ndarray, names: tuple[str, ...], name: str
) -> Dataset:
    """Build a collection of files in a folder, and check that all files exist."""
    files = [os.path.join(root, path) for path in paths]
    check_images(files, name)
    return Dataset(PathItems(files), np.array(ids, np.str_), labels, LabelSpace(names), name=name)
