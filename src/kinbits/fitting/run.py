"""fit: from a dataset to a HashModel."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kinbits import hamming
from kinbits.backbones import Backbone, FeatureMap, load_backbone, require_modality
from kinbits.backbones import Modality as Reads
from kinbits.data import Dataset, Pairs, as_dataset, as_pairs, check_size, doubtful_classes
from kinbits.encoding import FORMAT, code_rows
from kinbits.errors import DataError, UsageError
from kinbits.fitting.rows import FewLabels, Parts
from kinbits.fitting.sources import Frozen, Pixels, features_for_labels
from kinbits.fitting.task import Task
from kinbits.methods import Method, Modality, Spec, build_method, check_fit, get_method, list_methods, needs_labels
from kinbits.model import HashModel, Tower
from kinbits.training import Trainable, Training, check_pretraining, pretrain, train

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Job", "Task", "check_labels", "fit", "image_backbone"]

SMALL_IMAGE, SMALL_SIZE, LOOKED_AT = 64, 128, 32


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
    before = {"pretraining": pretrain(method, job.first, training)} if training.pretrain is not None else {}
    history = train(method, job.train, training, job.held)
    towers = {m: Tower(job.backbones[m], head.cpu()) for m, head in method.towers().items()}
    record = {
        "data": dataset.name,
        "data_fingerprint": dataset.fingerprint,
        "images_fingerprint": dataset.items.fingerprint,
        "rows": len(job.train),
        "skipped": [vars(s) for s in job.dataset.skipped],
        **job.parts.record(),
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
    model = HashModel(towers, named, record, decoder=decoder, labels=job.parts.table(job.dataset))
    model.train_codes = _train_codes(method, job, model.fingerprint)
    return model


def _train_codes(method: Method, job: Job, fingerprint: str) -> pa.Table | None:
    """Return the codes that a method learned for the training images themselves, if it did."""
    codes = method.train_codes()
    if codes is None:
        return None
    dataset = job.dataset.select(job.parts.rows)
    facts = {"format": FORMAT, "bits": method.spec.bits, "fingerprint": fingerprint, "data": dataset.fingerprint}
    labels = (
        {}
        if dataset.space is None or dataset.labels is None
        else {dataset.label_column: dataset.space.texts(dataset.labels)}
    )
    return code_rows(dataset.ids, hamming.pack(codes.cpu().numpy()), labels, facts)


def _settings(options: Mapping[str, Any], training: Training | None) -> tuple[Task, Training]:
    """Sort options into what is fitted and how; an unknown one is an error that names the nearest."""
    from kinbits.errors import unknown_name

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
    """Everything that stands before the method is built.

    ``first`` is what pre-training learns from: all rows that are not held out, with or without a label.
    """

    task: Task
    training: Training
    dataset: Dataset
    backbones: dict[Modality, Backbone]
    parts: Parts
    train: Trainable
    held: Trainable | None
    first: Trainable

    @classmethod
    def build(cls, dataset: Dataset, task: Task, training: Training) -> Job:
        """Check the data, load backbones, extract features where they stay frozen, and split off validation."""
        method = get_method(task.method)
        check_labels(method, dataset, task, training)
        if task.text_backbone is not None and not method.reads_text:
            raise UsageError(
                f"method '{method.name}' reads no text; leave text_backbone out, or take a method that does: "
                f"{', '.join(name for name in list_methods() if get_method(name).reads_text)}"
            )
        few = FewLabels.of(task, method)
        pairs = None if task.pairs is None else as_pairs(task.pairs, dataset)
        torch.manual_seed(training.seed)  # a backbone without pretrained weights draws them when it is loaded
        backbones: dict[Modality, Backbone] = {"image": image_backbone(dataset, task)}
        if method.reads_text:
            backbones["text"] = _load(task.text_backbone or "minilm", "text")
        image = backbones["image"] = FeatureMap(backbones["image"]) if method.reads_maps else backbones["image"]
        finetune = task.finetune if task.finetune is not None else not image.pretrained
        if finetune and dataset.kind == "vector":
            raise UsageError("the data are vectors, so there is no backbone to fine-tune; leave finetune out")
        check_pretraining(method, training, frozen=not finetune, vectors=dataset.kind == "vector")
        maker = Pixels if finetune else Frozen
        sets = maker(dataset, task, training, backbones, method)
        check_size(sets.dataset)
        parts = Parts.of(sets.dataset, few, training, lambda: features_for_labels(sets, image, task))
        train, held = sets.take(parts.rows), sets.take(parts.held) if len(parts.held) else None
        parts.mark(train)
        if pairs is not None:
            _add_pairs(train, pairs.select(dataset.rows_of(sets.dataset)[parts.rows]))
        hidden = training.pretrain is not None and len(parts.rows) + len(parts.held) < len(sets.dataset)
        first = sets.take(np.setdiff1d(np.arange(len(sets.dataset)), parts.held)) if hidden else train
        return cls(task, training, sets.dataset, backbones, parts, train, held, first)

    def build_method(self) -> Method:
        """Build the method, with all its initial weights drawn from the run's seed."""
        image, text = self.backbones["image"], self.backbones.get("text")
        spec = Spec(
            bits=self.task.bits,
            feature_dim=image.features,
            n_train=len(self.train),
            label_space=self.dataset.space,
            text_dim=text.features if text is not None else None,
            seed=self.training.seed,
            map_shape=image.map_shape if isinstance(image, FeatureMap) else None,
            has_pairs=self.train.pairs is not None,
        )
        torch.manual_seed(self.training.seed)
        return build_method(self.task.method, spec, **self.task.params)


def check_labels(method: type[Method], dataset: Dataset, task: Task, training: Training) -> None:
    """Refuse data that cannot serve, before anything expensive is done."""
    known = 1 if method.reads_text and dataset.texts is not None else None
    given = task.pairs is not None
    check_fit(method, Spec(task.bits, 1, len(dataset), dataset.space, known, training.seed, has_pairs=given))
    check_size(dataset)
    told = int(dataset.captioned.sum())
    if method.reads_text and told < 2:
        raise DataError(
            f"{told} of the {len(dataset)} images of {dataset.name} have a text; method '{method.name}' learns from "
            f"images with text: write captions for them, name the right text column, or choose a method without text"
        )
    if needs_labels(method, given) and (doubts := doubtful_classes(dataset)):
        warnings.warn(doubts, stacklevel=2)
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
        return _load(task.backbone or "features", "vector", dim=dataset.items.vectors.shape[1])
    name = task.backbone or "efficientnet_lite0"
    size = task.image_size
    if size is None and name == "efficientnet_lite0" and _looks_small(dataset):
        size = SMALL_SIZE
    return _load(name, "image", size=size)


def _load(name: str, reads: Reads, **sizes: int | None) -> Backbone:
    """Load a backbone for one kind of data; refuse one that reads another before its weights are sought."""
    require_modality(name, reads)
    return load_backbone(name, **sizes)


def _looks_small(dataset: Dataset) -> bool:
    """Tell whether the median of some readable images is at most 64 pixels on its long side."""
    sides = []
    for row in np.linspace(0, len(dataset) - 1, min(LOOKED_AT, len(dataset))).astype(int):
        try:
            sides.append(max(dataset.image(int(row)).size))
        except ValueError:
            continue
    return bool(sides) and float(np.median(sides)) <= SMALL_IMAGE
