"""Small images and collections that the tests write themselves."""

import io

import numpy as np
from PIL import Image


def picture(seed=0, size=(12, 8)):
    """A colourful RGB image, width x height, the same for the same seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def encoded(image, kind="PNG", **options):
    """The bytes of a file that holds the image."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def image_folder(root, classes, *, suffix=".png"):
    """Write class subfolders: ``{"cat": 3}`` makes cat/0.png ... cat/2.png, all of them different."""
    seed = 0
    for name, count in classes.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            picture(seed).save(root / name / f"{number}{suffix}")
            seed += 1
    return root
