"""What every hash head has: input centring, layers, per-bit thresholds, and a description to rebuild it from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from kinbits._errors import ArtefactError, unknown_name

_REGISTRY: dict[str, type[Head]] = {}
H = TypeVar("H", bound="type[Head]")


class Head(nn.Module):
    """Maps features ``(n, features)`` to logits ``(n, bits)``.

    A subclass sets ``self.layers`` and passes its own options to ``super().__init__``, so that a saved model
    can be rebuilt from ``config()`` without the method that trained it.

    Args:
        features: Length d of one feature vector.
        bits: Code length.
        options: What else ``__init__`` of the subclass takes; must survive JSON.
    """

    name: ClassVar[str] = ""
    layers: nn.Module
    centre: Tensor
    scale: Tensor
    threshold: Tensor

    def __init__(self, features: int, bits: int, **options: Any) -> None:
        super().__init__()
        self.features, self.bits, self.options = features, bits, options
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("threshold", torch.zeros(bits))

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits, float ``(n, bits)``, of features ``(n, d)``."""
        logits: Tensor = self.layers((features - self.centre) * self.scale)
        return logits - self.threshold

    def encode(self, features: Tensor) -> Tensor:
        """Return the bits, bool ``(n, bits)``: one where the logit is not negative."""
        logits: Tensor = self(features)
        return logits >= 0

    @torch.no_grad()
    def standardise(self, chunks: Iterable[Tensor]) -> None:
        """Centre the inputs on these features' mean and divide by one global deviation.

        Frozen features are often all positive; pairwise losses then collapse to one code.

        Args:
            chunks: The training features, float ``(c, d)`` each.
        """
        count, total, square = 0, torch.zeros(self.features, dtype=torch.float64), 0.0
        for chunk in chunks:
            exact = chunk.double().cpu()
            count += len(exact)
            total += exact.sum(0)
            square += float(exact.square().sum())
        mean = total / max(count, 1)
        variance = square / max(count * self.features, 1) - float(mean.square().mean())
        self.centre.copy_(mean)
        self.scale.fill_(max(variance, 1e-12) ** -0.5)

    def config(self) -> dict[str, Any]:
        """Describe this head so that `build_head` can make an untrained copy of it."""
        return {"name": self.name, "features": self.features, "bits": self.bits, **self.options}


def register_head(name: str) -> Callable[[H], H]:
    """Give a head class its name in saved models."""

    def add(cls: H) -> H:
        cls.name = name
        _REGISTRY[name] = cls
        return cls

    return add


def heads() -> list[str]:
    """List the names of all heads."""
    return sorted(_REGISTRY)


def build_head(config: Mapping[str, Any]) -> Head:
    """Make an untrained head from what `Head.config` returned.

    Raises:
        UsageError: The name is unknown.
        ArtefactError: The options do not fit the head.
    """
    options = dict(config)
    name = str(options.pop("name", ""))
    if name not in _REGISTRY:
        raise unknown_name("head", name, _REGISTRY)
    try:
        return _REGISTRY[name](**options)
    except TypeError as error:
        raise ArtefactError(f"the head '{name}' does not fit its description: {error}") from None
