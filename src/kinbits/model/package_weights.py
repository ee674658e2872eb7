"""Weights of backbones that an installed package holds, so that a model folder can leave them out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from kinbits._util import shortened
from kinbits.backbones import Backbone, backbone_class, load_backbone
from kinbits.errors import ArtefactError
from kinbits.model.restore import READS, named

_MARK = {"weights": "package"}


def tower_config(tower: Any, package_weights: bool) -> dict[str, Any]:
    """Describe a tower for the configuration of a model.

    Args:
        tower: With its backbone and head.
        package_weights: Whether the folder holds also the weights of a backbone that are those of a package.
    """
    left_out = not package_weights and tower.backbone.is_published()
    return {"backbone": tower.backbone.config(), "head": tower.head.config(), **(_MARK if left_out else {})}


def with_package_weights(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a model folder, with those that its configuration leaves to a package.

    Raises:
        ArtefactError: If the configuration leaves out weights that no package holds.
        PlatformError: If the package is not installed.
    """
    found = dict(tensors)
    for modality, tower in config["towers"].items():
        if modality not in READS:  # before anything is loaded for it
            raise ArtefactError(f"its tower '{shortened(str(modality), 40)}' is of no known kind")
        if "weights" in tower:
            found |= named(f"{modality}.backbone.", _published(tower))
    return found


def _published(tower: Mapping[str, Any]) -> Backbone:
    config = tower["backbone"]
    if tower["weights"] != _MARK["weights"] or not backbone_class(config["backbone"]).bundled:
        raise ArtefactError(f"its weights are left to '{tower['weights']}', where '{config['backbone']}' has none")
    return load_backbone(config["backbone"], size=config["preprocessing"]["size"])
