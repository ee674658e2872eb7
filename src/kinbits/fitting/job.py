"""What a run needs before its method is built: checks, backbones, rows and training sets."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch

from kinbits._util import Modality
from kinbits.backbones import Backbone, FeatureMap
from kinbits.data import Dataset, as_pairs, check_size
from kinbits.errors import UsageError
from kinbits.fitting.backbones import load_backbones
from kinbits.fitting.checks import check_job, check_pairs
from kinbits.fitting.recommended import AUTO, Recommendation, recommended_method
from kinbits.fitting.rows import RowChoice
from kinbits.fitting.settings import FitSettings
from kinbits.fitting.sources import features_for_labels, usable_rows
from kinbits.methods import Method, Spec, build_method, get_method
from kinbits.training import TrainingSet, check_pretraining


def choose_method(settings: FitSettings, dataset: Dataset) -> FitSettings:
    """Return settings that name a method: the one they name, or else the recommended one.

    Without labels and pairs, a warning names the method.
    """
    if settings.method not in (None, AUTO):
        return settings
    found = recommendation(settings, dataset)
    if not dataset.has_label.any() and settings.supervision.pairs is None:
        warnings.warn(f"{found}; `kinbits methods` lists others", stacklevel=3)
    return replace(settings, method=found.method)


def without_unused_validation(settings: FitSettings) -> FitSettings:
    """Return settings that hold nothing out if the method has no epochs to choose from; a warning says so."""
    if not settings.training.validation or get_method(_named(settings)).recipe.epochs:
        return settings
    warnings.warn(
        f"method '{settings.method}' has no epochs to choose from, so validation is ignored: it learns from all rows",
        stacklevel=3,
    )
    return settings.with_options(validation=0, patience=None)


def recommendation(settings: FitSettings, dataset: Dataset) -> Recommendation:
    """Return the method that is recommended for data and what is learned from, with the reason."""
    supervision = settings.supervision
    return recommended_method(dataset, pairs=supervision.pairs is not None, few_labels=supervision.few_labels)


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
    def from_dataset(cls, dataset: Dataset, settings: FitSettings, held_out: np.ndarray | None = None) -> Self:
        """Check the data, load backbones, extract features where they stay frozen, and split off validation.

        Args:
            dataset: The data.
            settings: What is asked for.
            held_out: Ids of the rows for validation, so that several runs hold out the same ones; None draws a share.

        Raises:
            UsageError: If settings do not fit each other or the data.
            DataError: If the data lack what the method needs.
        """
        settings = choose_method(settings, dataset)
        method, training = get_method(_named(settings)), settings.training
        check_job(method, dataset, settings)
        given = settings.supervision.pairs
        pairs = None if given is None else as_pairs(given, dataset, **settings.supervision.limits)
        torch.manual_seed(training.seed)  # a backbone without pretrained weights draws them when it is loaded
        backbones = load_backbones(dataset, settings.features, method)
        image = backbones["image"]
        finetune = settings.features.finetune if settings.features.finetune is not None else not image.pretrained
        if finetune and dataset.kind == "vector":
            raise UsageError("the data are vectors, so there is no backbone to fine-tune; leave finetune out")
        if training.defence is not None and not finetune:
            raise UsageError(
                f"defence '{training.defence}' trains the backbone, and '{image.name}' stays frozen; set finetune, or "
                f"take a backbone that is trained, such as convnet-small"
            )
        check_pretraining(method, training, frozen=not finetune, vectors=dataset.kind == "vector")
        usable, whole = usable_rows(dataset, settings, backbones, method, finetune)
        check_size(usable)
        rows = RowChoice.from_dataset(
            usable, settings, lambda: features_for_labels(usable, whole, image, settings), held_out
        )
        if pairs is not None:
            pairs = pairs.select(dataset.rows_of(usable)[rows.train])
            check_pairs(pairs)
        train = whole.select(rows.train, rows.labels, pairs)
        validation_set = whole.select(rows.validation) if len(rows.validation) else None
        hidden = training.pretrain is not None and len(rows.train) + len(rows.validation) < len(usable)
        others = np.setdiff1d(np.arange(len(usable)), rows.validation)
        pretraining_set = whole.select(others) if hidden else train
        return cls(settings, usable, backbones, rows, train, validation_set, pretraining_set)

    def build_method(self) -> Method:
        """Build the method, with all its initial weights drawn from the run's seed."""
        image, text, seed = self.backbones["image"], self.backbones.get("text"), self.settings.training.seed
        name, params = _named(self.settings), self.settings.params
        bits = self.settings.bits
        spec = Spec(
            bits=get_method(name).default_bits(image.feature_dim, params) if bits is None else bits,
            feature_dim=image.feature_dim,
            n_train=len(self.train),
            label_space=self.dataset.label_space,
            text_dim=text.feature_dim if text is not None else None,
            seed=seed,
            map_shape=image.map_shape if isinstance(image, FeatureMap) else None,
            has_pairs=self.train.pairs is not None,
        )
        torch.manual_seed(seed)
        return build_method(name, spec, **params)


def _named(settings: FitSettings) -> str:
    assert settings.method is not None
    return settings.method
