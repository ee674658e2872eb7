"""Models without weights, and made images."""

from types import SimpleNamespace

import numpy as np
from PIL import Image, ImageDraw

from kinbits.data import BadImage, Skipped, as_dataset


class Gradients:
    """The signs of brightness differences of a small copy of the image (dHash, 256 bits).

    It counts images, to tell what was encoded again.
    """

    bits, fingerprint = 256, "9" * 64

    def __init__(self):
        self.encoded = 0

    def bits_of(self, image):
        grey = np.asarray(image.convert("L").resize((17, 16), Image.Resampling.LANCZOS), np.int16)
        return grey[:, 1:] > grey[:, :-1]

    def encode(self, inputs, *, on_error="raise", progress=False):
        data = as_dataset(inputs)
        codes, rows, skipped = [], [], []
        for row in range(len(data)):
            try:
                image = data.image(row)
            except BadImage as error:
                skipped.append(Skipped(str(data.ids[row]), error.reason))
                continue
            codes.append(np.packbits(self.bits_of(image)))
            rows.append(row)
        self.encoded += len(rows)
        array = np.array(codes, np.uint8).reshape(-1, 32)
        return array if on_error == "raise" else SimpleNamespace(array=array, rows=np.array(rows, int), skipped=skipped)


class Colours(Gradients):
    """Signs of projected histograms of colours: what moves within the image keeps its code."""

    fingerprint = "8" * 64

    def bits_of(self, image):
        counts = np.array(image.convert("RGB").resize((64, 64)).histogram()).reshape(24, 32).sum(1)
        return np.random.default_rng(3).standard_normal((256, 24)) @ (counts - counts.mean()) > 0


def picture(seed, side=96):
    """Return a smooth random image."""
    grid = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    return Image.fromarray(grid).resize((side, side), Image.Resampling.BICUBIC)


def scene(seed, side=192):
    """Return a random image with shapes in it, which local features are found on."""
    rng = np.random.default_rng(seed)
    image = picture(seed, side)
    draw = ImageDraw.Draw(image)
    for _ in range(25):
        x, y, w, h = rng.integers(0, side, 2).tolist() + rng.integers(side // 16, side // 3, 2).tolist()
        shape = draw.rectangle if rng.random() < 0.5 else draw.ellipse
        shape((x, y, x + w, y + h), tuple(rng.integers(0, 256, 3).tolist()))
    return image
