"""Which rows a run trains on, with which labels, and which it holds out."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kinbits.data import Dataset
from kinbits.errors import DataError
from kinbits.fitting.settings import FitSettings, SupervisionSettings
from kinbits.labelling import ExpandedLabels, expand, keep_fraction
from kinbits.training import TrainingSettings

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 10


@dataclass(frozen=True)
class RowChoice:
    """The rows of a run.

    Attributes:
        train: Rows to train on, int64 ``(m,)``.
        validation: Rows held out to choose the best epoch, int64 ``(v,)``. Their labels are true.
        labels: Labels of all rows, which take the place of those given; None takes those given.
    """

    train: np.ndarray
    validation: np.ndarray
    labels: ExpandedLabels | None = None

    @classmethod
    def from_dataset(
        cls,
        dataset: Dataset,
        settings: FitSettings,
        features: Callable[[], np.ndarray],
        held_out: np.ndarray | None = None,
    ) -> RowChoice:
        """Choose rows and labels.

        Args:
            dataset: The usable rows.
            settings: What to learn from; the seed and the share of validation are those of training.
            features: Called for features ``(n, d)`` of all rows, where labels are guessed.
            held_out: Ids of the rows to hold out; None draws a share.
        """
        training, supervision = settings.training, settings.supervision

        def split(part: Dataset) -> tuple[np.ndarray, np.ndarray]:
            return split_validation(part, training) if held_out is None else _split_ids(part, held_out)

        if not supervision.few_labels:
            return cls(*split(dataset))
        assert dataset.labels is not None
        kept = dataset.has_label
        if supervision.labels_fraction is not None:
            kept &= keep_fraction(dataset.labels, supervision.labels_fraction, training.seed)
        known = np.flatnonzero(kept)
        train, validation = (known[part] for part in split(dataset.select(known)))
        labels = _only(dataset.labels, train)
        found = ExpandedLabels(labels, _labelled(labels).astype(np.float32), np.where(_labelled(labels), 0, -1))
        if supervision.label_expansion is not None:
            found = _expanded(dataset, found, supervision, training.seed, validation, features)
        return cls(np.flatnonzero(found.rounds >= 0), validation, found)

    def record(self) -> dict[str, Any]:
        """Return what the training record says about the labels."""
        if self.labels is None:
            return {}
        counts = {"true": int(self.labels.true.sum()), "pseudo": int(self.labels.pseudo.sum())}
        return {"labels": {**counts, **self.labels.report, "held": len(self.validation)}}

    def table(self, dataset: Dataset) -> pa.Table | None:
        """Return a row for every image that a label is known or guessed of, for people to look at."""
        import pyarrow as pa

        if self.labels is None or dataset.label_space is None:
            return None
        names, found = np.array(dataset.label_space.names), self.labels
        values = found.labels[self.train]
        texts = names[values].tolist() if values.ndim == 1 else [";".join(names[row > 0]) for row in values]
        columns = {
            "id": [str(one) for one in dataset.ids[self.train]],
            "label": texts,
            "source": found.source[self.train].tolist(),
            "confidence": found.weights[self.train].astype(np.float64).round(4),
            "round": found.rounds[self.train],
        }
        return pa.table(columns)


def split_validation(dataset: Dataset, training: TrainingSettings) -> tuple[np.ndarray, np.ndarray]:
    """Return rows to train on and rows to hold out, drawn by the seed, of each class alike where there are classes.

    Raises:
        DataError: If the share of validation leaves too few rows.
    """
    n = len(dataset)
    order = np.random.default_rng([training.seed, 7]).permutation(n)
    if dataset.labels is not None and dataset.labels.ndim == 1:
        order = order[np.argsort(dataset.labels[order], kind="stable")]
    wanted = round(training.validation * n)
    if training.validation and not 0 < wanted < n - 1:
        raise DataError(
            f"validation of {training.validation} leaves too little of {n} {dataset.kind}s; give more, or fit without "
            f"validation"
        )
    validation = order[np.linspace(0, n - 1, wanted).astype(int)] if wanted else order[:0]
    return np.setdiff1d(np.arange(n), validation), np.sort(validation)


def _split_ids(dataset: Dataset, held_out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    held = np.isin(dataset.ids, held_out)
    return np.flatnonzero(~held), np.flatnonzero(held)


def _expanded(
    dataset: Dataset,
    known: ExpandedLabels,
    supervision: SupervisionSettings,
    seed: int,
    validation: np.ndarray,
    features: Callable[[], np.ndarray],
) -> ExpandedLabels:
    """Guess labels from the known ones, without the rows that are held out."""
    assert supervision.label_expansion is not None
    assert dataset.label_space is not None
    rows, found = np.setdiff1d(np.arange(len(dataset)), validation), features()
    part = expand(
        found[rows] if len(validation) else found,
        known.labels[rows],
        supervision.label_expansion,
        classes=dataset.label_space.classes,
        seed=seed,
        **supervision.expansion_params,
    )
    missing = [dataset.label_space.names[c] for c in part.report["classes_without_label"]]
    if missing:
        warnings.warn(
            f"{len(missing)} of {dataset.label_space.classes} classes have no labelled image, and no guess can find "
            f"them: {', '.join(missing[:SHOWN])}{', ...' if len(missing) > SHOWN else ''}; label one image of each",
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
