"""What every hash head has: input centring, layers, per-bit thresholds, and a description to rebuild it from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NoReturn, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor, nn

from kinbits import hamming
from kinbits._util import import_all
from kinbits.backbones import unit_length
from kinbits.errors import ArtefactError, UsageError, unknown_name
from kinbits.hamming import Codes, Tables

Metric = Literal["euclidean", "cosine", "inner"]
METRICS = get_args(Metric)

_REGISTRY: dict[str, type[Head]] = {}
H = TypeVar("H", bound="type[Head]")


class Head(nn.Module):
    """Maps features ``(n, features)`` to logits ``(n, bits)``.

    A subclass sets ``self.layers`` and passes its own options to ``super().__init__``, so that a saved model
    can be rebuilt from ``config()`` without the method that trained it.

    Attributes:
        words: Words of a part of a code: 2, i.e. bits, unless the head makes product codes (16 or 256) or scaled codes
            (0).
        outputs: Length of the output: the bits, unless the codes are no bits.

    Args:
        features: Length d of one feature vector.
        bits: Code length.
        options: The other arguments of ``__init__`` of the subclass, as JSON values.
    """

    name: ClassVar[str] = ""
    layers: nn.Module
    centre: Tensor
    scale: Tensor
    threshold: Tensor

    def __init__(self, features: int, bits: int, **options: Any) -> None:
        super().__init__()
        self.features, self.bits, self.options = features, bits, options
        self.words, self.outputs = hamming.BITS, bits
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("threshold", torch.zeros(bits))

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits, float ``(n, bits)``, of features ``(n, d)``."""
        logits: Tensor = self.layers(self.standard(features))
        return logits - self.threshold

    def standard(self, features: Tensor) -> Tensor:
        """Return the input of the layers: features ``(n, d)``, centred and scaled."""
        return (features - self.centre) * self.scale

    def restore(self, inputs: Tensor) -> Tensor:
        """Return the features ``(n, d)`` that `standard` turns into these inputs."""
        return inputs.flatten(1) / self.scale + self.centre

    def encode(self, features: Tensor) -> Tensor:
        """Return the bits, bool ``(n, bits)``: one where the logit is not negative."""
        logits: Tensor = self(features)
        return logits >= 0

    @torch.no_grad()
    def codes(self, features: Tensor) -> Codes:
        """Return packed codes, uint8 ``(n, ceil(bits / 8))``."""
        return self.codes_of(self(features))

    @torch.no_grad()
    def tables(self, features: Tensor) -> Tables:
        """Return the look-up tables of features as queries, float32 ``(n, parts, entries)``."""
        return self.tables_of(self(features))

    def codes_of(self, outputs: Tensor) -> Codes:
        """Return the packed codes of outputs ``(n, outputs)``."""
        return hamming.pack((outputs >= 0).cpu().numpy())

    def tables_of(self, outputs: Tensor) -> Tables:
        """Return the look-up tables of outputs ``(n, outputs)`` as queries."""
        return hamming.sign_tables(outputs.float().cpu().numpy())

    def code_tables(self, codes: Codes) -> Tables:
        """Return the look-up tables of codes as queries."""
        signs = hamming.unpack(codes, self.bits)
        return hamming.sign_tables(np.where(signs, np.float32(1), np.float32(-1)))

    @property
    def features_metric(self) -> Metric | None:
        """The metric of the features themselves that distances of codes stand for; None if they stand for others."""
        return None

    def move_thresholds(self, shift: Tensor) -> None:
        """Raise the threshold of each bit, by float ``(bits,)``."""
        self.threshold += shift.to(self.threshold.device)

    @torch.no_grad()
    def standardise(self, chunks: Iterable[Tensor]) -> None:
        """Centre the inputs on these features' mean and divide by one global deviation.

        Frozen features are often all positive, and pairwise losses then collapse to one code.

        Args:
            chunks: The training features, float ``(c, d)`` each.
        """
        mean, variance = moments(chunks, self.features)
        self.centre.copy_(mean)
        # relative to the mean, since vectors may have any unit: a spread below it is a rounding error
        least = max(float(mean.square().mean()) * 1e-15, torch.finfo(torch.float32).tiny)
        self.scale.fill_(max(variance, least) ** -0.5)

    def config(self) -> dict[str, Any]:
        """Return a description from which `build_head` makes an untrained copy."""
        return {"name": self.name, "features": self.features, "bits": self.bits, **self.options}


class MetricHead(Head):
    """A head that measures distances of vectors by a metric, and whose codes are no bits.

    Args:
        features: Length of one feature vector.
        bits: Code length.
        metric: ``"euclidean"``; ``"cosine"``, which scales features to length 1 first; or ``"inner"``.
        options: As in `Head`.

    Attributes:
        codes_name: What its codes are called.
        metrics: The metrics that it knows.

    Raises:
        UsageError: If the metric is unknown.
    """

    codes_name: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]] = METRICS

    def __init__(self, features: int, bits: int, *, metric: str, **options: Any) -> None:
        if metric not in self.metrics:
            raise UsageError(f"metric={metric!r}: give one of {', '.join(self.metrics)}")
        super().__init__(features, bits, metric=metric, **options)
        self.metric = metric

    def standard(self, features: Tensor) -> Tensor:
        """Return the input of the layers, ``(n, d)``: features, of length 1 for the cosine, centred and scaled."""
        return super().standard(self._measured(features))

    @torch.no_grad()
    def standardise(self, chunks: Iterable[Tensor]) -> None:
        """Centre and scale as in `Head`, after scaling to length 1 for the cosine."""
        super().standardise(map(self._measured, chunks))

    def _measured(self, features: Tensor) -> Tensor:
        return unit_length(features) if self.metric == "cosine" else features

    def encode(self, features: Tensor) -> NoReturn:
        """Refuse: there are no bits.

        Raises:
            UsageError: Always.
        """
        raise UsageError(f"{self.codes_name} have no bits of their own; take output='codes'")

    def move_thresholds(self, shift: Tensor) -> NoReturn:
        """Refuse: there are no thresholds.

        Raises:
            UsageError: Always.
        """
        raise UsageError(f"{self.codes_name} have no thresholds to calibrate; fit the model on the new collection")


class MapHead(Head):
    """A head on feature maps, which are given as vectors ``(n, c h w)``; the layers read ``(n, c, h, w)``.

    Args:
        features: Length ``c h w`` of one flattened map.
        bits: Code length.
        shape: ``(c, h, w)``.
        options: As in `Head`.
    """

    def __init__(self, features: int, bits: int, shape: Sequence[int], **options: Any) -> None:
        if math.prod(shape) != features:
            raise UsageError(f"maps of shape {tuple(shape)} do not fit vectors of {features} numbers")
        super().__init__(features, bits, shape=list(shape), **options)
        self.shape = tuple(shape)

    def standard(self, features: Tensor) -> Tensor:
        """Return the maps ``(n, c, h, w)``, centred channel by channel and scaled."""
        return super().standard(features).view(-1, *self.shape)

    @torch.no_grad()
    def standardise(self, chunks: Iterable[Tensor]) -> None:
        """Centre every channel on its mean over maps and places, and divide by one global deviation."""
        super().standardise(chunks)
        per_channel = self.centre.view(self.shape).mean((1, 2), keepdim=True)
        self.centre.copy_(per_channel.expand(self.shape).flatten())


def moments(chunks: Iterable[Tensor], width: int) -> tuple[Tensor, float]:
    """Return the mean of vectors, float64 ``(width,)``, and the mean variance of their columns.

    Args:
        chunks: Parts of the vectors, float ``(c, width)`` each; read once.
        width: Length of a vector.
    """
    count, total, square = 0, torch.zeros(width, dtype=torch.float64), 0.0
    for chunk in chunks:
        exact = chunk.double().cpu()
        count += len(exact)
        total += exact.sum(0)
        square += float(exact.square().sum())
    mean = total / max(count, 1)
    return mean, square / max(count * width, 1) - float(mean.square().mean())


def register_head(name: str) -> Callable[[H], H]:
    """Give a head class its name in saved models."""

    def add(cls: H) -> H:
        cls.name = name
        _REGISTRY[name] = cls
        return cls

    return add


def list_heads() -> list[str]:
    """List the names of all heads."""
    import_all("kinbits.heads")
    return sorted(_REGISTRY)


def build_head(config: Mapping[str, Any]) -> Head:
    """Make an untrained head from what `Head.config` returned.

    Raises:
        UsageError: If the name is unknown.
        ArtefactError: If the options do not fit the head.
    """
    options = dict(config)
    name = str(options.pop("name", ""))
    if name not in list_heads():
        raise unknown_name("head", name, _REGISTRY)
    try:
        return _REGISTRY[name](**options)
    except TypeError as error:
        raise ArtefactError(f"the head '{name}' does not fit its description: {error}") from None
