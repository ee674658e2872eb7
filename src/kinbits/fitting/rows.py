"""Which rows a run trains on, with which labels, and which it holds out."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kinbits.data import Dataset
from kinbits.errors import DataError, UsageError
from kinbits.labelling import ExpandedLabels, build_expansion, expand, keep_fraction, list_expansions
from kinbits.methods import Method, needs_labels
from kinbits.training import Trainable, Training

if TYPE_CHECKING:
    import pyarrow as pa

    from kinbits.fitting.task import Task

SHOWN = 10


@dataclass(frozen=True)
class FewLabels:
    """A part of the labels is kept, the others are hidden, and guesses may take their place.

    Attributes:
        fraction: Share of the labels that stays; None keeps all.
        expansion: Name of what guesses labels for the other rows; None leaves these rows out.
        params: Its hyper-parameters.
    """

    fraction: float | None
    expansion: str | None
    params: Mapping[str, Any]

    @classmethod
    def of(cls, task: Task, method: type[Method]) -> FewLabels | None:
        """Read a task, and refuse what makes no sense before anything expensive is done; None if it asks for none."""
        few = cls(task.labels_fraction, task.label_expansion, task.expansion_params)
        few.check()
        if few.fraction is None and few.expansion is None:
            return None
        if not needs_labels(method, task.pairs is not None):
            given = "label_expansion" if few.expansion is not None else "labels_fraction"
            source = "the given pairs" if task.pairs is not None else "no labels"
            raise UsageError(f"method '{method.name}' learns from {source} here; leave {given} out")
        return few

    def check(self) -> None:
        """Refuse what no data could serve.

        Raises:
            UsageError: A name is unknown, a value out of range, or parameters lack their expansion.
        """
        if self.expansion is None and self.params:
            raise UsageError(f"expansion_params need a label_expansion: {', '.join(list_expansions())}")
        if self.fraction is not None:
            keep_fraction(np.zeros(1, np.int64), self.fraction)
        if self.expansion is not None:
            build_expansion(self.expansion, **self.params)


@dataclass(frozen=True)
class Parts:
    """The rows of a run.

    Attributes:
        rows: To train on, int64 ``(m,)``.
        held: Held out to choose the best epoch, int64 ``(h,)``; they have true labels and take part in nothing else.
        labels: What is learned from instead of the labels given, for all rows; None takes those given.
    """

    rows: np.ndarray
    held: np.ndarray
    labels: ExpandedLabels | None = None

    @classmethod
    def of(
        cls, dataset: Dataset, few: FewLabels | None, training: Training, features: Callable[[], np.ndarray]
    ) -> Parts:
        """Choose rows and labels.

        Args:
            dataset: The usable rows.
            few: What is asked about labels.
            training: Its seed and share of validation are used.
            features: Called for features ``(n, d)`` of all rows, where labels are to be guessed.
        """
        if few is None:
            return cls(*split_validation(dataset, training))
        assert dataset.labels is not None
        kept = _labelled(dataset.labels)
        if few.fraction is not None:
            kept &= keep_fraction(dataset.labels, few.fraction, training.seed)
        known = np.flatnonzero(kept)
        inner, held = (known[part] for part in split_validation(dataset.select(known), training))
        labels = _only(dataset.labels, inner)
        found = ExpandedLabels(labels, _labelled(labels).astype(np.float32), np.where(_labelled(labels), 0, -1))
        if few.expansion is not None:
            found = _expanded(dataset, found, few, training.seed, held, features)
        return cls(np.flatnonzero(found.rounds >= 0), held, found)

    def mark(self, train: Trainable) -> None:
        """Give a training set of these rows its labels, and make them part of what identifies it."""
        if self.labels is None:
            return
        assert train.labels is not None
        train.labels = torch.from_numpy(self.labels.labels[self.rows]).to(train.labels.dtype)
        train.weights, train.true = self.labels.weights[self.rows], self.labels.true[self.rows]
        told = [train.key.encode(), train.labels.numpy().tobytes(), train.weights.tobytes()]
        train.key = hashlib.sha256(b"".join(told)).hexdigest()

    def record(self) -> dict[str, Any]:
        """Return what the training record says about the labels."""
        if self.labels is None:
            return {}
        told = {"true": int(self.labels.true.sum()), "pseudo": int(self.labels.pseudo.sum()), **self.labels.report}
        return {"labels": {**told, "held": len(self.held)}}

    def table(self, dataset: Dataset) -> pa.Table | None:
        """Return a row for every image that a label is known or guessed of, for people to look at."""
        import pyarrow as pa

        if self.labels is None or dataset.space is None:
            return None
        names, found = np.array(dataset.space.names), self.labels
        values = found.labels[self.rows]
        texts = names[values].tolist() if values.ndim == 1 else [";".join(names[row > 0]) for row in values]
        columns = {
            "id": [str(one) for one in dataset.ids[self.rows]],
            "label": texts,
            "source": found.source[self.rows].tolist(),
            "confidence": found.weights[self.rows].astype(np.float64).round(4),
            "round": found.rounds[self.rows],
        }
        return pa.table(columns)


def split_validation(dataset: Dataset, training: Training) -> tuple[np.ndarray, np.ndarray]:
    """Return rows to train on and rows to hold out, drawn by the seed, class by class where there are classes."""
    n = len(dataset)
    order = np.random.default_rng([training.seed, 7]).permutation(n)
    if dataset.labels is not None and dataset.labels.ndim == 1:
        order = order[np.argsort(dataset.labels[order], kind="stable")]
    wanted = round(training.validation * n)
    if training.validation and not 0 < wanted < n - 1:
        raise DataError(f"validation of {training.validation} leaves too little of {n} images; leave it out")
    held = order[np.linspace(0, n - 1, wanted).astype(int)] if wanted else order[:0]
    return np.setdiff1d(np.arange(n), held), np.sort(held)


def _expanded(
    dataset: Dataset,
    known: ExpandedLabels,
    few: FewLabels,
    seed: int,
    held: np.ndarray,
    features: Callable[[], np.ndarray],
) -> ExpandedLabels:
    """Guess labels from the known ones; rows that are held out are not looked at."""
    assert few.expansion is not None
    assert dataset.space is not None
    rows, found = np.setdiff1d(np.arange(len(dataset)), held), features()
    part = expand(
        found[rows] if len(held) else found,
        known.labels[rows],
        few.expansion,
        classes=dataset.space.classes,
        seed=seed,
        **few.params,
    )
    missing = [dataset.space.names[c] for c in part.report["classes_without_label"]]
    if missing:
        warnings.warn(
            f"{len(missing)} of {dataset.space.classes} classes have no labelled image, and no guess can find them: "
            f"{', '.join(missing[:SHOWN])}{', ...' if len(missing) > SHOWN else ''}; label one image of each",
            stacklevel=2,
        )
    report = {**part.report, "classes_without_label": missing}
    if "hubs" in report:
        report["hubs"] = [[str(dataset.ids[rows[row]]), degree] for row, degree in report["hubs"]]
    whole = ExpandedLabels(known.labels.copy(), known.weights.copy(), known.rounds.copy(), report)
    whole.labels[rows], whole.weights[rows], whole.rounds[rows] = part.labels, part.weights, part.rounds
    return whole


def _labelled(labels: np.ndarray) -> np.ndarray:
    return np.asarray(labels >= 0 if labels.ndim == 1 else labels.any(1))


def _only(labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return labels in which all other rows have none."""
    found = np.full_like(labels, -1) if labels.ndim == 1 else np.zeros_like(labels)
    found[rows] = labels[rows]
    return found
