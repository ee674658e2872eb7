"""Protocols of Fashion-MNIST and of small collections in Parquet tables: products, medical images, emoji."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kinbits.data.dataset import Dataset
from kinbits.data.labels import LabelSpace
from kinbits.data.protocols.cifar import HIERARCHY_METRICS
from kinbits.data.protocols.definition import CLASS_TREE, SHARED_LABEL, Protocol
from kinbits.data.protocols.fashion_mnist import FILES, PACKAGE_FOLDER, open_fashion_mnist
from kinbits.data.protocols.official import by_split, column, official, split_names
from kinbits.data.protocols.registry import register_protocol
from kinbits.data.protocols.required_files import Folder, RequiredFiles, data_folders
from kinbits.data.sources.open import open_dataset
from kinbits.data.splits import SplitRows, draw_per_class
from kinbits.errors import DataError

_COLUMNS = "columns image, label, split, name; label_names in the metadata"


def _table(stem: str, layout: str = _COLUMNS) -> RequiredFiles:
    return RequiredFiles((f"{stem}.parquet",), get=layout)


FASHION_MNIST = RequiredFiles(
    ("fashion-mnist",),
    FILES,
    "apt-get install dataset-fashion-mnist; fetched by its `datasets` name where the hub can be reached",
    (PACKAGE_FOLDER.parent,),
)
PRODUCTS = _table("fashion_products", "columns image, label (a list), text, split, name; label_names in the metadata")
GROCERY = _table("grocery_store", "columns image, label, coarse_label, department, text, split, name; coarse_of_label")
CLOTHING = _table("clothing_small")
TWEMOJI = _table("twemoji", "columns image, label, coarse_label, text, split, name; coarse_label_names in the metadata")
BRAIN = _table("brain_tumor_mri")
PNEUMONIA = _table("pneumonia_mnist", "columns image, label, split; label_names in the metadata")


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
        classes=10,
        source="drawn here by seed from the official parts; no published split",
        required_files=FASHION_MNIST,
    )
)
def _fashion_mnist(data_dir: Folder, seed: int) -> tuple[Dataset, SplitRows]:
    data = open_fashion_mnist(data_folders(data_dir))
    draw, labels, train, test = official(data, seed)
    query, test_rest = draw_per_class(draw, labels, test, [100])
    chosen, train_rest = draw_per_class(draw, labels, train, [1_000])
    return data, SplitRows(chosen, query, draw.shuffled(np.concatenate([train_rest, test_rest])))


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
        classes=145,
        source="a part of Fashion Product Images (P. Aggarwal); no published split",
        required_files=PRODUCTS,
    )
)
def _fashion_products(data_dir: Folder, seed: int) -> tuple[Dataset, SplitRows]:
    data = split_names(open_dataset(PRODUCTS.find(data_dir)))
    draw, _, train, test = official(data, seed)
    mixed = draw.shuffled(train)
    return data, SplitRows(mixed[:5_000], draw.shuffled(test), mixed[5_000:])


@register_protocol(
    Protocol(
        "grocery-store",
        1,
        "photos from shops, 81 products in 43 groups in 3 departments, with product texts; query the official "
        "test part, "
        "train the train part, database train and val",
        train=2_640,
        query=2_485,
        database=2_936,
        overlap=True,
        relevance=CLASS_TREE,
        metrics=HIERARCHY_METRICS,
        checksum="b18e5667545fc0ebda0a5cbcfb0ff40c96e44419354d403b3740d0683d4a8275",
        classes=81,
        source="official parts of the Grocery Store Dataset (Klasson et al., WACV 2019); its 81 catalogue "
        "pictures are in no "
        "part",
        required_files=GROCERY,
    )
)
def _grocery_store(data_dir: Folder, seed: int) -> tuple[Dataset, SplitRows]:
    data = split_names(open_dataset(GROCERY.find(data_dir)))
    data = replace(data, label_space=_with_departments(data))
    return data, by_split(data, seed, also_searched=["val"])


@register_protocol(
    Protocol(
        "clothing-small",
        1,
        "photos of single garments, 10 classes; query the test part, train the train part, database train and "
        "validation",
        train=3_068,
        query=372,
        database=3_409,
        overlap=True,
        checksum="17e3075a8c6f4be2abafa4ba14e697ae69c464e3464e55ca0ccf167427058c10",
        classes=10,
        source="the parts of the Clothing dataset, small (A. Grigorev and contributors)",
        required_files=CLOTHING,
    )
)
def _clothing_small(data_dir: Folder, seed: int) -> tuple[Dataset, SplitRows]:
    data = split_names(open_dataset(CLOTHING.find(data_dir)))
    return data, by_split(data, seed, also_searched=["val"])


@register_protocol(
    Protocol(
        "twemoji",
        1,
        "emoji drawings with their names, 98 sub-groups in 9 groups; query the test rows, train and database the "
        "train rows",
        train=1_506,
        query=400,
        database=1_506,
        overlap=True,
        relevance=CLASS_TREE,
        metrics=HIERARCHY_METRICS,
        checksum="8c9b1bbff44231430c67a92d6eb075702aaf2032b9b05ee8534b8f9a4721f16b",
        classes=98,
        source="Twemoji; no published split",
        required_files=TWEMOJI,
    )
)
def _twemoji(data_dir: Folder, seed: int) -> tuple[Dataset, SplitRows]:
    data = split_names(open_dataset(TWEMOJI.find(data_dir)))
    return data, by_split(data, seed)


@register_protocol(
    Protocol(
        "brain-tumor-mri",
        1,
        "slices of brain MRI, 4 classes; query the published Testing part, train and database the Training part",
        train=2_870,
        query=394,
        database=2_870,
        overlap=True,
        checksum="d390be18cc9cb900a3d8d7a873231f6d020920145d67d7a17ca43e705338630e",
        classes=4,
        source="the parts of Bhuvaji et al. (2020); slices of one patient may be in both",
        required_files=BRAIN,
    )
)
def _brain_tumor_mri(data_dir: Folder, seed: int) -> tuple[Dataset, SplitRows]:
    data = split_names(open_dataset(BRAIN.find(data_dir)))
    return data, by_split(data, seed)


@register_protocol(
    Protocol(
        "pneumonia-mnist",
        1,
        "chest X-rays of 28 x 28 pixels, 2 classes; query the official test part, train the train part, database "
        "train and "
        "validation",
        train=4_708,
        query=624,
        database=5_232,
        overlap=True,
        checksum="25b1cea8e45f382c21daebc6fa44a3f4577cccdc46a8f935a431ce6587183bee",
        classes=2,
        source="official parts of PneumoniaMNIST (Yang et al., MedMNIST v2, 2023)",
        required_files=PNEUMONIA,
    )
)
def _pneumonia_mnist(data_dir: Folder, seed: int) -> tuple[Dataset, SplitRows]:
    data = split_names(open_dataset(PNEUMONIA.find(data_dir)))
    return data, by_split(data, seed, also_searched=["val"])


def _with_departments(data: Dataset) -> LabelSpace:
    """Return the label space with departments as a further level above the groups of classes."""
    space = data.label_space
    if space is None or space.parents is None or data.labels is None:
        raise DataError(f"{data.name} lacks coarse_label_names or coarse_of_label in its metadata")
    groups = np.array(space.parents[: space.classes]) - space.classes
    pairs = set(zip(groups[data.labels].tolist(), column(data, "department"), strict=True))
    names = sorted({str(department) for _, department in pairs})
    table = {group: names.index(str(department)) for group, department in pairs}
    if len(table) < len(pairs) or len(table) < len(space.parent_names):
        raise DataError(f"{data.name}: a group is in several departments, or in none; get the original file")
    above = [table[group] for group in range(len(space.parent_names))]
    return LabelSpace.with_levels(space.names, [(groups.tolist(), space.parent_names), (above, names)])
