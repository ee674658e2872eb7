"""A report on coloured pictures, with the models and the data that it was made of."""

import numpy as np
import pytest

import kinbits
from kinbits.data import split_folder

CLASSES = ("<b>red</b>", "green", "blue")


def pictures(rows=240):
    rng = np.random.default_rng(0)
    labels = np.arange(rows) % 3
    images = rng.integers(0, 150, (rows, 32, 32, 3), dtype=np.uint8)
    images[np.arange(rows), :, :, labels] += 60
    return kinbits.open_dataset(images, labels=[CLASSES[label] for label in labels])


@pytest.fixture(scope="session")
def pictures_report():
    data = split_folder(pictures(), seed=0, query=0.2)
    options = {"method": "orthohash", "backbone": "convnet-small", "progress": False, "cache": None}
    models = [kinbits.fit(data.train, bits=bits, epochs=2, **options) for bits in (16, 8)]
    at = ["precision=0.5", "precision=1"]
    return kinbits.evaluate(models[0], data, compare_with=models[1:], details=True, at=at), models, data
