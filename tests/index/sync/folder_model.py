"""A model without PyTorch whose codes tell which picture they are of, and folders of small pictures."""

import hashlib
import os
import time
from types import SimpleNamespace

import numpy as np
from PIL import Image

from kinbits.data import BadImage, Skipped, open_dataset

BITS = 64


class PictureModel:
    """Encodes a picture by the digest of its pixels; its features are as many numbers."""

    bits, fingerprint, words = BITS, "c" * 64, 2

    def __init__(self):
        self.encoded, self.while_encoding = [], None

    def tower(self, modality="image"):
        return self

    def compute(self, features):
        return features.astype(np.uint8)

    def encode(self, dataset, /, *, output="codes", on_error="raise"):
        rows, skipped, found = [], [], []
        for row, id_ in enumerate(dataset.ids.tolist()):
            self.encoded.append(id_)
            try:
                found.append(digest_of(dataset.image(row)))
                rows.append(row)
            except BadImage as error:
                skipped.append(Skipped(id_, error.reason))
        if self.while_encoding is not None:
            self.while_encoding()
        array = np.array(found, np.uint8).reshape(-1, BITS // 8)
        array = array.astype(np.float32) if output == "features" else array
        return SimpleNamespace(array=array, rows=np.array(rows, np.int64), skipped=tuple(skipped))


def digest_of(image):
    return list(hashlib.sha256(image.tobytes()).digest()[: BITS // 8])


def picture(seed):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8))


def code_of(seed):
    """Return the code of a picture."""
    return bytes(digest_of(picture(seed)))


def write(path, seed, age=60):
    """Write a picture that was last changed so many seconds ago; less than a tenth never counts as settled."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed).save(path, "BMP" if path.suffix == ".bmp" else "PNG")
    make_old(path, age)


def make_old(path, age=60):
    then = time.time_ns() - int(age * 1e9)
    os.utime(path, ns=(then, then))


def codes_by_id(index):
    """Return the code of each item."""
    stored = index.to_codes()
    return {id_: code.tobytes() for id_, code in zip(stored.ids.tolist(), stored.codes, strict=True)}


def folder_index(make, place, folder, **options):
    """Make an index of a folder; ``make`` is Index.create."""
    return make(place, open_dataset(folder), model=PictureModel(), **options)
