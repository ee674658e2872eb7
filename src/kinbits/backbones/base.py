"""Base classes of backbones: images, text or vectors in, pooled features or a feature map out."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from kinbits._util import Modality
from kinbits.backbones.catalogue import Offer
from kinbits.backbones.preprocessing import Preprocessing
from kinbits.errors import UsageError

if TYPE_CHECKING:
    from kinbits.backbones.joint_text import HFJointText


class Backbone(nn.Module, ABC):
    """Feature extractor, the first half of a hashing model.

    Attributes:
        key: Registered name; ``config()["backbone"]``.
        name: Name that the user gave, e.g. ``"hf:facebook/dinov2-small"``.
        modality: ``"image"``, ``"text"`` or ``"vector"``.
        offer: Defaults that a listing shows.
        aligned: Whether a text backbone was moved into the space of an image backbone, and shares its head.
        rates: Whether it knows the `quality` of items.
        bundled: Whether an installed package holds its weights.
        preprocessing: Preprocessing of images; None for text and vectors.
        feature_dim: Width d of the pooled features.
        map_shape: ``(c, h, w)`` of the feature map, or None without one.
        licence: Licence of the weights, as their publisher states it.
        pretrained: Whether the weights are pretrained; False for networks with random weights.
    """

    key: ClassVar[str] = ""
    modality: ClassVar[Modality] = "image"
    offer: ClassVar[Offer] = Offer()
    aligned: bool = False
    rates: ClassVar[bool] = False
    bundled: ClassVar[bool] = False
    name: str
    preprocessing: Preprocessing | None
    feature_dim: int
    map_shape: tuple[int, int, int] | None
    licence: str
    pretrained: bool

    def _describe(
        self,
        name: str,
        *,
        feature_dim: int,
        licence: str,
        pretrained: bool,
        map_shape: tuple[int, int, int] | None = None,
        preprocessing: Preprocessing | None = None,
    ) -> None:
        self.name, self.feature_dim, self.licence, self.pretrained = name, feature_dim, licence, pretrained
        self.map_shape, self.preprocessing = map_shape, preprocessing

    def is_published(self) -> bool:
        """Return whether all weights are those of an installed package: it holds them, and training changed none."""
        return False

    @abstractmethod
    def forward(self, *args: Tensor, **kwargs: Tensor) -> Tensor:
        """Return pooled features ``(n, feature_dim)`` of a batch."""

    @classmethod
    @abstractmethod
    def from_pretrained(cls, argument: str, size: int | None) -> Self:
        """Load the backbone with its weights.

        Args:
            argument: Part of the name after the colon, or "".
            size: Side in pixels (images) or width (vectors); None uses the backbone's default.
        """

    @classmethod
    @abstractmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build the architecture from the result of ``config()``, with untrained weights and without downloads."""

    @abstractmethod
    def architecture(self) -> dict[str, Any]:
        """Return the fields that `from_config` needs in addition to the common ones, as JSON types."""

    def config(self) -> dict[str, Any]:
        """Return the configuration from which ``build_backbone`` rebuilds the architecture, as JSON types."""
        return {
            "backbone": self.key,
            "name": self.name,
            "licence": self.licence,
            "pretrained": self.pretrained,
            "preprocessing": self.preprocessing.to_dict() if self.preprocessing else None,
            **self.architecture(),
        }

    def feature_map(self, x: Tensor) -> Tensor:
        """Return the last feature map ``(n, c, h, w)`` of a batch of images ``(n, 3, s, s)`` in [0, 1].

        Raises:
            UsageError: If the backbone has no feature map.
        """
        raise UsageError(f"backbone '{self.name}' has no feature map; use its pooled features")

    @property
    def pooled(self) -> Backbone:
        """The backbone with pooled features: this one, or the inner backbone of a `FeatureMap`."""
        return self

    def text_half(self) -> HFJointText | None:
        """Load the text backbone whose embeddings are compared with these features; None where there is none.

        Raises:
            ArtefactError: If there is one, and it cannot be loaded.
            PlatformError: If it cannot be downloaded.
        """
        return None

    def quality(self, features: np.ndarray) -> np.ndarray:
        """Return how much each item can be trusted, int64 ``(n,)`` from 0 to 100, given its features ``(n, d)``.

        Raises:
            UsageError: If the backbone does not rate its items.
        """
        raise UsageError(f"backbone '{self.name}' knows no quality of {self.modality}s; 'pdq' does")

    def require_pixels(self, what: str) -> Preprocessing:
        """Return the preprocessing of a backbone that takes pixels.

        Args:
            what: What needs pixels, for the message, such as ``"an exported graph"``.

        Raises:
            UsageError: If it takes none: it reads no images, or computes a hash of whole images.
        """
        found = self.preprocessing
        if found is None:
            raise UsageError(f"{what} takes images, and backbone '{self.name}' reads {self.modality} data")
        if not found.pixels:
            raise UsageError(f"{what} takes pixels, and '{self.name}' is a fixed hash of whole images; take a network")
        return found

    def tokenize(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Turn texts into the tensors that :meth:`forward` takes.

        Raises:
            UsageError: If the backbone does not read text.
        """
        raise UsageError(f"backbone '{self.name}' reads {self.modality} data, not text; use 'minilm' or 'hf-text:NAME'")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the architecture, the preprocessing and all weights; name and folder do not change it."""
        architecture = {k: v for k, v in self.config().items() if k not in ("name", "licence", "pretrained")}
        digest = hashlib.sha256(json.dumps(architecture, sort_keys=True).encode())
        for name, tensor in sorted(self.state_dict().items()):
            raw = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(raw.view(torch.uint8).numpy() if raw.numel() else b"")
        return digest.hexdigest()


class ImageBackbone(Backbone):
    """Base class of image backbones; it normalises the pixels."""

    preprocessing: Preprocessing
    mean: Tensor
    std: Tensor

    def _describe(self, name: str, **fields: Any) -> None:
        super()._describe(name, **fields)
        # not in the state dict: they are part of the configuration
        for part in ("mean", "std"):
            value = torch.tensor(getattr(self.preprocessing, part)).view(1, 3, 1, 1)
            self.register_buffer(part, value, persistent=False)

    def normalise(self, x: Tensor) -> Tensor:
        """Return pixels ``(n, 3, s, s)`` in [0, 1] minus the mean, divided by the standard deviation."""
        return (x - self.mean) / self.std


def shapes_of(network: nn.Module, run: Callable[[Tensor], Any], blank: Tensor) -> Any:
    """Return the output of a network on the meta device: tensors with a shape but no data, computed at no cost.

    Args:
        network: The network; meta tensors replace its weights during the call.
        run: Function that calls the network.
        blank: Input on the meta device.
    """
    call = _Call(network, run)
    weights = {name: value.to("meta") for name, value in (*call.named_parameters(), *call.named_buffers())}
    return functional_call(call, weights, (blank,))


class _Call(nn.Module):
    def __init__(self, network: nn.Module, run: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.network, self._run = network, run

    def forward(self, blank: Tensor) -> Any:
        return self._run(blank)
