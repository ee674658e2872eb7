"""What `tune` is asked for, and which options of `fit` it decides itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from kinbits._util import Range, check_options, options_of
from kinbits.errors import UsageError
from kinbits.fitting import FitSettings

SHARE, MOST_HELD = 0.2, 5000
AMPLE = 3600.0  # seconds

DECIDED = {
    "method": "name the methods to try by methods",
    "params": "each candidate has its own",
    "epochs": "each recipe has its own",
    "lr": "each recipe has its own",
    "patience": "a run never stops early",
    "pretrain": "use fit with the method that was chosen",
    "checkpoints": "no run is continued",
}
"""Options of `fit` that `tune` decides itself, with what to do instead."""


@dataclass(frozen=True)
class TuneSettings:
    """How the search goes.

    Attributes:
        budget: Seconds for everything. Default: 600; None is no limit.
        methods: Methods to try, names or .py files. Default: all that suit the data.
        search: Score images by searching images, or images and texts by searching each other.
    """

    budget: Annotated[float | None, Range(0, without_least=True)] = 600.0
    methods: Sequence[str] | None = None
    search: Literal["image", "text"] = "image"

    def __post_init__(self) -> None:
        if isinstance(self.methods, str) or (self.methods is not None and not self.methods):
            raise UsageError(f"methods is {self.methods!r}; give a list of one or more names, or None for all that fit")
        object.__setattr__(self, "methods", None if self.methods is None else tuple(self.methods))
        check_options(self)

    @property
    def ample(self) -> bool:
        """Whether there is time for methods that need features of their own."""
        return self.budget is None or self.budget >= AMPLE


def check_decided(settings: FitSettings) -> None:
    """Refuse options of `fit` that `tune` decides itself.

    Raises:
        UsageError: If one of them is given.
    """
    given = vars(settings) | vars(settings.training)
    defaults = {option.name: option.default for option in options_of(FitSettings)}
    for name, remedy in DECIDED.items():
        if given[name] != defaults[name]:
            raise UsageError(f"tune decides {name} itself; leave it out: {remedy}")
