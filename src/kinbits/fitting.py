"""fit: from a dataset to a HashModel."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch

from kinbits._errors import DataError, UsageError
from kinbits._inputs import as_dataset, without_unreadable
from kinbits._parts import FewLabels, Parts
from kinbits._progress import reporter
from kinbits.backbones import Backbone, FeatureMap, View, extract, load_backbone
from kinbits.data import Dataset, FeatureCache, Pairs, readable
from kinbits.data._dataset import check_size
from kinbits.data._pairs import as_pairs
from kinbits.data._transforms import augmentation
from kinbits.methods import Method, Spec, build_method, get_method
from kinbits.methods._base import Modality
from kinbits.methods._registry import check_fit, needs_labels
from kinbits.model import HashModel, Tower
from kinbits.training import FeatureSet, PixelSet, Training, pretrain, train
from kinbits.training._pretraining import check_pretraining, views_needed
from kinbits.training._sets import Trainable

SMALL_IMAGE, SMALL_SIZE, LOOKED_AT = 64, 128, 32
PIXEL_MEMORY = 2 << 30
NO_TEXT = "no text"


@dataclass(frozen=True)
class Task:
    """What is fitted on what, apart from how training runs (`Training`).

    Attributes:
        method: Name of a method, or path of a file that registers one.
        bits: Code length.
        backbone: Name of the image backbone; None chooses by the data.
        text_backbone: Name of the text backbone, for methods that learn from text.
        image_size: Side of the input in pixels; None chooses: 128 for images up to 64 pixels, else the backbone's.
        finetune: Train the backbone too; None does so only where it has no pretrained weights.
        params: The method's hyper-parameters.
        labels_fraction: Share of the labels that is kept, of every class alike; the others are hidden. None keeps all.
        label_expansion: What guesses labels for the images that have none, see `kinbits.labelling`; None leaves these
            images out.
        expansion_params: Its hyper-parameters.
        pairs: For methods that learn from pairs: `kinbits.data.Pairs` of the data's rows, or what
            `kinbits.data.open_pairs` reads: tables and COLMAP folders.
        views: How many random views of each image are kept for two-view methods on a frozen backbone.
        cache: Where features are kept between runs; None keeps nothing.
    """

    method: str = "orthohash"
    bits: int = 64
    backbone: str | None = None
    text_backbone: str = "minilm"
    image_size: int | None = None
    finetune: bool | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    labels_fraction: float | None = None
    label_expansion: str | None = None
    expansion_params: Mapping[str, Any] = field(default_factory=dict)
    pairs: Any = None
    views: int = 4
    cache: FeatureCache | None = field(default_factory=FeatureCache)


def fit(data: Any, *, training: Training | None = None, **options: Any) -> HashModel:
    """Learn a model that turns images into binary codes.

    Args:
        data: A Dataset, or anything `kinbits.open_dataset` takes: a folder, a table, arrays.
        training: All training settings at once; or give them one by one among ``options``.
        options: Fields of `kinbits.fitting.Task` (method, bits, backbone, params, ...) and of
            `kinbits.training.Training` (epochs, seed, validation, ...).

    Returns:
        The model, with its training record.

    Raises:
        UsageError: An option is unknown or out of range.
        DataError: The data lack what the method needs.

    Example:
        >>> import numpy as np
        >>> vectors = np.random.default_rng(0).normal(size=(200, 32)).astype("float32")
        >>> fit(vectors, method="itq", bits=16, progress=False).bits
        16
    """
    task, training = _settings(options, training)
    dataset = as_dataset(data)
    started = time.perf_counter()
    job = Job.build(dataset, task, training)
    method = job.build_method()
    before = {"pretraining": pretrain(method, job.train, training)} if training.pretrain is not None else {}
    history = train(method, job.train, training, job.held)
    towers = {m: Tower(job.backbones[m], head.cpu()) for m, head in method.towers().items()}
    record = {
        "data": dataset.name,
        "data_fingerprint": dataset.fingerprint,
        "rows": len(job.train),
        "skipped": [vars(s) for s in job.dataset.skipped],
        **job.parts.record(job.dataset),
        **({} if job.train.pairs is None else {"pairs": job.train.pairs.counts()}),
        **before,
        "seed": training.seed,
        "epochs": len(history.epochs),
        "best_epoch": history.best_epoch,
        "history": history.epochs,
        "recipe": vars(training.recipe(method.recipe)),
        "backbone_trained": not job.train.frozen,
        "seconds": round(time.perf_counter() - started, 2),
        "torch": torch.__version__,
    }
    named = {"name": method.name, "params": dict(task.params)}
    decoder = None if method.decoder is None else method.decoder.cpu()
    return HashModel(towers, named, record, decoder=decoder, labels=job.parts.table(job.dataset))


def _settings(options: Mapping[str, Any], training: Training | None) -> tuple[Task, Training]:
    """Sort options into what is fitted and how; an unknown one is an error that names the nearest."""
    from kinbits._errors import unknown_name

    whats, hows = {f.name for f in fields(Task)}, {f.name for f in fields(Training)}
    for name in options:
        if name not in whats | hows:
            raise unknown_name("option of fit", name, whats | hows)
    if training is not None and hows & set(options):
        raise UsageError("give training settings either in `training` or one by one, not both")
    task = Task(**{k: v for k, v in options.items() if k in whats})
    return task, training or Training(**{k: v for k, v in options.items() if k in hows})


@dataclass
class Job:
    """Everything that stands before the method is built."""

    task: Task
    training: Training
    dataset: Dataset
    backbones: dict[Modality, Backbone]
    parts: Parts
    train: Trainable
    held: Trainable | None

    @classmethod
    def build(cls, dataset: Dataset, task: Task, training: Training) -> Job:
        """Check the data, load backbones, extract features where they stay frozen, and split off validation."""
        method = get_method(task.method)
        check_labels(method, dataset, task, training)
        few = FewLabels.of(task, method)
        pairs = None if task.pairs is None else as_pairs(task.pairs, dataset)
        torch.manual_seed(training.seed)  # a backbone without pretrained weights draws them when it is loaded
        backbones: dict[Modality, Backbone] = {"image": image_backbone(dataset, task)}
        if method.text:
            backbones["text"] = load_backbone(task.text_backbone)
        image = backbones["image"] = FeatureMap(backbones["image"]) if method.maps else backbones["image"]
        finetune = task.finetune if task.finetune is not None else not image.pretrained
        if finetune and dataset.kind == "vector":
            raise UsageError("the data are vectors, so there is no backbone to fine-tune; leave finetune out")
        check_pretraining(method, training, frozen=not finetune, vectors=dataset.kind == "vector")
        maker = _Pixels if finetune else _Frozen
        sets = maker(dataset, task, training, backbones, method)
        check_size(sets.dataset)
        parts = Parts.of(sets.dataset, few, training, lambda: _for_labels(sets, image, task))
        train, held = sets.take(parts.rows), sets.take(parts.held) if len(parts.held) else None
        parts.mark(train)
        if pairs is not None:
            _add_pairs(train, pairs.select(rows_of(dataset, sets.dataset)[parts.rows]))
        return cls(task, training, sets.dataset, backbones, parts, train, held)

    def build_method(self) -> Method:
        """Build the method, with all its initial weights drawn from the run's seed."""
        image, text = self.backbones["image"], self.backbones.get("text")
        spec = Spec(
            bits=self.task.bits,
            features=image.features,
            rows=len(self.train),
            space=self.dataset.space,
            text_features=text.features if text is not None else None,
            seed=self.training.seed,
            map_shape=image.map_shape if isinstance(image, FeatureMap) else None,
            pairs=self.train.pairs is not None,
        )
        torch.manual_seed(self.training.seed)
        return build_method(self.task.method, spec, **self.task.params)


def check_labels(method: type[Method], dataset: Dataset, task: Task, training: Training) -> None:
    """Refuse data that cannot serve, before anything expensive is done."""
    known = 1 if method.text and dataset.texts is not None else None
    given = task.pairs is not None
    check_fit(method, Spec(task.bits, 1, len(dataset), dataset.space, known, training.seed, pairs=given))
    check_size(dataset)
    told = int(dataset.captioned.sum())
    if method.text and told < 2:
        raise DataError(
            f"{told} of the {len(dataset)} images of {dataset.name} have a text; method '{method.name}' learns from "
            f"images with text: write captions for them, name the right text column, or choose a method without text"
        )
    if needs_labels(method, given) and dataset.labels is not None and _classes_present(dataset.labels) < 2:
        raise DataError(
            f"all labelled images of {dataset.name} have one label; method '{method.name}' needs at least two classes, "
            f"one folder each, or choose a method without labels such as itq"
        )


def _add_pairs(train: Trainable, pairs: Pairs) -> None:
    """Give a training set its pairs, and make them part of what identifies it."""
    if not pairs.tells_apart:
        warnings.warn(
            "all given pairs are similar and of one cluster: nothing holds the codes apart, and long training makes "
            "them equal; add pairs with label 0, or images of other clusters (a second reconstruction, or a table "
            "path,cluster)",
            stacklevel=2,
        )
    train.pairs = pairs
    train.key = hashlib.sha256((train.key + pairs.fingerprint).encode()).hexdigest()


def _classes_present(labels: np.ndarray) -> int:
    return len(np.unique(labels[labels >= 0])) if labels.ndim == 1 else int(labels.any(0).sum())


def image_backbone(dataset: Dataset, task: Task) -> Backbone:
    """Load the backbone that a task names, or the one that suits the data."""
    if dataset.kind == "vector":
        return load_backbone(task.backbone or "features", dim=dataset.items.vectors.shape[1])
    name = task.backbone or "efficientnet_lite0"
    size = task.image_size
    if size is None and name == "efficientnet_lite0" and _looks_small(dataset):
        size = SMALL_SIZE
    return load_backbone(name, size=size)


def _looks_small(dataset: Dataset) -> bool:
    """Tell whether the median of some readable images is at most 64 pixels on its long side."""
    sides = []
    for row in np.linspace(0, len(dataset) - 1, min(LOOKED_AT, len(dataset))).astype(int):
        try:
            sides.append(max(dataset.image(int(row)).size))
        except ValueError:
            continue
    return bool(sides) and float(np.median(sides)) <= SMALL_IMAGE


def _labels(dataset: Dataset, method: type[Method]) -> np.ndarray | None:
    labels = dataset.labels
    return labels.astype(np.float32) if labels is not None and labels.ndim == 2 else labels


def _all_equal(features: np.ndarray) -> bool:
    parts = (features[start : start + 4096] for start in range(0, len(features), 4096))
    return not any((part != features[0]).any() for part in parts)


class _Frozen:
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
        self.dataset = _usable(without_unreadable(dataset, found), method, task)
        kept = rows_of(dataset, self.dataset)
        self.features = found.array[kept]
        if len(kept) > 1 and _all_equal(self.features):
            raise DataError(
                f"all {len(kept)} items of {dataset.name} have the same features, so codes cannot tell them apart; "
                f"give images that differ, or another backbone"
            )
        self.views: list[np.ndarray] = []
        # vectors have no views; a method that can do without says how
        for number in range(task.views if views_needed(method, training) and dataset.kind == "image" else 0):
            with reporter(f"computing features of view {number + 1} of {task.views}", training.progress) as report:
                view = extract(dataset, image, cache=task.cache, progress=report, view=View("two_view", 0, number))
            self.views.append(view.array[kept])
        self.texts = None
        if "text" in backbones:
            texts = extract(self.dataset, backbones["text"], cache=task.cache)
            self.texts = np.asarray(texts.array)
        self.labels = _labels(self.dataset, method)
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


class _Pixels:
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
        self.view = augmentation("two_view", preprocessing.size)
        self.texts = None
        if "text" in backbones:
            self.texts = np.asarray(extract(self.dataset, backbones["text"], cache=task.cache).array)
        self.labels = _labels(self.dataset, method)
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


def _for_labels(sets: _Frozen | _Pixels, image: Backbone, task: Task) -> np.ndarray:
    """Return the features that labels are guessed from: those of the backbone before it is trained."""
    if not image.pretrained:
        raise UsageError(
            f"label_expansion guesses labels from features, and backbone '{image.name}' starts from scratch; use a "
            f"pretrained one (see `kinbits backbones`), or leave label_expansion out"
        )
    if isinstance(sets, _Frozen) and image.pooled is image:
        return np.asarray(sets.features)
    return extract(sets.dataset, image.pooled, cache=task.cache).array


def _usable(dataset: Dataset, method: type[Method], task: Task) -> Dataset:
    """Leave out rows without a text for methods with texts, and without a label for those that learn from labels.

    Where only some labels are known, `Parts` says what becomes of the other rows.
    """
    if method.text and not dataset.captioned.all():
        silent = np.flatnonzero(~dataset.captioned)
        dataset = dataset.without(silent, [NO_TEXT] * len(silent))
    few = task.labels_fraction is not None or task.label_expansion is not None
    if few or method.supervision != "labels" or dataset.labels is None:
        return dataset
    labelled = dataset.labels >= 0 if dataset.labels.ndim == 1 else dataset.labels.any(1)
    bare = np.flatnonzero(~labelled)
    return dataset.without(bare, ["no label"] * len(bare)) if len(bare) else dataset


def rows_of(whole: Dataset, part: Dataset) -> np.ndarray:
    """Return the rows of ``whole`` whose ids are in ``part``, in order."""
    return np.flatnonzero(np.isin(whole.ids, part.ids))


def key_of(dataset: Dataset, backbones: Mapping[Modality, Backbone], task: Task) -> str:
    """Identify data, backbones and hyper-parameters, so that a checkpoint continues only its own run."""
    parts = [dataset.fingerprint, *(b.fingerprint for b in backbones.values()), task.views]
    labels = b"" if dataset.labels is None else dataset.labels.tobytes()
    text = json.dumps([*parts, dict(task.params)], sort_keys=True).encode()
    return hashlib.sha256(text + labels).hexdigest()
