"""What can turn images and texts into features, listed without torch: the files of backbones are read, not run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from kinbits._util import Modality, call_values, class_expressions, registered_classes, value_of

PACKAGE = "kinbits.backbones"


@dataclass(frozen=True)
class Offer:
    """What a backbone offers by default; unknown where a name or width must be given first.

    Attributes:
        size: Side of its input images in pixels.
        feature_dim: Width of its features.
        pretrained: Whether its weights were learned before.
        licence: Of its weights.
    """

    size: int | None = None
    feature_dim: int | None = None
    pretrained: bool | None = None
    licence: str | None = None


@dataclass(frozen=True)
class BackboneInfo:
    """What a backbone is, without its class.

    Attributes:
        name: The registered name; one that ends in a colon takes a name or folder behind it.
        reads: ``"image"``, ``"text"`` or ``"vector"``.
        offer: Its defaults.
    """

    name: str
    reads: Modality
    offer: Offer

    @classmethod
    def from_source(cls, name: str, module: str, class_name: str) -> BackboneInfo:
        """Describe a class by the file that defines it, which is not run.

        Raises:
            LookupError: If the file does not define the class.
            ValueError: If the class computes what a listing needs.
        """
        found = class_expressions(module, class_name)
        return cls(name, value_of(found["modality"]), Offer(**call_values(found["offer"])))


@cache
def backbone_files() -> Mapping[str, tuple[str, str]]:
    """Return module and class of each backbone that kinbits brings, by name."""
    return registered_classes(PACKAGE, "register_backbone")
