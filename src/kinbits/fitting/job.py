"""What a run needs before its method is built: checks, backbones, rows and training sets."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch

from kinbits._util import Modality
from kinbits.backbones import Backbone, FeatureMap
from kinbits.data import Dataset, Pairs, as_pairs, check_size, doubtful_classes
from kinbits.errors import DataError, UsageError
from kinbits.fitting.backbones import load_backbones
from kinbits.fitting.rows import RowChoice
from kinbits.fitting.settings import FitSettings
from kinbits.fitting.sources import cached_features, features_for_labels, images_to_train_on
from kinbits.methods import Method, Spec, build_method, check_fit, get_method, list_methods, needs_labels
from kinbits.training import TrainingSet, check_pretraining

WITH_LABELS, WITHOUT_LABELS = "orthohash", "itq"


def choose_method(settings: FitSettings, dataset: Dataset) -> FitSettings:
    """Return settings that name a method: the one they name, or else one that the data can teach.

    Without labels and pairs, a warning names the method.
    """
    if settings.method is not None:
        return settings
    if dataset.labels is not None or settings.supervision.pairs is not None:
        return replace(settings, method=WITH_LABELS)
    warnings.warn(
        f"there are no labels, so the method is {WITHOUT_LABELS}; `kinbits methods` lists others", stacklevel=3
    )
    return replace(settings, method=WITHOUT_LABELS)


@dataclass(frozen=True)
class Job:
    """What a run needs before its method is built.

    Attributes:
        settings: What was asked for, with a method.
        dataset: The rows that can be used.
        backbones: Image backbone, and text backbone of methods that read text.
        rows: Which rows are trained on and which are held out.
        train: What is trained on.
        validation_set: What chooses the best epoch, or None.
        pretraining_set: What pre-training learns from: all rows that are not held out, with or without a label.
    """

    settings: FitSettings
    dataset: Dataset
    backbones: dict[Modality, Backbone]
    rows: RowChoice
    train: TrainingSet
    validation_set: TrainingSet | None
    pretraining_set: TrainingSet

    @classmethod
    def from_dataset(cls, dataset: Dataset, settings: FitSettings) -> Self:
        """Check the data, load backbones, extract features where they stay frozen, and split off validation.

        Raises:
            UsageError: Settings do not fit each other or the data.
            DataError: The data lack what the method needs.
        """
        method, training = get_method(settings.method or WITH_LABELS), settings.training
        check_job(method, dataset, settings)
        given = settings.supervision.pairs
        pairs = None if given is None else as_pairs(given, dataset, **settings.supervision.limits)
        torch.manual_seed(training.seed)  # a backbone without pretrained weights draws them when it is loaded
        backbones = load_backbones(dataset, settings.features, method)
        image = backbones["image"]
        finetune = settings.features.finetune if settings.features.finetune is not None else not image.pretrained
        if finetune and dataset.kind == "vector":
            raise UsageError("the data are vectors, so there is no backbone to fine-tune; leave finetune out")
        check_pretraining(method, training, frozen=not finetune, vectors=dataset.kind == "vector")
        prepare = images_to_train_on if finetune else cached_features
        usable, whole = prepare(dataset, settings, backbones, method)
        check_size(usable)
        rows = RowChoice.from_dataset(usable, settings, lambda: features_for_labels(usable, whole, image, settings))
        if pairs is not None:
            pairs = _checked(pairs.select(dataset.rows_of(usable)[rows.train]))
        train = whole.select(rows.train, rows.labels, pairs)
        validation_set = whole.select(rows.validation) if len(rows.validation) else None
        hidden = training.pretrain is not None and len(rows.train) + len(rows.validation) < len(usable)
        others = np.setdiff1d(np.arange(len(usable)), rows.validation)
        pretraining_set = whole.select(others) if hidden else train
        return cls(settings, usable, backbones, rows, train, validation_set, pretraining_set)

    def build_method(self) -> Method:
        """Build the method, with all its initial weights drawn from the run's seed."""
        image, text, seed = self.backbones["image"], self.backbones.get("text"), self.settings.training.seed
        spec = Spec(
            bits=self.settings.bits,
            feature_dim=image.feature_dim,
            n_train=len(self.train),
            label_space=self.dataset.label_space,
            text_dim=text.feature_dim if text is not None else None,
            seed=seed,
            map_shape=image.map_shape if isinstance(image, FeatureMap) else None,
            has_pairs=self.train.pairs is not None,
        )
        torch.manual_seed(seed)
        return build_method(self.settings.method or WITH_LABELS, spec, **self.settings.params)


def check_job(method: type[Method], dataset: Dataset, settings: FitSettings) -> None:
    """Refuse settings and data that do not fit, before anything expensive is done.

    Raises:
        UsageError: The method cannot do what is asked.
        DataError: The data lack what the method needs.
    """
    supervision, training = settings.supervision, settings.training
    text_dim, has_pairs = 1 if method.reads_text and dataset.texts is not None else None, supervision.pairs is not None
    space = dataset.label_space
    check_fit(method, Spec(settings.bits, 1, len(dataset), space, text_dim, training.seed, has_pairs=has_pairs))
    check_size(dataset)
    _check_texts(method, dataset, settings)
    if training.epochs == 0 and method.recipe.epochs:
        raise UsageError(f"epochs is 0; it must be at least 1, since '{method.name}' learns by epochs")
    if needs_labels(method, has_pairs):
        _check_labels(method, dataset)
    elif supervision.few_labels:
        name = "labels_fraction" if supervision.label_expansion is None else "label_expansion"
        source = "the given pairs" if has_pairs else "no labels"
        raise UsageError(f"method '{method.name}' learns from {source} here; leave {name} out")


def _check_texts(method: type[Method], dataset: Dataset, settings: FitSettings) -> None:
    with_text = int(dataset.has_text.sum())
    if method.reads_text and with_text < 2:
        raise DataError(
            f"{with_text} of the {len(dataset)} images of {dataset.name} have a text; method '{method.name}' learns "
            f"from images with text: write captions for them, name the right text column, or choose a method without "
            f"text"
        )
    if settings.features.text_backbone is not None and not method.reads_text:
        raise UsageError(
            f"method '{method.name}' reads no text; leave text_backbone out, or take a method that does: "
            f"{', '.join(name for name in list_methods() if get_method(name).reads_text)}"
        )


def _check_labels(method: type[Method], dataset: Dataset) -> None:
    if doubts := doubtful_classes(dataset):
        warnings.warn(doubts, stacklevel=2)
    if dataset.labels is not None and _classes_present(dataset.labels) < 2:
        raise DataError(
            f"all labelled images of {dataset.name} have one label; method '{method.name}' needs at least two classes, "
            f"one folder each, or choose a method without labels such as itq"
        )


def _classes_present(labels: np.ndarray) -> int:
    return len(np.unique(labels[labels >= 0])) if labels.ndim == 1 else int(labels.any(0).sum())


def _checked(pairs: Pairs) -> Pairs:
    """Warn of pairs from which all codes may become equal."""
    if not pairs.tells_apart:
        warnings.warn(
            "all given pairs are similar and of one cluster: nothing holds the codes apart, and long training makes "
            "them equal; add pairs with label 0, or images of other clusters (a second reconstruction, or a table "
            "path,cluster)",
            stacklevel=2,
        )
    return pairs
