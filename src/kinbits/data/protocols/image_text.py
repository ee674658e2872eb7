"""MIR-Flickr-25k with 24 labels, and tags as texts: the image-text pairs of DCMH and later papers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kinbits.data.dataset import Dataset
from kinbits.data.items import PathItems
from kinbits.data.protocols.definition import SHARED_LABEL, Protocol
from kinbits.data.protocols.registry import find_protocol, register_protocol
from kinbits.data.protocols.required_files import Folder, RequiredFiles, check_images
from kinbits.data.sources.columns import from_multi_hot
from kinbits.data.sources.files import read_text
from kinbits.data.sources.mat import read_mat, texts, variable
from kinbits.data.splits import Draw, SplitRows
from kinbits.errors import DataError

IMAGES, LABELS = "mirflickr25k-fall.mat | imgList.mat", "mirflickr25k-lall.mat | labelList.mat"
FLICKR = RequiredFiles(
    ("flickr25k-24", "mirflickr25k", "mirflckr25k"),
    (IMAGES, LABELS, "images | mirflickr", "tags | mirflickr/meta/tags"),
    "the .mat files of github.com/jiangqy/DCMH-CVPR2017 (variables FAll: file names, LAll: labels), the images, "
    "and the "
    "tags1.txt, ... of press.liacs.nl/mirflickr",
)


@register_protocol(
    Protocol(
        "flickr25k-24",
        1,
        "MIR-Flickr-25k, the 20,015 images with usable tags and 24 labels, as pairs of image and tags; query "
        "2,000, the rest "
        "database, train 10,000 of it",
        train=10_000,
        query=2_000,
        database=18_015,
        relevance=SHARED_LABEL,
        overlap=True,
        classes=24,
        legacy="dcmh",
        source="collection and sizes of DCMH (Jiang and Li, CVPR 2017); drawn here by seed, as every code draws "
        "its own",
        required_files=FLICKR,
    )
)
def _flickr25k_24(data_dir: Folder, seed: int) -> tuple[Dataset, SplitRows]:
    data = _pairs(FLICKR.find(data_dir))
    sizes, mixed = find_protocol("flickr25k-24"), Draw(data.ids, seed).shuffled(np.arange(len(data)))
    return data, SplitRows(mixed[sizes.query : sizes.query + sizes.train], mixed[: sizes.query], mixed[sizes.query :])


def _pairs(folder: Path) -> Dataset:
    images, labels = (FLICKR.file(folder, wanted) for wanted in (IMAGES, LABELS))
    names = texts(variable(read_mat(images), ("FAll", "imgList"), images))
    hot = np.asarray(variable(read_mat(labels), ("LAll", "labelList"), labels))
    hot = hot.T if hot.shape[0] != len(names) and hot.shape[-1] == len(names) else hot
    if hot.ndim != 2 or len(hot) != len(names):
        raise DataError(f"{labels} has labels of shape {hot.shape} for the {len(names)} images of {images}")
    multi_hot, space = from_multi_hot(hot.astype(np.int64), None, str(labels))
    pictures, tags = FLICKR.file(folder, FLICKR.files[2]), FLICKR.file(folder, FLICKR.files[3])
    names = [Path(name).name for name in names]
    paths = [pictures / name for name in names]
    tag_files = [tags / f"tags{Path(name).stem.removeprefix('im')}.txt" for name in names]
    check_images([*paths, *tag_files], folder)
    texts_of_tags = tuple(" ".join(read_text(path).split()) for path in tag_files)
    return Dataset(PathItems(paths), np.array(names, np.str_), multi_hot, space, texts_of_tags, name="flickr25k-24")
