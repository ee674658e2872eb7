"""What `tune` is asked for, and which options of `fit` it decides itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from kinbits._util import Range, check_options, checked, options_of, shortened
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
    "defence": "use fit with the method that was chosen",
    "defence_params": "use fit with the method that was chosen",
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
        object.__setattr__(self, "methods", _names(self.methods))
        check_options(self)

    @property
    def ample(self) -> bool:
        """Whether there is time for methods that need features of their own."""
        return self.budget is None or self.budget >= AMPLE


def _names(methods: Any) -> tuple[str, ...] | None:
    if methods is None:
        return None
    names = (methods,) if isinstance(methods, str) else tuple(checked(methods, list | tuple, "methods"))
    if isinstance(methods, str) or not names or not all(isinstance(name, str) and name.strip() for name in names):
        from kinbits.methods import list_methods

        given = methods if isinstance(methods, str) else list(names)
        raise UsageError(
            f"methods is {shortened(repr(given), 60)}; leave it out, or give a list of .py files and names, none "
            f"of them empty: {', '.join(list_methods())}"
        )
    return names


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


def share_of(settings: FitSettings, options: Mapping[str, Any]) -> float:
    """Return the share of rows to hold out: that of the settings, which is 0 if nobody gave it, or a fifth.

    Args:
        settings: Options of `fit`, all of them.
        options: Those that were given by name.

    Raises:
        UsageError: If 0 is given by name.
    """
    if options.get("validation") == 0:
        raise UsageError(
            f"validation is 0; tune scores candidates on held-out rows: give a share above 0 and up to 0.5, or leave "
            f"validation out for {SHARE}"
        )
    return settings.training.validation or SHARE
