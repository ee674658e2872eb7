"""The rows that a method learns from: features of a frozen backbone, or pixels for one that is trained along."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from kinbits._util import Modality, reporter
from kinbits.backbones import Backbone, View, extract
from kinbits.data import Dataset, MappedRows, as_dataset, augmentation, readable, select_rows
from kinbits.errors import DataError, UsageError
from kinbits.fitting.settings import FitSettings
from kinbits.methods import Method
from kinbits.training import FeatureSet, PixelSet, TrainingSet, views_needed

PIXEL_MEMORY = 2 << 30
NO_TEXT = "no text"


def _labels(dataset: Dataset) -> np.ndarray | None:
    labels = dataset.labels
    return labels.astype(np.float32) if labels is not None and labels.ndim == 2 else labels


def _all_equal(features: np.ndarray | MappedRows) -> bool:
    first, parts = features[0], (features[start : start + 4096] for start in range(0, len(features), 4096))
    return not any((part != first).any() for part in parts)


def as_training_data(data: Any) -> Dataset:
    """Return data as a `Dataset`, without labels if no row has one."""
    dataset = as_dataset(data)
    if dataset.labels is None or dataset.has_label.any():
        return dataset
    return replace(dataset, labels=None, label_space=None)


def usable_rows(
    dataset: Dataset,
    settings: FitSettings,
    backbones: Mapping[Modality, Backbone],
    method: type[Method],
    finetune: bool,
) -> tuple[Dataset, TrainingSet]:
    """Return the rows that can be learned from, and what is learned from: images if the backbone is trained too.

    Raises:
        DataError: If no row is usable, or all have the same features.
    """
    if finetune:
        return _images(dataset, settings, backbones, method)
    return _cached_features(dataset, settings, backbones, method)


def _cached_features(
    dataset: Dataset, settings: FitSettings, backbones: Mapping[Modality, Backbone], method: type[Method]
) -> tuple[Dataset, FeatureSet]:
    """Compute or read the features of frozen backbones."""
    image, training, options = backbones["image"], settings.training, settings.features
    with reporter("computing features", training.progress) as report:
        found = extract(dataset, image, cache=options.cache, progress=report, mapped=True)
    usable = _usable(found.readable_part(dataset), method, settings)
    kept = dataset.rows_of(usable)
    features = select_rows(found.array, kept)
    if len(kept) > 1 and _all_equal(features):
        raise DataError(
            f"all {len(kept)} items of {dataset.name} have the same features, so codes cannot tell them apart; "
            f"give {dataset.kind}s that differ, or another backbone"
        )
    views: list[np.ndarray | MappedRows] = []
    # vectors have no views; a method that can do without says how
    for number in range(options.views if views_needed(method, training) and dataset.kind == "image" else 0):
        view = View(training.view_augmentation, 0, number)
        with reporter(f"computing features of view {number + 1} of {options.views}", training.progress) as report:
            made = extract(dataset, image, cache=options.cache, progress=report, view=view)
        views.append(select_rows(made.array, kept))
    texts, key = _texts(usable, settings, backbones), key_of(usable, backbones, settings)
    return usable, FeatureSet(features, _labels(usable), texts, views, key=key)


def _images(
    dataset: Dataset, settings: FitSettings, backbones: Mapping[Modality, Backbone], method: type[Method]
) -> tuple[Dataset, PixelSet]:
    """Prepare images for a backbone that is trained too."""
    usable, training = _usable(readable(dataset), method, settings), settings.training
    backbone = backbones["image"].requires_grad_(True)
    size = backbone.require_pixels("a backbone that is trained").size
    change, view = (augmentation(name, size) for name in (training.augmentation, training.view_augmentation))
    texts, key = _texts(usable, settings, backbones), key_of(usable, backbones, settings)
    reader = ImageReader(usable, backbone)
    return usable, PixelSet(reader, backbone, change, view, _labels(usable), texts, key=key)


def _texts(dataset: Dataset, settings: FitSettings, backbones: Mapping[Modality, Backbone]) -> Any:
    if "text" not in backbones:
        return None
    return extract(dataset, backbones["text"], cache=settings.features.cache).array


class ImageReader:
    """Preprocessed images of a dataset; kept in memory after the first reading where they fit.

    Args:
        dataset: Readable images.
        backbone: Whose preprocessing to apply.
    """

    def __init__(self, dataset: Dataset, backbone: Backbone) -> None:
        assert backbone.preprocessing is not None
        self.dataset, self.preprocessing = dataset, backbone.preprocessing
        shape = (len(dataset), 3, backbone.preprocessing.size, backbone.preprocessing.size)
        self.kept = np.empty(shape, np.uint8) if np.prod(shape, dtype=np.int64) <= PIXEL_MEMORY else None
        self.known = np.zeros(len(dataset), bool)

    def __len__(self) -> int:
        return len(self.dataset)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return preprocessed images, uint8 ``(b, 3, s, s)``."""
        if self.kept is None:
            return self._decode(rows)
        missing = rows[~self.known[rows]]
        if len(missing):
            self.kept[missing] = self._decode(missing)
            self.known[missing] = True
        return np.asarray(self.kept[rows])

    def _decode(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        return np.stack([self.preprocessing(self.dataset.image(int(row))) for row in rows])


def features_for_labels(dataset: Dataset, rows: TrainingSet, image: Backbone, settings: FitSettings) -> np.ndarray:
    """Return the features that labels are guessed from: those of the backbone before it is trained.

    Raises:
        UsageError: If the backbone starts from scratch.
    """
    if not image.pretrained:
        raise UsageError(
            f"label_expansion guesses labels from features, and backbone '{image.name}' starts from scratch; use a "
            f"pretrained one (see `kinbits backbones`), or leave label_expansion out"
        )
    if isinstance(rows, FeatureSet) and image.pooled is image:
        return rows.stored
    return np.asarray(extract(dataset, image.pooled, cache=settings.features.cache).array)


def _usable(dataset: Dataset, method: type[Method], settings: FitSettings) -> Dataset:
    """Leave out rows without a text for methods with texts, and without a label for those that learn from labels.

    Where only some labels are known, `RowChoice` decides on the other rows.
    """
    if method.reads_text and not dataset.has_text.all():
        without_text = np.flatnonzero(~dataset.has_text)
        dataset = dataset.without(without_text, [NO_TEXT] * len(without_text))
    if settings.supervision.few_labels or method.supervision != "labels" or dataset.labels is None:
        return dataset
    unlabelled = np.flatnonzero(~dataset.has_label)
    return dataset.without(unlabelled, ["no label"] * len(unlabelled)) if len(unlabelled) else dataset


def key_of(dataset: Dataset, backbones: Mapping[Modality, Backbone], settings: FitSettings) -> str:
    """Identify data, backbones and hyper-parameters, so that a checkpoint continues only its own run."""
    parts = [dataset.fingerprint, *(b.fingerprint for b in backbones.values()), settings.features.views]
    labels = b"" if dataset.labels is None else dataset.labels.tobytes()
    text = json.dumps([*parts, dict(settings.params)], sort_keys=True).encode()
    return hashlib.sha256(text + labels).hexdigest()
