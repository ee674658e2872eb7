"""The contract and the registry of label expansions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeVar

import numpy as np

from kinbits._util import checked_parameters, import_all
from kinbits.errors import DataError, UsageError, unknown_name
from kinbits.labelling.graph import blocks
from kinbits.labelling.labels import PartialLabels, partial_labels


@dataclass(frozen=True)
class ExpandedLabels:
    """Given labels and guessed ones.

    Attributes:
        labels: The given labels, with guesses for other rows; -1, or an empty set, where there is no guess.
        weights: float32 ``(n,)``: 1 for a given label, the confidence of a guess, 0 for none.
        rounds: int64 ``(n,)``: 0 for a given label, the round of a guess, -1 for none.
        report: Numbers of labels by class, and what happened in each round.
    """

    labels: np.ndarray
    weights: np.ndarray
    rounds: np.ndarray
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def true(self) -> np.ndarray:
        """Which labels were given, bool ``(n,)``."""
        return np.asarray(self.rounds == 0)

    @property
    def pseudo(self) -> np.ndarray:
        """Which labels are guesses, bool ``(n,)``."""
        return np.asarray(self.rounds > 0)

    @property
    def source(self) -> np.ndarray:
        """The source of each label: ``"true"``, ``"pseudo"`` or ``""``, str ``(n,)``."""
        return np.select([self.true, self.pseudo], ["true", "pseudo"], "")


@dataclass(frozen=True, kw_only=True)
class Expansion(ABC):
    """Base class of label expansions; its fields are the hyper-parameters.

    Attributes:
        name: Name in the registry.
        version: Raise it when the results of the same settings change: results of experiments are then made anew.
    """

    name: ClassVar[str] = ""
    version: ClassVar[int] = 1

    @abstractmethod
    def grow(self, features: np.ndarray, labels: PartialLabels, seed: int) -> dict[str, Any]:
        """Add labels to unlabelled rows, and return details for the report.

        Args:
            features: Float ``(n, d)``, possibly memory-mapped.
            labels: The labels of these rows; guesses are added to them.
            seed: Seed of everything random.
        """


_REGISTRY: dict[str, type[Expansion]] = {}
E = TypeVar("E", bound="type[Expansion]")


def register(name: str) -> Callable[[E], E]:
    """Register an expansion under the name that Python, the command line and YAML use."""

    def add(cls: E) -> E:
        cls.name = name
        _REGISTRY[name] = cls
        return cls

    return add


def list_expansions() -> list[str]:
    """List the names of all label expansions."""
    import_all("kinbits.labelling")
    return sorted(_REGISTRY)


def get_expansion(name: str) -> type[Expansion]:
    """Return the class of an expansion.

    Raises:
        UsageError: If the name is unknown; the message offers the nearest ones.
    """
    if name not in list_expansions():
        raise unknown_name("label expansion", name, _REGISTRY)
    return _REGISTRY[name]


def build_expansion(name: str, **params: Any) -> Expansion:
    """Make an expansion with these hyper-parameters.

    Raises:
        UsageError: If the name or a parameter is unknown, or a value has the wrong type or is out of range.
    """
    cls = get_expansion(name)
    known = [one.name for one in fields(cls)]
    return cls(**checked_parameters(cls.__init__, params, known, f"label expansion '{name}'"))


def check_range(owner: Expansion, name: str, low: float, high: float) -> None:
    """Refuse a value of a field outside [low, high], unless it is None.

    Raises:
        UsageError: If the value is out of range.
    """
    value = getattr(owner, name)
    if value is not None and not low <= value <= high:
        allowed = f"{low:g} to {high:g}" if np.isfinite(high) else f"at least {low:g}"
        raise UsageError(f"{name} is {value}; {owner.name} takes {allowed}")


def expand(
    features: np.ndarray,
    labels: np.ndarray,
    expansion: str | Expansion = "prl",
    *,
    classes: int | None = None,
    seed: int = 0,
    **params: Any,
) -> ExpandedLabels:
    """Label unlabelled rows from the labelled ones. Given labels never change.

    Args:
        features: Float ``(n, d)``.
        labels: int ``(n,)`` with -1 for unlabelled rows, or multi-hot ``(n, C)`` with empty ones.
        expansion: Name of a label expansion, or an expansion itself.
        classes: Number C of classes; None counts up to the largest label.
        seed: Seed of everything random.
        params: The hyper-parameters of a named expansion.

    Raises:
        UsageError: If a name is unknown or a value out of range.
        DataError: If fewer than two classes have a label, no row lacks one, or features are not finite.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> classes = np.arange(60) % 2
        >>> features = rng.normal(size=(60, 8)) + 4 * classes[:, None]
        >>> found = expand(features, np.where(np.arange(60) < 6, classes, -1), "prl")
        >>> bool((found.labels == classes)[found.pseudo].all()), int(found.true.sum())
        (True, 6)
    """
    features, labels = np.asarray(features), np.asarray(labels)
    if len(features) != len(labels):
        raise DataError(f"{len(features)} rows of features for {len(labels)} labels; give one label a row, -1 for none")
    chosen = build_expansion(expansion, **params) if isinstance(expansion, str) else expansion
    grown = partial_labels(labels)
    if not len(grown.unlabelled):
        raise DataError("every row has a label already; hide some labels (labels_fraction), or leave the expansion out")
    if not all(np.isfinite(part).all() for _, part in blocks(features)):
        raise DataError("the features hold values that are not finite; remove those rows")
    before = grown.labelled
    details = chosen.grow(features, grown, seed)
    total = classes if classes is not None else int(grown.classes.max()) + 1 if labels.ndim == 1 else labels.shape[1]
    report = {
        "expansion": chosen.name,
        "true": len(before),
        "pseudo": len(grown.labelled) - len(before),
        "unlabelled": len(grown.unlabelled),
        "true_by_class": grown.counts(before, total).tolist(),
        "all_by_class": grown.counts(grown.labelled, total).tolist(),
        "classes_without_label": np.setdiff1d(np.arange(total), grown.classes).tolist(),
        **details,
    }
    return ExpandedLabels(grown.values, grown.weights, grown.rounds, report)
