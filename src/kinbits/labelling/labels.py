"""Partial labels: which rows have one, and what a classifier needs to learn from them and to add others."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn import functional as F

from kinbits.errors import DataError

UNLABELLED = -1


class PartialLabels(ABC):
    """Labels of n rows: some are given, others are added.

    Only classes of given labels can be guessed.

    Attributes:
        values: int64 ``(n,)`` with -1 for unlabelled rows, or multi-hot uint8 ``(n, C)`` with rows of 0.
        rounds: int64 ``(n,)``: 0 for a given label, t for one that was added in round t, -1 for none.
        weights: float32 ``(n,)``: 1 for a given label, the confidence of an added one, 0 for none.
        classes: Numbers of the c classes that occur, sorted.
    """

    values: np.ndarray
    classes: np.ndarray

    def __init__(self, values: np.ndarray) -> None:
        known = self._known(values)
        self.values = values.copy()
        self.rounds = np.where(known, 0, UNLABELLED)
        self.weights = known.astype(np.float32)

    @abstractmethod
    def _known(self, values: np.ndarray) -> np.ndarray:
        """Return which rows have a label, bool ``(n,)``."""

    @property
    def labelled(self) -> np.ndarray:
        """Rows with a label, int64."""
        return np.flatnonzero(self.rounds >= 0)

    @property
    def unlabelled(self) -> np.ndarray:
        """Rows without a label, int64."""
        return np.flatnonzero(self.rounds < 0)

    def add(self, rows: np.ndarray, guesses: np.ndarray, confidence: np.ndarray, number: int | np.ndarray) -> None:
        """Add labels to unlabelled rows, in round ``number``."""
        assert (self.rounds[rows] < 0).all(), "a label is added once, and a given one never changes"
        self.values[rows], self.weights[rows], self.rounds[rows] = guesses, confidence, number

    @abstractmethod
    def hot(self, shown: np.ndarray) -> csr_array:
        """Return the labels of the rows marked in ``shown`` over the c classes, 0/1 ``(n, c)``, zeros elsewhere."""

    @abstractmethod
    def loss(self, logits: Tensor, rows: np.ndarray) -> Tensor:
        """Return the loss of each of these rows, ``(m,)``, for logits ``(m, c)``."""

    @abstractmethod
    def guess(self, logits: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return guesses in the form of `values`, their confidence ``(m,)``, and which of them are usable."""

    @abstractmethod
    def kinds(self, guesses: np.ndarray) -> np.ndarray:
        """Return one class for each guess, int64 ``(m,)``."""

    @abstractmethod
    def counts(self, rows: np.ndarray, classes: int) -> np.ndarray:
        """Count the labels of some rows by class, ``(classes,)``."""


class OneLabel(PartialLabels):
    """One label per row: softmax and cross-entropy; the confidence is the largest probability."""

    def __init__(self, values: np.ndarray) -> None:
        super().__init__(values)
        self.classes = np.unique(values[values >= 0])

    def _known(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(values >= 0)

    def hot(self, shown: np.ndarray) -> csr_array:
        """As in `PartialLabels`."""
        rows = np.flatnonzero(shown & (self.rounds >= 0))
        places = np.searchsorted(self.classes, self.values[rows])
        shape = (len(self.values), len(self.classes))
        return csr_array((np.ones(len(rows), np.float32), (rows, places)), shape=shape)

    def loss(self, logits: Tensor, rows: np.ndarray) -> Tensor:
        """As in `PartialLabels`."""
        places = torch.from_numpy(np.searchsorted(self.classes, self.values[rows]))
        return F.cross_entropy(logits, places, reduction="none")

    def guess(self, logits: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As in `PartialLabels`."""
        best = logits.softmax(1).max(1)
        return self.classes[best.indices.numpy()], best.values.numpy(), np.ones(len(logits), bool)

    def kinds(self, guesses: np.ndarray) -> np.ndarray:
        """As in `PartialLabels`."""
        return guesses

    def counts(self, rows: np.ndarray, classes: int) -> np.ndarray:
        """As in `PartialLabels`."""
        return np.bincount(self.values[rows], minlength=classes)


class LabelSets(PartialLabels):
    """Any number of labels per row: sigmoids and binary cross-entropy.

    A guess has all labels of probability 1/2 or more, and its confidence is their mean probability. An empty guess is
    not usable, since a row without labels counts as unlabelled.
    """

    def __init__(self, values: np.ndarray) -> None:
        super().__init__(values)
        self.classes = np.flatnonzero(values.any(0))

    def _known(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(values.any(1))

    def hot(self, shown: np.ndarray) -> csr_array:
        """As in `PartialLabels`."""
        rows = np.flatnonzero(shown & (self.rounds >= 0))
        which, places = np.nonzero(self.values[rows][:, self.classes])
        shape = (len(self.values), len(self.classes))
        return csr_array((np.ones(len(which), np.float32), (rows[which], places)), shape=shape)

    def loss(self, logits: Tensor, rows: np.ndarray) -> Tensor:
        """As in `PartialLabels`."""
        target = torch.from_numpy(self.values[rows][:, self.classes].astype(np.float32))
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(1)

    def guess(self, logits: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As in `PartialLabels`."""
        likely = logits.sigmoid()
        held = likely >= 0.5
        usable = held.any(1)
        mean = (likely * held).sum(1) / held.sum(1).clamp_min(1)
        found = np.zeros((len(logits), self.values.shape[1]), self.values.dtype)
        found[:, self.classes] = held.numpy()
        return found, torch.where(usable, mean, likely.max(1).values).numpy(), usable.numpy()

    def kinds(self, guesses: np.ndarray) -> np.ndarray:
        """As in `PartialLabels`: the rarest label of a set among the guesses, so that a cap does not starve it."""
        return np.asarray(np.where(guesses > 0, (guesses > 0).sum(0), np.inf).argmin(1))

    def counts(self, rows: np.ndarray, classes: int) -> np.ndarray:
        """As in `PartialLabels`."""
        return np.asarray((self.values[rows] > 0).sum(0))


def partial_labels(labels: np.ndarray) -> PartialLabels:
    """Return partial labels of the form that the given ones have.

    Args:
        labels: int ``(n,)`` with -1 for unlabelled, or multi-hot ``(n, C)``.

    Raises:
        DataError: If a label is below -1, or fewer than two classes have a labelled row.
    """
    labels = np.asarray(labels)
    if labels.ndim == 1 and len(labels) and labels.min() < UNLABELLED:
        raise DataError(f"label {labels.min()}; classes are numbered from 0, and -1 means unlabelled")
    found = OneLabel(labels.astype(np.int64)) if labels.ndim == 1 else LabelSets((labels > 0).astype(np.uint8))
    if len(found.classes) < 2:
        raise DataError(
            f"labelled rows of {len(found.classes)} classes; to label others at least two classes need a labelled row"
        )
    return found
