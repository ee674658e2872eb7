"""The rows that a method learns from: features of a frozen backbone, or pixels for one that is trained along."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np

from kinbits._util import reporter
from kinbits.backbones import Backbone, View, extract
from kinbits.data import Dataset, augmentation, readable
from kinbits.errors import DataError, UsageError
from kinbits.fitting.task import Task
from kinbits.methods import Method, Modality
from kinbits.training import FeatureSet, PixelSet, Trainable, Training, views_needed

PIXEL_MEMORY = 2 << 30
NO_TEXT = "no text"


def _labels(dataset: Dataset) -> np.ndarray | None:
    labels = dataset.labels
    return labels.astype(np.float32) if labels is not None and labels.ndim == 2 else labels


def _all_equal(features: np.ndarray) -> bool:
    parts = (features[start : start + 4096] for start in range(0, len(features), 4096))
    return not any((part != features[0]).any() for part in parts)


class Frozen:
    """Cached features of a frozen backbone, from which training and held-out sets are cut."""

    def __init__(
        self,
        dataset: Dataset,
        task: Task,
        training: Training,
        backbones: Mapping[Modality, Backbone],
        method: type[Method],
    ) -> None:
        image = backbones["image"]
        with reporter("computing features", training.progress) as report:
            found = extract(dataset, image, cache=task.cache, progress=report)
        self.dataset = _usable(found.readable_part(dataset), method, task)
        kept = dataset.rows_of(self.dataset)
        self.features = found.array[kept]
        if len(kept) > 1 and _all_equal(self.features):
            raise DataError(
                f"all {len(kept)} items of {dataset.name} have the same features, so codes cannot tell them apart; "
                f"give images that differ, or another backbone"
            )
        self.views: list[np.ndarray] = []
        # vectors have no views; a method that can do without says how
        for number in range(task.views if views_needed(method, training) and dataset.kind == "image" else 0):
            view = View(training.view_augmentation, 0, number)
            with reporter(f"computing features of view {number + 1} of {task.views}", training.progress) as report:
                seen = extract(dataset, image, cache=task.cache, progress=report, view=view)
            self.views.append(seen.array[kept])
        self.texts = None
        if "text" in backbones:
            texts = extract(self.dataset, backbones["text"], cache=task.cache)
            self.texts = np.asarray(texts.array)
        self.labels = _labels(self.dataset)
        self.key = key_of(self.dataset, backbones, task)

    def take(self, rows: np.ndarray) -> Trainable:
        """Return these rows as a training set."""
        data = FeatureSet(
            self.features[rows],
            None if self.labels is None else self.labels[rows],
            None if self.texts is None else self.texts[rows],
            [view[rows] for view in self.views],
        )
        data.key = self.key
        return data


class Pixels:
    """Images for a backbone that is trained along."""

    def __init__(
        self,
        dataset: Dataset,
        task: Task,
        training: Training,
        backbones: Mapping[Modality, Backbone],
        method: type[Method],
    ) -> None:
        self.dataset = _usable(readable(dataset), method, task)
        self.backbone = backbones["image"].requires_grad_(True)
        preprocessing = self.backbone.preprocessing
        assert preprocessing is not None
        self.augment = augmentation(training.augmentation, preprocessing.size)
        self.view = augmentation(training.view_augmentation, preprocessing.size)
        self.texts = None
        if "text" in backbones:
            self.texts = np.asarray(extract(self.dataset, backbones["text"], cache=task.cache).array)
        self.labels = _labels(self.dataset)
        self.key = key_of(self.dataset, backbones, task)

    def take(self, rows: np.ndarray) -> Trainable:
        """Return these rows as a training set."""
        data = PixelSet(
            DatasetPixels(self.dataset.select(rows), self.backbone),
            self.backbone,
            self.augment,
            self.view,
            None if self.labels is None else self.labels[rows],
            None if self.texts is None else self.texts[rows],
        )
        data.key = self.key
        return data


class DatasetPixels:
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


def features_for_labels(sets: Frozen | Pixels, image: Backbone, task: Task) -> np.ndarray:
    """Return the features that labels are guessed from: those of the backbone before it is trained."""
    if not image.pretrained:
        raise UsageError(
            f"label_expansion guesses labels from features, and backbone '{image.name}' starts from scratch; use a "
            f"pretrained one (see `kinbits backbones`), or leave label_expansion out"
        )
    if isinstance(sets, Frozen) and image.pooled is image:
        return np.asarray(sets.features)
    return extract(sets.dataset, image.pooled, cache=task.cache).array


def _usable(dataset: Dataset, method: type[Method], task: Task) -> Dataset:
    """Leave out rows without a text for methods with texts, and without a label for those that learn from labels.

    Where only some labels are known, `Parts` says what becomes of the other rows.
    """
    if method.reads_text and not dataset.captioned.all():
        silent = np.flatnonzero(~dataset.captioned)
        dataset = dataset.without(silent, [NO_TEXT] * len(silent))
    few = task.labels_fraction is not None or task.label_expansion is not None
    if few or method.supervision != "labels" or dataset.labels is None:
        return dataset
    labelled = dataset.labels >= 0 if dataset.labels.ndim == 1 else dataset.labels.any(1)
    bare = np.flatnonzero(~labelled)
    return dataset.without(bare, ["no label"] * len(bare)) if len(bare) else dataset


def key_of(dataset: Dataset, backbones: Mapping[Modality, Backbone], task: Task) -> str:
    """Identify data, backbones and hyper-parameters, so that a checkpoint continues only its own run."""
    parts = [dataset.fingerprint, *(b.fingerprint for b in backbones.values()), task.views]
    labels = b"" if dataset.labels is None else dataset.labels.tobytes()
    text = json.dumps([*parts, dict(task.params)], sort_keys=True).encode()
    return hashlib.sha256(text + labels).hexdigest()
