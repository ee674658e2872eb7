"""The backbones of a run: those that are named, or those that suit the data."""

from __future__ import annotations

from typing import Any

import numpy as np

from kinbits._util import Modality
from kinbits.backbones import Backbone, FeatureMap, load_backbone, require_modality
from kinbits.data import Dataset
from kinbits.errors import UsageError
from kinbits.fitting.settings import FeatureSettings
from kinbits.methods import Method

SMALL_IMAGE, SMALL_SIZE, SAMPLE = 64, 128, 32


def load_backbones(dataset: Dataset, settings: FeatureSettings, method: type[Method]) -> dict[Modality, Backbone]:
    """Load the image backbone, and the text backbone of methods that read text."""
    image = image_backbone(dataset, settings)
    found: dict[Modality, Backbone] = {"image": FeatureMap(image) if method.reads_maps else image}
    if method.reads_text:
        found["text"] = _load(settings.text_backbone or "minilm", "text")
    return found


def image_backbone(dataset: Dataset, settings: FeatureSettings) -> Backbone:
    """Load the image backbone that the settings name, or the one that suits the data."""
    if dataset.kind == "vector":
        width = dataset.items.stored_vectors.shape[1]
        return _load(
            settings.backbone or "features", "vector", dim=width, dims=settings.dims, normalise=settings.normalise
        )
    if settings.dims is not None or settings.normalise is not None:
        raise UsageError("dims and normalise are for vectors, and the data are images; leave them out")
    name = settings.backbone or "efficientnet_lite0"
    size = settings.image_size
    if size is None and name == "efficientnet_lite0" and _looks_small(dataset):
        size = SMALL_SIZE
    return _load(name, "image", size=size)


def _load(name: str, reads: Modality, **sizes: Any) -> Backbone:
    """Load a backbone for one kind of data; refuse one that reads another before its weights are sought."""
    require_modality(name, reads)
    return load_backbone(name, **sizes)


def _looks_small(dataset: Dataset) -> bool:
    """Tell whether the median of some readable images is at most 64 pixels on its long side."""
    sides = []
    for row in np.linspace(0, len(dataset) - 1, min(SAMPLE, len(dataset))).astype(int):
        try:
            sides.append(max(dataset.image(int(row)).size))
        except ValueError:
            continue
    return bool(sides) and float(np.median(sides)) <= SMALL_IMAGE
