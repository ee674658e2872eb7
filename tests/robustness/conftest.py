"""A small model of coloured pictures, and the protocol that it was trained on."""

import numpy as np
import pytest

import kinbits
from kinbits.data import split_folder

CLASSES = ("red", "green", "<b>blue")


def pictures(rows=90, classes=CLASSES):
    """Noise in which one colour is stronger."""
    rng = np.random.default_rng(0)
    labels = np.arange(rows) % len(classes)
    images = rng.integers(0, 150, (rows, 20, 24, 3), dtype=np.uint8)
    images[np.arange(rows), :, :, labels] += 60
    return images, [classes[label] for label in labels]


@pytest.fixture(scope="session")
def splits():
    images, labels = pictures()
    return split_folder(kinbits.open_dataset(images, labels=labels), seed=0, query=0.2)


@pytest.fixture(scope="session")
def fitted(splits):
    options = {"method": "orthohash", "backbone": "convnet-small", "image_size": 16, "bits": 12}
    return kinbits.fit(splits.train, **options, epochs=8, batch_size=8, progress=False, cache=None)
