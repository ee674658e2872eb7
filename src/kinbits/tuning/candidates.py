"""Which methods suit the data, and with which recipes each is tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kinbits.data import Dataset
from kinbits.errors import DataError, UsageError
from kinbits.fitting import FitSettings, SupervisionSettings, recommendation
from kinbits.methods import (
    DEFAULT_BITS,
    Method,
    Recipe,
    Spec,
    check_fit,
    describe_method,
    get_method,
    list_methods,
)
from kinbits.tuning.recipes import BASELINE, LAST, MOST_EPOCHS, ORDER, OWN_VARIANTS, VARIANTS, Variant
from kinbits.tuning.settings import TuneSettings


@dataclass(frozen=True, eq=False)
class Candidate:
    """A method with a recipe.

    Attributes:
        method: Registered name.
        recipe: Name of the recipe.
        epochs: Length of a full run; 0 for a method that only computes.
        options: Options of `fit` that differ from the method's own recipe.
        pinned: Whether it stays in the search whatever its score.
        named: Whether it is the first recipe of a method that a person named, which is tried whatever the time.
    """

    method: str
    recipe: str
    epochs: int
    options: Mapping[str, Any] = field(default_factory=dict)
    pinned: bool = False
    named: bool = False

    def __str__(self) -> str:
        return self.method if self.recipe == "default" else f"{self.method}, {self.recipe}"

    @property
    def baseline(self) -> bool:
        """Whether its method is no published method with training, but what such a method should beat."""
        return describe_method(self.method).group in ("training-free", "baselines")

    def run_key(self, epochs: int) -> tuple[str, int, str]:
        """Return what a run of some epochs depends on: candidates with equal keys come to the same model."""
        return self.method, epochs, repr(sorted(self.options.items()))

    def settings(self, base: FitSettings, epochs: int) -> FitSettings:
        """Return the options of `fit` for a run of some epochs."""
        found = base.with_options(method=self.method, epochs=epochs or None, **self.options)
        without_labels = get_method(self.method).supervision == "none"
        return replace(found, supervision=SupervisionSettings()) if without_labels else found


class Candidates:
    """The candidates for a collection.

    Args:
        dataset: The data.
        base: Options of `fit` that hold for all candidates.
        tuning: What is asked for.

    Attributes:
        baselines: Methods without training.
        learned: Methods with training, in the order in which they are tried; named ones come first, then pinned ones.
        reference: Name of the method that decides which rows can be used.

    Raises:
        UsageError: If a named method cannot do what is asked, or no method suits the data.
        DataError: If the data lack what a named method needs.
    """

    def __init__(self, dataset: Dataset, base: FitSettings, tuning: TuneSettings) -> None:
        self._dataset, self._tuning, self._text = dataset, tuning, tuning.search == "text"
        has_text, pairs = bool(dataset.has_text.any()), base.supervision.pairs is not None
        self._spec = Spec(
            base.bits or DEFAULT_BITS, 1, len(dataset), dataset.label_space, 1 if has_text else None, has_pairs=pairs
        )
        if self._text and not has_text:
            raise UsageError(f"search is text, and {dataset.name} has no texts; name their column, or leave search out")
        known = sorted(list_methods(), key=_place)
        free = [name for name in known if not _epochs(name) and self._fits_search(name)]
        self.baselines = tuple(Candidate(name, "default", 0) for name in free)
        named = None if tuning.methods is None else [self._checked(name) for name in tuning.methods]
        trained = [name for name in (named or filter(self._suits, known)) if name not in free]
        self.reference = next(iter([*trained, *free])) if self._text else recommendation(base, dataset).method
        pinned = [] if self.reference in free else [self.reference]
        pinned += [BASELINE] if self._suits(BASELINE) else []
        names = [*trained, *pinned] if named else [*pinned, *trained]
        recipes = [_different(name, base, len(dataset)) for name in dict.fromkeys(names)]
        firsts = (
            replace(one[0], pinned=one[0].method in pinned, named=one[0].method in (named or ())) for one in recipes
        )
        self.learned = (*firsts, *_further(recipes))

    @property
    def reads_text(self) -> bool:
        """Whether one of them learns from texts, so that all are fitted to images with texts."""
        return any(describe_method(one.method).reads_text for one in (*self.baselines, *self.learned))

    def _checked(self, name: str) -> str:
        method = get_method(name)
        check_fit(method, self._spec)
        if self._text and not method.reads_text:
            raise UsageError(f"search is text, and method '{method.name}' reads no text; leave one of the two out")
        return method.name

    def _fits_search(self, name: str) -> bool:
        """Tell whether a method reads what is searched with, and makes bits, unless it was asked for by name."""
        info = describe_method(name)
        return info.reads_text == self._text and (info.codes_name == "bits" or name in (self._tuning.methods or ()))

    def _suits(self, name: str) -> bool:
        info, vectors = describe_method(name), self._dataset.kind == "vector"
        own_features = info.reads_maps or info.views > 0
        if not _epochs(name) or not self._fits_search(name) or (own_features and vectors):
            return False
        if info.supervision == "none" and self._spec.label_space is not None and not self._text:
            return False  # with labels, methods that learn from them are better
        space = self._spec.label_space
        if get_method(name).reads_hierarchy and (space is None or space.parents is None):
            return False
        return (self._tuning.ample or not own_features) and _fits(get_method(name), self._spec)


def _fits(method: type[Method], spec: Spec) -> bool:
    try:
        check_fit(method, spec)
    except (DataError, UsageError):
        return False
    return True


def _place(name: str) -> tuple[int, str]:
    place = ORDER.index(name) if name in ORDER else len(ORDER)
    return place + (name in LAST), name


def _epochs(name: str) -> int:
    return int(describe_method(name).recipe["epochs"])


def _further(recipes: Sequence[Sequence[Candidate]]) -> Iterator[Candidate]:
    """Yield the second recipe of every method, then the third ones, ..."""
    for number in range(1, max(map(len, recipes), default=0)):
        yield from (one[number] for one in recipes if number < len(one))


def _different(name: str, base: FitSettings, rows: int) -> list[Candidate]:
    """Return the recipes of a method; of those that come to the same run, such as the longest one, the first."""
    recipe = base.training.recipe(get_method(name).recipe, rows)
    found: dict[tuple[str, int, str], Candidate] = {}
    for variant in _variants(name, base):
        one = _candidate(name, recipe, variant)
        found.setdefault(one.run_key(one.epochs), one)
    return list(found.values())


def _variants(name: str, base: FitSettings) -> list[Variant]:
    """Return the variants of a method that change nothing that the user gave."""
    given = {option for option, value in vars(base.training).items() if value is not None}
    return [one for one in (*VARIANTS, *OWN_VARIANTS.get(name, ())) if given.isdisjoint(one.options)]


def _candidate(name: str, recipe: Recipe, variant: Variant) -> Candidate:
    epochs = min(round(recipe.epochs * variant.epochs), max(recipe.epochs, MOST_EPOCHS))
    options: dict[str, Any] = dict(variant.options)
    if variant.params:
        options["params"] = dict(variant.params)
    if variant.lr != 1:
        options["lr"] = float(f"{recipe.lr * variant.lr:.2g}")
    return Candidate(name, variant.name, epochs, options)
