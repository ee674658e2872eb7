"""A service of photos for the tests of this folder."""

import os

import httpx2
import pytest
import torch
from live import live, picture
from PIL import Image

from kinbits.backbones import load_backbone
from kinbits.data import open_dataset
from kinbits.heads import build_head
from kinbits.index import Index
from kinbits.model import HashModel, Tower

BITS = 32


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of photos, a model, and an index of them with a column."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "photos").mkdir()
    for number in range(12):
        exif = Image.Exif()
        exif[0x010E] = "a secret of the camera"
        picture(number).save(folder / "photos" / f"p{number}.png", exif=exif)
    picture(50).save(folder / "private.png")
    os.symlink(folder / "private.png", folder / "photos" / "link.png")
    torch.manual_seed(0)
    head = build_head({"name": "linear", "features": 384, "bits": BITS})
    HashModel({"image": Tower(load_backbone("convnet-small"), head)}).save_pretrained(folder / "model")
    photos = open_dataset(folder / "photos", labels=False)
    index = Index.create(folder / "photos.index", model=folder / "model")
    index.add(photos, metadata={"year": [2000 + row for row in range(len(photos))]})
    return folder


@pytest.fixture(scope="module")
def service(place):
    limits = {"max_batch": 8, "max_upload_mb": 0.2, "max_megapixels": 0.01}
    with live(place, {"photos": place / "photos.index"}, **limits) as running:
        yield running


@pytest.fixture(scope="module")
def http(service):
    with httpx2.Client(base_url=service.url, timeout=30) as client:
        yield client
