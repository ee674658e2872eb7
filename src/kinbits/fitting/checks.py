"""What is refused before anything expensive is done: settings and data that do not fit each other."""

from __future__ import annotations

import warnings

import numpy as np

from kinbits.data import Dataset, Pairs, check_size, doubtful_classes
from kinbits.errors import DataError, UsageError
from kinbits.fitting.settings import FitSettings
from kinbits.methods import DEFAULT_BITS, Method, Spec, check_fit, get_method, list_methods, needs_labels
from kinbits.training import check_hardware


def check_job(method: type[Method], dataset: Dataset, settings: FitSettings) -> None:
    """Refuse settings and data that do not fit each other.

    Raises:
        UsageError: If the method cannot do what is asked.
        DataError: If the data lack what the method needs.
        PlatformError: If this machine lacks the hardware.
    """
    supervision, training = settings.supervision, settings.training
    check_hardware(training)
    text_dim, has_pairs = 1 if method.reads_text and dataset.texts is not None else None, supervision.pairs is not None
    space = dataset.label_space
    bits = settings.bits or DEFAULT_BITS  # the length of features is not known yet, and does not matter here
    check_fit(method, Spec(bits, 1, len(dataset), space, text_dim, training.seed, has_pairs=has_pairs))
    check_size(dataset)
    _check_texts(method, dataset, settings)
    if training.epochs == 0 and method.recipe.epochs:
        raise UsageError(f"epochs is 0; it must be at least 1, since '{method.name}' learns by epochs")
    if training.defence is not None:
        _check_defence(method, dataset, training.defence)
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
            f"{with_text} of the {len(dataset)} {dataset.kind}s of {dataset.name} have a text; method '{method.name}' "
            f"learns from items with text: write captions for them, name the right text column, or choose a method "
            f"without text"
        )
    if settings.features.text_backbone is not None and not method.reads_text:
        raise UsageError(
            f"method '{method.name}' reads no text; leave text_backbone out, or take a method that does: "
            f"{', '.join(name for name in list_methods() if get_method(name).reads_text)}"
        )


def _check_defence(method: type[Method], dataset: Dataset, defence: str) -> None:
    if dataset.kind == "vector":
        raise UsageError(f"defence '{defence}' attacks pixels, and the data are vectors; leave defence out")
    if not dataset.has_label.any():
        raise DataError(f"defence '{defence}' follows labels, and the data have none; leave defence out")
    if not method.recipe.epochs:
        raise UsageError(f"method '{method.name}' has no epochs in which a defence could train; leave defence out")


def _check_labels(method: type[Method], dataset: Dataset) -> None:
    if doubts := doubtful_classes(dataset):
        warnings.warn(doubts, stacklevel=2)
    if dataset.labels is not None and _classes_present(dataset.labels) < 2:
        raise DataError(
            f"all labelled {dataset.kind}s of {dataset.name} have one label; method '{method.name}' needs at least "
            f"two classes, one folder each, or choose a method without labels such as itq"
        )


def _classes_present(labels: np.ndarray) -> int:
    return len(np.unique(labels[labels >= 0])) if labels.ndim == 1 else int(labels.any(0).sum())


def check_pairs(pairs: Pairs) -> None:
    """Warn of pairs from which all codes may become equal."""
    if not pairs.has_dissimilar:
        warnings.warn(
            "all given pairs are similar and of one cluster: nothing holds the codes apart, and long training makes "
            "them equal; add pairs with label 0, or images of other clusters (a second reconstruction, or a table "
            "path,cluster)",
            stacklevel=2,
        )
