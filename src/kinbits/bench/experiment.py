"""What an experiment file says, and the trials that follow from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import product
from pathlib import Path
from typing import Any, get_type_hints

from kinbits._util import options_of, read_options, read_yaml, typed, underscored
from kinbits.bench.identity import config_of, features_config_of
from kinbits.data import DEFAULT_METRICS
from kinbits.errors import UsageError, unknown_name
from kinbits.evaluation import BASELINES, CROSS_MODAL_BASELINE, UNCOMPRESSED
from kinbits.fitting import FeatureSettings, FitSettings, SupervisionSettings
from kinbits.methods import get_method, parameters
from kinbits.metrics import parse_metric
from kinbits.training import TrainingSettings

_OF_A_TRIAL = ("seed", "checkpoints", "resume", "progress", "devices", "accelerator")  # not of an experiment
_OF_ONE_RUN = ("backbone", "cache")
_OF_DATA = ("pairs", "min_shared", "min_overlap")
_OPTIONS_BELOW = ("params", "training", "expansion_params")  # keys of a method that hold options


@dataclass(frozen=True)
class Entry:
    """One method of an experiment.

    Attributes:
        method: A name that `kinbits.methods` knows, or the path of a file that registers one.
        label: What tables call it.
        params: Its hyper-parameters.
        training: Training settings of this method alone; they win over those of the experiment.
        supervision: Options of `kinbits.fitting.SupervisionSettings`, as far as they are given.
    """

    method: str
    label: str
    params: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    supervision: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """One model to fit and to measure.

    Attributes:
        protocol: Name of the protocol.
        backbone: Name of the backbone; None chooses by the data.
        features: Other options of `kinbits.fitting.FeatureSettings`, as far as they are given.
        entry: The method.
        bits: Code length; None for the uncompressed features.
        seed: Seed of everything random; the split stays the published one.
        training: Settings that differ from the method's recipe.
        metrics: What is measured.
        weights: Folder of the backbone's weights, inside a data folder; None loads the backbone by its name.
    """

    protocol: str
    backbone: str | None
    features: Mapping[str, Any]
    entry: Entry
    bits: int | None
    seed: int
    training: Mapping[str, Any]
    metrics: tuple[str, ...]
    weights: str | None = None

    @property
    def config(self) -> str:
        """Hash of all that the file says of the numbers, 12 hex digits; see `kinbits.bench.identity`.

        The label does not count. Weights on this machine count in the rows, see `kinbits.bench.weights`.
        """
        if self.entry.method == UNCOMPRESSED:
            return features_config_of(self.feature_settings, protocol=self.protocol, method=UNCOMPRESSED)
        return config_of(self.settings, protocol=self.protocol)

    @property
    def feature_settings(self) -> FeatureSettings:
        """Where features come from, without a cache."""
        return FeatureSettings(self.backbone, cache=None, **self.features)

    @property
    def settings(self) -> FitSettings:
        """What `kinbits.fit` is asked for.

        Raises:
            UsageError: If the number of bits or the training settings are not possible.
        """
        assert self.bits is not None, "features have no bits"
        plain = FitSettings(self.entry.method, self.bits, self.entry.params, self.feature_settings)
        return plain.with_options(seed=self.seed, progress=False, **self.entry.supervision, **self.training)

    @property
    def columns(self) -> dict[str, str]:
        """The columns of results that place this trial in tables; the backbone only if it has a name."""
        bits = "float" if self.bits is None else str(self.bits)
        place = {"protocol": self.protocol, "method": self.entry.label, "bits": bits, "seed": str(self.seed)}
        return place if self.backbone is None else {**place, "backbone": self.backbone}

    def __str__(self) -> str:
        bits = "float" if self.bits is None else f"{self.bits} bits"
        return f"{self.protocol}, {self.entry.label}, {bits}, seed {self.seed}"


@dataclass(frozen=True)
class Experiment:
    """Every method with every number of bits and every seed, on every protocol and backbone.

    Attributes:
        protocols: Names as `kinbits.load_protocol` takes them.
        methods: What is compared.
        bits: Code lengths.
        seeds: Seeds of the trials, one trial each.
        metrics: Names as `kinbits.metrics.parse_metric` takes them; tables show the first one.
        backbones: Names of backbones; None chooses by the data.
        features: Other options of `kinbits.fitting.FeatureSettings`; a file holds them beside the other keys.
        baselines: Also measure LSH, PCA, PCA with a random rotation, ITQ and the uncompressed features. They need
            frozen features.
        training: Settings for all methods, instead of those of their recipes.
        title: Stands above the tables.
        weights: Backbone name -> folder of its weights, inside a data folder, e.g. of ``KINBITS_DATA``. Such a backbone
            can have any name. The folder is one that ``hf:FOLDER`` takes.
    """

    protocols: tuple[str, ...]
    methods: tuple[Entry, ...]
    bits: tuple[int, ...] = (64,)
    seeds: tuple[int, ...] = (0,)
    metrics: tuple[str, ...] = DEFAULT_METRICS
    backbones: tuple[str | None, ...] = (None,)
    features: Mapping[str, Any] = field(default_factory=dict)
    baselines: bool = True
    training: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    weights: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_file(cls, path: Path) -> Experiment:
        """Read an experiment from YAML; nothing in it can run code, except that it may name files of methods.

        Raises:
            UsageError: If the file cannot be read, a key is unknown, or a value cannot be used.
        """
        given = read_yaml(path, "`protocols:` and `methods:`")
        try:
            return cls.from_dict(given)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from None

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Experiment:
        """Make an experiment of plain values; keys may be written with dashes.

        Raises:
            UsageError: If a key is unknown or missing, or a value cannot be used.
        """
        named = underscored(given)
        own = [one.name for one in fields(cls) if one.name != "features"]
        known = [*own, *(option.name for option in options_of(FeatureSettings) if option.name not in _OF_ONE_RUN)]
        for key in named:
            if key not in known:
                raise unknown_name("key", key, [name.replace("_", "-") for name in known])
        about = {name: named.pop(name) for name in known if name in named and name not in own}
        features = read_options(FeatureSettings, about, "key")
        for needed in ("protocols", "methods"):
            if not named.get(needed):
                raise UsageError(f"'{needed}' is missing; name at least one")
        named["methods"] = tuple(_entry(one) for one in _listed(named["methods"]))
        for key in ("protocols", "bits", "seeds", "metrics", "backbones"):
            if key in named:
                named[key] = tuple(_listed(named[key]))
        named["training"] = named.get("training") or {}
        named = _typed(named, cls, but=("methods", "bits", "seeds"))
        made = cls(**{**named, "features": features, "training": _training(named["training"])})
        made._check()
        return made

    def trials(self) -> Iterator[Trial]:
        """Yield all trials, the cheap baselines first."""
        for protocol, backbone in product(self.protocols, self.backbones):
            if self.baselines:
                yield self._trial(protocol, backbone, Entry(UNCOMPRESSED, UNCOMPRESSED), None, 0)
            for entry in self._entries():
                for bits, seed in product(self.bits, self.seeds):
                    yield self._trial(protocol, backbone, entry, bits, seed)

    def _entries(self) -> list[Entry]:
        own = [entry.method for entry in self.methods]
        reads_text = any(get_method(name).reads_text for name in own if name != UNCOMPRESSED)
        names = (*BASELINES, *((CROSS_MODAL_BASELINE,) if reads_text else ()))
        baselines = [Entry(name, name) for name in names if self.baselines and name not in own]
        return [*baselines, *self.methods]

    def _trial(self, protocol: str, backbone: str | None, entry: Entry, bits: int | None, seed: int) -> Trial:
        training = {**self.training, **entry.training}
        metrics = self.metrics if bits is not None else tuple(m for m in self.metrics if _ranks(m))
        weights = None if backbone is None else self.weights.get(backbone)
        return Trial(protocol, backbone, self.features, entry, bits, seed, training, metrics, weights)

    def _check(self) -> None:
        for kind, values in (("bits", self.bits), ("seeds", self.seeds)):
            for value in values:
                if isinstance(value, bool) or not isinstance(value, int) or value < (1 if kind == "bits" else 0):
                    raise UsageError(f"{kind} holds {value!r}; give whole numbers, e.g. {kind}: [16, 32]")
        for metric in self.metrics:
            parse_metric(metric)
        for name in self.weights:
            if name not in self.backbones:
                raise UsageError(
                    f"weights are given for '{name}', which is none of the backbones; add it to `backbones`"
                )
        if None in self.backbones and len(self.backbones) > 1:
            raise UsageError("backbones holds names and null; name all of them")
        if self.features.get("finetune") and self.baselines:
            raise UsageError("baselines need frozen features; with `finetune: true` write `baselines: false`")
        labels = [entry.label for entry in self._entries()]
        for label in labels:
            if labels.count(label) > 1:
                raise UsageError(f"two methods are called '{label}'; give one of them another `label`")


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _entry(given: Any) -> Entry:
    """Read a method: its name, or a mapping with ``method`` and what it is given."""
    if isinstance(given, str):
        given = {"method": given}
    if not isinstance(given, dict) or "method" not in given:
        raise UsageError(f"method {given!r} cannot be read; write a name, or `method:` with `params:` below")
    given = {
        name: underscored(value) if name in _OPTIONS_BELOW and isinstance(value, Mapping) else value
        for name, value in underscored(given).items()
    }
    about = {name: given.pop(name) for name in list(given) if name not in ("method", "label", "params", "training")}
    supervision = read_options(SupervisionSettings, about, "key of a method", but=_OF_DATA)
    label = given.pop("label", None)
    given = {"label": "" if label is None else str(label), **given}
    given = _typed(given | {name: given.get(name) or {} for name in ("params", "training")}, Entry)
    found = get_method(given["method"])
    names = [one.name for one in parameters(found)]
    for name in given["params"]:
        if name not in names:
            raise unknown_name("parameter", name, names or ["(it has none)"], place=f"of method '{found.name}'")
    params = _typed(given["params"], found.__init__)
    supervision = {name: value for name, value in supervision.items() if value}
    given_options = ", ".join(f"{name}={value}" for name, value in {**params, **supervision}.items())
    made = f"{found.name} ({given_options})" if given_options else found.name
    return Entry(given["method"], given["label"] or made, params, _training(given["training"]), supervision)


def _typed(given: Mapping[str, Any], owner: Any, but: Sequence[str] = ()) -> dict[str, Any]:
    """Return the values with the types that a class or function declares for them."""
    hints = get_type_hints(owner)
    return {name: value if name in but else typed(value, hints[name], name) for name, value in given.items()}


def _training(given: Mapping[str, Any]) -> dict[str, Any]:
    return read_options(TrainingSettings, given, "training setting", but=_OF_A_TRIAL)


def _ranks(metric: str) -> bool:
    return parse_metric(metric).radius is None
