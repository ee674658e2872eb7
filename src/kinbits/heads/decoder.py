"""A small network that reconstructs features from codes."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Decoder(nn.Module):
    """Maps codes to features: linear, ReLU, linear.

    Its output is the input of a head's layers, centred and scaled (`Head.standard`); `Head.restore` undoes that.

    Args:
        bits: Code length.
        features: Length d of one feature vector.
        hidden: Width of the hidden layer.
    """

    def __init__(self, bits: int, features: int, hidden: int = 256) -> None:
        super().__init__()
        self.bits, self.features, self.hidden = bits, features, hidden
        self.layers = nn.Sequential(nn.Linear(bits, hidden), nn.ReLU(), nn.Linear(hidden, features))

    def forward(self, codes: Tensor) -> Tensor:
        """Return standard features, float ``(n, d)``, of codes of -1 and +1, float ``(n, bits)``."""
        guessed: Tensor = self.layers(codes)
        return guessed

    def config(self) -> dict[str, Any]:
        """Return the arguments that make an untrained copy."""
        return {"bits": self.bits, "features": self.features, "hidden": self.hidden}
