"""The method that suits the data, where nobody names one: one place for the choice and its reasons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinbits.data import Dataset

AUTO = "auto"
MOST_CLASSES = 400  # shc searches a centre for each: 5 to 10 seconds for 400 classes
FEWEST_IMAGES = 2  # of a class: one of two stays when a part is held out, and shc learns from images of all classes


@dataclass(frozen=True)
class Recommendation:
    """A method, and why it is recommended.

    Attributes:
        method: Its name.
        reason: A property of the data, as a clause that "so the method is ..." can follow.
    """

    method: str
    reason: str

    def __str__(self) -> str:
        return f"{self.reason}, so the method is {self.method}"


def recommended_method(dataset: Dataset, *, pairs: bool = False, few_labels: bool = False) -> Recommendation:
    """Return the method that usually gives the best codes for data of this kind; nothing is tried.

    The choices follow the tables of docs/numbers.md.

    Args:
        dataset: The data.
        pairs: Whether pairs of similar images are given.
        few_labels: Whether some labels are hidden or guessed.

    Example:
        >>> from kinbits.data import open_dataset
        >>> print(recommended_method(open_dataset(np.eye(4), labels=["a", "b", "a", "b"])))
        each vector has one label, so the method is shc
    """
    if pairs:
        return Recommendation("bcdh", "pairs are given")
    if dataset.label_space is None or dataset.labels is None or not dataset.has_label.any():
        return Recommendation("itq", "there are no labels")
    if dataset.label_space.multi:
        return Recommendation("dsrh", f"each {dataset.kind} may have several labels")
    kind = "the classes have a hierarchy" if dataset.label_space.hierarchical else f"each {dataset.kind} has one label"
    learnable = not few_labels and _all_classes_known(dataset.labels, dataset.label_space.classes)
    return Recommendation("shc" if learnable else "orthohash", kind)


def _all_classes_known(labels: np.ndarray, classes: int) -> bool:
    images = np.bincount(labels[labels >= 0], minlength=classes)
    return classes <= MOST_CLASSES and bool((images >= FEWEST_IMAGES).all())
