"""The names of backbones, filled by a decorator on the class; a backbone's file is run when it is first asked for."""

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
    """Register a class under a name, or under a family of names when ``key`` ends in a colon.

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
    """Return all registered names, sorted; those that end in a colon take a name or folder behind it."""
    return sorted({*backbone_files(), *_CLASSES})


def describe_backbone(name: str) -> BackboneInfo:
    """Describe a backbone, if possible without running its file.

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
    """Return the class that a name belongs to, without loading anything.

    Raises:
        UsageError: If no backbone has this name.
        PlatformError: If a package that it needs is not installed.
    """
    family, colon, _ = name.partition(":")
    key = family + colon
    if key not in _CLASSES and key in backbone_files():
        require(backbone_files()[key][0])
    if key not in _CLASSES:
        raise unknown_name("backbone", name, list_backbones())
    return _CLASSES[key]


def require_modality(name: str, reads: Modality) -> None:
    """Refuse a backbone that reads another kind of data, without loading anything.

    Raises:
        UsageError: If it does, or no backbone has this name; the message lists those that read this kind.
    """
    found = backbone_class(name).modality
    if found != reads:
        fitting = [key for key in list_backbones() if describe_backbone(key).reads == reads]
        listed = ", ".join(f"{key}NAME" if key.endswith(":") else key for key in fitting)
        raise UsageError(f"backbone '{name}' reads {found}s, and here {reads}s are to be read; take one of: {listed}")


def load_backbone(name: str, *, size: int | None = None, dim: int | None = None) -> Backbone:
    """Load a backbone with its weights, in evaluation mode, on the CPU.

    Args:
        name: One of :func:`backbones`, e.g. ``"efficientnet_lite0"``, ``"hf:facebook/dinov2-small"``.
        size: Input side in pixels for image backbones; None takes the backbone's own.
        dim: Width of the vectors; required by ``"features"`` (data that already are vectors), only there.

    Raises:
        UsageError: If the name is unknown, or a size or width does not apply.
        PlatformError: If the weights cannot be downloaded, or an optional package is missing.
        ArtefactError: If the weights are damaged or of a kind that we do not load.

    Example:
        >>> load_backbone("convnet-small").feature_dim
        384
    """
    cls = backbone_class(name)
    argument = name.partition(":")[2]
    if cls.key.endswith(":") and not argument:
        raise UsageError(f"backbone '{name}' needs a value behind the colon, e.g. '{cls.key}NAME'")
    _check_input(name, cls.modality, size, dim)
    return cls.load(argument, dim if cls.modality == "vector" else size).eval()


def _check_input(name: str, modality: str, size: int | None, dim: int | None) -> None:
    if size is not None and modality != "image":
        raise UsageError(f"backbone '{name}' reads {modality} data, so it takes no size; leave it out")
    if size is not None and size < 8:
        raise UsageError(f"size {size} is too small for an image backbone; 32, 128 and 224 are usual")
    if (dim is None) == (modality == "vector"):
        raise UsageError(f"backbone '{name}' {'needs' if dim is None else 'takes no'} dim, the width of vectors")


def build_backbone(config: dict[str, Any]) -> Backbone:
    """Rebuild a backbone from ``config()`` with untrained weights; fill them with ``load_state_dict``.

    Needs neither the network nor the original weights, and never runs code from the configuration: only names, options
    and fields on a list reach timm and transformers, and connections and pickles are refused meanwhile.

    Args:
        config: What ``Backbone.config()`` returned, also after a trip through JSON.

    Raises:
        ArtefactError: If the configuration is damaged or of a backbone that is not installed.
    """
    key = config.get("backbone")
    if not isinstance(key, str) or key not in list_backbones():
        raise ArtefactError(
            f"the model needs backbone '{key}', which is not registered; known: {', '.join(list_backbones())}"
        )
    if not (isinstance(config.get("name"), str) and isinstance(config.get("licence"), str)):
        raise ArtefactError(f"the configuration of backbone '{key}' has no name or no licence; save the model again")
    try:
        return backbone_class(key).build(config).eval()
    except (ArtefactError, PlatformError):
        raise
    except Exception as error:  # of nearly any kind: in a damaged description everything may have any type
        reason = one_line(f"{type(error).__name__}: {error}")
        raise ArtefactError(
            f"the configuration of backbone '{key}' cannot be read ({reason}); save it again"
        ) from error
