"""Two models of different code lengths whose codes tell which picture, or which vector, they are of."""

import hashlib
import os
import time
from types import SimpleNamespace

import numpy as np
from PIL import Image

from kinbits.data import BadImage, Skipped


class DigestModel:
    """Encodes an image or a vector by a digest of it that depends on the model."""

    words = 2

    def __init__(self, name, bits):
        self.name, self.bits, self.fingerprint = name, bits, name * 64
        self.encoded, self.while_encoding = [], None

    def code(self, item):
        raw = item.tobytes() if isinstance(item, (Image.Image, np.ndarray)) else item
        return list(hashlib.sha256(self.name.encode() + raw).digest()[: self.bits // 8])

    def encode(self, dataset, /, *, output="codes", on_error="raise"):
        rows, skipped, found = [], [], []
        for row, id_ in enumerate(dataset.ids.tolist()):
            try:
                item = dataset.image(row) if dataset.kind == "image" else np.array(dataset.items.vectors[row])
                found.append(self.code(item))
                rows.append(row)
                self.encoded.append(id_)
            except BadImage as error:
                skipped.append(Skipped(str(id_), error.reason))
        if self.while_encoding is not None:
            self.while_encoding()
        array = np.array(found, np.uint8).reshape(-1, self.bits // 8)
        return SimpleNamespace(array=array, rows=np.array(rows, np.int64), skipped=tuple(skipped))


def old_model():
    return DigestModel("a", 64)


def new_model():
    return DigestModel("b", 32)


def picture(seed):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8))


def write(path, seed, age=60):
    """Write a picture that was last changed so many seconds ago; what is younger than two counts as changing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed).save(path)
    then = time.time_ns() - int((age + seed / 1000) * 1e9)
    os.utime(path, ns=(then, then))


def codes_by_id(index):
    """Return the code of each item."""
    stored = index.to_codes([])
    return {id_: code.tolist() for id_, code in zip(stored.ids.tolist(), stored.codes, strict=True)}
