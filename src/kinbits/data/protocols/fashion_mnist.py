"""Fashion-MNIST from the gzipped IDX files of the Debian package, or else from the Hugging Face hub."""

from __future__ import annotations

import gzip
import os
import socket
import zlib
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from kinbits.data.dataset import Dataset
from kinbits.data.items import ArrayItems, digest, file_identity
from kinbits.data.labels import LabelSpace
from kinbits.errors import DataError

PACKAGE_FOLDER = Path("/usr/share/datasets/fashion-mnist")
HUB_NAME = "zalando-datasets/fashion_mnist"
NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_FILES = {"train": "train", "test": "t10k"}
FILES = tuple(f"{stem}-{what}-ubyte.gz" for stem in _FILES.values() for what in ("images-idx3", "labels-idx1"))


def open_fashion_mnist(folders: Sequence[Path]) -> Dataset:
    """Open all 70,000 images, with ids ``train/00000`` ... in official order and a column ``split``.

    Args:
        folders: Folders that may contain a folder ``fashion-mnist``; the folder of the Debian package is the last one.

    Raises:
        DataError: If the files are missing and the hub cannot be reached, or if they are damaged.
    """
    candidates = [*(folder / "fashion-mnist" for folder in folders), PACKAGE_FOLDER]
    existing = next((folder for folder in candidates if _path(folder, "train", "images").is_file()), None)
    parts, identity = _from_files(existing) if existing is not None else _from_hub(candidates)
    images = np.concatenate([parts[split][0] for split in _FILES])
    labels = np.concatenate([parts[split][1] for split in _FILES]).astype(np.int64)
    ids = [f"{split}/{row:05d}" for split in _FILES for row in range(len(parts[split][0]))]
    splits = [split for split in _FILES for _ in range(len(parts[split][0]))]
    return Dataset(
        items=ArrayItems(images, identity),
        ids=np.array(ids),
        labels=labels,
        label_space=LabelSpace(NAMES),
        columns={"split": splits},
        name="fashion-mnist",
    )


def read_idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file of unsigned bytes (the format of MNIST).

    Args:
        path: The ``.gz`` file.

    Returns:
        uint8 array of the shape in the header.

    Raises:
        DataError: If the file is damaged or has another type.
    """
    try:
        data = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged ({error}); install it again") from None
    # Header: two zero bytes, 8 = unsigned byte, number of axes, then each length as a big-endian int32.
    if len(data) < 4 or data[:3] != b"\0\0\x08" or len(data) < 4 + 4 * data[3]:
        raise DataError(f"{path}: not an IDX file of unsigned bytes; install it again")
    axes = data[3]
    shape = tuple(np.frombuffer(data, ">i4", axes, 4).tolist())
    if len(data) != 4 + 4 * axes + int(np.prod(shape)):
        raise DataError(f"{path}: holds {len(data)} bytes, which does not fit its shape {shape}; install it again")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _path(folder: Path, split: str, what: str) -> Path:
    axes = 3 if what == "images" else 1
    return folder / f"{_FILES[split]}-{what}-idx{axes}-ubyte.gz"


def _from_files(folder: Path) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], str]:
    paths = [_path(folder, split, what) for split in _FILES for what in ("images", "labels")]
    parts = {
        split: (read_idx(_path(folder, split, "images")), read_idx(_path(folder, split, "labels"))) for split in _FILES
    }
    return parts, digest(*map(file_identity, paths))


def _from_hub(folders: Sequence[Path]) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], str | None]:
    missing = DataError(
        f"Fashion-MNIST is in none of {', '.join(map(str, folders))}, and '{HUB_NAME}' cannot be downloaded; run "
        "apt-get install dataset-fashion-mnist, or put its four .gz files in one of these folders"
    )
    if not _hub_may_answer():
        raise missing
    import datasets

    try:
        loaded = datasets.load_dataset(HUB_NAME)
    except Exception:  # the hub client raises many kinds of errors for a failed download
        raise missing from None
    parts = {}
    for split in _FILES:
        rows = loaded[split]
        images = np.stack([np.asarray(image.convert("L")) for image in rows["image"]])
        parts[split] = (images, np.array(rows["label"], np.uint8))
    return parts, None


def _hub_may_answer() -> bool:
    """Return whether the host name of the hub resolves; without a network, the hub client retries for 30 seconds."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True
    host = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co")).hostname or ""
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return False
    return True
