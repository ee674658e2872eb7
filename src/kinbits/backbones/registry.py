"""Registry of backbones by name; the file of a backbone is imported at its first use."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from kinbits._util import Modality, one_line, require
from kinbits.backbones.catalogue import BackboneInfo, backbone_files
from kinbits.errors import ArtefactError, PlatformError, UsageError, unknown_name

if TYPE_CHECKING:
    from kinbits.backbones.base import Backbone

B = TypeVar("B", bound="type[Backbone]")
_CLASSES: dict[str, type[Backbone]] = {}


def register_backbone(key: str) -> Callable[[B], B]:
    """Return a decorator that registers a class under a name, or under a name prefix that ends in a colon.

    Args:
        key: ``"efficientnet_lite0"`` (one backbone) or ``"hf:"`` (``hf:NAME`` for any NAME).

    Raises:
        UsageError: If the name is taken by another class.
    """

    def add(cls: B) -> B:
        holder = _CLASSES.get(key, cls)
        module, name = backbone_files().get(key, (holder.__module__, holder.__qualname__))
        if (module, name) != (cls.__module__, cls.__qualname__):
            raise UsageError(f"the backbone name '{key}' is taken by {name}; choose another")
        _CLASSES[key] = cls
        cls.key = key
        return cls

    return add


def list_backbones() -> list[str]:
    """Return all registered names, sorted; after a name with a colon, add a model name or folder."""
    return sorted({*backbone_files(), *_CLASSES})


def describe_backbone(name: str) -> BackboneInfo:
    """Return the description of a backbone; the file of a built-in backbone is not imported.

    Args:
        name: One of `list_backbones`.

    Raises:
        UsageError: If no backbone has this name.

    Example:
        >>> describe_backbone("convnet-small").offer.feature_dim
        384
    """
    if name in backbone_files() and name not in _CLASSES:
        return BackboneInfo.from_source(name, *backbone_files()[name])
    cls = backbone_class(name)
    return BackboneInfo(name, cls.modality, cls.offer)


def backbone_class(name: str) -> type[Backbone]:
    """Return the class of a backbone, without loading weights.

    Raises:
        UsageError: If no backbone has this name.
        PlatformError: If a package that the backbone needs is not installed.
    """
    family, colon, _ = name.partition(":")
    key = family + colon
    if key not in _CLASSES and key in backbone_files():
        require(backbone_files()[key][0])
    if key not in _CLASSES:
        raise unknown_name("backbone", name, list_backbones())
    return _CLASSES[key]


def require_modality(name: str, reads: Modality) -> None:
    """Check that a backbone reads a modality, without loading weights.

    Raises:
        UsageError: If the backbone reads another modality, or no backbone has this name. The message lists the
            backbones that fit.
    """
    found = backbone_class(name).modality
    if found != reads:
        fitting = [key for key in list_backbones() if describe_backbone(key).reads == reads]
        listed = ", ".join(f"{key}NAME" if key.endswith(":") else key for key in fitting)
        raise UsageError(f"backbone '{name}' reads {found}s, but {reads}s are needed here; use one of: {listed}")


def load_backbone(
    name: str,
    *,
    size: int | None = None,
    dim: int | None = None,
    dims: int | None = None,
    normalise: bool | None = None,
) -> Backbone:
    """Load a backbone with its weights, in evaluation mode, on the CPU.

    Args:
        name: One of `list_backbones`, e.g. ``"efficientnet_lite0"``, ``"hf:facebook/dinov2-small"``.
        size: Input side in pixels for image backbones; None uses the backbone's default.
        dim: Width of the vectors; required for ``"features"``, not allowed for others.
        dims: How many numbers of a vector are read, from the first on; None for all.
        normalise: Whether vectors are scaled to length 1.

    Raises:
        UsageError: If the name is unknown, or a size or width does not apply.
        PlatformError: If the weights cannot be downloaded, or an optional package is missing.
        ArtefactError: If the weights are damaged or in a format that is not supported.

    Example:
        >>> load_backbone("convnet-small").feature_dim
        384
    """
    cls = backbone_class(name)
    argument = name.partition(":")[2]
    if cls.key.endswith(":") and not argument:
        raise UsageError(f"backbone '{name}' needs a value after the colon, e.g. '{cls.key}NAME'")
    _check_input(name, cls.modality, size, dim)
    if dims is None and normalise is None:
        return cls.from_pretrained(argument, dim if cls.modality == "vector" else size).eval()
    if cls.key != "features":
        raise UsageError(f"dims and normalise are for vectors, and backbone '{name}' is not 'features'; leave them out")
    return cls.from_config({"dim": dim, "dims": dims, "normalise": normalise}).eval()


def _check_input(name: str, modality: str, size: int | None, dim: int | None) -> None:
    if size is not None and modality != "image":
        raise UsageError(f"backbone '{name}' reads {modality} data, so it takes no size; leave it out")
    if size is not None and size < 8:
        raise UsageError(f"size {size} is too small for an image backbone; 32, 128 and 224 are usual")
    if (dim is None) == (modality == "vector"):
        raise UsageError(f"backbone '{name}' {'needs' if dim is None else 'takes no'} dim, the width of vectors")


def build_backbone(config: dict[str, Any]) -> Backbone:
    """Build a backbone from its ``config()``, with untrained weights; load weights with ``load_state_dict``.

    The function downloads nothing and runs no code from the configuration. Only allowed names, options and fields reach
    timm and transformers. During the call, network connections and pickles raise an error.

    Args:
        config: Result of ``Backbone.config()``, also after a round trip through JSON.

    Raises:
        ArtefactError: If the configuration is damaged, or its backbone is not registered.
        PlatformError: If a package that the backbone needs is not installed.
    """
    key = config.get("backbone")
    if not isinstance(key, str) or key not in list_backbones():
        raise ArtefactError(
            f"the model needs backbone '{key}', which is not registered; known: {', '.join(list_backbones())}"
        )
    if not (isinstance(config.get("name"), str) and isinstance(config.get("licence"), str)):
        raise ArtefactError(f"the configuration of backbone '{key}' has no name or no licence; save the model again")
    try:
        return backbone_class(key).from_config(config).eval()
    except (ArtefactError, PlatformError):
        raise
    except Exception as error:  # a damaged configuration can have values of any type, so any error is possible
        reason = one_line(f"{type(error).__name__}: {error}")
        raise ArtefactError(
            f"the configuration of backbone '{key}' cannot be read ({reason}); save it again"
        ) from error
