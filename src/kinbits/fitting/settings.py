"""All options of `fit`, each written once: keyword arguments, flags, keys of YAML files and the docs come from here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Unpack

from kinbits._util import Range, Repeated, check_options, checked, with_options
from kinbits.errors import UsageError
from kinbits.training import TrainingSettings

if TYPE_CHECKING:
    from kinbits.data import FeatureCache
    from kinbits.fitting.options import FitOptions


def _default_cache() -> "FeatureCache":
    from kinbits.data import FeatureCache

    return FeatureCache()


@dataclass(frozen=True)
class FeatureSettings:
    """Where features come from.

    Attributes:
        backbone: Image backbone. Default: by the data.
        text_backbone: Text backbone. Default: minilm.
        image_size: Pixels per side. Default: by the data.
        dims: Numbers of a vector read. Default: all.
        normalise: Vectors to length 1. Default: no.
        finetune: Train the backbone too. Default: only if it is not pretrained.
        views: Random views per image.
        cache: Where features are kept between runs; None keeps nothing. Default: the folder for caches.
    """

    backbone: str | None = None
    text_backbone: str | None = None
    image_size: Annotated[int | None, Range(1)] = None
    dims: Annotated[int | None, Range(1)] = None
    normalise: bool | None = None
    finetune: bool | None = None
    views: Annotated[int, Range(1)] = 4
    cache: "FeatureCache | None" = field(default_factory=_default_cache)

    def __post_init__(self) -> None:
        check_options(self)
        if self.cache is not None:
            from kinbits.data import FeatureCache

            checked(self.cache, FeatureCache, "cache")


@dataclass(frozen=True)
class SupervisionSettings:
    """What is learned from: labels, labels guessed from a few, or pairs.

    Attributes:
        labels_fraction: Share of the labels used. Default: all.
        label_expansion: How missing labels are guessed: prl or pseudo. Default: not at all.
        expansion_params: Its options. Default: its own.
        pairs: Table, or COLMAP folder, of pairs. Default: from labels.
        min_shared: Minimum of shared 3D points. Default: 20.
        min_overlap: Minimum share in an image. Default: 0.1.
    """

    labels_fraction: Annotated[float | None, Range(0, 1, without_least=True)] = None
    label_expansion: str | None = None
    expansion_params: Mapping[str, Any] = field(default_factory=dict)
    pairs: Annotated[Any, Repeated("PATH")] = None
    min_shared: Annotated[int | None, Range(1)] = None
    min_overlap: Annotated[float | None, Range(0, 1)] = None

    def __post_init__(self) -> None:
        check_options(self)
        if self.label_expansion is not None:
            from kinbits.labelling import build_expansion

            build_expansion(self.label_expansion, **self.expansion_params)
        elif self.expansion_params:
            from kinbits.labelling import list_expansions

            raise UsageError(f"give a label_expansion for the expansion_params: {' or '.join(list_expansions())}")
        for name in self.limits:
            if self.pairs is None:
                raise UsageError(f"{name} is a limit for pairs of a reconstruction, and no pairs are given")

    @property
    def few_labels(self) -> bool:
        """Whether some labels are hidden or guessed."""
        return self.labels_fraction is not None or self.label_expansion is not None

    @property
    def limits(self) -> dict[str, float]:
        """Which pairs of a reconstruction are similar, as far as it is given."""
        given = {"min_shared": self.min_shared, "min_overlap": self.min_overlap}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class FitSettings:
    """All options of `fit`.

    Attributes:
        method: One of `kinbits methods`, a .py file, or auto. Default: auto, which suits the data.
        bits: Code length. Default: 64, or the method's.
        params: Parameters of the method. Default: the paper's.
        features: Where features come from.
        supervision: What is learned from.
        training: How training runs.
    """

    method: str | None = None
    bits: Annotated[int | None, Range(4)] = None
    params: Mapping[str, Any] = field(default_factory=dict)
    features: FeatureSettings = field(default_factory=FeatureSettings)
    supervision: SupervisionSettings = field(default_factory=SupervisionSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)

    def __post_init__(self) -> None:
        check_options(self)

    def with_options(self, **options: "Unpack[FitOptions]") -> "FitSettings":
        """Return these settings with other options, in whatever part they are.

        Raises:
            UsageError: If an option is unknown or out of range.

        Example:
            >>> FitSettings(bits=32).with_options(epochs=5).training.epochs
            5
        """
        return with_options(self, options, "option of fit")
