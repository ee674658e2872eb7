"""Protocols of collections that are published as list files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from kinbits.data.dataset import Dataset
from kinbits.data.protocols.definition import SAME_CLASS, SHARED_LABEL, Protocol
from kinbits.data.protocols.lists import LIST_FILES, open_lists
from kinbits.data.protocols.registry import Builder, register_protocol
from kinbits.data.protocols.required_files import Folder, RequiredFiles
from kinbits.data.splits import SplitRows

AT_5000 = ("map@5000", "map@all", "precision@100", "precision@r2")
AT_1000 = ("map@1000", "map@all", "precision@100", "precision@r2")
HASHNET = "github.com/thuml/HashNet, pytorch/data"
DEEPHASH = "github.com/swuxyj/DeepHash-pytorch, data"


def _lists(names: tuple[str, ...], get: str, *, train_in_database: bool = False) -> Callable[[Protocol], Builder]:
    """Return a function that registers a definition, with parts from the lists in a folder of these names."""
    required_files = RequiredFiles(names, LIST_FILES, f"{get}; the images lie in the same folder")

    def keep(definition: Protocol) -> Builder:
        def build(data_dir: Folder, seed: int) -> tuple[Dataset, SplitRows]:
            return open_lists(required_files.find(data_dir), train_in_database=train_in_database)

        return register_protocol(replace(definition, required_files=required_files))(build)

    return keep


_lists(("nuswide-21", "nuswide_21"), f"{DEEPHASH}/nuswide_21, images of the DSDH_PyTorch copy")(
    Protocol(
        "nuswide-21",
        1,
        "NUS-WIDE, 195,834 images of the 21 most frequent labels; query 100 and train 500 a label",
        train=10_500,
        query=2_100,
        database=193_734,
        relevance=SHARED_LABEL,
        overlap=True,
        metrics=AT_5000,
        classes=21,
        unlabelled={"train": 0, "query": 0},
        legacy="deephash-pytorch",
        source="lists of DeepHash-pytorch; train and query counted, the database is the rest of its 195,834 images",
    )
)

_lists(("nuswide-21-m", "nuswide_21_m"), f"{DEEPHASH}/nuswide_21_m, images ending in _m.jpg")(
    Protocol(
        "nuswide-21-m",
        1,
        "NUS-WIDE, the smaller copies of images (*_m.jpg) with the 21 most frequent labels",
        train=10_500,
        query=2_100,
        database=149_736,
        relevance=SHARED_LABEL,
        overlap=True,
        metrics=AT_5000,
        classes=21,
        unlabelled={"train": 0, "query": 0},
        legacy="deephash-pytorch",
        source="lists of DeepHash-pytorch; train and query counted, the database size is the literature's. "
        "CSQ's lists are others: 2,040 queries, 10,455 train; open those with lists:<folder>",
    )
)

_lists(("nuswide-81", "nuswide_81", "nus_wide"), f"{HASHNET}/nuswide_81")(
    Protocol(
        "nuswide-81",
        1,
        "NUS-WIDE with all 81 labels, HashNet's lists, in which many images have no label at all",
        train=10_000,
        query=5_000,
        database=168_692,
        relevance=SHARED_LABEL,
        overlap=True,
        metrics=AT_5000,
        classes=81,
        unlabelled={"train": 2_185, "query": 1_131},
        legacy="hashnet",
        source="lists of HashNet (Cao et al., ICCV 2017); train and query counted, the database size is the paper's. "
        "DeepHash-pytorch's nuswide_81_m lists are another draw, without unlabelled images: lists:<folder>",
    )
)

_lists(
    ("coco", "mscoco", "COCO_2014"),
    f"{HASHNET}/coco (or caffe/data/coco, with cat test/test?.txt > test.txt and cat test/database?.txt > "
    f"database.txt)",
    train_in_database=True,
)(
    Protocol(
        "coco",
        1,
        "MS-COCO 2014, the 122,218 labelled images of train2014 and val2014, HashNet's lists",
        train=10_000,
        query=5_000,
        database=117_218,
        checksum="4c50b2fba178f602297357f40a9fc1734f2ce7491a040655a9283772d981f051",
        relevance=SHARED_LABEL,
        overlap=True,
        metrics=AT_5000,
        classes=80,
        unlabelled={"train": 0, "query": 0, "database": 0},
        legacy="hashnet",
        source="lists of HashNet (Cao et al., ICCV 2017), all counted. Its Caffe database list holds all 5,000 "
        "queries and "
        "no train image; without the former and with the latter it is the paper's 117,218. DeepHash-pytorch's "
        "coco lists "
        "are another draw: lists:<folder>",
    )
)

_lists(("imagenet-100", "imagenet100", "imagenet"), f"{HASHNET}/imagenet, images in image/ and val_image/")(
    Protocol(
        "imagenet-100",
        1,
        "ImageNet, 100 classes; query the validation images, train 130 a class of the train images, database all "
        "of those",
        train=13_000,
        query=5_000,
        database=128_503,
        checksum="48d389190eed12cc30ccad06be411035932f9cd74b8ca313f5995f9de094cc99",
        relevance=SAME_CLASS,
        overlap=True,
        metrics=AT_1000,
        classes=100,
        unlabelled={"train": 0, "query": 0, "database": 0},
        legacy="hashnet",
        source="lists of HashNet (Cao et al., ICCV 2017), all counted; many papers write 10,000 train images",
    )
)

_lists(("flickr25k-38", "mirflickr"), f"{DEEPHASH}/mirflickr, images im1.jpg to im25000.jpg")(
    Protocol(
        "flickr25k-38",
        1,
        "MIR-Flickr-25k with 38 labels (24 and the 14 stricter ones), DeepHash-pytorch's lists",
        train=4_000,
        query=1_000,
        database=20_000,
        checksum="9ab81139ba210f23b5131044ba92fccae01665e181f5ca6a1bfbf00b157195d1",
        relevance=SHARED_LABEL,
        classes=38,
        unlabelled={"train": 72, "query": 19, "database": 328},
        legacy="deephash-pytorch",
        source="lists of DeepHash-pytorch, all counted",
    )
)

_lists(
    ("flickr25k-38-prosgan", "FLICKR-25K"), "github.com/xunguangwang/ProS-GAN, data/FLICKR-25K, images in mirflickr/"
)(
    Protocol(
        "flickr25k-38-prosgan",
        1,
        "MIR-Flickr-25k with 38 labels, ProS-GAN's parallel lists *_img.txt and *_label.txt",
        train=4_496,
        query=1_700,
        database=23_300,
        checksum="3d3f9156fbf956c35f302435329146ebdce0967059ff44fd03454b82dc78aba7",
        relevance=SHARED_LABEL,
        overlap=True,
        classes=38,
        unlabelled={"train": 82, "query": 38, "database": 381},
        source="lists of ProS-GAN (Wang et al., CVPR 2021), all counted: its train list has 5,000 lines, 504 of which "
        "repeat an image",
    )
)
