"""The heads that several methods share."""

from __future__ import annotations

from typing import NoReturn

from torch import Tensor, nn

from kinbits.errors import UsageError
from kinbits.heads.base import Head, register_head

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "none": nn.Identity}


@register_head("linear")
class Linear(Head):
    """One linear layer with bias.

    Args:
        features: Length of one feature vector.
        bits: Code length.
        std: Deviation of the initial weights; None keeps PyTorch's default.
    """

    def __init__(self, features: int, bits: int, std: float | None = None) -> None:
        super().__init__(features, bits, std=std)
        self.layers = nn.Linear(features, bits)
        if std is not None:
            nn.init.normal_(self.layers.weight, std=std)
            nn.init.zeros_(self.layers.bias)


@register_head("linear-batchnorm")
class LinearBatchNorm(Head):
    """A linear layer without bias, then batch normalisation, which balances the bits.

    Args:
        features: Length of one feature vector.
        bits: Code length.
        std: Deviation of the initial weights.
    """

    def __init__(self, features: int, bits: int, std: float = 0.01) -> None:
        super().__init__(features, bits, std=std)
        linear = nn.Linear(features, bits, bias=False)
        nn.init.normal_(linear.weight, std=std)
        self.layers = nn.Sequential(linear, nn.BatchNorm1d(bits))


@register_head("mlp")
class Mlp(Head):
    """Two linear layers with an activation between them.

    Args:
        features: Length of one feature vector.
        bits: Code length.
        hidden: Width of the hidden layer.
        activation: ``"relu"``, ``"tanh"`` or ``"none"``.
        std: Deviation of the initial weights, truncated at two deviations; None keeps PyTorch's default.
    """

    def __init__(
        self, features: int, bits: int, hidden: int = 512, activation: str = "relu", std: float | None = None
    ) -> None:
        super().__init__(features, bits, hidden=hidden, activation=activation, std=std)
        first, last = nn.Linear(features, hidden), nn.Linear(hidden, bits)
        if std is not None:
            for layer in (first, last):
                nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
                nn.init.zeros_(layer.bias)
        self.layers = nn.Sequential(first, ACTIVATIONS[activation](), last)


@register_head("signs")
class Signs(Head):
    """No layers: the bits are the signs of the features, as for perceptual hashes.

    Args:
        features: Length of one feature vector.
        bits: Code length, equal to it.

    Raises:
        UsageError: If the lengths differ.
    """

    def __init__(self, features: int, bits: int) -> None:
        if features != bits:
            raise UsageError(f"{bits} bits are not the signs of {features} features; the two must be equal")
        super().__init__(features, bits)
        self.layers = nn.Identity()

    def move_thresholds(self, shift: Tensor) -> NoReturn:
        """Refuse: the codes are those of a fixed hash.

        Raises:
            UsageError: Always.
        """
        raise UsageError("codes of a fixed hash have no thresholds to calibrate; fit a model on the collection")
